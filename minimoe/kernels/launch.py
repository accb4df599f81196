"""Compile a `.cu` file once and launch its kernels. A raw kernel checks nothing, so everything is checked here.

A `.cu` file lies beside this one, uses `REAL` for its float type and is compiled once for each backend and each of
float and double. What a kernel expects is read from its own parameter list, so nothing is declared twice.
"""
from __future__ import annotations

import functools
import math
import numbers
import re
from importlib import resources

import numpy as np

from minimoe.backend import array_module, backend_name, get_backend, is_array

C_TYPES = {"float": np.float32, "double": np.float64, "int": np.int32, "unsigned char": np.uint8, "bool": np.bool_,
           "long long": np.int64}
REALS = {"float32": "float", "float64": "double"}
DECLARATION = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)')
launches = 0                                        # how many kernels this process has started: see `launch_count`


def launch_count() -> int:
    """Kernels started by this process so far: shows whether work really went through them."""
    return launches


def launch(file: str, name: str, real, grid, block, args, shared_mem: int = 0) -> None:
    """Runs kernel `name` of `file` ("rows.cu") with REAL = `real` (float32 or float64) on the arrays' backend.

    grid and block: an int or a tuple; a grid of 0 does nothing (a GPU would still run one block). `args`: arrays for
    pointers; numbers, or arrays of one element, for scalars, which are converted to the kernel's type. Raises TypeError
    for an array of another dtype or of another backend than the first one and for what is no number, ValueError for an
    array that is not C-contiguous, a number that the kernel's type does not hold and a wrong number of arguments.
    """
    global launches
    grid, block = ((size,) if isinstance(size, int) else tuple(size) for size in (grid, block))
    if 0 in grid:
        return
    if np.dtype(real).name not in REALS:
        raise TypeError(f"{name}: there are kernels for {' and '.join(REALS)}, not for {np.dtype(real)}; use astype")
    real, parameters = REALS[np.dtype(real).name], _parameters(file)[name]
    if len(args) != len(parameters):
        raise ValueError(f"{name}: takes {len(parameters)} arguments, {len(args)} given")
    backend = next((backend_name(value) for value, (*_, pointer) in zip(args, parameters, strict=True)
                    if pointer and is_array(value)), "")
    if backend == "numpy":
        raise TypeError(f"{name}: got NumPy arrays; move them with minimoe.backend.to_backend, or use the NumPy twin")
    checked = [_pointer(f"{name}: {argument}", C_TYPES[real if kind == "REAL" else kind], backend, value) if pointer
               else _scalar(f"{name}: {argument}", C_TYPES[real if kind == "REAL" else kind], value)
               for value, (argument, kind, pointer) in zip(args, parameters, strict=True)]
    _module(backend, file, real).get_function(name)(grid, block, tuple(checked), shared_mem=shared_mem)
    launches += 1


def contiguous(*arrays) -> tuple:
    """The arrays packed in C order, which is all a kernel sees; each is itself when it is packed already."""
    return tuple(array_module(a).ascontiguousarray(a) for a in arrays)


def indices(*arrays) -> tuple:
    """Index arrays as kernels take them, int32 in C order; each is itself when it is that already.

    Values must fit in 32 bits. Raises TypeError for an array that does not hold integers.
    """
    for a in arrays:
        if a.dtype.kind not in "iu":
            raise TypeError(f"an index array is {a.dtype}; it must hold integers: use astype('int32')")
    return tuple(array_module(a).ascontiguousarray(a, dtype=np.int32) for a in arrays)


def ceil_div(a: int, b: int) -> int:
    """How many blocks of b hold a."""
    return -(-a // b)


def source(file: str) -> str:
    """The text of a `.cu` file of this package."""
    return (resources.files(__package__) / file).read_text(encoding="utf-8")


@functools.cache
def _parameters(file: str) -> dict[str, list[tuple[str, str, bool]]]:
    """kernel -> (name, type, is it a pointer) of each parameter, from the text of the file."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source(file), flags=re.S)
    kernels = {}
    for name, text in DECLARATION.findall(code):
        kernels[name] = []
        for parameter in text.split(","):
            words = parameter.replace("*", " * ").split()
            kind = " ".join(w for w in words[:-1] if w not in ("const", "__restrict__", "*"))
            kernels[name].append((words[-1], kind, "*" in words))
    return kernels


@functools.cache
def _module(backend: str, file: str, real: str):
    return get_backend(backend).RawModule(code=source(file), options=("-std=c++17", f"-DREAL={real}"))


def _pointer(where: str, dtype: type, backend: str, value):
    """`value`, if it is an array that a pointer to `dtype` may point into."""
    if not is_array(value):
        raise TypeError(f"{where} is a {type(value).__name__}; the kernel needs an array of {dtype.__name__}")
    if backend_name(value) != backend:
        raise TypeError(f"{where} is a {backend_name(value)} array among {backend} arrays; move it with to_backend")
    if value.dtype != dtype:
        raise TypeError(f"{where} is {value.dtype}; the kernel needs {dtype.__name__}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{where} is not C-contiguous; use launch.contiguous")
    return value


def _scalar(where: str, dtype: type, value):
    """`value` as a NumPy scalar of exactly `dtype`: the one type that arrives in a kernel as it is meant."""
    if is_array(value):
        if value.size != 1:
            raise ValueError(f"{where} is an array of shape {value.shape}; the kernel needs one {dtype.__name__}")
        value = value.item()
    if not isinstance(value, numbers.Real | np.bool_):
        raise TypeError(f"{where} is a {type(value).__name__}; the kernel needs one {dtype.__name__}")
    if issubclass(dtype, np.integer) and not (math.isfinite(value) and int(value) == value
                                              and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max):
        raise ValueError(f"{where} is {value}; the kernel needs a whole number that fits in {dtype.__name__}")
    return dtype(value)
