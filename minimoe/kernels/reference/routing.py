"""The router's kernels in NumPy. N tokens, E experts, A assignments (token-major); layouts as in the package."""
from __future__ import annotations

import numpy as np

from minimoe.kernels.reference.sorting import token_of_assignment


def router_softmax(logits):
    """(p, lse, bad) of logits (N, E): softmax p (N, E), its log-sum-exp lse (N,), and bad, bool (N,).

    A bad row holds NaN or +inf, or nothing finite: its p and lse are 0. An entry of -inf is a ban, with p = 0.
    """
    if logits.size == 0:
        return logits.copy(), np.zeros(len(logits), logits.dtype), np.ones(len(logits), bool)
    top = logits.max(axis=1, keepdims=True)                                         # (N, 1), NaN where a row has one
    bad = ~np.isfinite(top)
    if bad.any():
        logits, top = np.where(bad, 0, logits), np.where(bad, 0, top)
    p = logits - top
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    lse = (top + np.log(total))[:, 0]
    bad = bad[:, 0]
    if bad.any():
        p[bad] = lse[bad] = 0
    return p, lse, bad


def select_experts(scores, row_ptr, assignments=None):
    """The experts of every token, best first: (score descending, index ascending). (N, E), (N+1,) -> int32 (A,).

    Token i takes row_ptr[i+1] - row_ptr[i] of them. assignments: A, where the caller knows it; None reads row_ptr.
    """
    order = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)             # (N, E)
    return order[np.arange(scores.shape[1]) < np.diff(row_ptr)[:, None]]            # (A,)


def select_gates(p, expert, inv, row_ptr, form: str, renorm_after_drop: bool):
    """The weight of every assignment, (A,), by the forms of `ops.select_gates`; 0 where inv < 0 (dropped).

    p (N, E), expert and inv (A,), row_ptr (N+1,).
    """
    token, kept = token_of_assignment(row_ptr, expert.size), (inv >= 0).astype(p.dtype)
    if form == "equal":
        return kept / np.diff(row_ptr)[token].astype(p.dtype)
    gates = p[token, expert]
    if form == "renorm":
        gates /= _chosen_sum(gates, kept, row_ptr, renorm_after_drop)[token]
    return gates * kept


def select_gates_backward(dg, p, expert, inv, row_ptr, form: str, renorm_after_drop: bool):
    """Gradient of p from the gradient dg (A,) of the gates: (N, E). Dropped assignments send nothing.

    raw: dg_a at (t(a), e(a)); renorm: (dg_a - sum over the token of g dg) / the token's sum; equal: 0.
    """
    gp = np.zeros_like(p)
    if form == "equal":
        return gp
    token, kept = token_of_assignment(row_ptr, expert.size), (inv >= 0).astype(p.dtype)
    dg = dg * kept
    if form == "renorm":
        chosen = p[token, expert]
        total = _chosen_sum(chosen, kept, row_ptr, renorm_after_drop)
        mixed = _sum_by_token(chosen * dg, row_ptr) / total                         # (N,) sum of g dg
        dg -= mixed[token] * kept if renorm_after_drop else mixed[token]
        dg /= total[token]
    gp[token, expert] = dg                          # no pair occurs twice
    return gp


def router_backward(dg, gp, coefficients, p, lse, share, counted, expert, inv, row_ptr, form: str,
                    renorm_after_drop: bool):
    """Gradient of the router's logits from everything that was read off them: (N, E).

    dg (A,): gradient of the gates; gp (N, E) or None: of the probabilities. coefficients (3,): what the balance, z
    and entropy terms multiply by, b, c, h. share (E,): f_e; counted (N,) bool or None: m_i. With d the gradient of p,

        d_ie = gp_ie + (from the gates) + m_i (b f_e - h log p_ie),    gz_ie = p_ie (d_ie - <p_i, d_i> + c m_i lse_i)
    """
    d = select_gates_backward(dg, p, expert, inv, row_ptr, form, renorm_after_drop)
    if gp is not None:
        d += gp
    m = np.ones((1, 1), p.dtype) if counted is None else counted[:, None].astype(p.dtype)
    balance, z, entropy = coefficients
    if balance:
        d += m * (balance * share)
    if entropy:
        d -= entropy * m * np.log(np.where(p > 0, p, 1))                            # 0 log 0 = 0
    d -= np.vecdot(p, d)[:, None]
    if z:
        d += z * m * lse[:, None]
    d *= p
    return d


def _chosen_sum(chosen, kept, row_ptr, renorm_after_drop: bool):
    """What renorm divides by, (N,): the sum over a token's assignments, or over those that were kept; never 0."""
    total = _sum_by_token(chosen * kept if renorm_after_drop else chosen, row_ptr)
    total[total == 0] = 1                           # a token that lost everything, or had nothing
    return total


def _sum_by_token(values, row_ptr):
    """The sum over each token's assignments: (A,) -> (N,)."""
    total = np.zeros(row_ptr.size - 1, values.dtype)
    some = row_ptr[1:] > row_ptr[:-1]               # reduceat would repeat a neighbour for an empty one
    if values.size:
        total[some] = np.add.reduceat(values, row_ptr[:-1][some])
    return total
