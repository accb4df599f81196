"""Experts per token: every schedule against slow loops, exact totals, ties, the worked example by hand, refusals."""
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from minimoe.moe.allocation import SCHEDULES, allocate_experts
from minimoe.moe.budget import budget_counts
from minimoe.moe.importance import token_importance
from minimoe.moe.schedules import ceil_counts
from minimoe.moe.thresholds import RunningThresholds


ONE = np.full((2, 3), 0.5)


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


# ---- worked example

P = np.zeros((1, 2, 4, 4))
P[0, 0, :3, :3] = [[.6, .3, .1], [.2, .2, .6], [.1, .1, .8]]
P[0, 1, :3, :3] = [[.4, .4, .2], [.1, .3, .6], [.25, .25, .5]]
MASK = np.array([[True, True, True, False]])
PROBABILITIES = np.array([[[.1, .4, .4, .1], [.7, .1, .1, .1], [.2, .3, .1, .4], [.25, .25, .25, .25]]])


@pytest.mark.parametrize("measure, normalise, options, expected", [
    ("rowmax", "none", {"allocation": "ceil"}, (2, 3, 3, 0)),
    ("colmax", "none", {"allocation": "ceil"}, (2, 2, 3, 0)),
    ("rowmax", "minmax", {"allocation": "affine"}, (1, 3, 4, 0)),
    ("rowmax", "none", {"allocation": "budget", "mean_experts": 2}, (2, 2, 2, 0)),
    ("rowmax", "none", {"allocation": "budget", "mean_experts": 7 / 3}, (2, 2, 3, 0)),
    ("rowmax", "none", {"allocation": "top_p", "p": 0.5, "probabilities": PROBABILITIES}, (2, 1, 2, 0))])
def test_worked_example(measure, normalise, options, expected):
    importance = token_importance(P, MASK, measure, normalise=normalise)
    np.testing.assert_array_equal(allocate_experts(importance, MASK, 4, **options), [expected])


# ---- ceil

