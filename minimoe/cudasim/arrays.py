"""The simulator's array: NumPy inside, but it refuses what CuPy refuses.

A program that only ever saw NumPy does many things that a device array forbids: it mixes host and device arrays, reads
single values, sorts with any algorithm. Such a program would pass every test here and fail on the first GPU. So this is
a wrapper and not a subclass (a subclass cannot refuse `np.asarray`), and what it refuses follows CuPy 14.2; where it is
stricter than CuPy on purpose, the line says so.
"""
from __future__ import annotations

import operator

import numpy as np

from minimoe.cudasim.synchronise import synchronise

POISON = 0xCB                                       # what fills memory that nobody has written yet


class ndarray:
    """An array on the simulated device. Made by `asarray`, `zeros`, `empty` and so on, never by hand."""

    __slots__ = ("_host", "_base", "__weakref__")
    __array_ufunc__ = None                          # np.exp(x) and host + x are refused (CuPy runs the first: stricter)
    __hash__ = None

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
    flags = property(lambda self: self._host.flags)
    base = property(lambda self: self._base)        # the array that owns the memory of a view, else None
    T = property(lambda self: wrap(self._host.T, self))

    def __len__(self) -> int:
        return len(self._host)

    # reading back
    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")   # as CuPy says it

    def get(self) -> np.ndarray:
        """A copy on the host."""
        synchronise()
        return self._host.copy()

    def item(self, *index):
        synchronise()
        return self._host.item(*index)

    def tolist(self):
        synchronise()
        return self._host.tolist()

    def __bool__(self) -> bool:
        synchronise()
        return bool(self._host)

    def __int__(self) -> int:
        synchronise()
        return int(self._host)

    def __float__(self) -> float:
        synchronise()
        return float(self._host)

    def __index__(self) -> int:
        synchronise()
        return operator.index(self._host[()])

    def __repr__(self) -> str:
        synchronise()
        return repr(self._host)

    def __format__(self, spec: str) -> str:
        synchronise()
        return format(self._host[()] if self.ndim == 0 else self._host, spec)

    # indexing
    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key) -> ndarray:
        return wrap(self._host[_key(key)], self)    # out of range raises; CuPy wraps around silently: stricter

    def __setitem__(self, key, value) -> None:
        key = _key(key)
        for part in key if isinstance(key, tuple) else (key,):
            # cupy.ndarray.__setitem__: "if indices contain duplicates, the result is undefined"
            if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and not isinstance(key, tuple) \
                    and part.size != np.unique(part).size:
                raise ValueError("a[index] = value with an index twice: which value stays is undefined on a GPU")
        self._host[key] = unwrap(value, "a[index] = value")

    def __contains__(self, value):
        raise TypeError("`in` reads the whole array back; use (a == value).any()")      # CuPy iterates: stricter


def wrap(result, *parents):
    """What NumPy answered, as device arrays; numbers from reductions become 0-d arrays. `parents`: whose memory the
    result may share."""
    if isinstance(result, tuple):
        return tuple(wrap(part, *parents) for part in result)
    if isinstance(result, list):
        return [wrap(part, *parents) for part in result]
    if isinstance(result, np.generic):
        return ndarray(np.asarray(result))
    if not isinstance(result, np.ndarray):
        return result
    for parent in parents:
        if isinstance(parent, ndarray):
            if result is parent._host:
                return parent
            owner = parent._host if parent._host.base is None else parent._host.base
            if result.base is owner:
                return ndarray(result, parent if parent._base is None else parent._base)
    return ndarray(result)


def unwrap(value, where: str):
    """The NumPy array inside a device array; numbers as they are. Raises TypeError for host arrays."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where}: got a NumPy array among device arrays; move it with asarray() first")
    if isinstance(value, list | tuple) and any(isinstance(part, ndarray | np.ndarray) for part in value):
        return type(value)(unwrap(part, where) for part in value)
    return value


def _key(key):
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if isinstance(part, ndarray) and (part.dtype == bool and part.ndim > 0):
            synchronise()                           # how many are True decides the shape
    unwrapped = tuple(unwrap(part, "index") for part in parts)
    return unwrapped if isinstance(key, tuple) else unwrapped[0]


def _binary(name: str, in_place: bool):
    apply = getattr(operator, name)

    def method(self, other):
        other = _operand(other)
        if other is NotImplemented:
            return NotImplemented
        result = apply(self._host, other)           # in place, NumPy writes into self._host and answers with it
        return self if in_place else wrap(result)

    return method


def _reflected(name: str):
    apply = getattr(operator, name)

    def method(self, other):
        other = _operand(other)
        return NotImplemented if other is NotImplemented else wrap(apply(other, self._host))

    return method


def _unary(name: str):
    apply = getattr(operator, name)
    return lambda self: wrap(apply(self._host))


def _operand(other):
    if isinstance(other, ndarray):
        return other._host
    if isinstance(other, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: move it to the device with asarray() first")
    return other if isinstance(other, bool | int | float | complex | np.generic) else NotImplemented


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift",
              "rshift"):
    _bare = _name.rstrip("_")
    setattr(ndarray, f"__{_bare}__", _binary(_name, in_place=False))
    setattr(ndarray, f"__r{_bare}__", _reflected(_name))
    setattr(ndarray, f"__i{_bare}__", _binary("i" + _bare, in_place=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _binary(_name, in_place=False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _unary(_name))
