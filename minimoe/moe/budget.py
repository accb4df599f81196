"""Exact budgets: T assignments shared among the tokens of a group, not one more or less."""
from __future__ import annotations

import numpy as np

from minimoe import kernels
from minimoe.backend import array_module, on_host


def budget_counts(importance: np.ndarray, mask: np.ndarray, total: np.ndarray | int, k_min: int,
                  k_max: int) -> np.ndarray:
    """Experts per token, int32 (B,S), summing to exactly `total` in each sample. Every real token gets k_min; the rest
    r = total - n k_min is shared in proportion to importance, and nobody gets more than k_max:

    x_i = r I_i / sum I over the tokens not yet full; an x_i above k_max - k_min is cut there, r shrinks, and so on;
    then floor, and the remainder goes out one by one by (fraction, importance, lower index).

    importance (B,S), not negative; mask (B,S) bool, True = real token, others get 0; total (B,) or one number. A sample
    without importance left to share shares equally. More importance never gets fewer experts. Fractions count as equal
    when they agree to 1e-9. Raises ValueError where n k_min <= total <= n k_max fails or importance is negative.
    """
    xp = array_module(importance)
    n = mask.sum(axis=1)
    total = xp.broadcast_to(xp.asarray(total, dtype=xp.int64), n.shape)
    check_totals(total, n, k_min, k_max)
    check_not_negative(importance, mask)
    return kernels.of(importance).budget_counts(importance, mask, total, k_min, k_max)


def check_totals(total: np.ndarray, n: np.ndarray, k_min: int, k_max: int) -> None:
    """ValueError naming the first group whose n tokens cannot hold its total with k_min to k_max each. Both (G,)."""
    bad = (total < n * k_min) | (total > n * k_max)
    if on_host(bad) and bad.any():                  # looking on a device would wait; a router's mean is checked before
        g = int(bad.argmax())
        low, high = int(n[g]) * k_min, int(n[g]) * k_max
        raise ValueError(f"budget: group {g} has n={int(n[g])} tokens for T={int(total[g])} assignments, but T must "
                         f"lie in n*k_min={low} .. n*k_max={high}; change mean_experts, k_min or k_max")


def check_not_negative(importance: np.ndarray, live: np.ndarray) -> None:
    """ValueError with the number of negative importances among live tokens: a share cannot be negative."""
    negative = int(((importance < 0) & live).sum()) if on_host(importance) else 0
    if negative:
        raise ValueError(f"budget: importance is negative at {negative} tokens and cannot be shared out; use "
                         "normalise='minmax' or 'rank'")
