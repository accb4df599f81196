"""Arrays that do not fit a plan, the defaults of `route`, and the figures of a Routing."""
from __future__ import annotations

import numpy as np
import pytest

from minimoe import Tensor, ops
from minimoe.moe import build_plan, route
from minimoe.moe.plan import scan_counts
from minimoe.moe.routing import finish_stats, pool_stats

PLAN = build_plan(scan_counts(np.array([1, 2, 0])), np.array([1, 0, 3], np.int32), 4)      # 3 tokens, 3 assignments
W1, B1, W2, B2 = np.ones((2, 3, 5)), np.ones((2, 5)), np.ones((2, 5, 3)), np.ones((2, 3))
OFFSETS = np.array([0, 1, 4])


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize("call, match", [
    (lambda: ops.dispatch(ones(4, 2), PLAN), r"dispatch: x is \(4, 2\); this plan needs \(3, d\)"),
    (lambda: ops.dispatch(ones(3), PLAN), r"dispatch: x is \(3,\); this plan needs \(3, d\)"),
    (lambda: ops.combine(ones(4, 2), ones(3), PLAN), r"combine: u is \(4, 2\); this plan needs \(3, d\)"),
    (lambda: ops.combine(ones(3), ones(3), PLAN), r"combine: u is \(3,\); this plan needs \(3, d\)"),
    (lambda: ops.combine(ones(3, 2), ones(4), PLAN), r"combine: gates is \(4,\); the plan has 3 assignments"),
    (lambda: ops.select_gates(ones(3, 5), PLAN), r"select_gates: probabilities is \(3, 5\); the plan needs \(3, 4\)"),
    (lambda: ops.select_gates(ones(2, 4), PLAN), r"select_gates: probabilities is \(2, 4\); the plan needs \(3, 4\)"),
    (lambda: ops.select_gates(ones(3, 4), PLAN, "sum"), "select_gates: form 'sum' is not one of raw, renorm, equal"),
    (lambda: ops.grouped_linear(ones(4, 2), W1, B1, OFFSETS), r"x is \(4, 2\) and weight is \(2, 3, 5\)"),
    (lambda: ops.grouped_linear(ones(4), W1, B1, OFFSETS), r"x is \(4,\) and weight is \(2, 3, 5\)"),
    (lambda: ops.grouped_linear(ones(4, 3), W1[0], B1, OFFSETS), r"weight is \(3, 5\); they must be \(A, d\)"),
    (lambda: ops.grouped_linear(ones(4, 3), W1, B2, OFFSETS), r"bias is \(2, 3\); this weight needs \(2, 5\)"),
    (lambda: ops.grouped_linear(ones(4, 3), W1, B1, np.array([0, 4])), r"offsets is \(2,\); 2 experts need \(3,\)"),
    (lambda: ops.grouped_linear(ones(5, 3), W1, B1, OFFSETS), r"\[0, 1, 4\] must rise from 0 to 5, the number of rows"),
    (lambda: ops.grouped_linear(ones(4, 3), W1, B1, np.array([0, 5, 4])), r"\[0, 5, 4\] must rise from 0 to 4"),
    (lambda: ops.grouped_linear(ones(4, 3), W1, B1, np.array([1, 1, 4])), r"\[1, 1, 4\] must rise from 0 to 4"),
    (lambda: ops.expert_ffn(ones(4, 2), W1, B1, W2, B2, OFFSETS), r"expert_ffn: x is \(4, 2\) and weight is"),
    (lambda: ops.expert_ffn(ones(4, 3), W1, B2, W2, B2, OFFSETS), r"expert_ffn: bias is \(2, 3\)"),
    (lambda: ops.expert_ffn(ones(4, 3), W1, B1, W1, B2, OFFSETS), r"w2 is \(2, 3, 5\), b2 is \(2, 3\); they must be"),
    (lambda: ops.expert_ffn(ones(4, 3), W1, B1, W2, B1, OFFSETS), r"w2 is \(2, 5, 3\), b2 is \(2, 5\); they must be"),
    (lambda: ops.expert_ffn(ones(5, 3), W1, B1, W2, B2, OFFSETS), r"must rise from 0 to 5, the number of rows"),
    (lambda: ops.expert_ffn(ones(4, 3), W1, B1, W2, B2, OFFSETS, "swish"), "activation 'swish' is not one of gelu"),
    (lambda: ops.attention(ones(2, 3), ones(2, 4), ones(2, 3)), r"attention: q is \(2, 3\), k is \(2, 4\)"),
    (lambda: ops.attention(ones(2, 3), ones(4, 3), ones(5, 3)), r"v is \(5, 3\); they must be"),
    (lambda: ops.attention(ones(1, 2, 3), ones(2, 2, 3), ones(2, 2, 3)), "with equal leading axes"),
    (lambda: ops.attention(ones(1, 2, 3), ones(2, 3), ones(2, 3)), "with equal leading axes"),
    (lambda: ops.attention(ones(3), ones(3), ones(3)), r"q is \(3,\)"),
    (lambda: ops.attention(ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 4) > 0),
     r"mask is \(2, 4\); a \(B, S\) mask needs q and k of B = 2 and equal lengths, here Sq = 3, Sk = 3"),
    (lambda: ops.attention(ones(2, 1, 3, 2), ones(2, 1, 4, 2), ones(2, 1, 4, 2), ones(2, 4) > 0), "Sq = 3, Sk = 4"),
    (lambda: ops.attention(ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 2, 3, 3) > 0),
     r"mask is \(2, 2, 3, 3\); it must be \(B, S\) or broadcast to \(2, 1, 3, 3\)"),
    (lambda: ops.attention(ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(1, 3, 3) > 0),
     r"mask is \(1, 3, 3\); it must be \(B, S\)"),
    (lambda: build_plan(PLAN.row_ptr, np.array([1, 0, 4], np.int32), 4), "expert runs from 0 to 4; there are 4"),
    (lambda: build_plan(PLAN.row_ptr, np.array([1, -1, 3], np.int32), 4), "expert runs from -1 to 3; there are 4"),
    (lambda: build_plan(np.zeros(0, np.int32), np.zeros(0, np.int32), 4), "row_ptr asks for None assignments"),
    (lambda: route(ones(4), ones(4).astype(int)), r"route: logits is \(4,\); it must be \(N, E\)"),
    (lambda: route(ones(2, 3, 4), ones(6).astype(int)), r"route: logits is \(2, 3, 4\); it must be \(N, E\)"),
    (lambda: route(ones(4, 2), ones(4).astype(int), mask=ones(3) > 0), r"route: mask is \(3,\); 4 tokens need \(4,\)"),
    (lambda: route(ones(4, 2), ones(4).astype(int), mask=ones(1, 2, 2) > 0), r"route: mask is \(1, 2, 2\)"),
    (lambda: route(ones(4, 2), ones(4).astype(int), importance=ones(2)), r"route: importance is \(2,\)"),
    (lambda: route(ones(4, 2), ones(4).astype(int), capacity=1.0, capacity_min=-1), "capacity_min -1 must be at least"),
    (lambda: route(ones(4, 2), ones(4).astype(int), capacity=-0.1), "capacity -0.1 and"),
])
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("dtype", ["int64", "float64", "uint8"])
def test_attention_takes_no_mask_of_numbers(dtype):
    with pytest.raises(TypeError, match=rf"attention: mask is {dtype}; it must be bool with True for real tokens"):
        ops.attention(ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 1, 3, 2), ones(2, 3).astype(dtype))


