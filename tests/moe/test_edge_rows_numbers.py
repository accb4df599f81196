"""The edges of routing, continued: NaN and infinity, and no room at all."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import EVERY, ROUTERS, aux, backward, batch, layer_of

from minimoe import Tensor
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.moe import make_router, route

# ---- row: NaN, +inf or all -inf logits

BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


@EVERY
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_token_with_bad_logits_raises_with_the_count(name, bad):
    x, importance, mask = batch(lengths=(4, 3))
    x[0, 2] = bad
    with pytest.raises(FloatingPointError, match="router logits of 1 of 8 tokens are NaN or infinite"), \
            np.errstate(invalid="ignore"):
        layer_of(name)(Tensor(x), importance, mask)


@EVERY
@pytest.mark.parametrize("bad", [np.nan, 1.7e308], ids=["x is nan", "x is finite but its logits are not"])
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_token_with_bad_logits_can_be_skipped_and_leaves_the_others_as_if_it_were_padding(name, bad):
    layer = layer_of(name, on_nonfinite="skip", entropy_weight=0.1).eval()
    x, importance, mask = batch(lengths=(5, 3))
    without = mask.copy()
    without[0, 4] = False                                        # the last token, so positions stay
    expected = backward(layer, x, importance, without)
    gradients = [p.grad for p in layer.parameters() if p.requires_grad]
    layer.zero_grad()
    x[0, 4] = bad
    y, routing, gx = backward(layer, x, importance, mask)
    assert routing.stats["nonfinite"] == 1 and routing.k.tolist() == expected[1].k.tolist()
    np.testing.assert_allclose(y, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gx, expected[2], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(aux(routing), aux(expected[1]), rtol=1e-12)
    for p, gradient in zip((p for p in layer.parameters() if p.requires_grad), gradients, strict=True):
        if np.isfinite(bad) or p is not layer.router.weight:     # a NaN in x is one in W's gradient: 0 times NaN
            np.testing.assert_allclose(p.grad, gradient, rtol=1e-10, atol=1e-12)


def test_nan_that_starts_in_one_sample_is_skipped_there_and_the_other_samples_stay_as_they_were():
    options = dict(vocab_size=9, d_model=8, n_heads=2, d_ff=4, n_experts=4, n_layers=1, dropout=0.0)
    config = EncoderConfig(**options, router_options={"on_nonfinite": "skip", "normalise": "mean1"})
    model = SequenceClassifier(config).eval()
    ids = np.array([[3, 4, 5], [6, 7, 8]])
    clean = model(ids).logits.data
    model.token_embedding.weight.data[4] = np.nan
    output = model(ids)
    assert output.routings[0].k[:3].tolist() == [0, 0, 0] and output.routings[0].stats["nonfinite"] == 3
    np.testing.assert_array_equal(output.logits.data[1], clean[1])
    strict = SequenceClassifier(EncoderConfig(**options))
    strict.load_state_dict(model.state_dict())
    with pytest.raises(FloatingPointError, match=r"layers\.0: route: router logits or importance of 3 of 6 tokens"):
        strict(ids)


def test_minus_infinity_is_legal_through_the_ban_alone():
    logits = np.zeros((2, 3))
    assert route(Tensor(logits), np.ones(2, int), ban=[True, False, False]).plan.expert.tolist() == [1, 1]
    logits[:, 0] = -np.inf
    with pytest.raises(FloatingPointError, match="2 of 2 tokens"):
        route(Tensor(logits), np.ones(2, int))


# ---- row: NaN importance

DA = [name for name in ROUTERS if name.startswith("da") and name != "da router_entropy"]


@pytest.mark.parametrize("name", DA)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_importance_raises_with_the_count(name, bad):
    x, importance, mask = batch(lengths=(4, 3))
    importance[0, 1] = importance[1, 0] = bad
    with pytest.raises(FloatingPointError, match="router logits or importance of 2 of 8 tokens are NaN or infinite"):
        layer_of(name)(Tensor(x), importance, mask)


@pytest.mark.parametrize("name", DA)
def test_a_token_of_bad_importance_can_be_skipped_and_leaves_the_others_as_if_it_were_padding(name):
    layer = layer_of(name, on_nonfinite="skip", capacity=0.8).eval()
    x, importance, mask = batch(lengths=(5, 3))
    without = mask.copy()
    without[0, 4] = False
    expected, its_routing = layer(Tensor(x), importance, without)
    importance[0, 4] = np.nan
    y, routing = layer(Tensor(x), importance, mask)
    assert routing.stats["nonfinite"] == 1 and routing.stats["dropped"] == its_routing.stats["dropped"] > 0
    np.testing.assert_array_equal(y.data, expected.data)


@pytest.mark.parametrize("normalise", ["none", "mean1", "minmax", "rank"])
@pytest.mark.parametrize("measure", ["rowmax", "focus", "shuffled(rowmax)", "reversed(rowmax)"])
def test_nan_attention_reaches_the_router_as_nan_importance_and_no_normaliser_hides_or_spreads_it(measure, normalise):
    router = make_router("da", 4, 8, measure=measure, normalise=normalise).eval()
    attention = np.full((2, 1, 4, 4), 0.25, np.float32)
    attention[0, 0, 2, 1] = np.nan
    assert np.isnan(router.importance([attention])).sum(axis=1).tolist() == [1, 0]


def test_bad_importance_is_never_sorted_by():
    importance = np.array([.5, np.nan, .7, .1])
    options = dict(capacity=0.5, priority="importance", importance=importance)
    with pytest.raises(FloatingPointError, match="1 of 4 tokens"):
        route(Tensor(np.zeros((4, 2))), np.ones(4, int), **options)
    routing = route(Tensor(np.zeros((4, 2))), np.ones(4, int), on_nonfinite="skip", **options)
    assert routing.k.tolist() == [1, 0, 1, 1] and routing.plan.inv.tolist() == [-1, 0, -1]


def test_importance_at_padding_may_be_nan():
    x, importance, mask = batch(lengths=(4, 2), dtype="float32")
    layer = layer_of("da ceil", dtype="float32")
    expected = layer(Tensor(x), importance, mask)[0].data
    importance[~mask], x[~mask] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        y, routing = layer(Tensor(x), importance, mask)
    np.testing.assert_array_equal(y.data, expected)
    assert routing.stats["nonfinite"] == 0


# ---- row: capacity 0

@EVERY
@pytest.mark.parametrize("gates", ["raw", "renorm"])
def test_capacity_0_drops_everything_and_the_router_learns_from_the_losses_alone(name, gates):
    layer = layer_of(name, capacity=0.0, capacity_min=0, gates=gates, renorm_after_drop=gates == "renorm")
    x, importance, mask = batch()
    y, routing, gx = backward(layer, x, importance, mask)
    assert not y.any() and routing.stats["kept"] == 0 and routing.stats["dropped"] == routing.k.sum() > 0
    assert not any(p.grad.any() for p in layer.experts.parameters())
    assert layer.router.weight.grad.any() and np.isfinite(gx).all() and gx[mask].any()
    silent = layer_of(name, capacity=0.0, capacity_min=0, balance_weight=0.0, z_weight=0.0, entropy_weight=0.0)
    backward(silent, x, importance, mask)
    assert not silent.router.weight.grad.any()


def test_with_capacity_0_an_encoder_layer_passes_its_input_on_by_the_residual():
    config = EncoderConfig(vocab_size=9, d_model=8, n_heads=2, d_ff=4, n_experts=4, n_layers=1, dropout=0.0,
                           router_options={"capacity": 0.0, "capacity_min": 0})
    layer = SequenceClassifier(config).layers[0]
    x, mask = Tensor(np.random.default_rng(0).standard_normal((1, 3, 8)).astype(np.float32)), np.ones((1, 3), bool)
    out, _, _ = layer(x, mask, [])
    np.testing.assert_array_equal(out.data, (x + layer.attention(layer.norm1(x), mask)[0]).data)
