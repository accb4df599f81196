"""The simulator's arrays refuse what CuPy refuses, count what waits for a GPU, and else answer as NumPy does."""
import importlib.util

import numpy as np
import pytest
from cupy_names import names_of

from minimoe import cudasim as xp
from minimoe.cudasim.functions import METHODS, NAMES

HOST = np.arange(6.0).reshape(2, 3)


def device():
    return xp.asarray(HOST)


def integers():
    return xp.asarray(np.array([2, 0, 1], np.int32))


# what is tried: (how, the exception, a word of the message)
REFUSED = {
    "device + host": (lambda a: a + HOST, TypeError, "asarray"),
    "host + device": (lambda a: HOST + a, TypeError, "asarray"),
    "function of a host array": (lambda a: xp.exp(HOST), TypeError, "asarray"),
    "function that CuPy would forward to NumPy": (lambda a: xp.sum(HOST), TypeError, "asarray"),
    "NumPy function of a device array": (lambda a: np.exp(a), TypeError, "ufunc"),
    "implicit copy to the host": (lambda a: np.asarray(a), TypeError, "Implicit conversion"),
    "list in a ufunc": (lambda a: xp.add(a, [1, 2, 3]), TypeError, "Unsupported type"),
    "list as operand": (lambda a: a + [1, 2, 3], TypeError, "unsupported operand"),
    "host index": (lambda a: a[np.array([0, 1])], TypeError, "asarray"),
    "host value": (lambda a: a.__setitem__(0, HOST[0]), TypeError, "asarray"),
    "index out of range": (lambda a: a[xp.asarray([7])], IndexError, "out of bounds"),
    "assignment to a repeated index": (lambda a: a.__setitem__(xp.asarray([0, 0]), 1.0), ValueError, "twice"),
    "sum with initial": (lambda a: a.sum(initial=0), TypeError, "initial"),
    "max with where": (lambda a: xp.max(a, where=a > 1), TypeError, "where"),
    "ufunc with where": (lambda a: xp.exp(a, where=a > 1), TypeError, "where"),
    "quicksort": (lambda a: xp.argsort(a, kind="quicksort"), ValueError, "stable"),
    "quicksort of a method": (lambda a: a.argsort(kind="quicksort"), ValueError, "stable"),
    "stable= keyword": (lambda a: xp.sort(a, stable=True), TypeError, "stable"),
    "lexsort of a tuple": (lambda a: xp.lexsort((a[0], a[1])), TypeError, "two-dimensional"),
    "take with mode": (lambda a: xp.take(a, integers(), mode="clip"), TypeError, "mode"),
    "einsum with order": (lambda a: xp.einsum("ij->j", a, order="C"), TypeError, "order"),
    "empty_like with subok": (lambda a: xp.empty_like(a, subok=False), TypeError, "subok"),
    "maximum.reduce": (lambda a: xp.maximum.reduce(a), NotImplementedError, "maximum.reduce"),
    "multiply.reduceat": (lambda a: xp.multiply.reduceat(a, integers()), NotImplementedError, "multiply.reduceat"),
    "subtract.at of floats": (lambda a: xp.subtract.at(a, integers(), 1.0), TypeError, "float64"),
    "insert": (lambda a: xp.insert(a, 0, 1.0), AttributeError, "insert"),
    "frompyfunc": (lambda a: xp.frompyfunc, AttributeError, "frompyfunc"),
    "errstate": (lambda a: xp.errstate, AttributeError, "errstate"),
    "setflags": (lambda a: a.setflags, AttributeError, "setflags"),
    "in": (lambda a: 1.0 in a, TypeError, "any"),
}


@pytest.mark.parametrize("how, error, word", REFUSED.values(), ids=REFUSED)
def test_refuses(how, error, word):
    with pytest.raises(error, match=word):
        how(device())


WAITS = {
    "int": lambda a: int(a[0, 0]), "float": lambda a: float(a.sum()), "bool": lambda a: bool((a > 1).any()),
    "index": lambda a: list(range(9))[integers()[0]], "get": lambda a: a.get(), "asnumpy": lambda a: xp.asnumpy(a),
    "item": lambda a: a.sum().item(), "tolist": lambda a: a.tolist(), "repr": lambda a: repr(a),
    "format": lambda a: f"{a.sum()}", "boolean mask": lambda a: a[a > 1], "nonzero": lambda a: xp.nonzero(a),
    "method nonzero": lambda a: a.nonzero(), "flatnonzero": lambda a: xp.flatnonzero(a),
    "where of one": lambda a: xp.where(a > 1), "bincount": lambda a: xp.bincount(integers()),
    "unique": lambda a: xp.unique(a), "repeat by device counts": lambda a: xp.repeat(a[0], integers()),
    "method repeat by device counts": lambda a: a[0].repeat(integers()),
}


