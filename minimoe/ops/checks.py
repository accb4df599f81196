"""What operations ask at their door: one clear line instead of a NumPy error from deep inside."""
from __future__ import annotations

import math

import numpy as np

from minimoe.backend import is_array

RANK = {"b": 0, "i": 1, "u": 1, "f": 2}             # the kind of number: a higher one wins, whatever the widths


def as_array(xp, name: str, argument: str, value):
    """The value as an array: Python floats become float32, as in Tensor(value). Raises TypeError for anything else."""
    if is_array(value):
        return value
    if isinstance(value, float):
        return xp.asarray(value, dtype=np.float32)
    if isinstance(value, int):                      # bool too
        return xp.asarray(value)
    raise TypeError(f"{name}: {argument} is a {type(value).__name__}; give a Tensor, an array or a number")


def as_float(xp, name: str, argument: str, value):
    """The value as a float32 or float64 array; Python numbers become float32. Raises TypeError for other dtypes."""
    value = as_array(xp, name, argument, float(value) if isinstance(value, int) else value)
    if value.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: {argument} is {value.dtype}; it must be float32 or float64: "
                        f"use {argument}.astype('float32')")
    return value


def same_float(name: str, optional: tuple[str, ...] = (), **arrays) -> None:
    """Raises TypeError unless all arrays share one float dtype; those named in `optional` may be None."""
    given = {argument: array for argument, array in arrays.items() if array is not None or argument not in optional}
    for argument, array in given.items():
        if not is_array(array):
            raise TypeError(f"{name}: {argument} is a {type(array).__name__}; give a Tensor or an array")
        as_float(None, name, argument, array)
    if len({array.dtype for array in given.values()}) > 1:
        kinds = ", ".join(f"{argument} is {array.dtype}" for argument, array in given.items())
        raise TypeError(f"{name}: {kinds}; they must have one dtype: use .astype")


def together(xp, name: str, a, b):
    """a and b as arrays of one dtype whose shapes broadcast: what an elementwise operation of two works on.

    Integers take the other side's float dtype, and Python numbers and 0-d arrays never widen an array that has axes
    (as in PyTorch): one float64 scalar must not turn a float32 model into float64. Otherwise the wider dtype wins.
    Raises TypeError for what is no number and for two bool arrays, ValueError for shapes that do not broadcast.
    """
    a_is_array, b_is_array = is_array(a), is_array(b)
    if not (a_is_array and b_is_array and a.dtype == b.dtype and a.dtype.char in "fd"):
        given_a, given_b = a, b
        a, b = as_array(xp, name, "a", a), as_array(xp, name, "b", b)
        rank_a, rank_b = RANK.get(a.dtype.kind, 3), RANK.get(b.dtype.kind, 3)
        strength_a, strength_b = (a_is_array, a.ndim > 0), (b_is_array, b.ndim > 0)
        if (rank_a, strength_a) == (rank_b, strength_b):
            dtype = np.promote_types(a.dtype, b.dtype)
        else:
            dtype = a.dtype if (rank_a, strength_a) > (rank_b, strength_b) else b.dtype
        if dtype.kind not in "iuf" or dtype == np.float16:
            raise TypeError(f"{name}: a is {a.dtype} and b is {b.dtype}; they must be float32, float64 or integers, "
                            "not both bool: use .astype('float32')")
        a, b = xp.asarray(given_a, dtype=dtype), xp.asarray(given_b, dtype=dtype)  # 0.1 must not pass through float32
    if a.shape != b.shape:
        check_broadcast(name, a=a.shape, b=b.shape)
    return a, b


def check_broadcast(name: str, **shapes) -> None:
    """Raises ValueError unless the shapes broadcast together."""
    if not broadcasts(*shapes.values()):
        given = ", ".join(f"{argument} is {shape}" for argument, shape in shapes.items())
        raise ValueError(f"{name}: {given}; from the right, sizes must be equal or 1")


def broadcasts(*shapes) -> bool:
    """Whether arrays of these shapes can meet element by element."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def axes_of(name: str, shape, axis) -> tuple[int, ...]:
    """`axis` (None for all, an int, or a tuple of ints; negative counts from the end) as a tuple of axes of `shape`.

    Raises ValueError for one that is out of range or named twice, TypeError for one that is no int.
    """
    axes = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    if not all(isinstance(a, int) for a in axes):
        raise TypeError(f"{name}: axis is {axis!r}; it must be an int, a tuple of ints or None")
    if not all(-len(shape) <= a < len(shape) for a in axes):
        raise ValueError(f"{name}: axis {axis} is out of range for shape {shape}")
    axes = tuple(a % len(shape) for a in axes)
    if len(set(axes)) < len(axes):
        raise ValueError(f"{name}: axis {axis} names an axis of shape {shape} twice")
    return axes


def axis_of(name: str, shape, axis: int) -> int:
    """`axis` as one non-negative axis of `shape`. Raises as axes_of."""
    if not isinstance(axis, int):
        raise TypeError(f"{name}: axis is {axis!r}; it must be an int")
    return axes_of(name, shape, axis)[0]


def rows_of(x) -> int:
    """How many rows x has when every axis but the last is flattened (right also where an axis has size 0)."""
    return math.prod(x.shape[:-1])
