"""The functions of the simulator's array module and the methods of its arrays: NumPy's, where CuPy has them too.

Which names and keywords CuPy has stands in `cupy_names.json`, read off CuPy itself (its version is the first entry); a
name or keyword that is not there is refused, so that a program which runs here does not stumble on a GPU. What remains
is special treatment, and each case says where CuPy does so.
"""
from __future__ import annotations

import functools
import json
from importlib import resources

import numpy as np

from minimoe.cudasim.arrays import POISON, ndarray, unwrap, wrap
from minimoe.cudasim.synchronise import synchronise

NAMES = json.loads((resources.files(__package__) / "cupy_names.json").read_text(encoding="utf-8"))
VERSION = f"CuPy {NAMES['cupy']}"
# cupy/_statistics/histogram.py (bincount: "synchronize!"), cupy/_sorting/search.py (nonzero counts first),
# cupy/_manipulation/add_remove.py (unique): the size of the answer depends on the data.
WAITS = {"bincount", "nonzero", "flatnonzero", "argwhere", "unique", "array_equal", "allclose", "extract", "compress"}
PASSED_ON = {"finfo", "iinfo", "promote_types", "result_type", "can_cast", "dtype", "issubdtype", "newaxis", "pi", "e",
             "inf", "nan", "broadcast_shapes"}       # about dtypes and shapes, not about values
UFUNC_KEYWORDS = {"out", "dtype", "casting"}         # cupy.ufunc.__call__ takes these
KEYWORDS = {"einsum": ["dtype", "optimize"]}         # cupy/linalg/_einsum.py: taken out of **kwargs one by one
SORTS = {"sort", "argsort"}
METHODS = ("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum", "diagonal",
           "dot", "fill", "flatten", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round",
           "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose", "var", "view")


def asarray(a, dtype=None, order=None, *, copy=None) -> ndarray:
    """A device array of anything, host arrays included; itself when it is one already, of that dtype."""
    if isinstance(a, ndarray):
        return a if dtype in (None, a.dtype) and not copy else ndarray(np.array(a._host, dtype=dtype, order=order))
    if isinstance(a, list | tuple) and any(isinstance(part, ndarray) for part in a):
        return wrap(np.array(unwrap(a, "asarray"), dtype=dtype))
    return ndarray(np.array(a, dtype=dtype, order=order))


def array(a, dtype=None, copy=True) -> ndarray:
    """A new device array."""
    return asarray(a, dtype, copy=copy or None)