def test_by_default_routing_is_dropless_with_raw_gates_by_position_and_the_usual_losses():
    random = np.random.default_rng(0)
    z, k = Tensor(random.standard_normal((12, 4))), random.integers(0, 5, 12)
    explicit = route(z, k, "raw", None, None, balance_weight=0.01, z_weight=0.001, entropy_weight=0.0)
    plain = route(z, k)
    np.testing.assert_array_equal(plain.gates.data, explicit.gates.data)
    assert [plain.balance_loss.item(), plain.z_loss.item(), plain.entropy_loss.item()] == [
        explicit.balance_loss.item(), explicit.z_loss.item(), 0]
    assert plain.stats["dropped"] == 0 and plain.k_range == (0, 4)
    capped = route(z, k, "renorm", 0.5)
    same = route(z, k, "renorm", 0.5, priority="position", capacity_min=1, renorm_after_drop=False)
    np.testing.assert_array_equal(capped.gates.data, same.gates.data)
    other = route(z, k, "renorm", 0.5, renorm_after_drop=True)
    assert not np.array_equal(capped.gates.data, other.gates.data)
    assert route(z, np.ones(12, int), capacity=0.0).plan.counts.max() == 1


def test_gates_are_raw_and_renormalised_before_the_drop_by_default():
    p = Tensor(np.random.default_rng(0).dirichlet(np.ones(4), 3))
    dropped = build_plan(PLAN.row_ptr, PLAN.expert, 4, np.array([True, False, True]))
    np.testing.assert_array_equal(ops.select_gates(p, PLAN).data, p.data[[0, 1, 1], [1, 0, 3]])
    before = ops.select_gates(p, dropped, "renorm").data
    np.testing.assert_allclose(before[2], p.data[1, 3] / (p.data[1, 0] + p.data[1, 3]))