def test_uniform_attention_gives_ceil_of_experts_over_tokens_in_float32():
    for n in range(1, 513):
        importance = np.full((1, 1), np.float32(1) / np.float32(n))
        assert [int(ceil_counts(importance, e, 1, e)[0, 0]) for e in range(1, 129)] == [-(-e // n) for e in range(1, 129)]


@pytest.mark.parametrize("n_heads", [1, 3, 7, 12])
def test_uniform_attention_survives_softmax_and_head_mean_in_float32(n_heads):
    for n in (3, 7, 8, 49, 64):
        row = np.exp(np.zeros(n, np.float32))
        attention = np.broadcast_to(row / row.sum(), (1, n_heads, n, n))
        assert (allocate_experts(token_importance(attention), n_experts=8) == -(-8 // n)).all()


def test_one_token_sample_gets_every_expert_and_a_masked_sample_none():
    attention, mask = np.zeros((2, 2, 2, 2)), np.array([[True, False], [False, False]])
    attention[0, :, 0, 0] = 1
    np.testing.assert_array_equal(allocate_experts(token_importance(attention, mask), mask), [[8, 0], [0, 0]])


def test_k_max_defaults_to_n_experts_and_k_min_zero_allows_no_expert():
    importance = np.array([[0.0, 5.0, 0.3]])
    np.testing.assert_array_equal(allocate_experts(importance, n_experts=3), [[1, 3, 1]])
    np.testing.assert_array_equal(allocate_experts(importance, n_experts=3, k_min=0, k_max=2), [[0, 2, 1]])


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
    ([1, 0, 0], 3, [4, 3, 2]),                                   # the first is full, the rest share what is left equally
    ([1, 0, 0], 1, [1, 1, 1]), ([1, 0, 0], 4, [4, 4, 4]), ([.2, .2, .2], 7 / 3, [3, 2, 2]),
    ([.1, .9, .1], 2.5, [2, 4, 2])])
def test_budget_by_hand(importance, mean, expected):
    got = allocate_experts(np.array([importance], float), None, 4, "budget", mean_experts=mean)
    np.testing.assert_array_equal(got, [expected])


def test_budget_takes_one_total_per_sample():
    k = budget_counts(np.ones((2, 3)), np.array([[True] * 3, [True, True, False]]), np.array([4, 6]), 1, 3)
    np.testing.assert_array_equal(k, [[2, 1, 1], [3, 3, 0]])


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


@pytest.mark.parametrize("mean", [1, 4])
def test_quantile_mean_at_an_end_level_puts_everybody_there(mean):
    importance = np.random.default_rng(0).random((2, 200))
    assert (allocate_experts(importance, None, 4, "quantile", mean_experts=mean) == mean).all()


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
    got = allocate_experts(None, None, 4, "pairs", 0, k_max, total / 3, probabilities=PROBABILITIES[:, :3], gamma=0)
    np.testing.assert_array_equal(got, [expected])


def test_top_p_needs_no_importance_and_float32_noise_buys_no_expert():
    for n in (3, 6, 7, 12, 49):
        even = np.full((1, 1, n), np.float32(1) / np.float32(n))
        for k in range(1, n):
            assert allocate_experts(None, None, n, "top_p", probabilities=even, p=k / n)[0, 0] == k


# ---- ties, excluded tokens, types, edges

@pytest.mark.parametrize("options, expected", [
    ({"allocation": "budget", "mean_experts": 1.5}, [2] * 20 + [1] * 20),
    ({"allocation": "mass", "rho": 0.25, "k_max": 2}, [2] * 10 + [1] * 30),
    ({"allocation": "quantile", "levels": [1, 2], "mean_experts": 1.25}, [2] * 10 + [1] * 30),
    ({"allocation": "pairs", "mean_experts": 1.5, "k_max": 2}, [2] * 20 + [1] * 20)])
def test_equal_importance_goes_to_the_lower_position(options, expected):
    """Case G23 (pytorch/pytorch#88227): an unstable sort shuffles equal values."""
    got = allocate_experts(np.full((1, 40), 0.5), n_experts=4, probabilities=np.full((1, 40, 4), .25), **options)
    np.testing.assert_array_equal(got, [expected])


@pytest.mark.parametrize("allocation", SCHEDULES)
def test_excluded_tokens_get_k_min_and_the_mean_counts_them(allocation):
    importance, mask, probabilities = batch(11)
    special = np.zeros_like(mask)
    special[:, 1:4] = True
    options = {"n_experts": 6, "allocation": allocation, "mean_experts": 2, "thresholds": [.1], "p": .9,
               "probabilities": probabilities, "exclude_special": special}
    got = allocate_experts(importance, mask, **options)
    assert (got[mask & special] == 1).all() and (got[~mask] == 0).all()
    np.testing.assert_array_equal(got, allocate_experts(np.where(special, 99, importance), mask, **options))
    if allocation in ("budget", "pairs"):
        np.testing.assert_array_equal(got[:3].sum(axis=1), 2 * mask[:3].sum(axis=1))
    if allocation == "quantile":
        n, free = mask[:3].sum(axis=1), (mask & ~special)[:3].sum(axis=1)
        assert (abs(got[:3].sum(axis=1) - 2 * n) <= 6 * 5 / 4 + 1e-9).all() and (free > 0).all()


@pytest.mark.parametrize("allocation", ["budget", "pairs", "quantile"])
def test_a_sample_of_nothing_but_excluded_tokens_or_too_few_others_still_gets_an_answer(allocation):
    special = np.array([[True, True, True], [True, True, False]])
    got = allocate_experts(ONE, None, 2, allocation, mean_experts=2, probabilities=np.ones((2, 3, 2)), exclude_special=special)
    np.testing.assert_array_equal(got, [[1, 1, 1], [1, 1, 2]])


@pytest.mark.parametrize("allocation", SCHEDULES)
def test_answer_is_int32_and_what_stands_at_padding_does_not_matter(allocation):
    importance, mask, probabilities = batch(5, np.float32)
    options = {"n_experts": 6, "allocation": allocation, "mean_experts": 2.5, "thresholds": [.3]}
    got = allocate_experts(importance, mask, probabilities=probabilities, **options)
    assert got.dtype == np.int32 and (got[~mask] == 0).all() and (got[mask] > 0).all()
    importance[~mask], probabilities[~mask] = np.nan, np.inf
    np.testing.assert_array_equal(got, allocate_experts(importance, mask, probabilities=probabilities, **options))


@pytest.mark.parametrize("allocation", SCHEDULES)
def test_more_padding_and_other_samples_change_nothing(allocation):
    """Case G19 (huggingface/transformers#28505): padding is not load."""
    importance, mask, probabilities = batch(6)
    options = {"n_experts": 6, "allocation": allocation, "mean_experts": 2.5, "thresholds": [.3]}
    together = allocate_experts(np.pad(importance, ((0, 0), (0, 4))), np.pad(mask, ((0, 0), (0, 4))),
                                probabilities=np.pad(probabilities, ((0, 0), (0, 4), (0, 0))), **options)
    alone = [allocate_experts(importance[b:b + 1], mask[b:b + 1], probabilities=probabilities[b:b + 1], **options)[0]
             for b in range(5)]
    np.testing.assert_array_equal(together[:, :9], alone)


@pytest.mark.parametrize("allocation", SCHEDULES)
@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_no_tokens_give_an_empty_answer(allocation, shape):
    for group in ("sample", "batch"):
        k = allocate_experts(np.zeros(shape, np.float32), None, 4, allocation, mean_experts=2, thresholds=[.5],
                             group=group, probabilities=np.zeros((*shape, 4), np.float32))
        assert k.shape == shape and k.dtype == np.int32


@pytest.mark.parametrize("allocation", SCHEDULES)
def test_one_expert_means_one_expert_each(allocation):
    importance, mask, _ = batch(8)
    k = allocate_experts(importance, mask, 1, allocation, mean_experts=1, thresholds=[.5],
                         probabilities=np.ones((5, 9, 1)))
    np.testing.assert_array_equal(k, mask)


def test_threshold_compares_in_the_type_of_importance():
    assert allocate_experts(np.array([[0.7]], np.float32), None, 8, "threshold", thresholds=[0.7])[0, 0] == 2


# ---- running thresholds

def test_running_thresholds_start_at_the_first_batch_and_then_move_by_one_percent():
    running = RunningThresholds([0.5, 1.0])
    mask = np.array([[True, True, True, False]])
    running.update(np.array([[1.0, 2.0, 3.0, 99.0]]), mask)
    np.testing.assert_allclose(running.values, [2, 3])
    running.update(np.array([[4.0, 4.0, 4.0, -99.0]]), mask)
    np.testing.assert_allclose(running.values, [0.99 * 2 + 0.04, 0.99 * 3 + 0.04])
    running.update(np.ones((1, 4)), np.zeros((1, 4), bool))
    np.testing.assert_allclose(running.values, [2.02, 3.01])


def test_running_thresholds_hold_the_expected_mean():
    r, running = np.random.default_rng(0), RunningThresholds([0.5, 0.75])
    for _ in range(400):                                          # 0.99^400 = 0.02: the first batch is forgotten
        running.update(r.random((8, 64)))
    k = allocate_experts(r.random((100, 100)), None, 8, "threshold", thresholds=running.values)
    assert abs(k.mean() - 1.75) < 0.03


def test_running_thresholds_refuse_bad_shares_nan_and_use_before_the_first_update():
    for shares, decay in (([1.5], 0.9), ([0.5], 2.0), (0.5, 0.9)):
        with pytest.raises(ValueError, match="RunningThresholds: shares and decay must lie in 0..1"):
            RunningThresholds(shares, decay)
    running = RunningThresholds([0.5])
    with pytest.raises(ValueError, match="NaN or infinite at 1 tokens"):
        running.update(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="after its first update"):
        allocate_experts(np.ones((1, 2)), allocation="threshold", thresholds=running.values)


# ---- refusals

@pytest.mark.parametrize("arguments, error, match", [
    ({"allocation": "floor"}, ValueError, "allocation='floor' is unknown; choose one of ceil, affine, threshold"),
    ({"group": "token"}, ValueError, "group='token' is unknown; choose one of sample, batch"),
    ({"k_min": -1}, ValueError, "needs 0 <= k_min <= k_max <= n_experts, got k_min=-1, k_max=8, n_experts=8"),
    ({"k_min": 3, "k_max": 2}, ValueError, "k_min=3, k_max=2"),
    ({"k_max": 9}, ValueError, "k_max=9, n_experts=8"),
    ({"n_experts": 0, "k_min": 0}, ValueError, "n_experts=0"),
    ({"k_min": 1.5}, TypeError, "k_min must be a whole number, got 1.5"),
    ({"allocation": "budget"}, ValueError, "'budget' needs mean_experts between k_min and k_max, got None"),
    ({"allocation": "quantile"}, ValueError, "'quantile' needs mean_experts"),
    ({"allocation": "budget", "mean_experts": math.nan}, ValueError, "needs mean_experts"),
    ({"allocation": "threshold"}, ValueError, "needs thresholds, a list of numbers, got None"),
    ({"allocation": "mass", "rho": 1.5}, ValueError, "rho must lie in 0..1, got 1.5"),
    ({"allocation": "top_p", "p": 2, "probabilities": np.ones((2, 3, 8))}, ValueError, "p must lie in 0..1, got 2"),
    ({"allocation": "top_p"}, ValueError, "need probabilities"),
    ({"allocation": "pairs", "mean_experts": 2}, ValueError, "need probabilities"),
    ({"allocation": "pairs", "mean_experts": 2, "gamma": -1, "probabilities": np.ones((2, 3, 8))}, ValueError,
     "gamma must be 0 or more, got -1"),
    ({"allocation": "top_p", "probabilities": np.ones((2, 3, 4))}, ValueError, "must end with n_experts=8"),
    ({"allocation": "top_p", "probabilities": np.ones((2, 4, 8))}, ValueError, r"begin with importance's shape \(2, 3\)"),
    ({"allocation": "top_p", "probabilities": np.full((2, 3, 8), np.nan)}, ValueError, "probabilities has 48 values"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [2, 1]}, ValueError, r"levels must rise .* got \[2, 1\]"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [0, 4]}, ValueError, "levels must rise"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [1, 9]}, ValueError, "levels must rise"),
    ({"allocation": "quantile", "mean_experts": 1.5, "levels": [2, 4]}, ValueError, "=1.5 is outside the levels 2 .. 4"),
    ({"importance": np.array([[np.nan, 1, np.inf]])}, ValueError, "importance has 2 values that are NaN or infinite"),
    ({"importance": np.ones(3)}, ValueError, r"importance must be \(B,S\), got shape \(3,\)"),
    ({"importance": np.ones((2, 3), int)}, TypeError, "importance must be a float array"),
    ({"importance": None}, TypeError, r"importance must be a float array \(B,S\), got NoneType"),
    ({"mask": np.ones((2, 3), int)}, TypeError, r"mask must be a boolean array, got int64 array; use .astype\(bool\)"),
    ({"mask": np.ones((3, 2), bool)}, ValueError, r"mask must have shape \(2, 3\), got \(3, 2\)")])
def test_refusals_name_the_argument(arguments, error, match):
    with pytest.raises(error, match="allocate_experts: .*" + match):
        allocate_experts(**{"importance": ONE, **arguments})


@pytest.mark.parametrize("allocation", ["budget", "pairs"])
@pytest.mark.parametrize("mean, total", [(9, 27), (0.5, 2)])
def test_a_total_that_cannot_be_reached_names_n_and_t(allocation, mean, total):
    with pytest.raises(ValueError, match=rf"group 0 has n=3 tokens for T={total} .* n\*k_min=3 .. n\*k_max=24"):
        allocate_experts(ONE, allocation=allocation, mean_experts=mean, probabilities=np.ones((2, 3, 8)))


@pytest.mark.parametrize("allocation", ["budget", "mass", "pairs"])
def test_negative_importance_cannot_be_shared(allocation):
    with pytest.raises(ValueError, match="importance is negative at 6 tokens"):
        allocate_experts(-ONE, allocation=allocation, mean_experts=2, probabilities=np.ones((2, 3, 8)))
