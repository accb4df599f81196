"""The softmax of attention, its backward, and what a column of attention says of its token, in NumPy."""
from __future__ import annotations

import numpy as np


def masked_softmax(scores, live):
    """(P, row maximum): softmax of `scores` (..., Sq, Sk) over live entries of the last axis, and max_k P, (..., Sq).

    `live`: bool, of as many axes as scores and broadcastable to them, or None. A row with no live entry, or with
    nothing but -inf, has P = 0 and maximum 0. max_k P = 1/l with l = sum exp(s - max s), so it costs nothing. NaN in a
    live entry makes its row NaN. `scores` may be overwritten.
    """
    if scores.size == 0:
        return scores, np.zeros(scores.shape[:-1], scores.dtype)
    if live is not None:
        np.copyto(scores, -np.inf, where=~live)
    top = scores.max(axis=-1, keepdims=True)
    dead = np.isneginf(top)
    top[dead] = 0                                   # exp(-inf - 0) = 0 everywhere
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    total[dead] = 1
    scores /= total
    row_max = 1 / total
    row_max[dead] = 0
    return scores, row_max[..., 0]


def masked_softmax_backward(p, gp):
    """gs = p (gp - rowsum(gp p)) along the last axis; a row with p = 0 gives 0. Both (..., Sq, Sk)."""
    gs = gp - np.vecdot(p, gp)[..., None]
    gs *= p
    return gs


def column_importance(p, mask, measure: str, heads: str):
    """How the queries look at each token: p (B, H, S, S), mask (B, S) bool or None -> (B, S), 0 at padding.

    measure "colmax": max over real queries q of P[q, i]; "colsum": their sum over the number of real tokens. heads:
    "mean" or "max" joins the H heads. Padding, as query or key, counts for nothing, whatever it holds; NaN elsewhere
    stays NaN.
    """
    n = p.shape[3]
    if mask is not None:
        p = np.where(mask[:, None, :, None] & mask[:, None, None, :], p, 0)
        n = np.maximum(mask.sum(axis=1), 1).astype(p.dtype)[:, None, None]              # (B, 1, 1)
    each = p.max(axis=2) if measure == "colmax" else p.sum(axis=2) / n                  # (B, H, S)
    return each.mean(axis=1) if heads == "mean" else each.max(axis=1)
