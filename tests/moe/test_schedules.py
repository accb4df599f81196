"""Every schedule against the same rule written once more with slow loops, and what each one promises."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from minimoe.moe.allocation import SCHEDULES, allocate_experts
from minimoe.moe.budget import budget_counts


def batch(seed, dtype=np.float64, n_experts=6):
    """Importance with some ties, a mask with an empty and a one-token sample, probabilities."""
    r = np.random.default_rng(seed)
    mask = r.random((5, 9)) < 0.7
    mask[3], mask[4] = False, np.arange(9) == 2
    importance = np.round(r.random((5, 9)) ** 3, r.choice([1, 2, 8]))
    return importance.astype(dtype), mask, r.dirichlet(np.ones(n_experts), (5, 9)).astype(dtype)


# ---- the rules once more, one sample as a list, with loops. i: importance, p: probabilities, o: options

def best_first(i):
    return sorted(range(len(i)), key=lambda t: (-i[t], t))


def ceil_rule(i, p, o):
    return [min(max(math.ceil(o["n_experts"] * (v - 1e-6)), o["k_min"]), o["k_max"]) for v in i]


def affine_rule(i, p, o):
    return [o["k_min"] + math.floor((o["k_max"] - o["k_min"]) * min(max(v, 0), 1) + 0.5) for v in i]


def threshold_rule(i, p, o):
    return [min(o["k_min"] + len([t for t in o["thresholds"] if v >= t]), o["k_max"]) for v in i]


def mass_rule(i, p, o):
    k, held, goal = [o["k_min"]] * len(i), 0, o["rho"] * math.fsum(i)
    for t in best_first(i):
        if held >= goal - 1e-12:
            break
        k[t], held = o["k_max"], held + i[t]
    return k


def quantile_rule(i, p, o):
    levels, mean = o["levels"], o["mean_experts"]

    def shares(slope):
        e = [math.exp(slope * (level - mean)) for level in levels]
        return [v / sum(e) for v in e]

    slope = brentq(lambda s: sum(np.multiply(shares(s), levels)) - mean, -60, 60, xtol=1e-14)
    exact = [len(i) * f for f in shares(slope)]
    sizes = [math.floor(v) for v in exact]
    for j in sorted(range(len(levels)), key=lambda j: (-round(exact[j] - sizes[j], 9), j))[:len(i) - sum(sizes)]:
        sizes[j] += 1
    handed_out = [level for level, size in zip(levels[::-1], sizes[::-1], strict=True) for _ in range(size)]
    k = [0] * len(i)
    for t, level in zip(best_first(i), handed_out, strict=True):
        k[t] = level
    return k


def budget_rule(i, p, o):
    total, cap = math.floor(o["mean_experts"] * len(i) + 0.5), o["k_max"] - o["k_min"]
    left, free, share = total - len(i) * o["k_min"], set(range(len(i))), [0.0] * len(i)
    while free:
        weight = {t: i[t] for t in free}
        if sum(weight.values()) == 0:
            weight = dict.fromkeys(free, 1.0)
        for t in free:
            share[t] = left * weight[t] / sum(weight.values())
        full = {t for t in free if share[t] > cap}
        if not full:
            break
        for t in full:
            share[t], left = cap, left - cap
        free -= full
    extra = [math.floor(v) for v in share]
    queue = sorted(range(len(i)), key=lambda t: (-round(share[t] - extra[t], 9), -i[t], t))
    while sum(extra) < total - len(i) * o["k_min"]:
        t = queue.pop(0)
        extra[t] += extra[t] < cap
    return [o["k_min"] + v for v in extra]


def pairs_rule(i, p, o):
    total, k = math.floor(o["mean_experts"] * len(i) + 0.5), [o["k_min"]] * len(i)
    while sum(k) < total:
        offers = [(i[t] ** o["gamma"] * sorted(p[t])[::-1][k[t]], -t) for t in range(len(i)) if k[t] < o["k_max"]]
        k[-max(offers)[1]] += 1
    return k


def top_p_rule(i, p, o):
    k = []
    for row in p:
        held, n = 0, 0
        for v in sorted(row)[::-1]:
            held, n = held + v, n + 1
            if held >= o["p"]:
                break
        k.append(min(max(n, o["k_min"]), o["k_max"]))
    return k


RULES = {"ceil": ceil_rule, "affine": affine_rule, "threshold": threshold_rule, "mass": mass_rule, "top_p": top_p_rule,
         "quantile": quantile_rule, "budget": budget_rule, "pairs": pairs_rule}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("allocation", SCHEDULES)
def test_each_schedule_equals_slow_loops(allocation, seed):
    importance, mask, probabilities = batch(seed)
    r = np.random.default_rng(100 + seed)
    k_min, k_max = int(r.integers(0, 3)), int(r.integers(3, 7))
    options = {"k_min": k_min, "k_max": k_max, "n_experts": 6, "mean_experts": float(r.uniform(k_min + .1, k_max - .1)),
               "thresholds": [.6, .2, .1], "rho": float(r.choice([0, .3, .5, 1, r.random()])),
               "gamma": float(r.choice([.5, 1, 2])), "p": float(r.random()),
               "levels": list(range(k_min, k_max + 1, 1 if seed % 2 else k_max - k_min))}
    got = allocate_experts(importance, mask, allocation=allocation, probabilities=probabilities, **options)
    expected = np.zeros(mask.shape, int)
    for b in range(len(mask)):
        if mask[b].any():
            expected[b, mask[b]] = RULES[allocation](importance[b, mask[b]], probabilities[b, mask[b]], options)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("allocation", ["mass", "quantile", "budget", "pairs"])
def test_group_batch_treats_the_batch_as_one_sample(allocation):
    importance, mask, probabilities = batch(3)
    options = {"n_experts": 6, "allocation": allocation, "k_min": 1, "k_max": 5, "mean_experts": 2.5}
    got = allocate_experts(importance, mask, probabilities=probabilities, group="batch", **options)
    flat = allocate_experts(importance.reshape(1, -1), mask.reshape(1, -1), **options,
                            probabilities=probabilities.reshape(1, -1, 6))
    np.testing.assert_array_equal(got, flat.reshape(got.shape))
    assert (got != allocate_experts(importance, mask, probabilities=probabilities, **options)).any()


# ---- budget

def budget_case():
    """Importance drawn from few values, so that ties, zeros and huge ratios are common."""
    values = st.one_of(st.sampled_from([0.0, 1e-30, 0.1, 0.2, 0.5, 1.0, 1e6]), st.floats(0, 1, width=32))
    return st.tuples(st.lists(values, min_size=1, max_size=24), st.integers(0, 3), st.integers(0, 5), st.floats(0, 1))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(budget_case())
def test_budget_total_is_exact_limits_hold_and_more_importance_never_gets_fewer(case):
    values, k_min, span, position = case
    importance, n = np.array([values]), len(values)
    total = n * k_min + round(position * n * span)
    k = budget_counts(importance, np.ones((1, n), bool), total, k_min, k_min + span)[0]
    assert k.sum() == total and k.min() >= k_min and k.max() <= k_min + span
    order = best_first(values)                                    # equal importance: the lower position has the more
    assert all(k[a] >= k[b] for a, b in zip(order, order[1:], strict=False))


@pytest.mark.parametrize("importance, mean, expected", [
    ([0, 0, 0, 0, 0], 2.4, [3, 3, 2, 2, 2]),                     # no importance: equal weights, lower index first
    ([1, 0, 0], 3, [4, 3, 2]),                                   # the first is full, the rest equal
    ([1, 0, 0], 1, [1, 1, 1]), ([1, 0, 0], 4, [4, 4, 4]), ([.2, .2, .2], 7 / 3, [3, 2, 2]),
    ([.1, .9, .1], 2.5, [2, 4, 2])])
def test_budget_by_hand(importance, mean, expected):
    got = allocate_experts(np.array([importance], float), None, 4, "budget", mean_experts=mean)
    np.testing.assert_array_equal(got, [expected])


def test_budget_fractions_that_differ_by_noise_only_are_equal():
    """15 I / 3 = (1, 4.5, 2, 4, 3.5): the two halves tie, the more important token wins. Unrounded, noise decides."""
    k = budget_counts(np.array([[.2, .9, .4, .8, .7]]), np.ones((1, 5), bool), 15, 0, 5)
    np.testing.assert_array_equal(k, [[1, 5, 2, 4, 3]])


def test_budget_of_float32_importance_equals_that_of_its_float64_copy():
    importance, real = np.random.default_rng(0).random((4, 800), np.float32), np.ones((4, 800), bool)
    np.testing.assert_array_equal(budget_counts(importance, real, 2000, 1, 8),
                                  budget_counts(importance.astype(float), real, 2000, 1, 8))


def test_budget_takes_one_total_per_sample():
    k = budget_counts(np.ones((2, 3)), np.array([[True] * 3, [True, True, False]]), np.array([4, 6]), 1, 3)
    np.testing.assert_array_equal(k, [[2, 1, 1], [3, 3, 0]])


@pytest.mark.parametrize("total", [1, 7])
def test_budget_refuses_a_total_that_its_tokens_cannot_hold(total):
    with pytest.raises(ValueError, match=rf"budget: group 1 has n=2 tokens for T={total} .* lie in .*=2 .. .*=6"):
        budget_counts(np.ones((2, 3)), np.array([[True] * 3, [True, True, False]]), np.array([4, total]), 1, 3)


# ---- quantile

@pytest.mark.parametrize("seed", range(100))
def test_quantile_mean_is_within_its_bound_and_best_ranks_get_the_highest_levels(seed):
    r = np.random.default_rng(seed)
    n, levels = int(r.integers(1, 40)), sorted(r.choice(12, int(r.integers(2, 6)), replace=False).tolist())
    mean = float(r.choice([levels[0], levels[-1], r.uniform(levels[0], levels[-1])]))
    importance = r.random((3, n))
    k = allocate_experts(importance, None, 12, "quantile", 0, mean_experts=mean, levels=levels)
    assert (abs(k.mean(axis=1) - mean) <= len(levels) * (levels[-1] - levels[0]) / (4 * n) + 1e-9).all()
    assert set(k.ravel()) <= set(levels)
    assert (np.diff(np.take_along_axis(k, np.argsort(importance, axis=1), axis=1)) >= 0).all()


@pytest.mark.parametrize("mean", [1, 128])
def test_quantile_mean_at_an_end_level_puts_everybody_there(mean):
    importance = np.random.default_rng(0).random((2, 200))
    assert (allocate_experts(importance, None, 128, "quantile", mean_experts=mean) == mean).all()


def test_quantile_levels_default_to_every_count_from_k_min_to_k_max():
    k = allocate_experts(np.arange(90.0)[None], None, 8, "quantile", 2, 4, mean_experts=3)
    np.testing.assert_array_equal(k[0], np.repeat([2, 3, 4], 30))


# ---- pairs and top_p

def test_pairs_without_importance_and_k_min_k_is_top_k():
    _, mask, probabilities = batch(1)
    got = allocate_experts(None, mask, 6, "pairs", 2, mean_experts=2, probabilities=probabilities, gamma=0)
    np.testing.assert_array_equal(got, 2 * mask)


@pytest.mark.parametrize("k_max, expected", [(None, (3, 1, 3)), (2, (2, 2, 2))])
def test_pairs_by_hand(k_max, expected):
    """Sorted: (.4 .4 .1 .1) (.7 .1 .1 .1) (.4 .3 .2 .1); the .1 that is wanted last goes to the lower token."""
    total = sum(expected)
    probabilities = np.array([[[.1, .4, .4, .1], [.7, .1, .1, .1], [.2, .3, .1, .4]]])
    got = allocate_experts(None, None, 4, "pairs", 0, k_max, total / 3, probabilities=probabilities, gamma=0)
    np.testing.assert_array_equal(got, [expected])


def test_top_p_needs_no_importance_and_float32_noise_buys_no_expert():
    for n in (3, 6, 7, 12, 49):
        even = np.full((1, 1, n), np.float32(1) / np.float32(n))
        for k in range(1, n):
            assert allocate_experts(None, None, n, "top_p", probabilities=even, p=k / n)[0, 0] == k
