"""Token importance: every measure against slow loops, the worked example by hand, the edges."""
from __future__ import annotations

import math

import numpy as np
import pytest

from minimoe.moe.importance import MEASURES, rollout, router_entropy, token_importance
from minimoe.moe.normalise import live_range

ATTENTION_MEASURES = ("rowmax", "colmax", "colsum", "colsum_l1", "cls", "focus", "diffuse")
ALL_FORMS = (*MEASURES, "shuffled(rowmax)", "reversed(colsum)", "shuffled(reversed(focus))")


def random_attention(seed=0, lengths=(5, 1, 3, 0), length=5, n_heads=3, dtype=np.float64):
    """Softmax rows over the real keys of each sample, exact zeros elsewhere, and the mask: (B,H,S,S), (B,S)."""
    r = np.random.default_rng(seed)
    mask = np.arange(length) < np.array(lengths)[:, None]
    weights = np.exp(2 * r.standard_normal((len(lengths), n_heads, length, length)))
    weights = weights * (mask[:, None, :, None] & mask[:, None, None, :])
    return (weights / np.maximum(weights.sum(axis=3, keepdims=True), 1e-300)).astype(dtype), mask


def by_loops(attention, mask, measure, heads, x):
    """The measures, one number at a time."""
    out = np.zeros(mask.shape)
    for b in range(len(mask)):
        real = [j for j in range(mask.shape[1]) if mask[b, j]]
        n = len(real)
        for i in real:
            values = []
            for p in attention[b]:
                h = -sum(float(p[i, k]) * math.log(p[i, k]) for k in real if p[i, k] > 0)
                focus = 1.0 if n == 1 else 1 - h / math.log(n)
                values.append({"rowmax": max(p[i, k] for k in real), "colmax": max(p[q, i] for q in real),
                               "colsum": sum(p[q, i] for q in real) / n, "cls": p[0, i], "focus": focus,
                               "colsum_l1": sum(p[q, i] for q in real) / n, "diffuse": focus}[measure])
            value = sum(values) / len(values) if heads == "mean" else max(values)
            if measure == "colsum_l1":
                value *= sum(abs(v) for v in x[b, i])
            out[b, i] = 1 - value if measure == "diffuse" else value
    return out


