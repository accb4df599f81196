"""The functions of the simulator's array module: NumPy's, where CuPy has them too, with the parameters that CuPy has.

`function(name)` finds one; a name or parameter that CuPy lacks is refused, so that a program which runs here does not
stumble on a GPU. Written out below are only those whose arguments or answer differ. NumPy's floating-point warnings
are left on; CuPy has none.
"""
from __future__ import annotations

import functools

import numpy as np

import minimoe.cudasim.methods  # noqa: F401  (gives the arrays their methods)
from minimoe.cudasim.arrays import ndarray, wrap
from minimoe.cudasim.checked import checked
from minimoe.cudasim.names import FUNCTIONS, UFUNCS, VALUES, VERSION
from minimoe.cudasim.ufuncs import UFunc
from minimoe.cudasim.waiting import WAITS, WHY_MISSING, waiting

POISON = 0xCB                                       # what fills memory that nobody has written yet, as in a block
# Functions that need no device array: they make one, or tell something about shapes and dtypes
MAKERS = frozenset("arange zeros ones full eye identity linspace logspace tri indices diag_indices bartlett blackman "
                   "hamming hanning kaiser".split())
ABOUT = frozenset("broadcast_shapes can_cast common_type issubdtype isscalar min_scalar_type promote_types "
                  "result_type".split())
NUMBERS_OF_NUMPY = frozenset({"count_nonzero", "array_equal", "array_equiv", "allclose"})


def array(obj, dtype=None, copy: bool | None = True, order: str = "K", subok: bool = False, ndmin: int = 0) -> ndarray:
    """A new device array of device or host arrays, lists, numbers. copy=None: only if needed; False: never.

    ValueError for dtypes that no kernel knows (cupy/_core/core.pyx, "Unsupported dtype") and for a copy that must not
    be. TypeError for subok (cupy/_creation/from_data.py: not supported).
    """
    if subok:
        raise TypeError(f"array: subok is not supported in {VERSION}")
    source = obj
    if isinstance(obj, list | tuple) and any(type(part) is ndarray for part in obj):
        source = np.stack([asarray(part)._host for part in obj])
    elif type(obj) is ndarray:
        source = obj._host
    elif copy is False:
        raise ValueError("array: copy=False, but data of the host must be copied to the device")
    if type(obj) is not ndarray:
        copy = True                                 # what comes from the host never shares memory with it
    made = np.array(source, dtype=dtype, copy=copy, order=order, ndmin=ndmin)
    if made.dtype.kind not in "biufc":
        raise ValueError(f"array: Unsupported dtype {made.dtype}")
    return wrap(made, (obj,))


def asarray(a, dtype=None, order: str | None = None, *, copy: bool | None = None) -> ndarray:
    """A device array of anything; `a` itself when it is one already, of that dtype and order."""
    return array(a, dtype, copy, order or "K")


def asnumpy(a) -> np.ndarray:
    """A host copy of a device array; anything else as np.asarray gives it."""
    return a.get() if type(a) is ndarray else np.asarray(a)


def empty(shape, dtype=float, order: str = "C") -> ndarray:
    """Memory that nobody has written yet: filled with a pattern, so that a cell that stays unwritten shows."""
    return ndarray(_poisoned(np.empty(shape, dtype, order)))


def empty_like(prototype: ndarray, dtype=None, order: str = "K", subok: None = None, shape=None) -> ndarray:
    """As `empty`, with shape and dtype of another array. TypeError for subok (cupy/_creation/basic.py)."""
    _no_subok("empty_like", subok)
    made = np.empty_like(_device("empty_like", prototype)._host, dtype, order, shape=shape)
    return ndarray(_poisoned(made))


def sort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    """A sorted copy; stable. ValueError for another kind."""
    made = _device("sort", a).flatten() if axis is None else _device("sort", a).copy()
    made.sort(-1 if axis is None else axis, kind)
    return made


def argsort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    """The order that sorts; stable. ValueError for another kind."""
    return _device("argsort", a).argsort(axis, kind)


