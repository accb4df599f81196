"""Experts per token as a whole: the worked example, the default rule, ties, excluded tokens, edges, refusals."""
from __future__ import annotations

import math

import numpy as np
import pytest

from minimoe.moe.allocation import SCHEDULES, allocate_experts
from minimoe.moe.importance import token_importance
from minimoe.moe.schedules import ceil_counts

ONE = np.full((2, 3), 0.5)


def batch(seed, dtype=np.float64, n_experts=6):
    """Importance with some ties, a mask with an empty and a one-token sample, probabilities."""
    r = np.random.default_rng(seed)
    mask = r.random((5, 9)) < 0.7
    mask[3], mask[4] = False, np.arange(9) == 2
    importance = np.round(r.random((5, 9)) ** 3, r.choice([1, 2, 8]))
    return importance.astype(dtype), mask, r.dirichlet(np.ones(n_experts), (5, 9)).astype(dtype)


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
        assert all(ceil_counts(importance, e, 1, e)[0, 0] == -(-e // n) for e in range(1, 129)), n


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


def test_affine_clips_importance_to_0_and_1_and_rounds_halves_up():
    importance = np.array([[-1.0, 0.0, 0.5, 1.0, 3.0]])
    np.testing.assert_array_equal(allocate_experts(importance, None, 8, "affine", 1, 4), [[1, 1, 3, 4, 4]])


# ---- ties, excluded tokens, types, edges

@pytest.mark.parametrize("options", [
    {"allocation": "budget", "mean_experts": 1.1875}, {"allocation": "mass", "rho": 0.28125},
    {"allocation": "quantile", "mean_experts": 1.1875}, {"allocation": "pairs", "mean_experts": 1.1875}])
def test_equal_importance_goes_to_the_lower_position(options):
    """Case G23 (pytorch/pytorch#88227): an unstable sort shuffles equal values. 160 tokens, 30 more experts to give."""
    got = allocate_experts(np.tile([1.0, 3.0], 80)[None], n_experts=4, k_max=2, probabilities=np.full((1, 160, 4), .25),
                           **options)
    expected = np.ones((1, 160))
    expected[0, 1:60:2] = 2
    np.testing.assert_array_equal(got, expected)


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


def test_quantile_takes_the_excluded_tokens_experts_off_the_mean():
    special = np.tile([True, False], 50)[None]
    got = allocate_experts(np.arange(100.0)[None], None, 4, "quantile", mean_experts=1.5, levels=[1, 3],
                           exclude_special=special)                 # the other 50 share 150 - 50: a mean of 2
    np.testing.assert_array_equal(got[0, ::2], 1)
    np.testing.assert_array_equal(got[0, 1::2], np.repeat([1, 3], 25))


@pytest.mark.parametrize("allocation", ["budget", "pairs", "quantile"])
def test_a_sample_of_nothing_but_excluded_tokens_or_too_few_others_still_gets_an_answer(allocation):
    special = np.array([[True, True, True], [True, True, False]])
    got = allocate_experts(ONE, None, 2, allocation, mean_experts=2, probabilities=np.ones((2, 3, 2)),
                           exclude_special=special)
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
    ({"allocation": "top_p", "probabilities": np.ones((2, 4, 8))}, ValueError, r"begin with importance's shape"),
    ({"allocation": "top_p", "probabilities": np.full((2, 3, 8), np.nan)}, ValueError, "probabilities has 48 values"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [2, 1]}, ValueError, r"levels must rise .* got \[2, 1\]"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [0, 4]}, ValueError, "levels must rise"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [1, 2, 2]}, ValueError, "levels must rise"),
    ({"allocation": "quantile", "mean_experts": 2, "levels": [1, 9]}, ValueError, "levels must rise"),
    ({"allocation": "quantile", "mean_experts": 1.5, "levels": [2, 4]}, ValueError, "1.5 is outside the levels 2 .. 4"),
    ({"importance": np.array([[np.nan, 1, np.inf]])}, ValueError, "importance has 2 values that are NaN or infinite"),
    ({"importance": np.ones(3)}, ValueError, r"importance must be \(B,S\), got shape \(3,\)"),
    ({"importance": np.ones((2, 3), int)}, TypeError, "importance must be a float array"),
    ({"importance": None}, TypeError, r"importance must be a float array \(B,S\), got NoneType"),
    ({"importance": None, "allocation": "pairs", "mean_experts": 2, "probabilities": np.ones((2, 3, 8))}, TypeError,
     r"importance must be a float array \(B,S\), got NoneType"),
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


def test_top_p_has_reached_a_sum_that_is_a_millionth_away():
    p = 0.5 + 1e-6
    assert p - 1e-6 == 0.5
    assert allocate_experts(None, None, 2, "top_p", probabilities=np.array([[[0.5, 0.5]]]), p=p).tolist() == [[1]]
