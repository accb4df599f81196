"""Functions and methods that the simulator takes from NumPy: same values and dtypes, on the device, no waiting."""
import importlib.util
import json
import re

import numpy as np
import pytest
from cupy_names import FILE, names_of, parameters, text

from minimoe import cudasim as xp

HOST = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -1.0]])
INTEGERS = np.array([2, 0, 1], np.int32)

SAME = {
    "exp": lambda m, a, i: m.exp(a),
    "log of abs": lambda m, a, i: m.log(m.abs(a)),
    "sqrt": lambda m, a, i: m.sqrt(a * a),
    "tanh": lambda m, a, i: m.tanh(a),
    "maximum": lambda m, a, i: m.maximum(a, 0.0),
    "power": lambda m, a, i: m.power(a, 2),
    "copysign": lambda m, a, i: m.copysign(1.0, a),
    "sign": lambda m, a, i: m.sign(a),
    "floor": lambda m, a, i: m.floor(a),
    "isfinite": lambda m, a, i: m.isfinite(a),
    "logical_and": lambda m, a, i: m.logical_and(a > 0, a < 3),
    "logaddexp": lambda m, a, i: m.logaddexp(a, 1.0),
    "sinc": lambda m, a, i: m.sinc(a),
    "matmul": lambda m, a, i: m.matmul(a, a.T),
    "add.outer": lambda m, a, i: m.add.outer(a[0], i),
    "where": lambda m, a, i: m.where(a > 1, a, 0),
    "sum": lambda m, a, i: m.sum(a, axis=1, keepdims=True),
    "sum of all": lambda m, a, i: a.sum(),
    "sum of integers": lambda m, a, i: i.sum(),
    "sum of truths": lambda m, a, i: (a > 0).sum(axis=0),
    "mean": lambda m, a, i: a.mean(axis=0),
    "mean of integers": lambda m, a, i: i.mean(),
    "max": lambda m, a, i: a.max(-1),
    "min": lambda m, a, i: m.min(a, axis=(0, 1)),
    "argmax": lambda m, a, i: a.argmax(axis=1),
    "all": lambda m, a, i: (a > -2).all(),
    "any": lambda m, a, i: m.any(a > 3, axis=1),
    "std": lambda m, a, i: a.std(ddof=1),
    "var": lambda m, a, i: m.var(a, axis=0),
    "prod": lambda m, a, i: a.prod(),
    "cumsum": lambda m, a, i: a.cumsum(axis=1),
    "cumsum of integers": lambda m, a, i: m.cumsum(i),
    "count_nonzero": lambda m, a, i: m.count_nonzero(a > 0),
    "count_nonzero of all": lambda m, a, i: m.count_nonzero(a),
    "allclose": lambda m, a, i: m.allclose(a, a + 1e-12),
    "array_equal": lambda m, a, i: m.array_equal(a, a),
    "matmul of other axes": lambda m, a, i: m.matmul(a, a, axes=[(1, 0), (0, 1), (0, 1)]),
    "norm": lambda m, a, i: m.sqrt(m.vdot(a, a)),
    "dot": lambda m, a, i: a.dot(i),
    "einsum": lambda m, a, i: m.einsum("ij,kj->ik", a, a),
    "tensordot": lambda m, a, i: m.tensordot(a, a, axes=([1], [1])),
    "clip": lambda m, a, i: m.clip(a, 0, 2),
    "method clip": lambda m, a, i: a.clip(0, 2),
    "round": lambda m, a, i: a.round(),
    "astype": lambda m, a, i: a.astype("float32"),
    "astype of truths": lambda m, a, i: (a > 0).astype(m.int32),
    "argsort": lambda m, a, i: m.argsort(-a, axis=1, kind="stable"),
    "sort": lambda m, a, i: m.sort(a, axis=0),
    "sort of all": lambda m, a, i: m.sort(a, axis=None),
    "lexsort": lambda m, a, i: m.lexsort(m.stack([i, -i])),
    "searchsorted": lambda m, a, i: m.searchsorted(m.sort(i), i, side="right"),
    "take": lambda m, a, i: a.take(i, axis=1),
    "take of all": lambda m, a, i: m.take(a, i),
    "take into": lambda m, a, i: m.take(a, i, axis=1, out=m.zeros((2, 3))),
    "take_along_axis": lambda m, a, i: m.take_along_axis(a, m.argsort(a, axis=1), axis=1),
    "concatenate": lambda m, a, i: m.concatenate([a, a], axis=1),
    "stack": lambda m, a, i: m.stack([a, a], axis=1),
    "vstack": lambda m, a, i: m.vstack((a, a)),
    "tile": lambda m, a, i: m.tile(a, (2, 1)),
    "repeat": lambda m, a, i: m.repeat(a, 2, axis=0),
    "reshape": lambda m, a, i: a.reshape(3, -1).transpose(1, 0),
    "reshape function": lambda m, a, i: m.reshape(a, (6,)),
    "swapaxes": lambda m, a, i: a.swapaxes(0, 1),
    "moveaxis": lambda m, a, i: m.moveaxis(a, 0, 1),
    "broadcast_to": lambda m, a, i: m.broadcast_to(a[0], (4, 3)),
    "ascontiguousarray": lambda m, a, i: m.ascontiguousarray(a.T),
    "flip": lambda m, a, i: m.flip(a, axis=1),
    "roll": lambda m, a, i: m.roll(a, 1, axis=1),
    "split": lambda m, a, i: m.split(a, 3, axis=1)[1],
    "tril": lambda m, a, i: m.tril(a),
    "trace": lambda m, a, i: a.trace(),
    "pieces by slices": lambda m, a, i: a[:, None, ::-1],
    "rows by index": lambda m, a, i: a[:, i],
    "by an index of the device": lambda m, a, i: a[i[1]],
    "isin": lambda m, a, i: m.isin(i, i[:2]),
    "isin inverted": lambda m, a, i: m.isin(i, i[:2], invert=True),
    "add.reduce": lambda m, a, i: m.add.reduce(a),
    "multiply.accumulate": lambda m, a, i: m.multiply.accumulate(a),
    "add.reduceat": lambda m, a, i: m.add.reduceat(a, m.asarray([0, 2]), axis=1),
    "zeros": lambda m, a, i: m.zeros((2, 3)),
    "ones_like": lambda m, a, i: m.ones_like(a, dtype="int32"),
    "full": lambda m, a, i: m.full((2, 2), 7, "int32"),
    "full_like": lambda m, a, i: m.full_like(a, 1.5),
    "arange": lambda m, a, i: m.arange(1, 5, dtype=m.int32),
    "eye": lambda m, a, i: m.eye(3),
    "linspace": lambda m, a, i: m.linspace(0, 1, 5),
    "scalars only": lambda m, a, i: m.maximum(2, 3.5),
    "float32 of a number": lambda m, a, i: a.astype(m.float32) * 0.5,
    "0-d": lambda m, a, i: a.sum() + i.max(),
    "nan_to_num": lambda m, a, i: m.nan_to_num(a / 0.5),
    "median": lambda m, a, i: m.median(a),
    "quantile": lambda m, a, i: m.quantile(a, 0.25, axis=1),
}


