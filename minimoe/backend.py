"""Which arrays: NumPy, CuPy or the CUDA simulator's. The arrays themselves decide; there is no global switch."""
from __future__ import annotations

from contextlib import nullcontext

import numpy as np
from threadpoolctl import threadpool_limits

BACKENDS = ("numpy", "cupy", "cudasim")


def available_backends() -> dict[str, str]:
    """Name of each backend -> "" when it can be used, else one line that says what is missing. Never raises."""
    coming = "not in this version of minimoe: its kernels come with a later one; use numpy"
    return {"numpy": "", "cupy": coming, "cudasim": coming}


def get_backend(name: str):
    """The array module called `name`. Raises ValueError for an unknown name and RuntimeError for an unusable one."""
    if name not in BACKENDS:
        raise ValueError(f"backend: {name!r} is not one of {', '.join(BACKENDS)}")
    missing = available_backends()[name]
    if missing:
        raise RuntimeError(f"backend {name}: {missing}")
    return np


def is_array(value) -> bool:
    """True for an array of any backend (NumPy scalars are numbers, not arrays)."""
    return isinstance(value, np.ndarray)


def backend_name(array) -> str:
    """Name of the backend that `array` belongs to. Raises TypeError for anything that is no array."""
    if isinstance(array, np.ndarray | np.generic):
        return "numpy"
    raise TypeError(f"expected an array of one of {', '.join(BACKENDS)}, got {type(array).__name__}")


def array_module(*values):
    """The one array module of all arrays among `values` (numbers and None do not count); NumPy when there is none."""
    return np


def to_host(array) -> np.ndarray:
    """The array as a NumPy array (itself when it is one already)."""
    return np.asarray(array)


def to_backend(array, name: str):
    """The array on the backend called `name` (itself when it is there already)."""
    get_backend(name)
    return to_host(array)


def blas_threads(n: int | None):
    """Context manager: the matrix library uses at most `n` threads inside; None leaves it alone. ValueError below 1."""
    if n is not None and n < 1:
        raise ValueError(f"threads: {n} is not an integer of at least 1")
    return threadpool_limits(n) if n is not None else nullcontext()
