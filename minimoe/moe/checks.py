"""Argument checks shared by the functions of `minimoe.moe`: each raises one line that says what came and what to do."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minimoe.backend import array_module, is_array
from minimoe.tensor import raw


def check_choice(where: str, argument: str, value: str, choices: Sequence[str]) -> None:
    """ValueError listing the choices unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{where}: {argument}={value!r} is unknown; choose one of {', '.join(choices)}")


def check_floats(where: str, argument: str, array: np.ndarray, layout: str) -> np.ndarray:
    """`array` in at least float32 (float64 stays), after checking that it is a float array with one axis per letter of
    `layout`, for example "BHSS". Raises TypeError for another type and ValueError for another number of axes."""
    shape, array = f"({','.join(layout)})", raw(array)
    if not is_array(array) or array.dtype.kind != "f":
        came = f"{array.dtype} array" if is_array(array) else type(array).__name__
        raise TypeError(f"{where}: {argument} must be a float array {shape}, got {came}; use .astype('float32')")
    if array.ndim != len(layout):
        raise ValueError(f"{where}: {argument} must be {shape}, got shape {array.shape}")
    return array.astype("float32") if array.dtype.itemsize < 4 else array


def check_booleans(where: str, argument: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`array` itself if it is a boolean array of `shape`. An integer mask is refused, because `~` on it is never False:
    TypeError; another shape: ValueError."""
    if not is_array(array) or array.dtype.kind != "b":
        came = f"{array.dtype} array" if is_array(array) else type(array).__name__
        raise TypeError(f"{where}: {argument} must be a boolean array, got {came}; use .astype(bool)")
    if array.shape != shape:
        raise ValueError(f"{where}: {argument} must have shape {shape}, got {array.shape}")
    return array


def real_and_competing(where: str, like: np.ndarray, shape: tuple[int, ...], mask: np.ndarray | None,
                       exclude_special: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Two boolean arrays of `shape` on the backend of `like`: real tokens (`mask`, all when None), and the real tokens
    that are not named by `exclude_special` (none named when None)."""
    real = array_module(like).ones(shape, dtype=bool) if mask is None else check_booleans(where, "mask", mask, shape)
    if exclude_special is None:
        return real, real
    return real, real & ~check_booleans(where, "exclude_special", exclude_special, shape)