def asnumpy(a) -> np.ndarray:
    """A host copy of a device array; anything else as np.asarray gives it."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape, dtype=float, order="C") -> ndarray:
    """Memory that nobody has written yet: filled with a pattern, so that a cell that stays unwritten shows."""
    made = np.empty(shape, dtype, order)
    made.view(np.uint8).fill(POISON) if made.ndim and made.size and made.dtype != bool else made.fill(True)
    return ndarray(made)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    """As `empty`, with shape and dtype of another array. Raises TypeError for subok (cupy/_creation/basic.py)."""
    if subok is not None:
        raise TypeError("empty_like: subok is not supported")
    return empty(prototype.shape if shape is None else shape, prototype.dtype if dtype is None else dtype)


@functools.cache
def function(name: str):
    """The array function, ufunc, dtype or constant called `name`. Raises AttributeError when CuPy has none."""
    if name.startswith("_") or not hasattr(np, name):
        raise AttributeError(f"the simulator's array module has no {name}")
    value = getattr(np, name)
    if name in PASSED_ON or isinstance(value, type) and issubclass(value, np.generic):
        return value
    if name not in NAMES["functions"]:
        raise AttributeError(f"{VERSION} has no {name}")
    return UFunc(name, value) if isinstance(value, np.ufunc) else _function(name, value)


def _function(name: str, value):
    allowed = KEYWORDS.get(name, NAMES["functions"][name])

    def call(*args, **kwargs):
        for keyword in kwargs:
            if allowed is not None and keyword not in allowed:
                raise _no_option(name, keyword)
        if name in SORTS:
            kwargs = _stable(name, kwargs)
        if name in WAITS or name == "where" and len(args) == 1 or name == "repeat" and _counts(args, kwargs):
            synchronise()
        if name == "lexsort" and not isinstance(args[0], ndarray):      # cupy/_sorting/sort.py: keys.ndim is read
            raise TypeError("lexsort: keys must be one two-dimensional device array")
        result = value(*[unwrap(a, name) for a in args], **{k: unwrap(v, name) for k, v in kwargs.items()})
        return kwargs["out"] if kwargs.get("out") is not None else wrap(result, *args)

    call.__name__ = name
    return call


class UFunc:
    """An elementwise function. CuPy has fewer methods of it than NumPy (cupy/_core/_kernel.pyx, class ufunc)."""

    def __init__(self, name: str, value: np.ufunc):
        self.name, self.value = name, value

    def __call__(self, *args, **kwargs):
        for keyword in kwargs:
            if keyword not in UFUNC_KEYWORDS:
                raise _no_option(self.name, keyword)
        for a in args:
            if isinstance(a, list | tuple):
                raise TypeError(f"{self.name}: Unsupported type {type(a)}")
        result = self.value(*[unwrap(a, self.name) for a in args],
                            **{k: unwrap(v, self.name) for k, v in kwargs.items()})
        return kwargs["out"] if kwargs.get("out") is not None else wrap(result)

    def at(self, a: ndarray, indices, b=None) -> None:
        """Unbuffered a[indices] op= b, by atomics: add for 32- and 64-bit integers and floats, subtract for 32-bit
        integers only, as cupyx.scatter_add. The order of float sums is not defined on a GPU."""
        kinds = {"add": ("int32", "int64", "uint32", "uint64", "float16", "float32", "float64"),
                 "subtract": ("int32", "uint32")}.get(self.name, ())
        if a.dtype.name not in kinds:
            raise TypeError(f"{self.name}.at does not support {a.dtype} in {VERSION}")
        self.value.at(a._host, unwrap(indices, f"{self.name}.at"), unwrap(b, f"{self.name}.at"))

    def reduce(self, a: ndarray, axis=0, dtype=None, out=None, keepdims=False):
        return self._only("reduce", ("add", "multiply"))(a, axis=axis, dtype=dtype, keepdims=keepdims)

    def accumulate(self, a: ndarray, axis=0, dtype=None, out=None):
        return self._only("accumulate", ("add", "multiply"))(a, axis=axis, dtype=dtype)

    def reduceat(self, a: ndarray, indices: ndarray, axis=0, dtype=None, out=None):
        return self._only("reduceat", ("add",))(a, indices, axis=axis, dtype=dtype)

    def _only(self, method: str, names: tuple[str, ...]):
        """cupy/_core/_kernel.pyx: other ufuncs raise NotImplementedError."""
        if self.name not in names:
            raise NotImplementedError(f"`{self.name}.{method}` is not supported yet")
        apply = getattr(self.value, method)
        return lambda *args, **kwargs: wrap(apply(*[unwrap(a, method) for a in args], **kwargs))


def _no_option(name: str, keyword: str) -> TypeError:
    return TypeError(f"{name}() got an unexpected keyword argument {keyword!r}: {VERSION} has no such option")


def _stable(name: str, kwargs: dict) -> dict:
    """cupy/_sorting/sort.py: "Unlike in NumPy any other options are not accepted"; every sort there is stable."""
    if kwargs.get("kind") not in (None, "stable"):
        raise ValueError(f"{name}: kind can only be None or 'stable'")
    return {**kwargs, "kind": "stable"}


def _counts(args, kwargs) -> bool:
    """Whether `repeat` is given counts on the device: their sum is the size of the answer."""
    repeats = args[1] if len(args) > 1 else kwargs.get("repeats")
    return isinstance(repeats, ndarray)


def _method(name: str):
    def method(self, *args, **kwargs):
        for keyword in ("initial", "where", "mode", "stable"):           # none of CuPy's methods has them
            if keyword in kwargs:
                raise _no_option(name, keyword)
        if name in SORTS:
            kwargs = _stable(name, kwargs)
        if name == "nonzero" or name == "repeat" and isinstance(args[0], ndarray):
            synchronise()
        if name == "fill" and isinstance(args[0], ndarray):
            args = (args[0]._host[()],)
        call = getattr(self._host, name)
        result = call(*[unwrap(a, name) for a in args], **{k: unwrap(v, name) for k, v in kwargs.items()})
        return kwargs["out"] if kwargs.get("out") is not None else wrap(result, self)

    method.__name__ = name
    return method


for _name in METHODS:
    if _name not in NAMES["methods"]:
        raise AttributeError(f"{VERSION} has no ndarray.{_name}")
    setattr(ndarray, _name, _method(_name))
