"""The simulator's array: NumPy inside, but it refuses what CuPy refuses.

A program that only ever saw NumPy does many things that a device array forbids: it mixes host and device arrays, uses a
value as a size, relies on the order of two writes to one cell. Such a program would pass every test here and fail on
the first GPU. So this is a wrapper and not a subclass (a subclass cannot refuse `np.asarray`). What it refuses follows
CuPy 14.2, and each case names the file of CuPy's source that says so; where it is stricter on purpose, it says why.

This file: the array itself, operators, reading back. `indexing`: a[i] and a[i] = v. `methods`: a.sum() and the rest.
"""
from __future__ import annotations

import operator

import numpy as np

from minimoe.cudasim.indexing import get_items, set_items
from minimoe.cudasim.synchronise import synchronise

NUMBERS = (bool, int, float, complex, np.number, np.bool_)              # cupy/_core/_scalar.pyx: scalar_type_set
NUMBERS_OR_HOST = (*NUMBERS, np.ndarray)


class Flags:
    """How the memory is laid out. Only what cupy/_core/flags.pyx has: no writeable, no aligned."""

    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, host: np.ndarray, owndata: bool):
        self.c_contiguous, self.f_contiguous = host.flags.c_contiguous, host.flags.f_contiguous
        self.owndata = owndata


class ndarray:
    """An array on the simulated device. Made by `asarray`, `zeros`, `empty` and so on, never by hand.

    No `__index__`, as in cupy/_core/core.pyx: range(x), a_list[x] and shapes take int(x), which waits.
    """

    __slots__ = ("_host", "_base", "__weakref__")
    __array_ufunc__ = None                          # np.exp(x) is refused. CuPy would run it: stricter, so that device
    __hash__ = None                                 # code names the array module. The same for `__array_function__`.

    def __init__(self, host: np.ndarray, base: ndarray | None = None):
        self._host, self._base = host, base

    # facts, known without waiting
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host, self._base is None))
    base = property(lambda self: self._base)        # the array that owns the memory of a view, else None
    T = property(lambda self: self if self.ndim < 2 else wrap(self._host.T, (self,)))       # core.pyx: ndarray.T

    def __len__(self) -> int:
        return len(self._host)

    # reading back: core.pyx makes all of these from get()
    def get(self) -> np.ndarray:
        """A copy on the host. Waits, unless it is empty."""
        if self._host.size:
            synchronise()
        return self._host.copy()

    def item(self):
        """The one element as a Python number. ValueError for any other size, and it takes no index (core.pyx)."""
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self) -> bool:
        if self.size != 1:                          # an empty one is False in CuPy, with a warning: stricter
            raise ValueError("The truth value of an array that has not exactly one element is ambiguous. "
                             "Use a.any() or a.all()")
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __reduce__(self):
        return ndarray, (self.get(),)

    def __copy__(self) -> ndarray:
        return ndarray(self._host.copy())

    def __deepcopy__(self, memo) -> ndarray:
        return ndarray(self._host.copy())

    # what NumPy would do behind the program's back
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
                        "array explicitly.")        # core.pyx, word for word

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was given a device array; call it as "
                        f"xp.{function.__name__} with xp = array_module(array)")

    # items
    def __iter__(self):
        """Slices on the device; a value is read back only when somebody asks for it (core.pyx)."""
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value):
        raise TypeError("`in` would read one element after another; use bool((a == value).any())")      # stricter

    def __getitem__(self, key) -> ndarray:
        return wrap(get_items(self._host, key), (self,))

    def __setitem__(self, key, value) -> None:
        # a value of the host: core.pyx refuses it for slices (ndarray.fill: "non-scalar numpy.ndarray cannot be used")
        # and copies it for the rest: stricter. So does this for lists.
        set_items(self._host, key, operand(value, "a[index] = value"))


def wrap(result, sources=()):
    """What NumPy answered, as device arrays; numbers become 0-d arrays.

    `sources`: the arguments. A result that is the array inside one of them is that one; a view shares its memory.
    """
    if isinstance(result, np.ndarray):
        for source in sources:
            if type(source) is ndarray:
                host = source._host
                if result is host:
                    return source
                if result.base is not None and (result.base is host or result.base is host.base):
                    return ndarray(result, source if source._base is None else source._base)
        return ndarray(result)
    if isinstance(result, np.generic):
        return ndarray(np.asarray(result))          # core.pyx: reductions answer with 0-d arrays
    if isinstance(result, tuple | list):
        return type(result)([wrap(part, sources) for part in result])
    return result


def operand(value, name: str):
    """The array inside, or the number itself. TypeError for the rest (cupy/_core/_kernel.pyx, _scalar.pyx: CScalar)."""
    if type(value) is ndarray:
        return value._host
    if isinstance(value, NUMBERS):
        return value
    raise TypeError(f"{name}: Unsupported type {type(value)}; it takes device arrays (move with asarray) and numbers")


def _fresh(result) -> ndarray:
    """A new array, or a 0-d one of the number that NumPy makes of it."""
    return ndarray(result if type(result) is np.ndarray else np.asarray(result))


def _binary(apply, name: str):
    def method(self, other):
        if type(other) is not ndarray and not isinstance(other, NUMBERS_OR_HOST):
            return NotImplemented                   # Python asks the other side, then raises TypeError
        return _fresh(apply(self._host, operand(other, name)))

    return method


def _reflected(apply, name: str):
    def method(self, other):
        if not isinstance(other, NUMBERS_OR_HOST):
            return NotImplemented
        return _fresh(apply(operand(other, name), self._host))

    return method


def _in_place(apply, name: str):
    def method(self, other):
        apply(self._host, operand(other, name))     # NumPy writes into the array it was given
        return self

    return method


def _comparison(apply, name: str):
    def method(self, other):                        # a == None is all False in CuPy, a mistake nearly always: stricter
        return _fresh(apply(self._host, operand(other, name)))

    return method


def _unary(apply):
    return lambda self: _fresh(apply(self._host))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor",
              "matmul"):
    _apply = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _binary(_apply, _name))
    setattr(ndarray, f"__r{_name}__", _reflected(_apply, _name))
    if _name != "matmul":                           # core.pyx has no __imatmul__: a @= b makes a new array
        setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__"), _name))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _comparison(getattr(operator, _name), _name))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _unary(getattr(operator, _name)))