@pytest.mark.parametrize("how", SAME.values(), ids=SAME)
def test_answers_as_numpy_on_the_device_without_waiting(how):
    a, i = xp.asarray(HOST), xp.asarray(INTEGERS)
    before = xp.host_synchronisations()
    found = how(xp, a, i)
    assert isinstance(found, xp.ndarray) and xp.host_synchronisations() == before
    expected = how(np, HOST.copy(), INTEGERS.copy())
    np.testing.assert_array_equal(found.get(), expected)
    assert found.dtype == np.asarray(expected).dtype


DEPENDENT = {
    "mask": lambda m, a, i: a[a > 1],
    "nonzero": lambda m, a, i: m.nonzero(a > 1)[1],
    "flatnonzero": lambda m, a, i: m.flatnonzero(a > 1),
    "argwhere": lambda m, a, i: m.argwhere(a > 1),
    "where of one": lambda m, a, i: m.where(a > 1)[0],
    "bincount": lambda m, a, i: m.bincount(i, minlength=5),
    "repeat by counts": lambda m, a, i: m.repeat(a, i, axis=1),
    "unique": lambda m, a, i: m.unique(a),
    "unique with counts": lambda m, a, i: m.unique(a, return_counts=True)[1],
}


@pytest.mark.parametrize("how", DEPENDENT.values(), ids=DEPENDENT)
def test_answers_as_numpy_where_the_size_depends_on_values(how):
    found, expected = how(xp, xp.asarray(HOST), xp.asarray(INTEGERS)), how(np, HOST, INTEGERS)
    np.testing.assert_array_equal(found.get(), expected)
    assert found.dtype == expected.dtype


