"""What all optimisers share: groups, refusals before a step, state that comes back."""
import numpy as np
import pytest

from minimoe import Tensor
from minimoe.optim import SGD, Adam, AdamW

MAKERS = {"sgd": lambda p: SGD(p, lr=0.01), "momentum": lambda p: SGD(p, lr=0.01, momentum=0.9), "adam": Adam,
          "adamw": AdamW}


def parameters(seed=0, shapes=((3, 4), (4,), (), (0, 2))):
    random = np.random.default_rng(seed)
    return [Tensor(np.array(random.standard_normal(s), np.float32), requires_grad=True) for s in shapes]


def give_gradients(ps, random):
    for p in ps:
        p.grad = np.array(random.standard_normal(p.shape), p.dtype)


def everything(ps, optimiser):
    return [p.data.copy() for p in ps] + [np.asarray(v) for v in optimiser.state_dict().values()]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_refused_and_nothing_changes_g18(make, poison):
    """Case G18 (pytorch/torchtitan#916): the poison is in the last gradient, after others that could be applied."""
    ps = parameters()[:2]
    optimiser = make(ps)
    random = np.random.default_rng(1)
    give_gradients(ps, random)
    optimiser.step()
    before = everything(ps, optimiser)
    give_gradients(ps, random)
    ps[1].grad[2] = poison
    with pytest.raises(FloatingPointError, match=r"step: the gradient of parameter 1, shape \(4,\), is NaN"):
        optimiser.step()
    for a, b in zip(everything(ps, optimiser), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_skipping_the_poisoned_step_gives_the_value_of_the_other_two_g18():
    """Case G18 (espnet/espnet#3283): gradients 0.1, NaN, 0.1 end at 0.98, never at NaN."""
    p = Tensor(np.array([1.0]), requires_grad=True)
    optimiser = Adam([p], lr=0.01)
    for g in (0.1, np.nan, 0.1):
        p.grad = np.array([g])
        try:
            optimiser.step()
        except FloatingPointError:
            pass
    assert p.data[0] == pytest.approx(0.980000002, abs=1e-9)


def test_a_gradient_whose_square_overflows_is_refused():
    p = Tensor(np.ones(2, np.float32), requires_grad=True)
    p.grad = np.full(2, 1e20, np.float32)
    with pytest.raises(FloatingPointError, match="too large"):
        Adam([p]).step()


def test_half_precision_is_refused_g18():
    """Case G18 (rwth-i6/returnn#1568): float16, where an epsilon of 1e-8 is 0."""
    with pytest.raises(TypeError, match="float16"):
        Tensor(np.ones(2, np.float16), requires_grad=True)
    p = Tensor(np.ones(2, np.float32), requires_grad=True)
    p.data = p.data.astype(np.float16)
    with pytest.raises(TypeError, match="Adam: a parameter is float16"):
        Adam([p])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_parameter_without_gradient_is_skipped_with_its_state_and_count(make):
    ps = parameters()
    optimiser = make(ps)
    random = np.random.default_rng(2)
    give_gradients(ps, random)
    optimiser.step()
    give_gradients(ps, random)
    ps[0].grad = None
    before = ps[0].data.copy(), {k: v for k, v in optimiser.state_dict().items() if k.endswith(".0") and k != "lr.0"}
    optimiser.step()
    np.testing.assert_array_equal(ps[0].data, before[0])
    for name, array in before[1].items():
        np.testing.assert_array_equal(optimiser.state_dict()[name], array)
    assert list(optimiser.state_dict()["steps"]) == [1, 2, 2, 2]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_loading_the_state_continues_bit_for_bit(make):
    straight, stopped = parameters(), parameters()
    one, two = make(straight), make(stopped)
    gradients = np.random.default_rng(3), np.random.default_rng(3)
    for step in range(10):
        if step == 5:
            saved = two.state_dict()
            give_gradients(stopped, np.random.default_rng(9))
            two.step()                              # the saved state must be a copy: this step may not reach it
            resumed = [Tensor(p.data.copy(), requires_grad=True) for p in straight]
            stopped, two = resumed, make(resumed)
            two.lr = 0.5
            two.load_state_dict(saved)
        for ps, optimiser, random in ((straight, one, gradients[0]), (stopped, two, gradients[1])):
            give_gradients(ps, random)
            optimiser.step()
    for a, b in zip(everything(straight, one), everything(stopped, two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_is_float32_for_float32_parameters_and_flat_names_say_whose_it_is_g08():
    """Case G08 (HIPS/autograd#163), the optimiser's state."""
    state = AdamW(parameters()).state_dict()
    assert set(state) == {"steps", "lr.0"} | {f"{name}.{i}" for name in "mv" for i in range(4)}
    assert state["lr.0"] == 1e-3 and state["steps"].dtype == np.int64
    assert all(state[f"{name}.{i}"].dtype == np.float32 for name in "mv" for i in range(4))
    assert state["m.0"].shape == (3, 4)


@pytest.mark.parametrize("change, match", [
    (lambda s: s.pop("v.1"), "v.1"), (lambda s: s.update(z=0), "z"), (lambda s: s.update({"m.1": np.ones(5)}), "m.1"),
    (lambda s: s.update(steps=np.zeros(3, np.int64)), "steps"),
])
def test_the_state_of_another_model_is_refused_before_anything_is_written(change, match):
    ps = parameters()
    optimiser = AdamW(ps)
    before = everything(ps, optimiser)
    state = {name: value + 1 for name, value in optimiser.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=f"AdamW.load_state_dict: .*{match}"):
        optimiser.load_state_dict(state)
    for a, b in zip(everything(ps, optimiser), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_groups_have_their_own_options_and_share_the_rest():
    decayed, plain = parameters(shapes=((2,), (2,)))
    start = decayed.data.copy(), plain.data.copy()
    optimiser = AdamW([{"params": [decayed]}, {"params": iter([plain]), "weight_decay": 0.0}], lr=0.1, weight_decay=0.5)
    decayed.grad, plain.grad = np.zeros(2, np.float32), np.zeros(2, np.float32)
    optimiser.step()
    np.testing.assert_allclose(decayed.data, start[0] * 0.95, rtol=1e-6)
    np.testing.assert_array_equal(plain.data, start[1])


def test_setting_lr_sets_every_group():
    a, b = parameters(shapes=((2,), (2,)))
    optimiser = AdamW([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1)
    assert optimiser.lr == 0.5 and optimiser.param_groups[1]["lr"] == 0.1
    optimiser.lr = 0.25
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25]
    with pytest.raises(ValueError, match="lr is nan"):
        optimiser.lr = float("nan")


def test_rates_are_saved_as_plain_numbers_that_json_can_hold():
    a, b = parameters(shapes=((2,), (2,)))
    optimiser = AdamW([{"params": [a], "lr": np.float32(0.5)}, {"params": [b]}], lr=0.1)
    assert [type(optimiser.state_dict()[f"lr.{i}"]) for i in range(2)] == [float, float]
    optimiser.lr = np.float32(0.25)
    assert type(optimiser.lr) is float


def test_zero_grad_forgets_the_gradients():
    ps = parameters()
    give_gradients(ps, np.random.default_rng(0))
    SGD(ps, lr=0.1).zero_grad()
    assert all(p.grad is None for p in ps)


def test_a_step_is_noticed_by_a_graph_built_before_it():
    p = Tensor(np.ones(2, np.float32), requires_grad=True)
    loss = (p * p).sum()
    p.grad = np.ones(2, np.float32)
    SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_a_step_writes_into_the_parameters_own_array():
    p = Tensor(np.ones(2, np.float32), requires_grad=True)
    array = p.data
    p.grad = np.ones(2, np.float32)
    AdamW([p]).step()
    assert p.data is array and (array < 1).all()


@pytest.mark.parametrize("change", [
    lambda p: setattr(p, "grad", np.ones(1, np.float32)),           # would broadcast over all rows
    lambda p: setattr(p, "grad", np.ones((2, 3))),
    lambda p: setattr(p, "data", p.data.astype(np.float64)),
])
def test_a_gradient_or_state_of_another_shape_or_dtype_is_refused(change):
    p = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    optimiser = AdamW([p])
    p.grad = np.ones((2, 3), np.float32)
    change(p)
    with pytest.raises(ValueError, match=r"AdamW.step: parameter 0 is \(2, 3\)"):
        optimiser.step()
    np.testing.assert_array_equal(p.data, 1)


def a_tensor():
    return Tensor(np.ones(2, np.float32), requires_grad=True)


TWICE = a_tensor()


@pytest.mark.parametrize("given, error, match", [
    ([], ValueError, "no parameters"),
    (a_tensor(), TypeError, "one Tensor"),
    ({"params": [a_tensor()]}, TypeError, "one dict"),
    ([np.ones(2)], TypeError, "must be Tensors, got ndarray"),
    ([Tensor(np.arange(2, dtype=np.int64))], TypeError, "int64"),
    ([a_tensor() * 2], ValueError, "made by mul; only leaves"),
    ([TWICE, TWICE], ValueError, "twice"),
    ([{"params": [TWICE]}, {"params": [TWICE]}], ValueError, "twice"),
    ([{}], ValueError, "a group has no params"),
    ([{"params": [a_tensor()], "weight_deacy": 0.0}], ValueError, "weight_deacy"),
])
def test_parameters_that_cannot_be_trained_are_refused(given, error, match):
    with pytest.raises(error, match=f"SGD: .*{match}"):
        SGD(given, lr=0.1)
