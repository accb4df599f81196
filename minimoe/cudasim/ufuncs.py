"""Elementwise functions of device arrays. CuPy's have fewer options and methods than NumPy's."""
from __future__ import annotations

import numpy as np

from minimoe.cudasim.arrays import ndarray, operand, wrap
from minimoe.cudasim.indexing import host_key
from minimoe.cudasim.names import VERSION

OPTIONS = frozenset({"out", "dtype", "casting"})    # cupy/_core/_kernel.pyx, ufunc.__call__: no where, no order
MATRIX_OPTIONS = OPTIONS | {"axes", "axis", "keepdims", "order"}        # cupy/_core/_gufuncs.py, _GUFunc.__call__

# The dtypes that `at` can write atomically: cupy/_core/_routines_indexing.pyx, _scatter_op_single. Which ufuncs have an
# `at`: scatter_op= in _routines_math.pyx, _routines_binary.pyx and cupy/_math/misc.py.
_INTEGERS = frozenset({"int32", "int64", "uint32", "uint64"})
AT = {"add": _INTEGERS | {"float16", "float32", "float64"}, "subtract": frozenset({"int32", "uint32"}),
      "maximum": _INTEGERS | {"float32", "float64"}, "minimum": _INTEGERS | {"float32", "float64"},
      "bitwise_and": _INTEGERS, "bitwise_or": _INTEGERS, "bitwise_xor": _INTEGERS}


class UFunc:
    """One elementwise function; matmul is one too."""

    def __init__(self, name: str, value: np.ufunc):
        self.__name__, self._call, self._ufunc = name, value.__call__, value
        self.nin, self.nout = value.nin, value.nout
        self._options = MATRIX_OPTIONS if name == "matmul" else OPTIONS

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__!r}>"

    def __call__(self, *args, **kwargs):
        """args: device arrays and numbers, then perhaps outputs. TypeError for host arrays, lists, other options."""
        name = self.__name__
        hosts = [None if a is None and i >= self.nin else operand(a, name) for i, a in enumerate(args)]
        if not kwargs and len(args) == self.nin:
            return wrap(self._call(*hosts))
        for option in kwargs:
            if option not in self._options:
                raise TypeError(f"{name}: got an unexpected keyword argument {option!r}; {VERSION} has no such option")
        outputs = kwargs.pop("out", None)
        if outputs is not None:
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            kwargs["out"] = tuple(None if out is None else _output(out, name) for out in outputs)
        return wrap(self._call(*hosts, **kwargs), (*args, *(outputs or ())))

    def at(self, a: ndarray, indices, b=None) -> None:
        """a[indices] op= b, every repetition counted. By atomics, so a float sum may differ in its last bits."""
        name = f"{self.__name__}.at"
        if self.__name__ not in AT:
            raise NotImplementedError(f"`{name}` is not supported yet in {VERSION}")
        if a.dtype.name not in AT[self.__name__]:
            raise TypeError(f"{name}: {VERSION} supports {', '.join(sorted(AT[self.__name__]))}, got {a.dtype}")
        self._ufunc.at(a._host, host_key(indices), operand(b, name))

    # cupy/_core/_kernel.pyx, class ufunc: the methods of only two, and each calls a method of the array
    def reduce(self, array: ndarray, axis=0, dtype=None, out=None, keepdims=False) -> ndarray:
        return self._method("reduce", array, {"add": "sum", "multiply": "prod"})(axis, dtype, out, keepdims)

    def accumulate(self, array: ndarray, axis=0, dtype=None, out=None) -> ndarray:
        return self._method("accumulate", array, {"add": "cumsum", "multiply": "cumprod"})(axis, dtype, out)

    def reduceat(self, array: ndarray, indices: ndarray, axis=0, dtype=None, out=None) -> ndarray:
        """Sums of array[indices[i]:indices[i + 1]]. CuPy subtracts running sums of the whole axis (_add_reduceat), so
        its floats are rounded differently from these, which NumPy sums one by one."""
        if self.__name__ != "add":
            raise NotImplementedError(f"`{self.__name__}.reduceat` is not supported yet in {VERSION}")
        host = None if out is None else operand(out, "add.reduceat")
        result = np.add.reduceat(operand(array, "add.reduceat"), operand(indices, "add.reduceat"), axis, dtype, host)
        return wrap(result, (out,))

    def outer(self, a: ndarray, b: ndarray, **kwargs) -> ndarray:
        return self(a.reshape(a.shape + (1,) * b.ndim), b.reshape((1,) * a.ndim + b.shape), **kwargs)

    def _method(self, name: str, array: ndarray, methods: dict[str, str]):
        if self.__name__ not in methods:
            raise NotImplementedError(f"`{self.__name__}.{name}` is not supported yet in {VERSION}")
        if type(array) is not ndarray:
            raise TypeError(f"{self.__name__}.{name}: Unsupported type {type(array)}; it takes a device array")
        return getattr(array, methods[self.__name__])


def _output(value, name: str) -> np.ndarray:
    if type(value) is not ndarray:
        raise TypeError(f"{name}: out is {type(value).__name__}; it takes a device array")
    return value._host
