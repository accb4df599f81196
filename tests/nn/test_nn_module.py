"""Module: names, order, modes, saving and loading."""
import numpy as np
import pytest

from minimoe import Tensor
from minimoe.nn import Dropout, LayerNorm, Linear, Module, ModuleList, Parameter


class Block(Module):
    def __init__(self, rng):
        self.inner = Linear(2, 3, rng=rng)
        self.scale = Parameter(np.ones(3, np.float32))
        self.note = "not a parameter"
        self.dropout = Dropout(0.5, rng=1)

    def forward(self, x):
        return self.dropout(self.inner(x)) * self.scale


class Tied(Module):
    def __init__(self):
        random = np.random.default_rng(0)
        self.table = Linear(3, 2, bias=False, rng=random)
        self.blocks = ModuleList([Block(random), Block(random)])
        self.head = Linear(3, 2, rng=random)
        self.head.weight = self.table.weight
        self.again = self.blocks[0]


NAMES = ["table.weight", "blocks.0.scale", "blocks.0.inner.weight", "blocks.0.inner.bias", "blocks.1.scale",
         "blocks.1.inner.weight", "blocks.1.inner.bias", "head.bias"]


def test_names_follow_definition_order_own_parameters_first_and_tied_ones_once():
    model = Tied()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert list(model.state_dict()) == NAMES
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]


def test_modules_come_parents_first_each_once():
    names = [name for name, _ in Tied().named_modules()]
    assert names == ["", "table", "blocks", "blocks.0", "blocks.0.inner", "blocks.0.dropout", "blocks.1",
                     "blocks.1.inner", "blocks.1.dropout", "head"]


def test_a_module_that_points_back_to_its_parent_does_not_loop():
    model = Tied()
    model.head.parent = model
    assert len(list(model.modules())) == 10


@pytest.mark.parametrize("wrap", [list, tuple, lambda items: dict(enumerate(items))])
def test_a_plain_container_of_modules_is_refused_instead_of_left_untrained(wrap):
    model = Module()
    model.parts = wrap([Linear(2, 2, rng=0)])
    with pytest.raises(TypeError, match="Module: attribute parts is a .* use minimoe.nn.ModuleList"):
        list(model.parameters())


def test_module_list_counts_indexes_iterates_and_appends():
    a, b = Linear(1, 1, rng=0), Linear(1, 1, rng=1)
    modules = ModuleList([a])
    assert modules.append(b) is modules
    assert len(modules) == 2 and modules[-1] is b and list(modules) == [a, b]
    with pytest.raises(TypeError, match="ModuleList: a str is no Module"):
        modules.append("x")


def test_train_and_eval_reach_every_module():
    model = Tied()
    assert model.training
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())


def test_calling_a_module_runs_forward_and_gradients_reach_its_parameters():
    block = Block(0).eval()
    block(Tensor(np.ones((4, 2), np.float32))).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module needs a method forward"):
        Module()(1)


def test_generators_that_forward_draws_from_are_found_by_name():
    assert [name for name, _ in Tied().named_generators()] == ["blocks.0.dropout.rng", "blocks.1.dropout.rng"]


def test_state_dict_gives_copies():
    layer = Linear(2, 2, rng=0)
    before = layer.weight.data.copy()
    layer.state_dict()["weight"][...] = 9
    np.testing.assert_array_equal(layer.weight.data, before)


@pytest.mark.parametrize("wrap", [lambda a: a, Tensor, lambda a: a.astype(np.float64), lambda a: a.tolist()])
def test_loading_writes_into_the_parameters_own_arrays_in_their_dtype(wrap):
    source, target = Linear(3, 2, rng=1), Linear(3, 2, rng=2)
    array, version = target.weight.data, target.weight._version[0]
    target.load_state_dict({name: wrap(value) for name, value in source.state_dict().items()})
    assert target.weight.data is array and array.dtype == np.float32
    np.testing.assert_array_equal(array, source.weight.data)
    assert target.weight._version[0] == version + 1


def test_a_state_that_does_not_fit_is_refused_whole_with_every_problem_named():
    model = Tied()
    before = model.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    del state["blocks.0.scale"]
    state["extra"] = np.ones(1)
    state["head.bias"] = np.ones(5)
    state["table.weight"] = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    for part in ("missing blocks.0.scale", "unexpected extra", "head.bias is (5,) float, needed (2,) float",
                 "table.weight is (2, 3) integer, needed (2, 3) float"):
        assert part in text
    assert "\n" not in text
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_long_list_of_problems_is_cut():
    with pytest.raises(ValueError, match="unexpected x0, .*x7 and 12 more"):
        LayerNorm(2).load_state_dict({**LayerNorm(2).state_dict(), **{f"x{i}": 0 for i in range(20)}})


def test_to_casts_float_parameters_and_gradients_and_keeps_the_objects():
    model = Tied()
    model.counts = Parameter(np.arange(3, dtype=np.int16), requires_grad=False)
    objects = [id(p) for p in model.parameters()]
    model.head.bias.grad = np.ones(2, np.float32)
    version = model.head.bias._version[0]
    assert model.to(backend="numpy", dtype="float64") is model
    assert [id(p) for p in model.parameters()] == objects
    assert {str(p.dtype) for p in model.parameters()} == {"float64", "int16"}
    assert model.head.bias.grad.dtype == np.float64
    assert model.head.weight is model.table.weight
    assert model.head.bias._version[0] == version + 1


def test_to_refuses_half_precision_and_unknown_backends_before_it_changes_anything():
    layer = Linear(2, 2, rng=0)
    with pytest.raises(TypeError, match="Module.to: dtype float16"):
        layer.to(dtype="float16")
    with pytest.raises(ValueError, match="abacus"):
        layer.to(backend="abacus")
    assert layer.weight.dtype == np.float32


def test_a_parameter_is_a_tensor_that_asks_for_gradients():
    p = Parameter(np.ones(2, np.float32))
    assert isinstance(p, Tensor) and p.requires_grad and p.grad is None
    assert not Parameter(np.arange(2), requires_grad=False).requires_grad


def test_repr_lists_the_parameters():
    assert repr(LayerNorm(2)) == "LayerNorm: 4 parameters\n  weight (2,) float32\n  bias (2,) float32"
