"""From token importance to experts per token: `allocate_experts` checks its arguments and calls one schedule."""
from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from minimoe.backend import array_module, on_host
from minimoe.moe import schedules
from minimoe.moe.budget import budget_counts, check_totals
from minimoe.moe.checks import check_choice, check_floats, real_and_competing

SCHEDULES = ("ceil", "affine", "threshold", "mass", "quantile", "budget", "pairs", "top_p")
WHERE = "allocate_experts"


def allocate_experts(importance: np.ndarray | None, mask: np.ndarray | None = None, n_experts: int = 8,
                     allocation: str = "ceil", k_min: int = 1, k_max: int | None = None,
                     mean_experts: float | None = None, *, thresholds: Sequence[float] | np.ndarray | None = None,
                     rho: float = 0.5, levels: Sequence[int] | None = None,
                     probabilities: np.ndarray | None = None, gamma: float = 1.0, p: float = 0.4,
                     group: str = "sample", exclude_special: np.ndarray | None = None) -> np.ndarray:
    """How many experts each token gets, int32 (B,S); 0 at padding.

    importance (B,S) float; mask (B,S) bool, True = real token. k_max=None means n_experts; 0 <= k_min <= k_max <= E.
    allocation                                                                                  mean K is
    ceil       clip(ceil(E (I - 1e-6)), k_min, k_max); DA-MoE                                   free
    affine     k_min + floor((k_max - k_min) I + 1/2)                                           free
    threshold  k_min + number of `thresholds` that I reaches (see `RunningThresholds`)          kept in expectation
    mass       k_max for the shortest run of best tokens holding `rho` of sum I, else k_min     free
    quantile   fixed shares of `levels` (default k_min .. k_max) with mean `mean_experts`       close to it
    budget     exactly T = floor(mean_experts n + 1/2) in all, in proportion to I               exact
    pairs      the T best (token, expert) pairs by I^gamma p, after k_min for every token       exact
    top_p      fewest experts whose `probabilities` reach `p`                                   free

    pairs and top_p need probabilities (B,S,E); importance may be None for top_p and for pairs with gamma=0.
    mass, quantile, budget and pairs share within a group: each "sample", or the whole "batch". Equal importance: the
    lower position first. exclude_special (B,S) bool: these tokens get k_min and stay out of the competition; the mean
    and T count them, as far as the other tokens can make up for it. Options of other schedules are not read.

    Raises ValueError for unknown names, limits out of order, a missing option, a mean or total that cannot be reached
    (naming n and T), NaN or infinite importance (naming how many); TypeError for dtypes.
    """
    check_choice(WHERE, "allocation", allocation, SCHEDULES)
    check_choice(WHERE, "group", group, ("sample", "batch"))
    k_max = n_experts if k_max is None else k_max
    check_limits(n_experts, k_min, k_max)
    probabilities = _check_probabilities(probabilities, n_experts) if allocation in ("pairs", "top_p") else None
    if importance is None and (allocation == "top_p" or allocation == "pairs" and gamma == 0):
        importance = probabilities[:, :, 0]                                            # only its shape is read
    importance = check_floats(WHERE, "importance", importance, "BS")
    shape = importance.shape
    real, live = real_and_competing(WHERE, importance, shape, mask, exclude_special)
    xp = array_module(importance)
    importance = _finite("importance", xp.where(real, importance, 0))                  # padding may hold anything
    if probabilities is not None:
        if probabilities.shape[:2] != shape:
            raise ValueError(f"{WHERE}: probabilities {probabilities.shape} must begin with importance's shape {shape}")
        probabilities = _finite("probabilities", xp.where(real[:, :, None], probabilities, 0))

    if group == "batch":                                                               # one long sample
        importance, live, real = (a.reshape(1, a.size) for a in (importance, live, real))
        probabilities = None if probabilities is None else probabilities.reshape(1, importance.size, n_experts)

    if allocation == "ceil":
        k = schedules.ceil_counts(importance, n_experts, k_min, k_max)
    elif allocation == "affine":
        k = schedules.affine_counts(importance, k_min, k_max)
    elif allocation == "threshold":
        k = schedules.threshold_counts(importance, _check_thresholds(thresholds, xp), k_min, k_max)
    elif allocation == "mass":
        k = schedules.mass_counts(importance, live, _check_share("rho", rho), k_min, k_max)
    elif allocation == "top_p":
        k = schedules.top_p_counts(probabilities, _check_share("p", p), k_min, k_max)
    else:
        n, n_live = real.sum(axis=1), live.sum(axis=1)
        wanted = _check_mean(mean_experts, allocation) * n                             # (G,) mean times tokens
        apart = k_min * (n - n_live)                                                   # goes to the excluded tokens
        if allocation == "quantile":
            levels = _check_levels(levels, k_min, k_max, mean_experts)
            k = schedules.quantile_counts(importance, live, (wanted - apart) / xp.maximum(n_live, 1), levels)
        else:
            total = xp.floor(wanted + 0.5).astype(xp.int64)
            check_totals(total, n, k_min, k_max)
            total = xp.minimum(total - apart, n_live * k_max)                          # the others may all be full
            if allocation == "budget":
                k = budget_counts(importance, live, total, k_min, k_max)
            elif gamma < 0:
                raise ValueError(f"{WHERE}: gamma must be 0 or more, got {gamma}")
            else:
                k = schedules.pair_counts(importance, live, probabilities, total, k_min, k_max, gamma)
    k = xp.where(live, k, xp.where(real, k_min, 0))
    return k.reshape(shape).astype(xp.int32)


