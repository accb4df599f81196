"""The table of operations, first part: everything but attention and experts. See op_cases.py."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Case:
    """One row: an operation and inputs to try it on.

    `inputs(r)` makes the positional inputs from a generator: float64 arrays are differentiated, integers and booleans
    are passed as they are. `kwargs`: the options. `as_list`: the operation takes all its inputs as one list. `note`
    tells the rows of one operation apart.
    """

    op: str
    inputs: Callable[[np.random.Generator], list]
    kwargs: dict = field(default_factory=dict)
    note: str = ""
    as_list: bool = False

    def __str__(self) -> str:
        return f"{self.op} ({self.note})" if self.note else self.op


def of(*makers) -> Callable[[np.random.Generator], list]:
    """Inputs made one after the other: of(normal(2, 3), normal(3))."""
    return lambda r: [make(r) for make in makers]


def normal(*shape):
    return lambda r: r.standard_normal(shape)


def positive(*shape):
    return lambda r: r.uniform(0.5, 2, shape)


def off_zero(*shape):
    """Of both signs, and far enough from a kink at 0."""
    return lambda r: r.uniform(0.3, 2, shape) * r.choice([-1, 1], shape)


def apart(*shape, shift=0.0):
    """Every two values at least 0.2 apart, and 0.05 from those with a shift of 0.15: no ties, for max and clip."""
    def make(r):
        n = math.prod(shape)
        return ((r.permutation(n) - n // 2) * 0.3 + r.uniform(0, 0.1, n) + shift).reshape(shape)
    return make


def integers(low: int, high: int, *shape, dtype="int64"):
    return lambda r: r.integers(low, high, shape).astype(dtype)


def fixed(values):
    return lambda r: np.array(values)


def mask(*shape):
    return lambda r: r.random(shape) < 0.5


PAIRS = {"": ((3, 4), (3, 4)), "numbers": ((), ()), "row": ((2, 3), (3,)), "both stretch": ((2, 1, 3), (4, 1)),
         "number and array": ((), (2, 2)), "no element": ((2, 0, 3), (2, 1, 1))}


def pairs(op: str, make_a, make_b) -> list[Case]:
    """An operation of two inputs on every way in which shapes meet."""
    return [Case(op, of(make_a(*a), make_b(*b)), note=note) for note, (a, b) in PAIRS.items()]


def shapes(op: str, make, **kwargs) -> list[Case]:
    """An operation of one input on several shapes."""
    return [Case(op, of(make(*shape)), kwargs, note)
            for note, shape in {"": (3, 4), "a number": (), "no element": (0, 3), "three axes": (2, 2, 3)}.items()]


def reductions(op: str, make, empty: bool) -> list[Case]:
    rows = [({"axis": None}, (3, 4), "all"), ({"axis": 0}, (3, 4), "first axis"), ({"axis": None}, (), "a number"),
            ({"axis": -1, "keepdims": True}, (2, 3), "kept"), ({"axis": (0, 2)}, (2, 3, 2), "two axes"),
            ({"axis": 0}, (2, 0), "no result")]
    if empty:
        rows.append(({"axis": 1}, (2, 0), "no element"))
    return [Case(op, of(make(*shape)), kwargs, note) for kwargs, shape, note in rows]


def shifted(*shape):
    return apart(*shape, shift=0.15)


CASES = [
    # elementwise
    *pairs("add", normal, normal), *pairs("sub", normal, normal), *pairs("mul", normal, normal),
    *pairs("div", normal, off_zero), *pairs("maximum", apart, shifted), *pairs("minimum", apart, shifted),
    *shapes("neg", normal), *shapes("abs", off_zero), *shapes("exp", normal), *shapes("log", positive),
    *shapes("sqrt", positive), *shapes("pow", normal, exponent=3), *shapes("clip", apart, min=-0.75, max=0.75),
    Case("pow", of(off_zero(3, 2)), {"exponent": 2}, "square"),
    Case("pow", of(off_zero(3, 2)), {"exponent": -1}, "inverse"),
    Case("pow", of(positive(3, 2)), {"exponent": 1.7}, "fraction"),
    Case("pow", of(fixed([0.0, -2.0, 3.0])), {"exponent": 0}, "zeroth"),
    Case("pow", of(fixed([0.0, -2.0, 3.0])), {"exponent": 4}, "at zero"),
    Case("clip", of(apart(3, 4)), {"min": -0.75}, "only min"),
    Case("clip", of(apart(3, 4)), {"max": 0.75}, "only max"),
    Case("where", of(mask(3, 4), normal(3, 4), normal(3, 4))),
    Case("where", of(mask(3, 1), normal(4), normal(2, 1, 1)), note="all stretch"),
    Case("where", of(mask(2, 0), normal(2, 0), normal()), note="no element"),
    # activations
    *shapes("tanh", normal), *shapes("sigmoid", normal), *shapes("relu", off_zero), *shapes("gelu", normal),
    *[Case("gelu", c.inputs, {"approximate": "tanh"}, f"tanh {c.note}") for c in shapes("gelu", normal)],
    # reductions
    *reductions("sum", normal, empty=True), *reductions("mean", normal, empty=False),
    *reductions("max", apart, empty=False), *reductions("min", apart, empty=False),
    *reductions("logsumexp", normal, empty=False),
    # shapes
    Case("reshape", of(normal(3, 4)), {"shape": (2, -1)}),
    Case("reshape", of(normal(2, 1)), {"shape": (2,)}, "drop an axis"),
    Case("reshape", of(normal(0, 3)), {"shape": (3, 0, 2)}, "no element"),
    Case("transpose", of(normal(3, 4))),
    Case("transpose", of(normal(2, 3, 2)), {"axes": (1, -1, 0)}, "turned"),
    Case("transpose", of(normal()), {"axes": ()}, "a number"),
    Case("concatenate", of(normal(2, 3), normal(1, 3), normal(0, 3)), as_list=True),
    Case("concatenate", of(normal(2, 1, 2), normal(2, 3, 2)), {"axis": -2}, "inner axis", as_list=True),
    Case("stack", of(normal(2, 3), normal(2, 3)), as_list=True),
    Case("stack", of(normal(2, 3), normal(2, 3), normal(2, 3)), {"axis": -1}, "last axis", as_list=True),
    Case("split", of(normal(4, 3)), {"sections": 2}),
    Case("split", of(normal(2, 5)), {"sections": [1, 1, 3], "axis": -1}, "at places"),
    Case("getitem", of(normal(3, 4)), {"index": 1}, "row"),
    Case("getitem", of(normal(5, 4)), {"index": (slice(None, None, -2), slice(1, 3))}, "slices"),
    Case("getitem", of(normal(2, 3, 2)), {"index": (Ellipsis, None, -1)}, "ellipsis and new axis"),
    Case("getitem", of(normal(4)), {"index": [0, 0, 2, -1]}, "repeats in a list"),
    Case("getitem", of(normal(3, 2)), {"index": np.array([[1, -1], [1, 2]], np.int32)}, "repeats in an array"),
    Case("getitem", of(normal(3, 4)), {"index": (np.array([1, 1, 0]), np.array([2, 2, 3]))}, "repeated pairs"),
    Case("getitem", of(normal(3, 2, 4)), {"index": (slice(0, 2), np.array([1, 1]))}, "slice and repeats"),
    Case("getitem", of(normal(3, 2)), {"index": np.array([True, False, True])}, "mask"),
    Case("getitem", of(normal(2, 3)), {"index": np.array([], np.int64)}, "nothing"),
    Case("broadcast_to", of(normal(3, 1)), {"shape": (2, 3, 4)}),
    Case("broadcast_to", of(normal()), {"shape": (2, 0)}, "no element"),
    # products
    *[Case("matmul", of(normal(*a), normal(*b)), note=f"{a} {b}") for a, b in [
        ((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((2, 3, 4), (4,)),
        ((2, 3, 4), (2, 4, 2)), ((3, 2), (2, 2, 3)), ((2,), (3, 2, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((2, 0), (0, 3)),
        ((0, 2), (2, 3)), ((0, 2, 3), (3, 2))]],
    Case("linear", of(normal(3, 4), normal(2, 4), normal(2))),
    Case("linear", of(normal(2, 2, 3), normal(4, 3)), note="three axes, no bias"),
    Case("linear", of(normal(3), normal(2, 3), normal(2)), note="one row"),
    Case("linear", of(normal(0, 3), normal(2, 3), normal(2)), note="no row"),
    Case("linear", of(normal(2, 0), normal(2, 0), normal(2)), note="no input"),
    # softmax, norms, losses
    *[Case(op, of(normal(*shape)), {"axis": axis}, f"{shape} axis {axis}")
      for op in ("softmax", "log_softmax") for shape, axis in [((3, 5), -1), ((3, 4), 0), ((2, 3, 2), 1), ((0, 3), -1),
                                                              ((2, 0), 1), ((2, 1), 1)]],
    Case("layer_norm", of(normal(3, 5), normal(5), normal(5))),
    Case("layer_norm", of(normal(2, 2, 4)), {"weight": None, "bias": None}, "three axes, plain"),
    Case("layer_norm", of(normal(4), normal(4)), {"bias": None, "eps": 0.1}, "one row, no bias"),
    Case("layer_norm", of(normal(0, 3), normal(3), normal(3)), note="no row"),
    Case("rms_norm", of(normal(3, 5), normal(5))),
    Case("rms_norm", of(normal(2, 2, 4)), {"eps": 0.1}, "three axes, plain"),
    Case("rms_norm", of(normal(0, 3), normal(3)), note="no row"),
    Case("cross_entropy", of(normal(4, 3), integers(0, 3, 4))),
    Case("cross_entropy", of(normal(2, 3, 4), integers(0, 4, 2, 3, dtype="int32")), note="three axes"),
    Case("cross_entropy", of(normal(4, 3), fixed([2, -100, 0, -100])), note="left out"),
    Case("cross_entropy", of(normal(2, 3), fixed([1, 1])), {"ignore_index": 1}, "nothing counts"),
    Case("cross_entropy", of(normal(4, 3), fixed([2, 7, 0, 1])), {"ignore_index": 7, "label_smoothing": 0.2},
         "smoothed"),
    Case("cross_entropy", of(normal(0, 3), integers(0, 3, 0)), note="no row"),
    Case("cross_entropy", of(normal(3), integers(0, 3)), note="one row"),
    Case("mse_loss", of(normal(3, 2), normal(3, 2))),
    Case("mse_loss", of(normal(0), normal(0)), note="no element"),
    # rows and masks
    Case("embedding", of(fixed([[1, 0, 3], [1, 1, 4]]), normal(5, 2))),
    Case("embedding", of(integers(1, 4, 6, dtype="uint8"), normal(4, 3)), {"padding_idx": 0}, "padding unused"),
    Case("embedding", of(integers(0, 4, 0), normal(4, 2)), note="no id"),
    Case("dropout", of(normal(3, 5)), {"p": 0.4, "rng": 3}),
    Case("dropout", of(normal(3, 5)), {"p": 0.4, "training": False}, "not training"),
    Case("dropout", of(normal(3, 5)), {"p": 1.0}, "everything dropped"),
    Case("dropout", of(normal(0, 5)), {"p": 0.4, "rng": 3}, "no element"),
]
