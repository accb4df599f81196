"""What device arrays refuse. Each case: what is tried, the exception, words of its message, where CuPy 14.2 says so.

"stricter" marks what CuPy accepts and the simulator does not, on purpose.
"""
import operator

import numpy as np
import pytest

from minimoe import cudasim as xp

HOST = np.arange(6.0).reshape(2, 3)
CORE, INDEXING, KERNEL = "_core/core.pyx", "_core/_routines_indexing.pyx", "_core/_kernel.pyx"
NO_SUCH_NAME = "cupy_names.json"                    # neither the name nor the option is there


def integers(*values):
    return xp.asarray(np.array(values or (2, 0, 1), np.int32))


REFUSED = {
    # host and device together
    "device + host": (lambda a: a + HOST, TypeError, "Unsupported type", KERNEL),
    "host + device": (lambda a: HOST + a, TypeError, "Unsupported type", KERNEL),
    "device += host": (lambda a: operator.iadd(a, HOST), TypeError, "Unsupported type", KERNEL),
    "device == host": (lambda a: a == HOST, TypeError, "Unsupported type", KERNEL),
    "device == None": (lambda a: a == None, TypeError, "Unsupported type", "stricter: all False"),     # noqa: E711
    "device + list": (lambda a: a + [1, 2, 3], TypeError, "unsupported operand", KERNEL),
    "ufunc of a host array": (lambda a: xp.exp(HOST), TypeError, "asarray", KERNEL),
    "ufunc of a list": (lambda a: xp.add(a, [1, 2, 3]), TypeError, "Unsupported type", KERNEL),
    "ufunc into a host array": (lambda a: xp.exp(a, out=HOST), TypeError, "out is ndarray", KERNEL),
    "where with a host array": (lambda a: xp.where(a > 1, HOST, 0), TypeError, "asarray", KERNEL),
    "sum of a host array": (lambda a: xp.sum(HOST), TypeError, "asarray", "stricter: calls host.sum()"),
    "argsort of a host array": (lambda a: xp.argsort(HOST), TypeError, "asarray", "stricter: calls host.argsort()"),
    "sum of a list": (lambda a: xp.sum([1, 2]), TypeError, "no device array", "_math/sumprod.py"),
    "sum into a host array": (lambda a: a.sum(axis=0, out=np.zeros(3)), TypeError, "out has a NumPy array", KERNEL),
    "concatenate with a host array": (lambda a: xp.concatenate([a, HOST]), TypeError, "device arrays only",
                                      "_core/_routines_manipulation.pyx"),
    "concatenate of host arrays": (lambda a: xp.concatenate([HOST, HOST]), TypeError, "asarray",
                                   "_core/_routines_manipulation.pyx"),
    "select by host masks": (lambda a: xp.select([HOST > 1], [a]), TypeError, "condlist has a NumPy array",
                             "_indexing/indexing.py"),
    "NumPy ufunc": (lambda a: np.exp(a), TypeError, "ufunc", "stricter: runs on the device"),
    "NumPy function": (lambda a: np.concatenate([a, a]), TypeError, "xp.concatenate", "stricter: runs on the device"),
    "NumPy sum": (lambda a: np.sum(a), TypeError, "xp.sum", "stricter: runs on the device"),
    "np.asarray": (lambda a: np.asarray(a), TypeError, "Implicit conversion to a NumPy array is not allowed", CORE),
    "np.array of a list": (lambda a: np.array([a, a]), TypeError, "Implicit conversion", CORE),
    # a value where a Python number is needed
    "range": (lambda a: range(integers()[0]), TypeError, "cannot be interpreted as an integer", CORE),
    "index of a list": (lambda a: [1, 2, 3][integers()[0]], TypeError, "indices must be integers", CORE),
    "slice": (lambda a: a[:integers(1)[0]], TypeError, "slice indices", CORE),
    "shape": (lambda a: xp.zeros((integers()[0], 2)), TypeError, "shape holds device arrays", CORE),
    "shape of nothing else": (lambda a: xp.zeros((integers()[0],)), TypeError, "shape holds device arrays", CORE),
    "shape of empty": (lambda a: xp.empty(integers()[0]), TypeError, "integer", CORE),
    "reshape": (lambda a: a.reshape(integers(3)[0], 2), TypeError, "shape is a device array", CORE),
    "axis": (lambda a: xp.sum(a, axis=integers(0)[0]), TypeError, "axis is a device array", CORE),
    "minlength": (lambda a: xp.bincount(integers(), minlength=integers()[0]), TypeError, "minlength is a device array",
                  CORE),
    # indexing
    "host index": (lambda a: a[np.array([0, 1])], TypeError, "index is a NumPy array", "stricter: copies it"),
    "index out of range": (lambda a: a[integers(7)], IndexError, "out of bounds", "stricter: wraps around"),
    "take out of range": (lambda a: a.take(integers(7)), IndexError, "out of bounds", "stricter: wraps around"),
    "assignment out of range": (lambda a: operator.setitem(a, integers(7), 1.0), IndexError, "out of bounds",
                                "stricter: wraps around"),
    "host value": (lambda a: operator.setitem(a, 0, HOST[0]), TypeError, "Unsupported type", CORE),
    "list value": (lambda a: operator.setitem(a, 0, [1.0, 2.0, 3.0]), TypeError, "Unsupported type", CORE),
    "two values for a row": (lambda a: operator.setitem(a, integers(1, 1), a), ValueError, "appears twice", CORE),
    "two values for a row, counted from the end": (lambda a: operator.setitem(a, integers(1, -1), a), ValueError,
                                                   "appears twice", CORE),
    "two values for a cell": (lambda a: operator.setitem(a, (integers(0, 0), integers(2, 2)), a[0, :2]), ValueError,
                              "appears twice", CORE),
    "two values for a column": (lambda a: operator.setitem(a, (slice(None), integers(1, 1)), a[:, :2]), ValueError,
                                "appears twice", CORE),
    "put_along_axis, index twice": (lambda a: xp.put_along_axis(a, integers(0, 0)[None], a[:1, :2], 1), ValueError,
                                    "appears twice", "lib/_shape_base.py"),
    "put_along_axis of all": (lambda a: xp.put_along_axis(a, a.argsort(), a, None), ValueError, "axis is None",
                              "stricter: it is cupy.put, which wraps around"),
    "in": (lambda a: 1.0 in a, TypeError, "any", "stricter: reads element after element"),
    # truth and single values
    "truth of several": (lambda a: bool(a), ValueError, "ambiguous", CORE),
    "truth of none": (lambda a: bool(a[:0]), ValueError, "ambiguous", "stricter: False, with a warning"),
    "item of several": (lambda a: a.item(), ValueError, "size 1", CORE),
    "item with an index": (lambda a: a.item(0), TypeError, "positional", CORE),
    "length of a number": (lambda a: len(a.sum()), TypeError, "unsized", CORE),
    "iteration over a number": (lambda a: iter(a.sum()), TypeError, "0-d", CORE),
    "hash": (lambda a: hash(a), TypeError, "unhashable", CORE),
    # options that only NumPy has
    "sum with initial": (lambda a: a.sum(initial=0), TypeError, "initial", NO_SUCH_NAME),
    "sum with where": (lambda a: xp.sum(a, where=a > 1), TypeError, "where", NO_SUCH_NAME),
    "mean with where": (lambda a: a.mean(where=a > 1), TypeError, "where", NO_SUCH_NAME),
    "max with initial": (lambda a: xp.max(a, initial=0), TypeError, "initial", NO_SUCH_NAME),
    "ufunc with where": (lambda a: xp.exp(a, where=a > 1), TypeError, "where", KERNEL),
    "ufunc with order": (lambda a: xp.exp(a, order="C"), TypeError, "order", KERNEL),
    "take with mode": (lambda a: xp.take(a, integers(), mode="clip"), TypeError, "mode", "_indexing/indexing.py"),
    "take into another dtype": (lambda a: a.take(integers(), axis=1, out=xp.zeros((2, 3), "float32")), TypeError,
                                "Output dtype mismatch", INDEXING),
    "take_along_axis without axis": (lambda a: xp.take_along_axis(a, a.argsort()), TypeError, "axis is missing",
                                     NO_SUCH_NAME),
    "argsort of quicksort": (lambda a: xp.argsort(a, kind="quicksort"), ValueError, "stable", CORE),
    "argsort of quicksort, by position": (lambda a: xp.argsort(a, -1, "quicksort"), ValueError, "stable", CORE),
    "method argsort of quicksort": (lambda a: a.argsort(kind="quicksort"), ValueError, "stable", CORE),
    "sort of heapsort": (lambda a: xp.sort(a, kind="heapsort"), ValueError, "stable", CORE),
    "sort with stable=": (lambda a: xp.sort(a, stable=True), TypeError, "stable", NO_SUCH_NAME),
    "sort of a view in place": (lambda a: a.T.sort(), NotImplementedError, "non-contiguous",
                                "_core/_routines_sorting.pyx"),
    "argpartition with kind": (lambda a: xp.argpartition(a, 1, kind="introselect"), TypeError, "kind", NO_SUCH_NAME),
    "lexsort of a tuple": (lambda a: xp.lexsort((a[0], a[1])), TypeError, "two-dimensional", "_sorting/sort.py"),
    "lexsort of three dimensions": (lambda a: xp.lexsort(a[None]), NotImplementedError, "two dimensions",
                                    "_sorting/sort.py"),
    "lexsort with axis": (lambda a: xp.lexsort(a, axis=0), TypeError, "axis", NO_SUCH_NAME),
    "searchsorted of a list": (lambda a: xp.searchsorted(a[0], [1.0]), NotImplementedError, "v is list",
                               "_sorting/search.py"),
    "isin with kind": (lambda a: xp.isin(a, a, kind="sort"), TypeError, "kind", NO_SUCH_NAME),
    "einsum with out": (lambda a: xp.einsum("ij->j", a, out=a[0]), TypeError, "out", "linalg/_einsum.py"),
    "einsum with order": (lambda a: xp.einsum("ij->j", a, order="C"), TypeError, "order", "linalg/_einsum.py"),
    "argmax with dtype": (lambda a: a.argmax(dtype="int32"), TypeError, "dtype", "stricter: NumPy has none"),
    "argmax out by position": (lambda a: xp.argmax(a, 0, integers()), TypeError, "takes 2 arguments", NO_SUCH_NAME),
    "astype with casting": (lambda a: a.astype("int32", casting="safe"), TypeError, "casting", CORE),
    "empty_like with subok": (lambda a: xp.empty_like(a, subok=False), TypeError, "subok", "_creation/basic.py"),
    "zeros_like with subok": (lambda a: xp.zeros_like(a, subok=False), TypeError, "subok", "_creation/basic.py"),
    "array with subok": (lambda a: xp.array(a, subok=True), TypeError, "subok", "_creation/from_data.py"),
    "array without the copy it needs": (lambda a: xp.asarray(HOST, copy=False), ValueError, "must be copied",
                                        "_creation/from_data.py"),
    "array of texts": (lambda a: xp.asarray(["a"]), ValueError, "Unsupported dtype", CORE),
    "fill with an array": (lambda a: a.fill(a), ValueError, "more than one element", CORE),
    # ufunc methods
    "maximum.reduce": (lambda a: xp.maximum.reduce(a), NotImplementedError, "maximum.reduce", KERNEL),
    "maximum.accumulate": (lambda a: xp.maximum.accumulate(a), NotImplementedError, "maximum.accumulate", KERNEL),
    "multiply.reduceat": (lambda a: xp.multiply.reduceat(a, integers()), NotImplementedError, "reduceat", KERNEL),
    "add.reduce of a host array": (lambda a: xp.add.reduce(HOST), TypeError, "device array", "stricter: host.sum()"),
    "multiply.at": (lambda a: xp.multiply.at(a, integers(), 1.0), NotImplementedError, "multiply.at", KERNEL),
    "add.at of int8": (lambda a: xp.add.at(xp.zeros(3, "int8"), integers(), 1), TypeError, "int8", INDEXING),
    "subtract.at of floats": (lambda a: xp.subtract.at(a, integers(), 1.0), TypeError, "float64", INDEXING),
    "subtract.at of int64": (lambda a: xp.subtract.at(xp.zeros(3, int), integers(), 1), TypeError, "int64", INDEXING),
    "maximum.at of float16": (lambda a: xp.maximum.at(xp.zeros(3, "float16"), integers(), 1), TypeError, "float16",
                              INDEXING),
    # names that only NumPy has, or that the simulator leaves out
    "insert": (lambda a: xp.insert(a, 0, 1.0), AttributeError, "CuPy .* has no insert", NO_SUCH_NAME),
    "frompyfunc": (lambda a: xp.frompyfunc, AttributeError, "CuPy .* has no frompyfunc", NO_SUCH_NAME),
    "errstate": (lambda a: xp.errstate, AttributeError, "CuPy .* has no errstate", "_misc: it is in cupyx"),
    "einsum_path": (lambda a: xp.einsum_path, AttributeError, "CuPy .* has no einsum_path", NO_SUCH_NAME),
    "vecdot": (lambda a: xp.vecdot, AttributeError, "CuPy .* has no vecdot", NO_SUCH_NAME),
    "histogram": (lambda a: xp.histogram, AttributeError, "_statistics/histogram.py", "_statistics/histogram.py"),
    "unique of rows": (lambda a: xp.unique(a, axis=0), NotImplementedError, "axis", "_manipulation/add_remove.py"),
    "setflags": (lambda a: a.setflags, AttributeError, "setflags", NO_SUCH_NAME),
    "flags.writeable": (lambda a: a.flags.writeable, AttributeError, "writeable", "_core/flags.pyx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    how, error, words, source = REFUSED[name]
    assert source
    with pytest.raises(error, match=words):
        how(xp.asarray(HOST))