def test_put_along_axis_writes_each_row_in_its_own_order():
    a, host = xp.asarray(HOST), HOST.copy()
    for array, module in ((a, xp), (host, np)):
        module.put_along_axis(array, module.argsort(array, axis=1), module.asarray(HOST) * 10, axis=1)
        module.put_along_axis(array, module.asarray([[2], [0]]), 7.0, axis=-1)
    np.testing.assert_array_equal(a.get(), host)


def test_copyto_and_fill_diagonal_write_in_place():
    a, host = xp.asarray(HOST), HOST.copy()
    for array, module in ((a, xp), (host, np)):
        module.copyto(array, 9.0, where=array > 2)
        module.fill_diagonal(array, 5.0)
    np.testing.assert_array_equal(a.get(), host)


def test_sort_in_place():
    a = xp.asarray(HOST)
    a.sort()
    np.testing.assert_array_equal(a.get(), np.sort(HOST))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64", "float16", "float32", "float64"])
def test_add_at_counts_every_repetition(dtype):
    a = xp.zeros(3, dtype)
    xp.add.at(a, xp.asarray([1, 1, 2]), xp.asarray([1, 10, 5]).astype(dtype))
    assert a.tolist() == [0, 11, 5]


def test_the_other_ufuncs_that_have_at():
    a = xp.asarray(np.array([4, 4, 4], np.int32))
    xp.subtract.at(a, xp.asarray([0, 0]), 1)
    xp.maximum.at(a, xp.asarray([1]), 9)
    xp.bitwise_or.at(a, xp.asarray([2, 2]), 3)
    assert a.tolist() == [2, 9, 7]


def test_dtypes_and_constants_are_numpys():
    for name in ("float32", "float64", "int32", "int64", "bool_", "newaxis", "inf", "pi", "finfo", "iinfo", "dtype"):
        assert getattr(xp, name) is getattr(np, name)
    assert xp.result_type(xp.zeros(1, "float32"), 2.0) == np.float32
    assert xp.promote_types("int32", "float32") == np.float64 and xp.can_cast("int32", "int64")
    assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3) and xp.shape(xp.ones(3)) == (3,)


def test_a_function_is_made_once():
    assert xp.exp is xp.exp and xp.concatenate is xp.concatenate and xp.exp.__name__ == "exp" and xp.exp.nin == 1


def test_the_list_of_names_states_its_cupy_in_the_first_line_and_has_the_written_form():
    file = FILE.read_text(encoding="utf-8")
    found = json.loads(file)
    assert re.fullmatch(r'\{"cupy": "\d+\.\d+\.\d+",', file.splitlines()[0]) and text(found) == file
    assert set(found) == {"cupy", "functions", "methods", "ufuncs", "values"}
    written = [p for kind in ("functions", "methods") for ps in found[kind].values() for p in ps or ()]
    assert all(re.fullmatch(r"\*?[A-Za-z_]\w*=?|\*", parameter) for parameter in written)
    assert len(found["functions"]) > 250 and len(found["ufuncs"]) > 80


def test_parameters_are_written_as_the_list_says():
    def function(a, b=(1, 2), *, c: int = 3, d): ...
    def many(*xs, out=None): ...
    def anything(x, **options): ...

    class Compiled:                                 # Cython's methods have no signature but a docstring
        __doc__ = "ndarray.sum(self, int axis=-1, dtype=None) -> ndarray"

    assert parameters(function) == ["a", "b=", "*", "c=", "d"] and parameters(many) == ["*xs", "out="]
    assert parameters(anything) is None and parameters(Compiled()) == ["self", "axis=", "dtype="]


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed: pip install cupy-cuda13x")
def test_the_list_of_names_is_that_of_the_installed_cupy():
    import cupy

    found, stored = names_of(cupy), json.loads(FILE.read_text(encoding="utf-8"))
    if found["cupy"] != stored["cupy"]:
        pytest.skip(f"the list is of CuPy {stored['cupy']}, {found['cupy']} is installed; to renew it: "
                    "python tests/cudasim/cupy_names.py")
    assert found == stored