@pytest.mark.parametrize("how", WAITS.values(), ids=WAITS)
def test_counts_one_synchronisation(how):
    a = device()
    before = xp.host_synchronisations()
    how(a)
    assert xp.host_synchronisations() == before + 1


SAME = {
    "arithmetic": lambda m, a, i: (a + 1) * a - 2.0 / (a + 1) ** 2, "reflected": lambda m, a, i: 1 - a,
    "matmul": lambda m, a, i: a @ a.T, "comparison": lambda m, a, i: (a > 1) & ~(a == 2), "mean": lambda m, a, i:
    a.mean(axis=0), "where": lambda m, a, i: m.where(a > 1, a, 0), "take": lambda m, a, i: a.take(i, axis=1),
    "argsort": lambda m, a, i: m.argsort(-a, axis=1, kind="stable"), "cumsum": lambda m, a, i: a.cumsum(axis=1),
    "take_along_axis": lambda m, a, i: m.take_along_axis(a, m.argsort(a, axis=1), axis=1),
    "concatenate": lambda m, a, i: m.concatenate([a, a]), "stack": lambda m, a, i: m.stack([a, a], axis=1),
    "reshape": lambda m, a, i: a.reshape(3, 2).transpose(1, 0), "astype": lambda m, a, i: a.astype("float32"),
    "isin": lambda m, a, i: m.isin(i, i[:2]), "searchsorted": lambda m, a, i: m.searchsorted(m.sort(i), i),
    "lexsort": lambda m, a, i: m.lexsort(m.stack([i, -i])), "new axis": lambda m, a, i: a[:, None, ::-1],
    "add.reduceat": lambda m, a, i: m.add.reduceat(a[0], m.asarray([0, 2])), "0-d": lambda m, a, i: a.sum() + i.max(),
    "full": lambda m, a, i: m.full((2, 2), 7, "int32"), "broadcast_to": lambda m, a, i: m.broadcast_to(a[0], (4, 3)),
    "in place": lambda m, a, i: m.add(a, 1, out=a.copy()), "clip": lambda m, a, i: m.clip(a, 1, 3),
}


@pytest.mark.parametrize("how", SAME.values(), ids=SAME)
def test_answers_as_numpy_without_waiting(how):
    a, i = device(), integers()
    before = xp.host_synchronisations()
    found = how(xp, a, i)
    assert isinstance(found, xp.ndarray) and xp.host_synchronisations() == before
    expected = how(np, HOST.copy(), np.array([2, 0, 1], np.int32))
    np.testing.assert_array_equal(found.get(), expected)
    assert found.dtype == np.asarray(expected).dtype


def test_in_place_operators_write_into_the_same_memory():
    a = device()
    view = a[0]
    a += 1
    view *= 2
    np.testing.assert_array_equal(a.get(), [[2, 4, 6], [4, 5, 6]])


def test_a_view_knows_the_array_that_owns_its_memory_and_a_copy_has_none():
    a = device()
    assert a.base is None and a[0].base is a and a[0].reshape(3, 1).base is a and xp.asarray(a) is a
    assert (a + 1).base is None and a.copy().base is None and a.sum().base is None


def test_what_comes_from_the_host_and_goes_there_is_a_copy():
    host = HOST.copy()
    a = xp.asarray(host)
    host[0, 0] = 99
    a.get()[0, 1] = 99
    np.testing.assert_array_equal(a.get(), HOST)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_empty_memory_holds_a_pattern_and_not_zeros(dtype):
    assert (xp.empty(5, dtype).get().view(np.uint8) == 0xCB).all()
    assert (xp.empty_like(xp.zeros((2, 2), dtype)).get().view(np.uint8) == 0xCB).all()


def test_add_at_counts_every_repetition():
    a = xp.zeros(3, "float32")
    xp.add.at(a, xp.asarray([1, 1, 2]), xp.asarray(np.array([1, 10, 5], np.float32)))
    np.testing.assert_array_equal(a.get(), [0, 11, 5])


def test_the_list_of_names_states_its_version_and_holds_every_method_used():
    assert NAMES["cupy"].count(".") >= 1 and len(NAMES["functions"]) > 300
    assert set(METHODS) <= set(NAMES["methods"])


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed: pip install cupy-cuda13x")
def test_the_list_of_names_is_that_of_the_installed_cupy():
    import cupy

    found = names_of(cupy)
    if found["cupy"] != NAMES["cupy"]:
        pytest.skip(f"the list is that of CuPy {NAMES['cupy']}, {found['cupy']} is installed: "
                    "python tests/cudasim/cupy_names.py")
    assert found == NAMES