def test_the_auxiliary_loss_is_the_sum_of_the_three():
    z = Tensor(np.random.default_rng(0).standard_normal((5, 4)), requires_grad=True)
    routing = route(z, np.full(5, 2), balance_weight=0.3, z_weight=0.2, entropy_weight=0.4)
    parts = routing.balance_loss, routing.z_loss, routing.entropy_loss
    assert min(part.item() for part in parts) > 0
    np.testing.assert_allclose(routing.aux_loss.item(), sum(part.item() for part in parts), rtol=1e-12)


def test_a_routing_is_frozen():
    with pytest.raises(AttributeError):
        route(ones(2, 3), np.ones(2, int)).gates = None


def test_the_figures_of_a_routing_by_hand():
    """Three real tokens with 2, 1 and 0 experts, room for one row per expert; the fourth is padding."""
    z = np.log([[.5, .3, .2], [.6, .3, .1], [.2, .2, .6], [1, 1, 1]])
    stats = route(Tensor(z), np.array([2, 1, 0, 3]), capacity=0.5, mask=np.array([True, True, True, False])).stats
    p = stats.pop("mean_probability")
    np.testing.assert_allclose(p, [1.3 / 3, .8 / 3, .9 / 3], rtol=1e-12)
    np.testing.assert_allclose(stats.pop("balance"), 3 * (2 / 3 * 1.3 / 3 + 1 / 3 * .8 / 3), rtol=1e-12)
    assert stats == {"tokens": 3, "assignments": 3, "kept": 2, "dropped": 1, "k_hist": [1, 1, 1, 0],
                     "expert_load": [2, 1, 0], "clipped": 0, "nonfinite": 0, "mean_k": 1.0}


@pytest.mark.parametrize("lengths", [(1,), (1, 3), (0, 2), (0,), (4, 5, 6)], ids=str)
def test_the_figures_of_several_calls_add_up_to_those_of_one_call(lengths):
    random, parts = np.random.default_rng(0), []
    z, k = random.standard_normal((sum(lengths), 4)), random.integers(0, 6, sum(lengths))
    whole, start = route(Tensor(z), k).stats, 0
    for n in lengths:
        parts.append(route(Tensor(z[start:start + n]), k[start:start + n]).stats)
        start += n
    pooled = pool_stats(parts)
    assert pooled.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(pooled[name], value, rtol=1e-12, atol=1e-15, err_msg=name)


def test_the_losses_and_figures_of_a_single_token_by_hand():
    p = np.array([[.5, .3, .2]])
    routing = route(Tensor(np.log(p) + 1), np.array([1]), balance_weight=0.1, z_weight=0.2, entropy_weight=0.4)
    np.testing.assert_allclose(routing.balance_loss.item(), 0.1 * 3 * .5, rtol=1e-6)
    np.testing.assert_allclose(routing.z_loss.item(), 0.2, rtol=1e-6)                   # logsumexp is 1
    np.testing.assert_allclose(routing.entropy_loss.item(), -0.4 * (p * np.log(p)).sum(), rtol=1e-6)
    masked = route(Tensor(np.log(np.repeat(p, 2, axis=0)) + 1), np.array([1, 1]), mask=np.array([True, False]),
                   balance_weight=0.1, z_weight=0.2, entropy_weight=0.4)
    np.testing.assert_allclose(masked.aux_loss.item(), routing.aux_loss.item(), rtol=1e-12)
    assert routing.stats["mean_k"] == 1 and masked.stats["mean_k"] == 1
    np.testing.assert_allclose(pool_stats([routing.stats])["mean_probability"], p[0])
    np.testing.assert_allclose(routing.stats["balance"], 1.5)


@pytest.mark.parametrize("name", ["k_hist", "expert_load", "mean_probability"])
def test_figures_of_different_experts_are_not_added_up(name):
    stats = route(Tensor(np.eye(3)), np.array([1, 1, 2])).stats
    with pytest.raises(ValueError, match="shorter"):
        pool_stats([stats, stats | {name: stats[name][1:]}])


def test_loads_and_probabilities_of_different_experts_have_no_balance():
    stats = route(Tensor(np.eye(3)), np.array([1, 1, 2])).stats
    with pytest.raises(ValueError, match="shorter"):
        finish_stats(stats | {"mean_probability": stats["mean_probability"][1:]})


def test_a_skipped_tokens_importance_reads_0():
    importance = np.array([0.5, np.nan, 0.25])
    routing = route(Tensor(np.zeros((3, 2))), np.ones(3, int), importance=importance, on_nonfinite="skip")
    assert routing.importance.tolist() == [0.5, 0, 0.25]


def test_a_bad_token_names_the_way_to_skip_it():
    with pytest.raises(FloatingPointError, match="1 of 2 tokens .* clip gradients, or use on_nonfinite='skip'$"):
        route(Tensor(np.array([[0, np.inf], [0, 0]])), np.ones(2, int))