@pytest.mark.parametrize("heads", ["mean", "max"])
@pytest.mark.parametrize("measure", ATTENTION_MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_each_measure_equals_slow_loops(measure, heads, seed):
    p, mask = random_attention(seed)
    x = np.random.default_rng(seed).standard_normal((*mask.shape, 4))
    got = token_importance(p, mask, measure, heads, x=x)
    np.testing.assert_allclose(got, by_loops(p, mask, measure, heads, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measure", ATTENTION_MEASURES)
def test_no_mask_means_all_tokens_are_real(measure):
    p, mask = random_attention(lengths=(4, 4), length=4)
    x = np.ones((2, 4, 3))
    np.testing.assert_array_equal(token_importance(p, None, measure, x=x), token_importance(p, mask, measure, x=x))


P0 = [[.6, .3, .1], [.2, .2, .6], [.1, .1, .8]]
P1 = [[.4, .4, .2], [.1, .3, .6], [.25, .25, .5]]
EXAMPLE = np.zeros((1, 2, 4, 4))
EXAMPLE[0, 0, :3, :3], EXAMPLE[0, 1, :3, :3] = P0, P1
EXAMPLE_MASK = np.array([[True, True, True, False]])


@pytest.mark.parametrize("measure, expected", [
    ("rowmax", (.5, .6, .65)), ("colmax", (.5, .35, .7)), ("colsum", (.275, .258333, .466667)),
    ("focus", (.111212, .158841, .235967))])
def test_worked_example(measure, expected):
    np.testing.assert_allclose(token_importance(EXAMPLE, EXAMPLE_MASK, measure)[0], (*expected, 0), atol=5e-7)


def test_worked_example_rollout_of_one_layer():
    np.testing.assert_allclose(rollout([EXAMPLE], EXAMPLE_MASK)[0], (.304167, .295833, .4, 0), atol=5e-7)


def test_weights_from_and_to_padding_count_for_nothing():
    p, mask = random_attention()
    x = np.ones((*mask.shape, 2))
    live = mask[:, None, :, None] & mask[:, None, None, :]
    for measure in ATTENTION_MEASURES:
        expected = token_importance(p, mask, measure, x=x)
        np.testing.assert_array_equal(token_importance(np.where(live, p, 1e6), mask, measure, x=x), expected)


@pytest.mark.parametrize("measure", ALL_FORMS)
@pytest.mark.parametrize("normalise", ["none", "mean1", "minmax", "rank"])
def test_padding_gets_zero_and_a_fully_masked_sample_may_hold_nan(measure, normalise):
    """Case G12 (pytorch/pytorch#103963): a softmax over no key is often 0/0, which must not get out."""
    p, mask = random_attention()
    p[3] = np.nan
    got = token_importance(p, mask, measure, normalise=normalise, x=np.ones((*mask.shape, 2)), rng=0)
    assert np.isfinite(got).all() and (got[~mask] == 0).all()
    assert (rollout([p, p], mask)[~mask] == 0).all()


@pytest.mark.parametrize("measure, normalise, expected", [
    ("rowmax", "none", 1), ("colmax", "none", 1), ("colsum", "none", 1), ("cls", "none", 1), ("focus", "none", 1),
    ("diffuse", "none", 0), ("rowmax", "rank", 1), ("rowmax", "minmax", 0.5), ("rowmax", "mean1", 1)])
def test_one_real_token(measure, normalise, expected):
    p, mask = random_attention()
    assert token_importance(p, mask, measure, normalise=normalise)[1, 0] == expected


@pytest.mark.parametrize("heads", ["mean", "max"])
def test_rowmax_lies_between_one_over_n_and_one(heads):
    p, mask = random_attention(seed=5)
    n = mask.sum(axis=1, keepdims=True) * np.ones_like(mask)
    got = token_importance(p, mask, "rowmax", heads)[mask]
    assert (got >= 1 / n[mask] - 1e-15).all() and (got <= 1).all()


def test_column_sums_add_up_to_the_number_of_live_queries():
    p, mask = random_attention(seed=2)
    n = mask.sum(axis=1)
    np.testing.assert_allclose((token_importance(p, mask, "colsum") * n[:, None]).sum(axis=1), n, rtol=1e-12)


@pytest.mark.parametrize("weights, expected", [([1, 0, 0, 0], 1), ([.25, .25, .25, .25], 0), ([.5, .5, 0, 0], .5)])
def test_focus_of_a_sharp_a_flat_and_a_half_flat_row(weights, expected):
    p = np.broadcast_to(np.array(weights, dtype=np.float32), (1, 1, 4, 4))
    got = token_importance(p, measure="focus")
    assert (got >= 0).all() and (got <= 1).all()
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_focus_and_router_entropy_of_flat_rows_stay_between_0_and_1_in_float32():
    for n in range(2, 65):
        flat = np.full((1, 1, n, n), np.float32(1) / np.float32(n))
        focus, hesitation = token_importance(flat, measure="focus"), router_entropy(flat[0])
        assert (0 <= focus).all() and (focus < 1e-6).all() and (1 - 1e-6 < hesitation).all() and (hesitation <= 1).all()


def test_focus_of_a_weight_that_rounding_put_above_1_is_1():
    above = np.nextafter(np.float32(1), np.float32(2))
    p = np.array([[[[above, 0], [0, above]]]])
    np.testing.assert_array_equal(token_importance(p, measure="focus"), [[1, 1]])
    np.testing.assert_array_equal(token_importance(p, measure="diffuse"), [[0, 0]])


@pytest.mark.parametrize("given, returned", [(np.float16, np.float32), (np.float32, np.float32),
                                              (np.float64, np.float64)])
@pytest.mark.parametrize("measure", ALL_FORMS)
@pytest.mark.parametrize("normalise", ["none", "mean1", "minmax", "rank"])
def test_dtype_is_at_least_float32_and_stays(given, returned, measure, normalise):
    """Case G08 (HIPS/autograd#671): no hidden float64."""
    p, mask = random_attention(dtype=given)
    x = np.ones((*mask.shape, 2), dtype=given)
    assert token_importance(p, mask, measure, normalise=normalise, x=x, rng=0).dtype == returned
    assert rollout([p, p], mask).dtype == returned
    assert router_entropy(p[:, 0], mask).dtype == returned


def test_strided_attention_gives_what_a_copy_gives():
    """Case G35 (cupy/cupy#7267): views are read through their strides."""
    p, mask = random_attention(lengths=(5, 5, 3, 3), seed=4)
    view, view_mask = p.transpose(0, 1, 3, 2)[::2, ::-1], mask[::2]
    copied = token_importance(np.ascontiguousarray(view), view_mask.copy(), "colmax")
    np.testing.assert_array_equal(token_importance(view, view_mask, "colmax"), copied)


@pytest.mark.parametrize("shape", [(0, 2, 3, 3), (2, 2, 0, 0)])
def test_no_tokens_give_an_empty_answer(shape):
    got = token_importance(np.zeros(shape, dtype=np.float32), measure="colmax", normalise="rank")
    assert got.shape == (shape[0], shape[2]) and got.dtype == np.float32


def test_inputs_are_left_alone():
    p, mask = random_attention()
    before, mask_before = p.copy(), mask.copy()
    for measure in ALL_FORMS:
        token_importance(p, mask, measure, normalise="rank", x=np.ones((*mask.shape, 2)), rng=0)
    rollout([p], mask)
    assert (p == before).all() and (mask == mask_before).all()


def test_uniform_is_one_at_real_tokens():
    p, mask = random_attention()
    np.testing.assert_array_equal(token_importance(p, mask, "uniform"), mask)


def test_random_is_seeded_and_ignores_attention():
    p, mask = random_attention(lengths=(5, 5, 5), length=5)
    got = token_importance(p, mask, "random", rng=3)
    np.testing.assert_array_equal(got, np.random.default_rng(3).random(mask.shape))
    np.testing.assert_array_equal(got, token_importance(p[:, :, ::-1], mask, "random", rng=np.random.default_rng(3)))
    assert (got != token_importance(p, mask, "random", rng=4)).all()


def test_shuffled_keeps_each_samples_values_and_draws_anew_from_a_generator():
    p, mask = random_attention(lengths=(30, 17, 1, 0), length=30)
    rng = np.random.default_rng(0)
    plain, first, second = (token_importance(p, mask, m, rng=rng) for m in ("cls", "shuffled(cls)", "shuffled(cls)"))
    np.testing.assert_array_equal(np.sort(first, axis=1), np.sort(plain, axis=1))
    assert (first[0] != plain[0]).mean() > 0.5 and (first[0] != second[0]).mean() > 0.5
    np.testing.assert_array_equal(first, token_importance(p, mask, "shuffled(cls)", rng=0))


def test_reversed_is_max_plus_min_minus_importance():
    np.testing.assert_allclose(token_importance(EXAMPLE, EXAMPLE_MASK, "reversed(rowmax)")[0], (.65, .55, .5, 0))
    twice = token_importance(EXAMPLE, EXAMPLE_MASK, "reversed(reversed(colmax))")
    np.testing.assert_allclose(twice, token_importance(EXAMPLE, EXAMPLE_MASK, "colmax"))


def test_excluded_tokens_get_zero_and_leave_the_competition():
    p, mask = random_attention(lengths=(6, 4), length=6, seed=1)
    special = np.zeros_like(mask)
    special[:, 0] = True
    plain = token_importance(p, mask)
    for measure in ("rowmax", "colsum", "focus"):                  # the others still see them in the attention
        np.testing.assert_array_equal(token_importance(p, mask, measure, exclude_special=special),
                                      np.where(special, 0, token_importance(p, mask, measure)))
    rank = token_importance(p, mask, normalise="rank", exclude_special=special)
    np.testing.assert_allclose(np.sort(rank[0]), (0, 0, .25, .5, .75, 1))
    np.testing.assert_allclose(np.sort(rank[1]), (0, 0, 0, 0, .5, 1))
    shuffled = token_importance(p, mask, "shuffled(rowmax)", exclude_special=special, rng=0)
    assert (shuffled[:, 0] == 0).all() and sorted(shuffled[0, 1:]) == sorted(plain[0, 1:])


# ---- rollout and router entropy

@pytest.mark.parametrize("heads", ["mean", "each"])
def test_rollout_equals_products_of_matrices(heads):
    layers = [random_attention(seed)[0] for seed in range(3)]
    mask = random_attention()[1]
    expected = np.zeros(mask.shape)
    for b in range(len(mask)):
        chains = [[p[b, h] for p in layers] for h in range(3)]
        if heads == "mean":
            chains = [[p[b].mean(axis=0) for p in layers]]
        for chain in chains:
            r = np.eye(mask.shape[1])
            for p in chain:
                r = 0.5 * (np.eye(mask.shape[1]) + p) @ r
            expected[b] += sum(r[q] for q in np.flatnonzero(mask[b])) / max(mask[b].sum(), 1) / len(chains)
    got = rollout(layers, mask, heads)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(got.sum(axis=1), (1, 1, 1, 0))


def test_rollout_refuses_no_layer_unequal_layers_and_max():
    p, mask = random_attention()
    for layers in ([], [p, p[:, :2]], [p[:, :, :3]]):
        with pytest.raises(ValueError, match="rollout: needs at least one"):
            rollout(layers, mask)
    with pytest.raises(ValueError, match="rollout: heads='max' is unknown; choose one of mean, each"):
        rollout([p], mask, "max")


def test_router_entropy_of_certain_even_and_single_choices():
    p = np.array([[[1, 0, 0, 0], [.25, .25, .25, .25], [.5, .5, 0, 0], [.25, .25, .25, .25]]])
    mask = np.array([[True, True, True, False]])
    np.testing.assert_allclose(router_entropy(p, mask), [[0, 1, .5, 0]], atol=1e-15)
    np.testing.assert_array_equal(router_entropy(np.ones((2, 3, 1))), np.zeros((2, 3)))


# ---- refusals

@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
def test_a_mask_that_is_not_boolean_is_refused(dtype):
    """Case G13 (ZikangZhou/HiVT#44): `~` on an integer mask is always true."""
    p, mask = random_attention()
    with pytest.raises(TypeError, match=rf"mask must be a boolean array, got {np.dtype(dtype)} array; use .astype"):
        token_importance(p, mask.astype(dtype))


@pytest.mark.parametrize("arguments, error, match", [
    ({"measure": "entropy"}, ValueError, "measure='entropy' is unknown; choose one of rowmax, colmax"),
    ({"measure": "shuffled(x)", "rng": 0}, ValueError, "measure='x' is unknown"),
    ({"heads": "min"}, ValueError, "heads='min' is unknown; choose one of mean, max"),
    ({"normalise": "softmax"}, ValueError, "normalise='softmax' is unknown; choose one of none, mean1, minmax, rank"),
    ({"measure": "random"}, ValueError, "measure='random' needs rng"),
    ({"measure": "shuffled(cls)"}, ValueError, "needs rng"),
    ({"measure": "colsum_l1"}, ValueError, "needs x"),
    ({"measure": "colsum_l1", "x": np.ones((4, 4, 2))}, ValueError, r"x must be \(4, 5, d\) .* got \(4, 4, 2\)"),
    ({"mask": np.ones((4, 4), bool)}, ValueError, r"mask must have shape \(4, 5\), got \(4, 4\)"),
    ({"exclude_special": np.ones((4, 5))}, TypeError, "exclude_special must be a boolean array"),
    ({"attention": np.ones((4, 5, 5))}, ValueError, r"attention must be \(B,H,S,S\), got shape \(4, 5, 5\)"),
    ({"attention": np.ones((4, 1, 5, 6))}, ValueError, r"attention must be \(B,H,S,S\)"),
    ({"attention": np.ones((4, 0, 5, 5))}, ValueError, "H at least 1"),
    ({"attention": np.ones((4, 1, 5, 5), int)}, TypeError, "attention must be a float array"),
    ({"attention": [[1.0]]}, TypeError, r"attention must be a float array \(B,H,S,S\), got list"),
])
def test_refusals_name_the_argument(arguments, error, match):
    p, mask = random_attention()
    with pytest.raises(error, match="token_importance: .*" + match):
        token_importance(**{"attention": p, "mask": mask, **arguments})


def test_cls_refuses_a_sample_that_starts_with_padding():
    p, mask = random_attention(lengths=(5, 3))
    with pytest.raises(ValueError, match="starts with padding"):
        token_importance(p[:, :, ::-1, ::-1], mask[:, ::-1], "cls")


def test_nan_weights_give_nan_importance_and_no_normaliser_hides_them():
    p, mask = random_attention()
    p[0, 1, 2, 3] = np.nan
    for measure in ("rowmax", "focus"):
        np.testing.assert_array_equal(np.argwhere(np.isnan(token_importance(p, mask, measure))), [[0, 2]])
    for normalise in ("mean1", "minmax", "rank"):
        with pytest.raises(ValueError, match="NaN or infinite at 1 tokens"):
            token_importance(p, mask, normalise=normalise)


def test_the_range_of_a_sample_without_live_tokens_is_0_to_0():
    low, high = live_range(np.array([[3.0, 4.0], [3.0, 4.0]]), np.array([[False, False], [True, True]]))
    assert low.tolist() == [[0], [3]] and high.tolist() == [[0], [4]]
