"""Compile a `.cu` file once and launch its kernels. A raw kernel checks nothing, so everything is checked here.

A `.cu` file lies beside this one, uses `REAL` for its float type and is compiled once for each backend and each of
float and double. What a kernel expects is read from its own parameter list, so nothing is declared twice.
"""
from __future__ import annotations

import functools
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
    pointers; numbers, or arrays of one element, for scalars, which are converted to the kernel's type. Raises
    TypeError for an array of another dtype or of another backend than the first one, ValueError for one that is not
    C-contiguous and for a wrong number of arguments.
    """
    global launches
    grid, block = ((size,) if isinstance(size, int) else tuple(size) for size in (grid, block))
    if 0 in grid:
        return
    real = REALS[np.dtype(real).name]
    backend = backend_name(next(a for a in args if is_array(a)))
    parameters = _parameters(file)[name]
    if len(args) != len(parameters):
        raise ValueError(f"{name}: takes {len(parameters)} arguments, {len(args)} given")
    checked = [_argument(name, real, backend, parameter, value)
               for parameter, value in zip(parameters, args, strict=True)]
    _module(backend, file, real).get_function(name)(grid, block, tuple(checked), shared_mem=shared_mem)
    launches += 1


def source(file: str) -> str:
    """The text of a `.cu` file of this package."""
    return (resources.files(__package__) / file).read_text(encoding="utf-8")


def ceil_div(a: int, b: int) -> int:
    """How many blocks of b hold a."""
    return -(-a // b)


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


def _argument(kernel: str, real: str, backend: str, parameter: tuple[str, str, bool], value):
    argument, kind, pointer = parameter
    dtype = np.dtype(C_TYPES[real if kind == "REAL" else kind])
    where = f"{kernel}: {argument}"
    if not pointer:
        return dtype.type(value.item() if is_array(value) or isinstance(value, np.generic) else value)
    if not is_array(value):
        raise TypeError(f"{where} is a {type(value).__name__}; the kernel needs an array of {dtype}")
    if backend_name(value) != backend:
        raise TypeError(f"{where} is a {backend_name(value)} array among {backend} arrays; move it with to_backend")
    if value.dtype != dtype:
        raise TypeError(f"{where} is {value.dtype}; the kernel needs {dtype}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{where} is not C-contiguous; use xp.ascontiguousarray")
    return value


def contiguous(*arrays):
    """The arrays packed in C order, which is all a kernel sees; each is itself when it is packed already."""
    return tuple(array_module(a).ascontiguousarray(a) for a in arrays)