def check_limits(n_experts: int, k_min: int, k_max: int) -> None:
    """TypeError for limits that are no integers, ValueError unless 0 <= k_min <= k_max <= n_experts."""
    for name, value in (("n_experts", n_experts), ("k_min", k_min), ("k_max", k_max)):
        if not isinstance(value, int | np.integer):
            raise TypeError(f"{WHERE}: {name} must be a whole number, got {value!r}")
    if n_experts < 1 or not 0 <= k_min <= k_max <= n_experts:
        raise ValueError(f"{WHERE}: needs 0 <= k_min <= k_max <= n_experts, got {k_min=}, {k_max=}, {n_experts=}")


def _check_probabilities(probabilities: np.ndarray | None, n_experts: int) -> np.ndarray:
    if probabilities is None:
        raise ValueError(f"{WHERE}: pairs and top_p need probabilities (B,S,E)")
    probabilities = check_floats(WHERE, "probabilities", probabilities, "BSE")
    if probabilities.shape[2] != n_experts:
        raise ValueError(f"{WHERE}: probabilities {probabilities.shape} must end with n_experts={n_experts}")
    return probabilities


def _check_thresholds(thresholds: Sequence[float] | np.ndarray | None, xp) -> np.ndarray:
    try:
        values = xp.asarray([] if thresholds is None else thresholds, dtype=xp.float64)
    except (ValueError, TypeError):                 # words, tables, rows of unequal length
        values = xp.zeros(())
    if thresholds is None or values.ndim != 1 or bool(xp.isnan(values).any()):
        raise ValueError(f"{WHERE}: 'threshold' needs thresholds, a list of numbers, got {thresholds} "
                         "(a RunningThresholds has them after its first update)")
    return values


def _check_share(name: str, value: float) -> float:
    if not (isinstance(value, Real) and 0 <= value <= 1):
        raise ValueError(f"{WHERE}: {name} must lie in 0..1, got {value!r}")
    return value


def _check_mean(mean_experts: float | None, allocation: str) -> float:
    if mean_experts is None or not math.isfinite(mean_experts):
        raise ValueError(f"{WHERE}: {allocation!r} needs mean_experts between k_min and k_max, got {mean_experts}")
    return mean_experts


def _check_levels(levels: Sequence[int] | None, k_min: int, k_max: int, mean: float) -> list[int]:
    levels = list(range(k_min, k_max + 1) if levels is None else levels)
    whole = all(isinstance(level, int | np.integer) for level in levels)
    rising = whole and all(a < b for a, b in zip(levels, levels[1:], strict=False))
    if not levels or not rising or levels[0] < k_min or levels[-1] > k_max:
        raise ValueError(f"{WHERE}: levels must rise and stay within k_min={k_min} .. k_max={k_max}, got {levels}")
    if not levels[0] <= mean <= levels[-1]:
        raise ValueError(f"{WHERE}: mean_experts={mean} is outside the levels {levels[0]} .. {levels[-1]}")
    return levels


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    bad = int((~array_module(values).isfinite(values)).sum()) if on_host(values) else 0     # a device: `route` counts
    if bad:
        raise ValueError(f"{WHERE}: {name} has {bad} values that are NaN or infinite at real tokens; look for the "
                         "cause upstream (learning rate, masked rows)")
    return values
