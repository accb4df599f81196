"""Sorting tokens: best first, equal values to the lower index, the tokens that do not take part last."""
from __future__ import annotations

import numpy as np

from minimoe.backend import array_module


def best_first(importance: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Positions of each row sorted by importance descending, ties to the lower index, tokens that are not live last.
    importance (G,n) finite where live; live (G,n) bool -> int (G,n)."""
    xp = array_module(importance)
    return xp.argsort(xp.where(live, -importance, xp.inf), axis=1, kind="stable")


def unsort(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The inverse of `take_along_axis(values, order, axis=1)`: values[g,r] goes to position order[g,r]. Both (G,n)."""
    xp = array_module(order)
    out = xp.empty_like(values)
    out[xp.arange(order.shape[0])[:, None], order] = values       # every position is written exactly once
    return out
