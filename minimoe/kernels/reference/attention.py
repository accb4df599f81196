"""The softmax of attention."""
from __future__ import annotations

import numpy as np


def masked_softmax(scores, live):
    """P = softmax of `scores` over the last axis, over live entries only; a row with no live entry is exactly 0.

    `live`: bool, broadcastable to scores, or None. `scores` is overwritten and returned.
    """
    if scores.size == 0:
        return scores
    if live is not None:
        np.copyto(scores, -np.inf, where=~live)
    top = scores.max(axis=-1, keepdims=True)
    if live is not None:
        top[np.isneginf(top)] = 0                   # a dead row: exp(-inf - 0) = 0 everywhere
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    if live is not None:
        total[total == 0] = 1
    scores /= total
    return scores