def take(a: ndarray, indices, axis: int | None = None, out: ndarray | None = None) -> ndarray:
    """Rows by number. No mode (cupy/_indexing/indexing.py); TypeError when out has another dtype."""
    return _device("take", a).take(indices, axis, out)


def lexsort(keys: ndarray) -> ndarray:
    """Order by the last row, then the one before. One 2-D array, no tuple: cupy/_sorting/sort.py reads keys.ndim."""
    if type(keys) is not ndarray:
        raise TypeError(f"lexsort: keys is a {type(keys).__name__}; {VERSION} takes one two-dimensional device array")
    if keys.ndim > 2:
        raise NotImplementedError(f"lexsort: keys is {keys.shape}; {VERSION} supports at most two dimensions")
    return wrap(np.lexsort(keys._host))


def searchsorted(a: ndarray, v, side: str = "left", sorter: ndarray | None = None) -> ndarray:
    """Where to insert v into the sorted a. NotImplementedError for a list v."""
    return _device("searchsorted", a).searchsorted(v, side, sorter)


def put_along_axis(arr: ndarray, indices: ndarray, values, axis: int) -> None:
    """arr[..., indices, ...] = values along one axis; refuses repeated indices as a[i] = v does, which CuPy calls
    (cupy/lib/_shape_base.py)."""
    if axis is None or indices.ndim != arr.ndim:
        raise ValueError(f"put_along_axis: axis is {axis}, arr is {arr.shape}, indices is {indices.shape}; give an "
                         "axis, and indices with as many dimensions as arr")
    axis = axis % arr.ndim
    places = [np.arange(n).reshape([-1 if i == j else 1 for j in range(arr.ndim)]) for i, n in enumerate(arr.shape)]
    arr[tuple(indices if i == axis else ndarray(place) for i, place in enumerate(places))] = values


def _poisoned(made: np.ndarray) -> np.ndarray:
    made.fill(np.full(made.itemsize, POISON, np.uint8).view(made.dtype)[0])         # a bool becomes True
    return made


def _no_subok(name: str, subok) -> None:
    if subok is not None:
        raise TypeError(f"{name}: subok is not supported in {VERSION}")         # cupy/_creation/basic.py


def _device(name: str, a) -> ndarray:
    if type(a) is not ndarray:
        raise TypeError(f"{name}: a is {type(a).__name__}; it takes a device array, made with asarray()")
    return a


OWN = {made.__name__: made for made in (array, asarray, asnumpy, empty, empty_like, sort, argsort, take, lexsort,
                                        searchsorted, put_along_axis)}


@functools.cache
def function(name: str):
    """The function, ufunc, dtype or constant called `name`. AttributeError when CuPy or the simulator has none."""
    if name in OWN:
        return OWN[name]
    if name in WHY_MISSING:
        raise AttributeError(f"the simulator has no {name}: how often CuPy waits in it is not counted here "
                             f"({WHY_MISSING[name]})")
    known = name in UFUNCS or name in VALUES or FUNCTIONS.get(name) is not None
    if not known or not hasattr(np, name):
        raise AttributeError(f"{VERSION} has no {name}" if not known and name not in FUNCTIONS
                             else f"the simulator has no {name}")
    value = getattr(np, name)
    if name in VALUES:
        return value
    if isinstance(value, np.ufunc):
        return UFunc(name, value)
    return _function(name, value)


def _function(name: str, value):
    written = ["x", "out="] if name in UFUNCS else FUNCTIONS[name]
    if name in NUMBERS_OF_NUMPY:                    # 0-d arrays in CuPy: _sorting/count.py, _logic/comparison.py
        call = checked(name, lambda *args, **kwargs: np.asarray(value(*args, **kwargs)), written)
    else:
        call = checked(name, value, written, needs_array=name not in MAKERS and name not in ABOUT)
    if name in WAITS:
        return waiting(call, WAITS[name])
    return _without_subok(call) if name.endswith("_like") else call


def _without_subok(call):
    def like(*args, subok=None, **kwargs):
        _no_subok(call.__name__, subok)
        return call(*args, **kwargs)

    like.__name__ = call.__name__
    return like
