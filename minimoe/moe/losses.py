"""Auxiliary losses that keep a router healthy. N tokens, E experts; padding never counts."""
from __future__ import annotations

from minimoe import ops
from minimoe.tensor import Tensor


def balance_loss(probabilities: Tensor, counts, mask, weight: float) -> Tensor:
    """weight * E * sum_e f_e P_e; `weight` under uniform use, for any number of experts per token.

    f_e: share of the A assignments that asked for expert e, before dropping (a constant); P_e: mean over real tokens
    of the full softmax. probabilities (N, E), counts int (E,), mask (N,) bool or None. No real token or no
    assignment: 0. Source: Switch Transformer (arXiv 2101.03961) eq. 4 to 6, confirmed for one expert per token;
    dividing f by A instead of N for more is ours (derived).
    """
    if not weight:
        return Tensor(0.0)
    real, n_real = _real(probabilities, mask)
    assignments = max(int(counts.sum()), 1)
    f = (counts / assignments).astype(probabilities.dtype)                     # (E,)
    p = (probabilities * real).sum(axis=0) / n_real                            # (E,)
    return (p * f).sum() * (weight * probabilities.shape[1])


def z_loss(logits: Tensor, mask, weight: float) -> Tensor:
    """weight / N_v * sum over real tokens of logsumexp(z_i)^2: keeps router logits small. logits (N, E).

    Source: ST-MoE (arXiv 2202.08906) eq. 5, confirmed.
    """
    if not weight:
        return Tensor(0.0)
    real, n_real = _real(logits, mask)
    lse = ops.logsumexp(logits, axis=-1, keepdims=True)                        # (N, 1)
    return (lse * lse * real).sum() * (weight / n_real)


def entropy_loss(probabilities: Tensor, mask, weight: float) -> Tensor:
    """weight / N_v * sum over real tokens of H(p_i): sharpens the router, for top-p routing. probabilities (N, E).

    Source: Huang et al. (arXiv 2403.07652) eq. 5, confirmed; the weight 1e-4 is assumed.
    """
    if not weight:
        return Tensor(0.0)
    real, n_real = _real(probabilities, mask)
    positive = ops.where(probabilities.data > 0, probabilities, 1.0)           # 0 log 0 = 0, also in the gradient
    return (probabilities * ops.log(positive) * real).sum() * (-weight / n_real)


def _real(tensor: Tensor, mask):
    """(1.0 for a real token and 0.0 for padding, (N, 1) or the number 1; how many are real, at least 1)."""
    if mask is None:
        return 1, max(tensor.shape[0], 1)
    return mask[:, None].astype(tensor.dtype), max(int(mask.sum()), 1)
