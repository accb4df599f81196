"""Attempts to do better than DA-MoE: each does what its docstring says, and the grids of this project can be read."""
import numpy as np
import pytest

from minimoe import Tensor
from minimoe.gradcheck import gradcheck
from minimoe.moe import DynamicRouter, MoELayer
from minimoe.moe.importance import router_entropy
from minimoe.study.grid import read_grid

BUDGET = dict(measure="colmax", allocation="budget", mean_experts=2.0)
MASK = np.arange(6) < np.array([[6], [4]])


@pytest.fixture
def ideas(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath / "benchmarks"))
    return __import__("ideas")


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 6, 5)), rng.uniform(0.1, 1, (2, 6)) * MASK


def weights_alike(router, other):
    router.weight.data = other.weight.data = 3 * np.random.default_rng(1).standard_normal(other.weight.shape)
    return router


def test_annealed_falls_in_a_line_and_evaluates_at_its_end(ideas, inputs):
    router = ideas.Annealed(5, 4, rng=0, start=4.0, over=4, **BUDGET)
    x, importance = inputs[0].astype(np.float32), inputs[1]
    assert [int(router(x, importance, MASK).k.sum()) for _ in range(6)] == [40, 35, 30, 25, 20, 20]
    router.seen.data[...] = 0
    assert int(router.eval()(x, importance, MASK).k.sum()) == 20 and router.seen.data == 0


@pytest.mark.parametrize("options", [dict(start=5.0), dict(start=0.5), dict(over=0),
                                     dict(allocation="ceil", mean_experts=None)])
def test_annealed_refuses_what_no_step_could_use(ideas, options):
    with pytest.raises(ValueError, match="Annealed: start="):
        ideas.Annealed(5, 4, rng=0, **(BUDGET | options))


def test_ragged_balance_counts_a_token_as_often_as_it_has_experts(ideas, inputs):
    x, importance = inputs
    plain = DynamicRouter(5, 4, rng=0, **BUDGET)
    ragged = weights_alike(ideas.RaggedBalance(5, 4, rng=0, balance_weight=0.5, **BUDGET), plain)
    routing, before = ragged(x, importance, MASK), plain(x, importance, MASK)
    k, p = before.k, before.probabilities.data
    many = np.repeat(p, k, axis=0)                  # a row for every assignment
    f = np.bincount(before.plan.expert, minlength=4) / k.sum()
    assert routing.balance_loss.item() == pytest.approx(0.5 * 4 * (f * many.mean(axis=0)).sum(), rel=1e-6)
    assert np.array_equal(routing.k, k) and routing.z_loss.item() == before.z_loss.item()


def test_ragged_balance_has_a_gradient(ideas, inputs):
    x, importance = inputs
    router = ideas.RaggedBalance(5, 4, rng=0, **BUDGET)
    router.weight.data = np.random.default_rng(1).standard_normal((4, 5))
    assert gradcheck(lambda t: router(t, importance, MASK).balance_loss, [x])


def test_doubtful_weighs_importance_by_the_routers_entropy(ideas, inputs):
    x, importance = inputs
    plain = DynamicRouter(5, 4, rng=0, **BUDGET)
    doubtful = weights_alike(ideas.Doubtful(5, 4, rng=0, **BUDGET), plain)
    p = plain(x, importance, MASK).probabilities.data.reshape(2, 6, 4)
    wanted = plain(x, importance * router_entropy(p), MASK)
    routing = doubtful(x, importance, MASK)
    assert np.array_equal(routing.k, wanted.k) and not np.array_equal(routing.k, plain(x, importance, MASK).k)


def test_tempered_raises_importance_to_a_power(ideas, inputs):
    x, importance = inputs
    plain = DynamicRouter(5, 4, rng=0, **BUDGET)
    tempered = weights_alike(ideas.Tempered(5, 4, rng=0, **BUDGET), plain)
    assert np.array_equal(tempered(x, importance, MASK).k, plain(x, importance, MASK).k)
    tempered.log_t.data[...] = np.log(3.0)
    assert np.array_equal(tempered(x, importance, MASK).k, plain(x, importance ** 3, MASK).k)


def test_the_power_learns_from_the_layers_answer(ideas, inputs):
    x, importance = inputs
    layer = MoELayer(5, 3, 4, ideas.Tempered(5, 4, rng=0, **BUDGET), rng=0)
    router = layer.router
    for parameter in layer.parameters():
        parameter.data = parameter.data.astype(np.float64)
    assert np.array_equal(layer(x, importance, MASK)[0].data, layer(x, importance * 0.5, MASK)[0].data)    # scale is 0
    router.scale.data[...] = 0.7

    def answer(log_t, scale):
        y = Tensor(np.random.default_rng(2).standard_normal((12, 5)))
        router.log_t, router.scale = log_t, scale
        return router.weigh(y, importance, MASK)

    assert gradcheck(answer, [np.array([0.3]), np.array([0.7])])


@pytest.mark.parametrize("name, options", [
    ("builtin", {}), ("builtin_more", {}), ("ideas", {}), ("glue", {"data_dir": "glue"}),
    ("words", {"text": ["a.txt"], "held_out": ["b.txt"]})])
def test_every_row_of_the_projects_grids_is_a_model(request, monkeypatch, name, options):
    monkeypatch.chdir(request.config.rootpath)
    cells = read_grid(f"benchmarks/grids/{name}.toml", options)
    rows = {cell.row: cell.config for cell in cells}
    for row in rows:                                # what is called a control is one
        if row.endswith("-shuffled"):
            a, b = (rows[r].to_dict() for r in (row, row.removesuffix("-shuffled")))
            assert a.pop("importance") == f"shuffled({b.pop('importance') or 'rowmax'})"
            assert {k: v for k, v in a.items() if k != "seed"} == {k: v for k, v in b.items() if k != "seed"}
