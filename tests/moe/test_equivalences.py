"""Routers that must agree: one is a special case of the other, so their answers are compared, bit for bit where the
same numbers are computed in the same order."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import ROUTERS, E, batch, layer_of
from moe_oracle import gelu

from minimoe import Tensor, ops
from minimoe.models import Encoder, EncoderConfig
from minimoe.moe import MoELayer, token_importance

X, IMPORTANCE, MASK = batch(lengths=(6, 3, 0, 1), d=16, dtype="float32")


def layer(router, importance=IMPORTANCE, train=True, n_experts=E, dtype="float32", **options):
    """(the layer, its answers: y, all gradients, losses, plan) after one pass forward and back."""
    made = MoELayer(16, 8, n_experts, router, rng=8, router_options=options).to(dtype=dtype).train(train)
    made.router.weight.data *= 10                                # tokens disagree
    x = Tensor(X.astype(dtype), requires_grad=True)
    y, routing = made(x, importance, MASK)
    ((y * y).sum() + routing.aux_loss).backward()
    gradients = [p.grad for p in made.parameters() if p.requires_grad]
    return made, [y.data, x.grad, *gradients, routing.balance_loss.data, routing.z_loss.data, routing.gates.data,
                  routing.k, routing.plan.expert, routing.plan.perm, routing.plan.inv]


def same_bits(one, other) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def agree(one: dict, other: dict) -> bool:
    return same_bits(layer(**one)[1], layer(**other)[1])


FLAT = np.where(MASK, np.float32(0.25), 0)
NO_LOSS = dict(balance_weight=0.0, z_weight=0.0)

# One expert per token.
SWITCH = {
    "topk(1)": dict(router="topk", k=1),
    "da, k_max 1": dict(router="da", k_max=1),
    "da, mass of nothing": dict(router="da", allocation="mass", rho=0.0),
    "da, thresholds out of reach": dict(router="da", allocation="threshold", thresholds=[2.0]),
    "da, a budget of one": dict(router="da", allocation="budget", mean_experts=1),
    "da, pairs that are spent on k_min": dict(router="da", allocation="pairs", mean_experts=1),
    "da, importance below 1/E": dict(router="da", importance=FLAT),
    "topp of next to nothing": dict(router="topp", p=1e-9, entropy_weight=0.0),
}


@pytest.mark.parametrize("other", SWITCH.values(), ids=SWITCH.keys())
def test_switch_bit_for_bit(other):
    assert agree(dict(router="switch"), other)


@pytest.mark.parametrize("noise", [dict(jitter=0.2), dict(gauss=1.0)], ids=["jitter", "gauss"])
def test_switch_bit_for_bit_under_noise_from_the_same_seed(noise):
    assert agree(dict(router="switch") | noise, dict(router="topk", k=1) | noise)
    assert agree(dict(router="switch") | noise, dict(router="da", k_max=1) | noise)
    assert not agree(dict(router="switch"), dict(router="switch") | noise)


@pytest.mark.parametrize("priority", ["position", "prob"])
def test_switch_bit_for_bit_at_equal_capacity(priority):
    capped = dict(capacity=0.7, priority=priority)
    assert (layer("switch", **capped)[1][-1] < 0).any()
    assert agree(dict(router="switch") | capped, dict(router="topk", k=1) | capped)
    assert agree(dict(router="switch") | capped, dict(router="da", k_max=1) | capped)


# k experts per token.
TOP_2 = {
    "da between 2 and 2": dict(router="da", k_min=2, k_max=2),
    "da, a budget and flat importance": dict(router="da", allocation="budget", mean_experts=2, importance=FLAT),
    "da, a budget and no importance": dict(router="da", allocation="budget", mean_experts=2, importance=0 * FLAT),
    "da, pairs without importance": dict(router="da", allocation="pairs", mean_experts=2, k_min=2, gamma=0),
    "da, one level": dict(router="da", allocation="quantile", mean_experts=2, levels=[2]),
    "da, the mean at an end level": dict(router="da", allocation="quantile", mean_experts=2, k_max=2),
    "da, affine and flat importance": dict(router="da", allocation="affine", importance=4 * FLAT, k_max=2),
    "da, all of the mass": dict(router="da", allocation="mass", rho=1.0, k_max=2),
    "da, a threshold all reach": dict(router="da", allocation="threshold", thresholds=[-1.0]),
    "da, importance of 2/E": dict(router="da", importance=2 * FLAT),
}


@pytest.mark.parametrize("gates", ["raw", "renorm"])
@pytest.mark.parametrize("other", TOP_2.values(), ids=TOP_2.keys())
def test_top_2_bit_for_bit(other, gates):
    assert agree(dict(router="topk", k=2, gates=gates), other | dict(gates=gates))


def test_top_p_with_and_without_importance_bit_for_bit():
    assert agree(dict(router="topp", p=0.6, entropy_weight=0.1),
                 dict(router="da", allocation="top_p", p=0.6, entropy_weight=0.1))


@pytest.mark.parametrize("name", ROUTERS)
@pytest.mark.parametrize("priority", ["position", "prob", "importance"])
def test_a_capacity_with_room_for_all_is_dropless_bit_for_bit(name, priority):
    router, options = ROUTERS[name]
    assert agree(dict(router=router) | options, dict(router=router, capacity=1e6, priority=priority) | options)


# All experts for every token.

def ffn(made, e: int, x):
    """Expert e on one token, with NumPy."""
    w = made.experts
    h = x @ w.w1.data[e] + w.b1.data[e]
    return np.array([gelu(v) for v in h]) @ w.w2.data[e] + w.b2.data[e]


EVERY = {
    "da, k_min E": dict(router="da", k_min=E),
    "topk(E)": dict(router="topk", k=E),
    "topp(1)": dict(router="topp", p=1.0),
    "uniform importance": dict(router="da", importance=4 * FLAT),
    "experts that choose all tokens": dict(router="expert_choice", mean_experts=E),
}


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY.keys())
def test_all_experts_with_raw_gates_are_the_dense_soft_mixture(options):
    made, (y, *_) = layer(**options, dtype="float64", entropy_weight=0.0)
    for i, j in np.argwhere(MASK):
        x = X[i, j].astype(float)
        weight = np.exp(made.router.weight.data @ x)
        mixture = sum(weight[e] / weight.sum() * ffn(made, e, x) for e in range(E))
        np.testing.assert_allclose(y[i, j], mixture, rtol=1e-9, atol=1e-12)
    assert not y[~MASK].any()


def test_all_experts_with_equal_gates_are_the_mean_of_the_experts():
    made, (y, *_) = layer("topk", k=E, gates="equal", dtype="float64")
    i, j = np.argwhere(MASK)[0]
    x = X[i, j].astype(float)
    np.testing.assert_allclose(y[i, j], np.mean([ffn(made, e, x) for e in range(E)], axis=0), rtol=1e-9, atol=1e-12)


def test_all_experts_with_renormalised_gates_are_the_same_as_with_raw_ones():
    raw, renorm = (layer("topk", k=E, gates=gates, dtype="float64")[1] for gates in ("raw", "renorm"))
    for one, other in zip(raw, renorm, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


# One expert in all: the dense layer.
ONE_EXPERT = {"switch": {}, "topk": dict(k=1), "topp": {}, "da": {}, "expert_choice": dict(mean_experts=1.0)}


@pytest.mark.parametrize("form", ["raw", "renorm", "equal"])
@pytest.mark.parametrize("router, options", ONE_EXPERT.items(), ids=ONE_EXPERT.keys())
def test_a_single_expert_with_gate_1_is_the_dense_layer(router, options, form):
    made, (y, gx, *_) = layer(router, n_experts=1, gates=form, **options, **NO_LOSS)
    e = made.experts
    x = Tensor(X[MASK], requires_grad=True)
    dense = ops.expert_ffn(x, e.w1, e.b1, e.w2, e.b2, np.array([0, len(x)]))
    (dense * dense).sum().backward()
    assert np.array_equal(y[MASK], dense.data) and np.array_equal(gx[MASK], x.grad)
    assert not y[~MASK].any()


# Consequences of the default rule.

def test_uniform_attention_over_at_least_e_tokens_makes_da_a_switch_layer_bit_for_bit():
    attention = np.where(MASK, 1, 0)[:, None, None, :] / np.maximum(MASK.sum(axis=1), 1).reshape(-1, 1, 1, 1)
    attention = np.broadcast_to(attention * MASK[:, None, :, None], (4, 2, 6, 6)).astype(np.float32)
    importance = token_importance(attention, MASK)
    assert layer("da", importance)[1][-4].reshape(MASK.shape).tolist() == [[1] * 6, [2] * 3 + [0] * 3, [0] * 6,
                                                                           [4] + [0] * 5]
    long = MASK.sum(axis=1) >= E                                 # the others have fewer tokens than experts
    x, longer = Tensor(X[long]), importance[long]
    answers = [MoELayer(16, 8, E, router, rng=8)(x, longer, MASK[long])[0].data for router in ("switch", "da")]
    assert np.array_equal(*answers)


def test_a_fresh_encoder_on_a_long_text_is_nearly_switch():
    """Attention starts nearly even, so K starts at 1 for every token once n is well above E."""
    config = EncoderConfig(vocab_size=30, d_model=16, n_heads=2, d_ff=8, n_experts=4, n_layers=2, max_length=64)
    ids = np.random.default_rng(0).integers(1, 30, (2, 64))
    for routing in Encoder(config).eval()(ids).routings:
        assert (routing.k == 1).all()


@pytest.mark.parametrize("name", ROUTERS)
def test_what_a_sample_is_batched_with_and_how_far_it_is_padded_changes_nothing(name):
    made = layer_of(name, dtype="float32").eval()
    x, importance, mask = batch(lengths=(5, 3, 1, 0, 4), dtype="float32")
    if name == "da running thresholds":
        made.train()(Tensor(x), importance, mask)                # sets the thresholds
        made.eval()
    together, routing = made(Tensor(x), importance, mask)
    for b, n in enumerate(mask.sum(axis=1)):
        alone, its_routing = made(Tensor(x[b:b + 1, :n]), importance[b:b + 1, :n])
        np.testing.assert_allclose(together.data[b, :n], alone.data[0], rtol=1e-6, atol=1e-6)
        assert routing.k.reshape(mask.shape)[b, :n].tolist() == its_routing.k.tolist()
        assert not together.data[b, n:].any()
