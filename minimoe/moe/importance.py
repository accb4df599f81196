"""Token importance: how much each token matters, read off an attention matrix. Nothing here has a gradient.

The default, `rowmax`, is the literal reading of the only account of DA-MoE (arXiv 2409.06669) that gives a formula: the
largest attention weight, averaged over heads [reported, by an unofficial note]. That note does not name the axis of the
maximum. Rows (what a token looks at) is our assumption, so report `colmax` (what looks at it) beside it.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minimoe import kernels
from minimoe.backend import array_module, on_host
from minimoe.moe.checks import check_choice, check_floats, real_and_competing
from minimoe.moe.controls import apply_controls, random_importance, split_controls
from minimoe.moe.normalise import NORMALISERS, normalise_importance

MEASURES = ("rowmax", "colmax", "colsum", "colsum_l1", "cls", "focus", "diffuse", "uniform", "random")


def token_importance(attention: np.ndarray, mask: np.ndarray | None = None, measure: str = "rowmax",
                     heads: str = "mean", normalise: str = "none", *, x: np.ndarray | None = None,
                     exclude_special: np.ndarray | None = None,
                     rng: int | np.random.Generator | None = None) -> np.ndarray:
    """Importance of every token, (B,S), from attention weights (B,H,S,S) whose rows (queries) sum to 1 over keys.

    mask (B,S) bool, True = real token. Padding gets 0, and weights from or to padding count for nothing. Every real
    token may look at every real token: n of them. The result is float32, or float64 if `attention` is.
    heads: "mean" or "max" joins the heads. measure, for token i:

    rowmax      max_k P[i,k]                        its sharpest look; 1/n .. 1
    colmax      max_q P[q,i]                        the hardest look at it
    colsum      sum_q P[q,i] / n                    its share of all attention
    colsum_l1   colsum * sum_j |x_ij|               MC-MoE's score (arXiv 2410.06270); needs x (B,S,d)
    cls         P[0,i]                              what the first token looks at
    focus       1 - entropy(P[i,:]) / log n         1 for a single token
    diffuse     1 - focus
    uniform, random                                 1, and U(0,1)
    shuffled(M), reversed(M)                        controls around any measure M, see `controls.py`

    `random` and `shuffled` need rng: a seed or a numpy Generator. normalise: see `normalise_importance`.
    exclude_special (B,S) bool names tokens (first, separators) that stay in the attention but leave the competition:
    they get 0, and controls and normalisers skip them. `allocate_experts` takes the same array and gives them k_min.

    Raises ValueError for unknown names, wrong shapes, a missing x or rng, and `cls` where a sample starts with padding;
    TypeError for attention or x that are not float, and masks that are not boolean. NaN weights give NaN importance.
    """
    where = "token_importance"
    p = check_floats(where, "attention", attention, "BHSS")
    batch, n_heads, length = p.shape[:3]
    if p.shape[3] != length or n_heads == 0:
        raise ValueError(f"{where}: attention must be (B,H,S,S) with H at least 1, got shape {p.shape}")
    controls, inner = split_controls(measure)
    check_choice(where, "measure", inner, (*MEASURES, "shuffled(...)", "reversed(...)"))
    check_choice(where, "heads", heads, ("mean", "max"))
    check_choice(where, "normalise", normalise, NORMALISERS)
    real, live = real_and_competing(where, p, (batch, length), mask, exclude_special)
    draws = inner == "random" or "shuffled" in controls
    if draws and rng is None:
        raise ValueError(f"{where}: measure={measure!r} needs rng, a seed or a numpy.random.Generator")
    generator = np.random.default_rng(rng) if draws else None

    xp = array_module(p)
    if p.size == 0:
        return xp.zeros((batch, length), dtype=p.dtype)
    if inner == "uniform":
        importance = xp.ones((batch, length), dtype=p.dtype)
    elif inner == "random":
        importance = random_importance(p, (batch, length), generator)
    else:
        if inner == "cls" and on_host(real) and bool((real.any(axis=1) & ~real[:, 0]).any()):
            raise ValueError(f"{where}: measure 'cls' reads the first token's row, but a sample starts with padding")
        importance = _read_attention(p, mask, inner, heads)
        if inner == "colsum_l1":
            importance = importance * _l1_norm(x, (batch, length))
    return normalise_importance(apply_controls(controls, importance, live, generator), live, normalise)


def without_padding(p: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Attention (B,H,S,S) with zeros from and to padding, which may hold NaN: a softmax over no key is often 0/0.
    mask (B,S) bool, True = real token; None = no padding."""
    if mask is None:
        return p
    return array_module(p).where(mask[:, None, :, None] & mask[:, None, None, :], p, 0)


def entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the last axis, with 0 log 0 = 0 and the logarithm natural."""
    xp = array_module(p)
    return -(p * xp.log(xp.where(p > 0, p, 1))).sum(axis=-1)


def _read_attention(p: np.ndarray, mask: np.ndarray | None, measure: str, heads: str) -> np.ndarray:
    """The measures that read weights. p (B,H,S,S), mask (B,S) or None -> (B,S)."""
    if measure in ("colmax", "colsum", "colsum_l1"):
        return kernels.of(p).column_importance(p, mask, "colmax" if measure == "colmax" else "colsum", heads)
    joined = joined_heads(per_head_importance(without_padding(p, mask), real_tokens(p, mask), measure), heads)
    return 1 - joined if measure == "diffuse" else joined


def real_tokens(p: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """How many tokens of each sample are real, at least 1, in the dtype of p (B,H,S,S): (B,1,1)."""
    xp = array_module(p)
    n = xp.full(p.shape[0], p.shape[3]) if mask is None else mask.sum(axis=1)
    return xp.maximum(n, 1).astype(p.dtype)[:, None, None]


def per_head_importance(p: np.ndarray, n: np.ndarray, measure: str) -> np.ndarray:
    """What each head says on its own, (B,H,S); for `diffuse` its focus. n (B,1,1): real tokens, at least 1."""
    xp = array_module(p)
    if measure == "rowmax":
        return p.max(axis=3)
    if measure == "colmax":
        return p.max(axis=2)
    if measure in ("colsum", "colsum_l1"):
        return p.sum(axis=2) / n
    if measure == "cls":
        return p[:, :, 0, :]
    return (1 - entropy(p) / xp.log(xp.maximum(n, 2))).clip(0, 1)               # focus; one token: entropy 0, not 0/0


def joined_heads(per_head: np.ndarray, heads: str) -> np.ndarray:
    """(B,H,S) -> (B,S)."""
    return per_head.mean(axis=1) if heads == "mean" else per_head.max(axis=1)


def _l1_norm(x: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """sum_j |x_ij| of every token, (B,S)."""
    if x is None:
        raise ValueError("token_importance: measure 'colsum_l1' needs x, the tokens (B,S,d)")
    x = check_floats("token_importance", "x", x, "BSd")
    if x.shape[:2] != shape:
        raise ValueError(f"token_importance: x must be ({shape[0]}, {shape[1]}, d) like attention, got {x.shape}")
    return array_module(x).abs(x).sum(axis=2)


def rollout(attentions: Sequence[np.ndarray], mask: np.ndarray | None = None, heads: str = "mean") -> np.ndarray:
    """Attention rollout (arXiv 2005.00928): how much of each input token reaches the top through all layers. -> (B,S)

    attentions: one (B,H,S,S) per layer, first layer first. R_0 = Id, R_l = (Id + P_l) R_(l-1) / 2 where the Id is the
    residual path; importance is the column mean of the last R over real tokens. heads="mean" averages P_l over heads;
    heads="each" follows every head on its own through the layers and averages the H answers. mask (B,S) bool, True =
    real token; padding gets 0. Raises ValueError for no matrix, unequal shapes and unknown names; TypeError for types.
    """
    check_choice("rollout", "heads", heads, ("mean", "each"))
    layers = [check_floats("rollout", "attentions", p, "BHSS") for p in attentions]
    if not layers or any(p.shape != layers[0].shape for p in layers) or layers[0].shape[2] != layers[0].shape[3]:
        raise ValueError(f"rollout: needs at least one (B,H,S,S) and all alike, got {[p.shape for p in layers]}")
    xp = array_module(*layers)
    real, _ = real_and_competing("rollout", layers[0], layers[0].shape[::2], mask, None)

    # Only the column mean u R_L is wanted, so the row vector u = real/n walks down the layers: no matrix products.
    share = real / xp.maximum(real.sum(axis=1, keepdims=True), 1)                       # (B, S)
    flow = share[:, None, None, :].astype(layers[0].dtype)                              # (B, 1, 1, S)
    for p in reversed(layers):
        p = without_padding(p, mask)
        if heads == "mean":
            p = p.mean(axis=1, keepdims=True)
        flow = (flow + flow @ p) / 2                                                    # (B, 1 or H, 1, S)
    return xp.where(real, flow[:, :, 0, :].mean(axis=1), 0)


def router_entropy(probabilities: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Entropy of the router's probabilities over log E, 0..1: high where the router hesitates (a control: it reads no
    attention). probabilities (B,S,E) -> (B,S); mask (B,S) bool, True = real token; padding gets 0. E = 1 gives 0: one
    expert leaves nothing to hesitate about. Raises ValueError for shapes, TypeError for types."""
    p = check_floats("router_entropy", "probabilities", probabilities, "BSE")
    xp = array_module(p)
    real, _ = real_and_competing("router_entropy", p, p.shape[:2], mask, None)
    value = (entropy(p) / math.log(max(p.shape[2], 2))).clip(0, 1)
    return xp.where(real, value, 0)
