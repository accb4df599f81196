"""Rules from importance to a number of experts per token, other than the exact budget. All work on groups: importance
(G,n) float, live (G,n) bool; what they answer where live is False means nothing. Each returns int (G,n)."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minimoe.backend import array_module
from minimoe.moe.budget import check_not_negative
from minimoe.moe.ranking import best_first, unsort

FP32_NOISE = 1e-6      # comes off before a ceiling or a crossing, so that float32 noise never buys an expert


def ceil_counts(importance: np.ndarray, n_experts: int, k_min: int, k_max: int) -> np.ndarray:
    """clip(ceil(E (I - 1e-6)), k_min, k_max): DA-MoE's rule [reported]. The 1e-6 keeps 8 * 0.125 from turning into 2.
    Uniform attention over n tokens gives ceil(E / n)."""
    xp = array_module(importance)
    return xp.ceil(n_experts * (importance - FP32_NOISE)).clip(k_min, k_max)


def affine_counts(importance: np.ndarray, k_min: int, k_max: int) -> np.ndarray:
    """k_min + floor((k_max - k_min) I + 1/2), with I clipped to 0..1."""
    return k_min + array_module(importance).floor((k_max - k_min) * importance.clip(0, 1) + 0.5)


def threshold_counts(importance: np.ndarray, thresholds: np.ndarray, k_min: int, k_max: int) -> np.ndarray:
    """k_min + the number of thresholds (m,) that importance reaches, at most k_max."""
    reached = importance[:, :, None] >= thresholds.astype(importance.dtype)      # (G, n, m)
    return (k_min + reached.sum(axis=2)).clip(k_min, k_max)


def mass_counts(importance: np.ndarray, live: np.ndarray, rho: float, k_low: int, k_high: int) -> np.ndarray:
    """k_high for the shortest run of best tokens that holds at least the share rho of all importance, k_low for the
    rest. Shares count as equal when they agree to 1e-9; where all importance is 0 nobody gets k_high."""
    check_not_negative(importance, live)
    xp = array_module(importance)
    order = best_first(importance, live)
    weight = xp.where(live, importance, 0).astype(xp.float64)
    weight = xp.take_along_axis(weight, order, axis=1)
    before = weight.cumsum(axis=1) - weight                                      # held by the better tokens
    wanted = rho * weight.sum(axis=1, keepdims=True) * (1 - 1e-9)
    return unsort(order, xp.where(before < wanted, k_high, k_low))


def quantile_counts(importance: np.ndarray, live: np.ndarray, mean: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Fixed shares of tokens for the levels k_1 < ... < k_m, the best tokens the highest, so that the group's mean is
    near mean (G,): off by at most m (k_m - k_1) / (4 n). Shares are proportional to exp(lambda k_j); bucket sizes are
    rounded by largest remainder, ties to the lower level."""
    xp = array_module(importance)
    order = best_first(importance, live)
    n = live.sum(axis=1, keepdims=True)                                          # (G, 1)
    steps = xp.asarray(levels)
    exact = n * level_shares(mean, levels)                                       # (G, m)
    size = xp.floor(exact)
    queue = xp.argsort(-(exact - size).round(9), axis=1, kind="stable")
    place = xp.arange(len(levels))[None, :]
    size = size + unsort(queue, place < n - size.sum(axis=1, keepdims=True))
    at_least = size[:, ::-1].cumsum(axis=1)[:, ::-1]                             # tokens at this level or above
    rank = xp.arange(order.shape[1])[None, :, None]                              # 0 = best
    climbs = rank < at_least[:, None, 1:]                                        # (G, n, m-1): is it above level j?
    return unsort(order, levels[0] + (climbs * (steps[1:] - steps[:-1])).sum(axis=2))


def level_shares(mean: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Shares (G,m), proportional to exp(lambda k_j), whose mean level is mean (G,); lambda by bisection. Of all shares
    with that mean these have the largest entropy. A mean at an end level, or beyond it, puts everybody there."""
    xp = array_module(mean)
    height = xp.asarray(levels, dtype=xp.float64)
    height = (height - height[0]) / max(levels[-1] - levels[0], 1)               # 0 .. 1
    wanted = (mean - levels[0]) / max(levels[-1] - levels[0], 1)
    low, high = xp.full(mean.shape, -1e5), xp.full(mean.shape, 1e5)              # enough for levels 1/1000 apart

    def shares(slope):
        z = slope[:, None] * height
        e = xp.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    for _ in range(70):                                                          # 2e5 / 2^70: to the last bit
        middle = (low + high) / 2
        too_low = shares(middle) @ height < wanted
        low, high = xp.where(too_low, middle, low), xp.where(too_low, high, middle)
    return shares(high)


def pair_counts(importance: np.ndarray, live: np.ndarray, probabilities: np.ndarray, total: np.ndarray, k_min: int,
                k_max: int, gamma: float) -> np.ndarray:
    """Each token takes its k_min best experts; then the best (token, expert) pairs by I_i^gamma p_ie, at most k_max for
    a token, until the group holds exactly total (G,). Ties to the lower token. gamma = 0 ignores importance: top-K over
    the whole sequence (arXiv 2511.06494). probabilities (G,n,E)."""
    if gamma != 0:
        check_not_negative(importance, live)
    xp = array_module(importance)
    spare = total - k_min * live.sum(axis=1)                                     # (G,) left after k_min each
    offered = -xp.sort(-probabilities, axis=2)[:, :, k_min:k_max]                # best first
    score = offered * xp.where(live, importance, 0)[:, :, None] ** gamma
    groups, length, width = score.shape
    key = xp.where(live[:, :, None], -score, xp.inf).reshape(groups, length * width)
    queue = xp.argsort(key, axis=1, kind="stable")
    taken = xp.arange(length * width)[None, :] < spare[:, None]
    return k_min + unsort(queue, taken).reshape(groups, length, width).sum(axis=2)


def top_p_counts(probabilities: np.ndarray, p: float, k_min: int, k_max: int) -> np.ndarray:
    """The fewest experts whose probabilities, best first, add up to p; the one that crosses p counts. Clipped to k_min
    .. k_max. No importance. A sum within 1e-6 of p has reached it. probabilities (G,n,E)."""
    xp = array_module(probabilities)
    held = (-xp.sort(-probabilities, axis=2)).astype(xp.float64).cumsum(axis=2)
    return (1 + (held < p - FP32_NOISE).sum(axis=2)).clip(k_min, k_max)
