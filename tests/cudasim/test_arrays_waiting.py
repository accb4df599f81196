"""What waits for the GPU is counted, value by value, and nothing else is."""
import numpy as np
import pytest

from minimoe import cudasim as xp

HOST = np.arange(6.0).reshape(2, 3)


def integers(*values):
    return xp.asarray(np.array(values or (2, 0, 1), np.int32))


def copies_of(how) -> int:
    a = xp.asarray(HOST)
    before = xp.host_synchronisations()
    how(a)
    return xp.host_synchronisations() - before


WAITS = {
    "int": (1, lambda a: int(a[0, 0])),
    "float": (1, lambda a: float(a.sum())),
    "bool": (1, lambda a: bool((a > 1).any())),
    "if": (1, lambda a: 1 if a.sum() > 0 else 0),
    "complex": (1, lambda a: complex(a[0, 0])),
    "get": (1, lambda a: a.get()),
    "asnumpy": (1, lambda a: xp.asnumpy(a)),
    "item": (1, lambda a: a.sum().item()),
    "tolist": (1, lambda a: a.tolist()),
    "repr": (1, repr),
    "str": (1, str),
    "format": (1, lambda a: f"{a.sum()}"),
    "float of each": (3, lambda a: [float(x) for x in a[0]]),
    "boolean mask": (1, lambda a: a[a > 1]),
    "mask and position": (1, lambda a: a[a[:, 0] > 1, 0]),
    "mask in a list": (1, lambda a: a[[True, False]]),
    "assignment by mask": (1, lambda a: a.__setitem__(a > 1, 0.0)),
    "nonzero": (1, xp.nonzero),
    "method nonzero": (1, lambda a: a.nonzero()),
    "flatnonzero": (1, xp.flatnonzero),
    "argwhere": (1, xp.argwhere),
    "where of one": (1, lambda a: xp.where(a > 1)),
    "compress": (1, lambda a: xp.compress(a[0] > 1, a, axis=1)),
    "extract": (1, lambda a: xp.extract(a > 1, a)),
    "unique": (1, xp.unique),
    "unique with counts": (2, lambda a: xp.unique(a, return_counts=True)),
    "unique with places": (2, lambda a: xp.unique(a, return_index=True)),
    "unique with inverse": (1, lambda a: xp.unique(a, return_inverse=True)),
    "bincount": (2, lambda a: xp.bincount(integers(), minlength=9)),
    "bincount of nothing": (1, lambda a: xp.bincount(integers()[:0], minlength=9)),
    "repeat by device counts": (2, lambda a: xp.repeat(a, integers(), axis=1)),
    "method repeat by device counts": (2, lambda a: a.repeat(integers(), axis=1)),
    "repeat by a list of counts": (2, lambda a: xp.repeat(a, [1, 2, 0], axis=1)),
    "repeat by one device count": (1, lambda a: xp.repeat(a, integers(2))),
    "quantile at places on the device": (2, lambda a: xp.quantile(a, xp.asarray([0.5]))),
    "nanmax": (1, xp.nanmax),
    "average with weights": (1, lambda a: xp.average(a, weights=a)),
}


@pytest.mark.parametrize("name", WAITS)
def test_copies_to_the_host(name):
    expected, how = WAITS[name]
    assert copies_of(how) == expected


FREE = {
    "facts": lambda a: (a.shape, a.size, len(a), a.dtype, a.strides, a.flags.c_contiguous, a.base, xp.shape(a)),
    "iteration": lambda a: list(a[0]),
    "index on the device": lambda a: a[integers()[1]],
    "rows by index": lambda a: a[integers(1, 0)],
    "assignment by index": lambda a: a.__setitem__(integers(1), 2.0),
    "empty get": lambda a: a[:0].get(),
    "empty mask": lambda a: a[:0][a[:0] > 1],
    "empty nonzero": lambda a: xp.nonzero(a[:0]),
    "where of three": lambda a: xp.where(a > 1, a, 0.0),
    "repeat by a number": lambda a: xp.repeat(a, 2, axis=0),
    "count_nonzero": lambda a: xp.count_nonzero(a),
    "allclose": lambda a: xp.allclose(a, a),
    "array_equal": lambda a: xp.array_equal(a, a),
    "copyto with where": lambda a: xp.copyto(a, 0.0, where=a > 1),
    "put_along_axis": lambda a: xp.put_along_axis(a, xp.argsort(a, axis=1), a, 1),
    "searchsorted": lambda a: xp.searchsorted(a[0], a),
    "isin": lambda a: xp.isin(a, a[0]),
    "add.at": lambda a: xp.add.at(a, integers(1, 1), 1.0),
    "median": lambda a: xp.median(a),
    "quantile at a number": lambda a: xp.quantile(a, 0.5),
    "from the host": lambda a: xp.asarray(HOST),
    "asnumpy of a host array": lambda a: xp.asnumpy(HOST),
    "a refused item": lambda a: pytest.raises(ValueError, a.item),
    "a refused bool": lambda a: pytest.raises(ValueError, bool, a),
}


@pytest.mark.parametrize("how", FREE.values(), ids=FREE)
def test_copies_nothing(how):
    assert copies_of(how) == 0
