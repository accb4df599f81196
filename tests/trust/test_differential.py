"""200 random small encoders against a dense oracle in float64: hidden states, routing, losses and every gradient."""
import numpy as np
import pytest
from dense_oracle import encode
from oracle_counts import counts, finish, measure
from random_models import LEARNED, MEASURES, OTHERS, SCHEDULES, build, draw

from minimoe import Tensor
from minimoe.backend import to_host

MODELS = 200
BLOCKS = 10
STEPS = (1e-6, 1e-7, 1e-8, 1e-5)        # of the differences: one across a corner of ReLU agrees with nobody


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_encoders_equal_the_dense_oracle_forward_and_backward(block, backend):
    for seed in range(block, MODELS, BLOCKS):
        try:
            compare(seed, backend)
        except Exception as error:
            raise AssertionError(f"model {seed}: {draw(seed)}") from error


def compare(seed, backend):
    config, training, ids, mask, segments = draw(seed)
    model, w = build(config, seed, backend)
    output = model.train(training)(ids, mask, segments)
    shape = config.to_dict() | {"training": training}
    mask = ids != config.pad_id if mask is None else mask
    hidden, aux, choices = encode(shape, w, ids, mask, segments)
    np.testing.assert_allclose(output.hidden.numpy(), hidden, rtol=1e-9, atol=1e-9)
    assert output.aux_loss.item() == pytest.approx(aux, rel=1e-9, abs=1e-12)
    for routing, choice in zip(output.routings, choices, strict=True):
        if config.router == "da":
            importance = to_host(routing.importance)[mask.reshape(-1)]
            np.testing.assert_allclose(importance, choice.importance[mask.reshape(-1)], rtol=1e-9, atol=1e-12)
        assert to_host(routing.k).tolist() == choice.k.tolist()
        assert np.array_equal(chosen(routing, kept=False), choice.asked)
        assert np.array_equal(chosen(routing, kept=True), choice.kept)

    random = np.random.default_rng(seed)
    upstream = random.standard_normal(hidden.shape)
    ((output.hidden * Tensor(upstream, backend=backend)).sum() + output.aux_loss).backward()

    def value(name, step):
        """The loss where parameter `name` has moved by step times its direction, and nobody chooses anew."""
        moved = w | {name: w[name] + step * direction}
        hidden, aux, _ = encode(shape, moved, ids, mask, segments, choices)
        return (hidden * upstream).sum() + aux

    for name, p in model.named_parameters():                    # the input's gradient is that of the embeddings
        gradient = np.zeros(p.shape) if p.grad is None else to_host(p.grad)
        direction = random.standard_normal(p.shape)
        slopes = ((value(name, step) - value(name, -step)) / (2 * step) for step in STEPS)
        ours = (gradient * direction).sum()
        assert any(abs(ours - slope) < 1e-6 * max(1, abs(slope)) for slope in slopes), f"gradient of {name}"


def chosen(routing, kept):
    """bool (N, E): the assignments asked for, or kept, of a plan."""
    plan = {name: to_host(a) for name, a in vars(routing.plan).items()}
    out = np.zeros(routing.probabilities.shape, bool)
    which = plan["inv"] >= 0 if kept else slice(None)
    out[plan["token"][which], plan["expert"][which]] = True
    return out


def test_the_models_have_every_router_schedule_measure_gate_priority_activation_and_odd_shape():
    drawn = [draw(seed) for seed in range(MODELS)]
    options = [config.router_options for config, *_ in drawn]
    pairs = {(o["measure"].replace("reversed(", "").rstrip(")"), o["allocation"]) for o in options if "measure" in o}
    assert {config.router for config, *_ in drawn} == {"da", *OTHERS}
    assert {o["gates"] for o in options} == {"raw", "renorm", "equal"}
    assert {o["priority"] for o in options} == {"importance", "prob", "position"}
    assert {config.activation for config, *_ in drawn} == {"gelu", "gelu_tanh", "relu", "geglu", "reglu"}
    assert {config.moe_every for config, *_ in drawn} == {1, 2}
    assert pairs == {(m, s) for m in MEASURES for s in SCHEDULES}
    assert any("reversed(reversed" in o.get("measure", "") for o in options)
    assert {o["measure"] for o in options if o.get("soft_importance")} == set(LEARNED)
    assert any(o["ban"] for o in options) and {o["capacity"] for o in options} >= {None, 0.0}
    masks = [ids != 0 if mask is None else mask for _, _, ids, mask, _ in drawn]
    assert any((~mask.any(axis=1)).any() for mask in masks) and any(mask.all() for mask in masks)
    assert {1} <= {mask.shape[0] for mask in masks} & {mask.shape[1] for mask in masks}
    assert {1} <= {config.n_experts for config, *_ in drawn} & {config.d_model for config, *_ in drawn}


# The oracle itself, on numbers that were worked out by hand.
P = np.array([[[.6, .3, .1], [.2, .2, .6], [.1, .1, .8]], [[.4, .4, .2], [.1, .3, .6], [.25, .25, .5]]])
ALL = [True] * 3


@pytest.mark.parametrize("name, expected", {
    "rowmax": (.5, .6, .65), "colmax": (.5, .35, .7), "colsum": (.275, .258333, .466667),
    "focus": (.111212, .158841, .235967), "rollout": (.304167, .295833, .4)}.items())
def test_the_oracles_importance_is_that_of_the_worked_example(name, expected):
    assert measure(name, [P], "mean") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("allocation, name, normalise, mean, expected", [
    ("ceil", "rowmax", "none", None, [2, 3, 3]), ("ceil", "colmax", "none", None, [2, 2, 3]),
    ("affine", "rowmax", "minmax", None, [1, 3, 4]), ("budget", "rowmax", "none", 2, [2, 2, 2]),
    ("budget", "rowmax", "none", 7 / 3, [2, 2, 3])])
def test_the_oracles_counts_are_those_of_the_worked_example(allocation, name, normalise, mean, expected):
    importance = finish(measure(name, [P], "mean"), ALL, 0, normalise)
    assert counts(allocation, importance, None, ALL, 4, 1, 4, mean) == expected


def test_the_oracles_top_p_counts_are_those_of_the_worked_example():
    p = [[.1, .4, .4, .1], [.7, .1, .1, .1], [.2, .3, .1, .4]]
    assert counts("top_p", [0, 0, 0], p, ALL, 4, 1, 4, p=0.5) == [2, 1, 2]
