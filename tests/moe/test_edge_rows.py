"""The edges of routing, one group of tests a row of the table of edge cases: masks, tokens, experts, ties."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import EVERY, D, E, aux, backward, batch, layer_given, layer_of

from minimoe import Tensor, ops
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.moe import MoELayer, TopKRouter, allocate_experts, route, token_importance

# ---- row: fully masked row or sample

def test_a_query_that_sees_nothing_has_weights_importance_and_gradients_of_zero():
    q, k, v = (Tensor(a, requires_grad=True) for a in np.random.default_rng(0).standard_normal((3, 2, 2, 3, 4)))
    mask = np.array([[False] * 3, [True, True, False]])
    o, p = ops.attention(q, k, v, mask)
    ((o * o).sum() + (p * p).sum()).backward()
    importance = token_importance(p.data, mask)
    assert not p.data[0].any() and not p.data[1, :, 2].any() and not importance[~mask].any()
    assert not allocate_experts(importance, mask)[~mask].any() and importance[mask].all()
    for grad in (q.grad, k.grad, v.grad):
        assert np.isfinite(grad).all() and not grad[0].any() and not grad[1, :, 2].any() and grad[1, :, :2].any()


@EVERY
def test_a_fully_masked_sample_gets_no_expert_no_output_and_no_gradient(name):
    x, importance, mask = batch(lengths=(4, 0))
    y, routing, gx = backward(layer_of(name), x, importance, mask)
    assert not routing.k.reshape(2, 4)[1].any() and not y[1].any() and not gx[1].any()
    assert y[0].any() and gx[0].any() and np.isfinite(gx).all()


@EVERY
def test_a_batch_of_padding_alone_has_losses_of_zero_and_gradients_of_zero(name):
    x, importance, mask = batch(lengths=(3, 3))
    layer = layer_of(name, entropy_weight=0.1)
    y, routing, gx = backward(layer, x, 0 * importance, ~mask)
    assert aux(routing) == [0, 0, 0] and not y.any() and not gx.any()
    assert not any(p.grad.any() for p in layer.parameters() if p.requires_grad)


# ---- row: one valid token

@pytest.mark.parametrize("measure, normalise, expected", [
    ("rowmax", "none", 1), ("colmax", "none", 1), ("colsum", "none", 1), ("focus", "none", 1), ("rowmax", "rank", 1),
    ("rowmax", "minmax", .5)])
def test_the_only_token_of_a_sample_has_this_importance(measure, normalise, expected):
    attention = np.zeros((1, 2, 3, 3), np.float32)
    attention[0, :, 0, 0] = 1
    mask = np.array([[True, False, False]])
    assert token_importance(attention, mask, measure, normalise=normalise).tolist() == [[expected, 0, 0]]


def test_the_only_token_of_a_sample_gets_every_expert_under_the_default():
    model = SequenceClassifier(EncoderConfig(vocab_size=9, d_model=8, n_heads=2, d_ff=4, n_experts=5)).eval()
    output = model(np.array([[3, 0, 0], [4, 5, 6]]))
    for attention, routing in zip(output.attentions, output.routings, strict=True):
        assert (attention.data[0, :, 0] == [1, 0, 0]).all() and routing.k[:3].tolist() == [5, 0, 0]


# ---- row: expert with 0 tokens

@EVERY
def test_an_expert_without_tokens_gets_zeros_written_and_its_probability_still_trains(name):
    """Every token scores the last expert lowest, so where nobody takes more than three it stays empty."""
    takes_all = ("expert_choice", "topp", "da top_p", "da pairs", "da budget")
    ban = [False, False, False, True] if name in takes_all else None
    layer = layer_of(name, ban=ban, **({"k_max": 3} if name.startswith("da") else {}))
    layer.router.weight.data[...] = np.arange(4.0)[::-1, None]
    x, importance, mask = batch()
    _, routing, _ = backward(layer, np.abs(x) + 0.1, importance, mask)
    assert routing.plan.counts[3] == 0 and routing.plan.counts[0] > 0
    for weights in ("w1", "b1", "w2", "b2"):
        grad = getattr(layer.experts, weights).grad
        assert not grad[3].any() and grad[0].any()
    if ban is None:
        assert layer.router.weight.grad[3].any()


def test_the_balance_loss_of_an_empty_expert_counts_f_as_zero_and_moves_its_logit():
    z = Tensor(np.array([[2., 1., 0.], [3., 1., 0.]]), requires_grad=True)
    routing = route(z, np.ones(2, int), balance_weight=1.0, z_weight=0.0)
    np.testing.assert_allclose(routing.balance_loss.item(), 3 * routing.probabilities.data[:, 0].mean(), rtol=1e-12)
    routing.balance_loss.backward()
    assert z.grad[:, 2].all()


# ---- row: all tokens on one expert

@pytest.mark.parametrize("k_min", [1, 2])
def test_all_tokens_on_one_expert_work_dropless_and_the_loss_is_alpha_e_times_its_probability(k_min):
    layer = layer_given([1] * 6, balance_weight=0.5)
    layer.router.weight.data[...] = [[9] * D] + [[0] * D] * 3
    y, routing, _ = backward(layer, np.abs(batch((6,))[0][0]) + 0.1)
    assert routing.plan.counts.tolist() == [6, 0, 0, 0] and y.any(axis=1).all()
    expected = 0.5 * 4 * routing.probabilities.data[:, 0].mean()
    np.testing.assert_allclose(routing.balance_loss.item(), expected, rtol=1e-7)


@pytest.mark.parametrize("priority, survivors", [("position", [0, 1]), ("prob", [2, 4]), ("importance", [3, 5])])
def test_with_a_capacity_the_best_by_priority_survive_on_one_expert(priority, survivors):
    logits = np.zeros((6, 3))
    logits[:, 1] = [1, 2, 9, 3, 8, 2]
    routing = route(Tensor(logits), np.ones(6, int), capacity=1.0, priority=priority,
                    importance=np.array([.1, .2, .3, .9, .4, .8]))
    assert np.flatnonzero(routing.plan.inv >= 0).tolist() == survivors
    assert routing.plan.counts.tolist() == [0, 2, 0] and routing.stats["dropped"] == 4


@pytest.mark.parametrize("priority", ["prob", "importance"])
def test_equal_priority_survives_in_order_of_position(priority):
    routing = route(Tensor(np.zeros((5, 2))), np.ones(5, int), capacity=0.8, priority=priority, importance=np.ones(5))
    assert np.flatnonzero(routing.plan.inv >= 0).tolist() == [0, 1]


def test_all_first_choices_come_before_all_second_ones_whatever_the_priority():
    """Token 0 has expert 0 second and would win by importance; token 1 has it first."""
    routing = route(Tensor(np.array([[1., 2., 0.], [2., 0., 1.]])), np.array([2, 1]), capacity=1.0, capacity_min=1,
                    priority="importance", importance=np.array([.9, .1]))
    assert routing.plan.expert.tolist() == [1, 0, 0] and routing.plan.inv.tolist() == [1, -1, 0]


# ---- row: more experts than there are, or than are not banned

def test_more_experts_than_there_are_is_clipped_and_counted_for_real_tokens_only():
    routing = route(Tensor(np.zeros((4, 2))), np.array([1, 2, 5, 9]), mask=[True, True, True, False])
    assert routing.k.tolist() == [1, 2, 2, 0] and routing.stats["clipped"] == 1


@EVERY
def test_no_router_sends_a_token_to_a_banned_expert(name):
    layer = layer_of(name, ban=[False, True, False, True])
    layer.router.weight.data[[1, 3]] = 9.0
    x, importance, mask = batch(lengths=(5, 3))
    y, routing, gx = backward(layer, np.abs(x), importance, mask)
    assert routing.plan.counts[[1, 3]].tolist() == [0, 0] and 0 < routing.k.max() <= 2
    assert not routing.probabilities.data[:, [1, 3]].any() and np.isfinite(gx).all()
    assert not layer.router.weight.grad[[1, 3]].any() and not layer.experts.w1.grad[[1, 3]].any()
    np.testing.assert_allclose(routing.probabilities.data.sum(axis=1), 1)


def test_asking_for_more_than_the_unbanned_experts_is_clipped_and_counted():
    layer = layer_given([3, 2, 4, 1], ban=[False, True, False, True])
    assert layer(Tensor(batch((4,))[0][0]))[1].k.tolist() == [2, 2, 2, 1]
    assert layer(Tensor(batch((4,))[0][0]))[1].stats["clipped"] == 2


@pytest.mark.parametrize("k", [0, 5, 2.5])
def test_a_fixed_k_that_is_no_number_of_experts_is_refused_by_the_constructor(k):
    with pytest.raises(ValueError, match=rf"TopKRouter: k is {k}; it must be an integer in 1\.\.4"):
        TopKRouter(3, 4, k, rng=0)


# ---- row: K = 0

@pytest.mark.parametrize("gates", ["raw", "renorm", "equal"])
def test_a_token_with_no_expert_has_output_zero_and_no_gradient_from_the_task(gates):
    layer = layer_given([0, 2, 0, 1], gates=gates, balance_weight=0.0, z_weight=0.0)
    y, routing, gx = backward(layer, batch((4,))[0][0])
    assert not y[[0, 2]].any() and not gx[[0, 2]].any() and y[1].any() and y[3].any()
    assert routing.stats["k_hist"] == [2, 1, 1, 0, 0]


def test_with_no_expert_for_anyone_the_router_learns_from_the_losses_alone():
    layer = layer_given([0] * 4)
    y, routing, gx = backward(layer, batch((4,))[0][0])
    assert not y.any() and routing.balance_loss.item() == 0 and layer.router.weight.grad.any()
    assert not layer.experts.w1.grad.any()
    quiet = layer_given([0] * 4, z_weight=0.0)
    backward(quiet, batch((4,))[0][0])
    assert not quiet.router.weight.grad.any()


@pytest.mark.parametrize("options", [
    dict(k_min=0), dict(k_min=0, allocation="threshold", thresholds=[.5]),
    dict(k_min=0, allocation="budget", mean_experts=.5), dict(k_min=0, allocation="mass", rho=.1),
    dict(k_min=0, allocation="quantile", mean_experts=.6), dict(k_min=0, allocation="pairs", mean_experts=.5),
    dict(k_min=0, allocation="affine", normalise="minmax")], ids=lambda o: o.get("allocation", "ceil"))
def test_k_min_0_lets_the_least_important_token_go_without_experts(options):
    layer = MoELayer(D, 5, E, "da", rng=0, router_options=options)
    x, _, _ = batch((4,), dtype="float32")
    y, routing = layer(Tensor(x), np.array([[0.0, .2, .6, .9]], np.float32))
    assert routing.k[0] == 0 and routing.k[3] > 0 and not y.data[0, 0].any() and y.data[0, 3].any()


# ---- row: ties in p or I

@EVERY
def test_equal_logits_go_to_the_lower_expert_and_equal_claims_to_the_lower_token(name):
    layer = layer_of(name)
    layer.router.weight.data[...] = 0
    x, _, mask = batch(lengths=(6, 6))
    _, routing = layer(Tensor(x), np.full(mask.shape, 0.4), mask)
    plan = routing.plan
    if name == "expert_choice":                                  # 6 * 2 / 4: each expert takes the first three
        assert routing.k.tolist() == [4, 4, 4, 0, 0, 0] * 2
    for i in range(12):
        mine = plan.expert[plan.row_ptr[i]:plan.row_ptr[i + 1]]
        assert mine.tolist() == list(range(len(mine)))
    assert (np.diff(routing.k.reshape(2, 6), axis=1) <= 0).all()
