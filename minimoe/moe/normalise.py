"""Rescaling importance within each sample, over the tokens that compete (mean1, minmax, rank)."""
from __future__ import annotations

import numpy as np

from minimoe.backend import array_module, on_host
from minimoe.moe.checks import check_choice
from minimoe.moe.ranking import unsort

NORMALISERS = ("none", "mean1", "minmax", "rank")


def normalise_importance(importance: np.ndarray, live: np.ndarray, normalise: str) -> np.ndarray:
    """Importance (B,S) rescaled over the live tokens of each sample; 0 elsewhere. live: bool (B,S), True = takes part.

    none    as it is
    mean1   I / mean(I); a sample whose importance is all 0 becomes all 1, so that the mean is 1 there too
    minmax  (I - min) / (max - min); a flat sample becomes 0.5
    rank    (rank - 1) / (n - 1), the smallest importance first, equal ones in order of position; a single token gets 1

    All but `none` look at the whole sample. Raises ValueError for an unknown name and, except under `none`, for NaN or
    infinite importance: one such value would spread to its whole sample, or vanish in a sort.
    """
    check_choice("normalise_importance", "normalise", normalise, NORMALISERS)
    xp = array_module(importance)
    importance = xp.where(live, importance, 0)
    if normalise == "none" or importance.size == 0:
        return importance
    bad = int((~xp.isfinite(importance)).sum()) if on_host(importance) else 0    # on a device `route` counts them
    if bad:
        raise ValueError(f"normalise_importance: importance is NaN or infinite at {bad} tokens; look upstream")

    if normalise == "mean1":
        n = xp.maximum(live.sum(axis=1, keepdims=True), 1).astype(importance.dtype)
        mean = importance.sum(axis=1, keepdims=True) / n                                        # (B, 1)
        scaled = xp.where(mean == 0, 1, importance / xp.where(mean == 0, 1, mean))
    elif normalise == "minmax":
        low, high = live_range(importance, live)
        flat = high == low
        scaled = xp.where(flat, 0.5, (importance - low) / xp.where(flat, 1, high - low))
    else:
        n = live.sum(axis=1, keepdims=True)
        order = xp.argsort(xp.where(live, importance, xp.inf), axis=1, kind="stable")
        rank = unsort(order, xp.broadcast_to(xp.arange(order.shape[1]), order.shape))           # 0 = least important
        scaled = xp.where(n == 1, 1, rank / xp.maximum(n - 1, 1))
    return xp.where(live, scaled, 0).astype(importance.dtype)


def live_range(importance: np.ndarray, live: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest importance among the live tokens of each sample, (B,1) each; 0 and 0 where none is live."""
    xp = array_module(importance)
    some = live.any(axis=1, keepdims=True)
    low = xp.where(live, importance, xp.inf).min(axis=1, keepdims=True)
    high = xp.where(live, importance, -xp.inf).max(axis=1, keepdims=True)
    return xp.where(some, low, 0), xp.where(some, high, 0)
