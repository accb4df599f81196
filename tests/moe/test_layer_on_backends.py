"""Every router on every backend: the same plan as NumPy's, the same numbers, the same gradients."""
import dataclasses

import numpy as np
import pytest
from every_router import EVERY, batch, layer_of

from minimoe import Tensor
from minimoe.backend import to_backend, to_host
from minimoe.moe import allocate_experts, token_importance
from minimoe.moe.importance import MEASURES

OPTIONS = {"dropless": {}, "capacity": {"capacity": 0.75}, "priority": {"capacity": 0.75, "priority": "prob"},
           "ban": {"ban": [False, True, False, False]}, "renorm": {"gates": "renorm"}, "equal": {"gates": "equal"},
           "all losses": {"entropy_weight": 0.01}, "renorm after drop": {"gates": "renorm", "capacity": 0.5,
                                                                         "renorm_after_drop": True}}


def everything(name, backend, dtype, **options):
    """Plan, answer, losses, statistics and every gradient of one training pass, on the host."""
    layer = layer_of(name, dtype=dtype, **options).to(backend=backend)
    x, importance, mask = batch((5, 3, 0, 1), dtype=dtype)
    x = Tensor(x, requires_grad=True, backend=backend)
    y, routing = layer(x, to_backend(importance, backend), to_backend(mask, backend))
    ((y * y).sum() + routing.aux_loss).backward()
    plan = {f.name: to_host(getattr(routing.plan, f.name)) for f in dataclasses.fields(routing.plan)}
    numbers = [y.numpy(), routing.gates.numpy(), routing.aux_loss.numpy(), to_host(x.grad),
               *(to_host(p.grad) for p in layer.parameters() if p.grad is not None)]
    return plan, numbers, routing.stats


def same(found, expected, tolerance):
    for name, array in expected[0].items():
        np.testing.assert_array_equal(found[0][name], array, err_msg=name)
    assert len(found[1]) == len(expected[1])
    for got, wanted in zip(found[1], expected[1], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    assert found[2].keys() == expected[2].keys()
    for name, value in expected[2].items():
        np.testing.assert_allclose(found[2][name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-11), ("float32", 2e-5)])
@EVERY
def test_every_router_does_what_it_does_on_numpy(name, dtype, tolerance, backend):
    same(everything(name, backend, dtype), everything(name, "numpy", dtype), tolerance)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["topk", "da ceil", "da budget", "expert_choice"])
def test_every_option_does_what_it_does_on_numpy(name, options, backend):
    same(everything(name, backend, "float64", **options), everything(name, "numpy", "float64", **options), 1e-11)


@pytest.mark.parametrize("heads", ["mean", "max"])
@pytest.mark.parametrize("measure", [*MEASURES, "shuffled(rowmax)", "reversed(colmax)"])
def test_importance_is_what_it_is_on_numpy(measure, heads, backend):
    r = np.random.default_rng(0)
    p, mask, x = r.random((2, 3, 5, 5)), np.arange(5) < np.array([[5], [3]]), r.standard_normal((2, 5, 4))
    found = token_importance(*(to_backend(a, backend) for a in (p, mask)), measure, heads, x=to_backend(x, backend),
                             rng=1)
    np.testing.assert_allclose(to_host(found), token_importance(p, mask, measure, heads, x=x, rng=1), rtol=1e-12)


@pytest.mark.parametrize("normalise", ["mean1", "minmax", "rank"])
def test_normalisers_give_what_they_give_on_numpy(normalise, backend):
    r = np.random.default_rng(0)
    p, mask = r.random((2, 3, 5, 5)), np.arange(5) < np.array([[5], [3]])
    found = token_importance(to_backend(p, backend), to_backend(mask, backend), normalise=normalise)
    np.testing.assert_allclose(to_host(found), token_importance(p, mask, normalise=normalise), rtol=1e-12)


def test_a_hundred_budgets_are_the_same_to_the_last_expert(backend):
    r = np.random.default_rng(0)
    mask = np.arange(40) < r.integers(0, 41, 25)[:, None]
    importance = np.where(r.random(mask.shape) < 0.3, 0.25, r.random(mask.shape))       # with ties
    for mean in (1.0, 1.7, 3.3, 8.0):
        found = allocate_experts(to_backend(importance, backend), to_backend(mask, backend), 8, "budget",
                                 mean_experts=mean)
        np.testing.assert_array_equal(to_host(found), allocate_experts(importance, mask, 8, "budget",
                                                                       mean_experts=mean))


def test_a_ban_may_lie_on_the_device(backend):
    ban = np.array([False, True, False, False])
    on_device = everything("switch", backend, np.float64, ban=to_backend(ban, backend))
    on_host = everything("switch", backend, np.float64, ban=ban)
    assert on_device[2] == on_host[2] and on_host[2]["expert_load"][1] == 0
