"""The exact budget in NumPy: T assignments shared among the tokens of a sample, not one more or less."""
from __future__ import annotations

import numpy as np


def budget_counts(importance, mask, total, k_min: int, k_max: int):
    """Experts per token, int32 (B, S), summing to total[b] in each sample; the rule is at `moe.budget.budget_counts`.

    importance (B, S), of which only finite numbers above 0 count; mask (B, S) bool; total int64 (B,), within n k_min ..
    n k_max. Every number that decides is rounded the same way on every backend, so the counts are the same integers.
    """
    length, cap = importance.shape[1], k_max - k_min
    n = mask.sum(axis=1)
    weight = np.where((importance > 0) & (importance < np.inf), importance, 0).astype(np.float64)
    order = np.argsort(np.where(mask, -weight, np.inf), axis=1, kind="stable")         # best first, padding last
    place = np.arange(length)                                                  # 0 = best
    real = place < n[:, None]
    weight = np.where(real, np.take_along_axis(weight, order, axis=1), 0)
    share = (total - n * k_min)[:, None]                                       # (B, 1) r, before anyone is cut

    # Those who are cut are the best few. A place is cut if it would pass the cap with all places before it full; once
    # one place is not, no later one is, so counting is enough. Multiplied out, because the sum may be 0.
    tail = _sum_from_here(weight)
    n_full = ((share - cap * place) * weight > cap * tail[:, :-1]).sum(axis=1, keepdims=True)
    free = real & (place >= n_full)

    whole = np.take_along_axis(tail, n_full, axis=1)                           # what the free ones weigh
    weight = np.where(whole > 0, weight, 1)                                    # no importance left: equal weights
    whole = np.where(whole > 0, whole, np.maximum(n[:, None] - n_full, 1))
    exact = np.where(free, (share - cap * n_full) * weight / whole, np.where(real, cap, 0))

    # The rest is the sum of the fractions, so it runs out before the tokens that have none: the full ones and padding.
    extra = np.floor(exact)
    rest = share - extra.sum(axis=1, keepdims=True)
    queue = np.argsort(-np.rint((exact - extra) * 1e9), axis=1, kind="stable")         # ties stay in order of place
    extra[np.arange(len(extra))[:, None], queue] += place < rest
    counts = np.empty(importance.shape, np.int32)
    np.put_along_axis(counts, order, np.where(real, k_min + extra, 0).astype(np.int32), axis=1)
    return counts


def _sum_from_here(values):
    """The sum from each place on, and 0 after the last: (B, S) -> (B, S+1), by doubling steps, which is the order of
    additions that a block of threads takes."""
    total = np.zeros((values.shape[0], values.shape[1] + 1))
    total[:, :-1] = values
    step = 1
    while step < values.shape[1]:
        total[:, :-step] = total[:, :-step] + total[:, step:]
        step *= 2
    return total
