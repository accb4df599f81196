"""Which arrays: NumPy, CuPy or the CUDA simulator's. The arrays themselves decide; there is no global switch.

CuPy and the simulator are imported when somebody asks for them, never before.
"""
from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from contextlib import nullcontext

import numpy as np
from threadpoolctl import threadpool_limits

MODULES = {"numpy": "numpy", "cupy": "cupy", "cudasim": "minimoe.cudasim"}
BACKENDS = tuple(MODULES)


def available_backends() -> dict[str, str]:
    """Name of each backend -> "" when it can be used, else one line that says what is missing. Never raises."""
    return {"numpy": "", "cupy": _missing_for_cupy(), "cudasim": importlib.import_module("minimoe.cudasim").missing()}


@functools.cache
def _missing_for_cupy() -> str:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'minimoe[cuda13]' (or [cuda12] for an older driver)"
    try:
        return "" if importlib.import_module("cupy").cuda.is_available() else "CuPy finds no CUDA device or driver"
    except Exception as error:                      # a broken installation fails in many ways, none of them ours
        return f"CuPy cannot be used: {(str(error).strip() or type(error).__name__).splitlines()[0]}"


def get_backend(name: str):
    """The array module called `name`. Raises ValueError for an unknown name and RuntimeError for an unusable one."""
    if name not in BACKENDS:
        raise ValueError(f"backend: {name!r} is not one of {', '.join(BACKENDS)}")
    return _usable(name)


@functools.cache
def _usable(name: str):
    missing = available_backends()[name] if name != "numpy" else ""
    if missing:
        raise RuntimeError(f"backend {name}: {missing}")
    return importlib.import_module(MODULES[name])


@functools.cache
def _backend_of(kind: type) -> str | None:
    """The backend whose array class `kind` is, or None."""
    for name, module in MODULES.items():            # a module that was never imported has no arrays
        array_class = getattr(sys.modules.get(module), "ndarray", None)
        if array_class is not None and issubclass(kind, array_class):
            return name
    return None


def is_array(value) -> bool:
    """True for an array of any backend (NumPy scalars are numbers, not arrays)."""
    return isinstance(value, np.ndarray) or _backend_of(type(value)) is not None


def backend_name(array) -> str:
    """Name of the backend that `array` belongs to. Raises TypeError for anything that is no array."""
    if isinstance(array, np.ndarray | np.generic):
        return "numpy"
    name = _backend_of(type(array))
    if name is None:
        raise TypeError(f"expected an array of one of {', '.join(BACKENDS)}, got {type(array).__name__}")
    return name


def array_module(*values):
    """The one array module of all arrays among `values` (numbers and None do not count); NumPy when there is none.

    Raises TypeError for arrays of different backends.
    """
    found = None
    for value in values:
        name = _backend_of(type(value))
        if name is not None and name != found:
            if found is not None:
                raise TypeError(f"got arrays of {found} and of {name} together; move one with .to({found!r}) or "
                                f"minimoe.backend.to_backend(array, {found!r})")
            found = name
    return np if found in (None, "numpy") else _usable(found)


def on_host(array) -> bool:
    """Whether reading a value costs nothing: the array is NumPy's. On a device every look waits for the work before."""
    return isinstance(array, np.ndarray | np.generic)


def to_host(array) -> np.ndarray:
    """The array as a NumPy array (itself when it is one already)."""
    return np.asarray(array) if _backend_of(type(array)) in (None, "numpy") else array.get()


def to_backend(array, name: str):
    """The array on the backend called `name` (itself when it is there already)."""
    module = get_backend(name)
    return array if backend_name(array) == name and is_array(array) else module.asarray(to_host(array))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas_threads(n: int | None):
    """Context manager: the matrix library uses at most `n` threads inside; None leaves it alone. ValueError below 1."""
    if n is not None and n < 1:
        raise ValueError(f"threads: {n} is not an integer of at least 1")
    return threadpool_limits(n) if n is not None else nullcontext()
