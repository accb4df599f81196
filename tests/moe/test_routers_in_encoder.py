"""Importance inside a model: each layer's router reads the attention it should, and evaluation repeats itself."""
from __future__ import annotations

import numpy as np
import pytest

from minimoe import no_grad
from minimoe.models import Encoder, EncoderConfig
from minimoe.moe import allocate_experts, token_importance
from minimoe.moe.importance import rollout, router_entropy

IDS = np.array([[3, 7, 5, 2, 9, 8], [4, 6, 1, 0, 0, 0]])
MASK = IDS != 0


def encoder(moe_every=1, dropout=0.0, n_layers=3, router="da", **options):
    """Three lively layers: attention is sharp enough that K varies."""
    config = EncoderConfig(vocab_size=12, d_model=8, n_layers=n_layers, n_heads=2, d_ff=6, n_experts=8, dropout=dropout,
                           max_length=8, moe_every=moe_every, router=router, router_options=options)
    model, random = Encoder(config), np.random.default_rng(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data[...] += random.standard_normal(parameter.shape) * 0.4
    return model.eval()


def expected(output, layer, source="same", measure="rowmax"):
    """Importance of expert layer number `layer` of a model with experts everywhere, from the output's attentions."""
    attentions = [a.data for a in output.attentions]
    if measure == "rollout":
        return rollout(attentions[:layer + 1], MASK)
    if measure == "router_entropy":
        return router_entropy(output.routings[layer].probabilities.data.reshape(2, 6, 8), MASK)
    chosen = {"same": attentions[layer], "prev": attentions[max(layer - 1, 0)],
              "mean_of_layers": np.mean(attentions[:layer + 1], axis=0)}[source]
    return token_importance(chosen, MASK, measure)


OPTIONS = [dict(), dict(measure="colmax"), dict(measure="cls"), dict(source="prev"), dict(source="mean_of_layers"),
           dict(source="prev", measure="colsum"), dict(measure="rollout"), dict(measure="router_entropy")]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()) or "default")
def test_each_layers_router_reads_the_matrix_that_its_source_and_measure_name(options):
    output = encoder(**options)(IDS)
    seen = []
    for layer, routing in enumerate(output.routings):
        importance = expected(output, layer, **options)
        np.testing.assert_allclose(routing.importance.reshape(2, 6), importance, rtol=1e-5, atol=1e-6)
        assert routing.k.reshape(2, 6).tolist() == allocate_experts(routing.importance.reshape(2, 6), MASK).tolist()
        seen.append(importance)
    assert not np.allclose(seen[1], seen[2])


def test_colsum_l1_gets_the_input_of_the_expert_layer():
    model = encoder(measure="colsum_l1")
    inputs = []
    for layer in model.layers:
        layer.moe.forward = lambda x, *rest, forward=layer.moe.forward: inputs.append(x.data) or forward(x, *rest)
    output = model(IDS)
    for x, attention, routing in zip(inputs, output.attentions, output.routings, strict=True):
        importance = token_importance(attention.data, MASK, "colsum") * np.abs(x).sum(axis=2)
        np.testing.assert_allclose(routing.importance.reshape(2, 6), importance, rtol=1e-5)


def test_the_layer_before_is_read_where_it_has_no_experts_too():
    output = encoder(moe_every=2, n_layers=4, source="prev")(IDS)
    for routing, before in zip(output.routings, (0, 2), strict=True):
        importance = token_importance(output.attentions[before].data, MASK)
        np.testing.assert_allclose(routing.importance.reshape(2, 6), importance, rtol=1e-6)


def test_importance_is_read_before_dropout():
    model = encoder(dropout=0.5, n_layers=1).train()
    model.dropout.p = 0.0                                        # embeddings as in evaluation: equal attention
    train, evaluation = model(IDS), model.eval()(IDS)
    np.testing.assert_array_equal(train.attentions[0].data, evaluation.attentions[0].data)
    assert train.routings[0].k.tolist() == evaluation.routings[0].k.tolist()
    assert not np.array_equal(train.hidden.data, evaluation.hidden.data)


@pytest.mark.parametrize("options", [
    dict(), dict(measure="random"), dict(measure="shuffled(rowmax)"),
    dict(measure="shuffled(colmax)", normalise="rank"),
    dict(measure="shuffled(rollout)"), dict(allocation="threshold", threshold_shares=[.5]),
    dict(router="topk", jitter=0.5), dict(router="expert_choice", gauss=1.0)], ids=str)
def test_two_evaluations_give_equal_experts_and_outputs(options):
    model = encoder(**options, dropout=0.3)
    with no_grad():
        one, other = model(IDS), model(IDS)
    np.testing.assert_array_equal(one.hidden.data, other.hidden.data)
    for a, b in zip(one.routings, other.routings, strict=True):
        assert a.k.tolist() == b.k.tolist() and a.plan.expert.tolist() == b.plan.expert.tolist()


NOISY = [dict(jitter=0.5), dict(measure="random"), dict(measure="shuffled(rowmax)")]


@pytest.mark.parametrize("options", NOISY, ids=str)
def test_training_draws_anew_at_each_step_from_streams_that_follow_the_seed(options):
    steps = []
    for _ in range(2):
        model = encoder(**options).train()
        steps.append([model(IDS).routings[0] for _ in range(2)])
    (a, b), (c, d) = ([(r.logits.data.tolist(), r.k.tolist()) for r in run] for run in steps)
    assert a == c and b == d and a != b


def test_each_layers_router_has_noise_and_weights_of_its_own():
    routers = [layer.moe.router for layer in encoder(jitter=0.1).layers]
    assert len({r.noise.bit_generator.state["state"]["state"] for r in routers}) == 3
    names = [name for name, _ in encoder(jitter=0.1).named_generators()]
    assert [name for name in names if "router" in name] == [f"layers.{i}.moe.router.noise" for i in range(3)]


def test_running_thresholds_are_part_of_the_models_state():
    options = dict(allocation="threshold", threshold_shares=[.5, .8])
    model = encoder(**options).train()
    model(IDS)
    state = model.state_dict()
    names = [f"layers.{i}.moe.router.thresholds.values" for i in range(3)]
    assert set(names) <= set(state) and all(np.isfinite(state[name]).all() for name in names)
    other = encoder(**options)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.eval()(IDS).hidden.data, model.eval()(IDS).hidden.data)


def test_auxiliary_losses_are_summed_over_layers_each_with_its_own_shares():
    output = encoder()(IDS)
    total = sum(r.balance_loss.item() + r.z_loss.item() + r.entropy_loss.item() for r in output.routings)
    np.testing.assert_allclose(output.aux_loss.item(), total, rtol=1e-6)
    for routing in output.routings:
        load, real = np.bincount(routing.plan.expert, minlength=8), MASK.reshape(-1)
        balance = 0.01 * 8 * (load / load.sum() * routing.probabilities.data[real].mean(axis=0)).sum()
        np.testing.assert_allclose(routing.balance_loss.item(), balance, rtol=1e-5)
