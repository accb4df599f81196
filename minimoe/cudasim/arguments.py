"""What a kernel may be called with. A real launch checks almost nothing, so every mistake here is one that a GPU would
answer with garbage; the sentence says which.

Sources: cupy/_core/_carray.pyx and cupy/cuda/function.pyx, `_pointer` (what each argument is turned into); the limits
stand in the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minimoe.cudasim.arrays import ndarray

MOST_THREADS, MOST_Z, MOST_GRID = 1024, 64, (2**31 - 1, 65535, 65535)
SHARED_UNASKED = 48 << 10                           # dynamic shared memory without asking for more
SHARED_EVER = 227 << 10                             # with asking, on the largest GPUs


@dataclass(frozen=True)
class Parameter:
    pointer: bool
    constant: bool                                  # pointer to const: the kernel only reads
    kind: str                                       # NumPy's kind letter; "V": a struct or void, which is not checked
    size: int                                       # bytes

    def accepts(self, dtype: np.dtype) -> bool:
        if self.kind == "V":
            return self.pointer or dtype.itemsize == self.size
        return dtype.kind == self.kind and dtype.itemsize == self.size

    def __str__(self) -> str:
        return "struct" if self.kind == "V" else np.dtype(f"{self.kind}{self.size}").name


def parse_signature(text: str) -> list[Parameter]:
    """The parameters that export.h wrote: "Cf4;Si4;" is (const float*, int)."""
    return [Parameter(part[0] != "S", part[0] == "C", part[1], int(part[2:])) for part in text.split(";") if part]


def check_geometry(kernel: str, grid, block, shared_mem: int, allowed: int) -> tuple[tuple, tuple]:
    """Grid and block as three ints each. Raises ValueError beyond a limit of CUDA."""
    grid, block = _three(kernel, "grid", grid), _three(kernel, "block", block)
    if min(grid) < 1:
        raise ValueError(f"{kernel}: grid is {grid}; an empty grid still runs one block under CuPy, so return early")
    if min(block) < 1:
        raise ValueError(f"{kernel}: block is {block}; each size must be at least 1")
    if block[0] * block[1] * block[2] > MOST_THREADS or block[2] > MOST_Z:
        raise ValueError(f"{kernel}: block is {block}; at most {MOST_THREADS} threads, and {MOST_Z} along z")
    if any(size > most for size, most in zip(grid, MOST_GRID, strict=True)):
        raise ValueError(f"{kernel}: grid is {grid}; at most {MOST_GRID}")
    if not 0 <= shared_mem <= allowed:
        raise ValueError(f"{kernel}: shared_mem is {shared_mem}; from 0 to {allowed} bytes, or raise "
                         "max_dynamic_shared_size_bytes")
    return grid, block


def _three(kernel: str, what: str, sizes) -> tuple[int, int, int]:
    if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3:
        raise TypeError(f"{kernel}: {what} is {sizes!r}; CuPy needs a tuple of one to three ints")
    return tuple(int(size) for size in sizes) + (1,) * (3 - len(sizes))


def check_count(kernel: str, parameters: list[Parameter], args) -> None:
    if not isinstance(args, tuple | list):
        raise TypeError(f"{kernel}: args is a {type(args).__name__}; give a tuple, (a,) for one argument")
    if len(args) != len(parameters):
        raise ValueError(f"{kernel}: takes {len(parameters)} arguments, {len(args)} given; a GPU would read garbage")


def address(kernel: str, number: int, parameter: Parameter, value) -> int:
    """The address to pass for a pointer. Raises TypeError or ValueError for anything but a fitting device array."""
    if value is None:                               # a null pointer, as in CuPy
        return 0
    where = f"{kernel}: argument {number}"
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where} is a NumPy array; move it with asarray(): CuPy would pass one of size 1 by value and "
                        "refuse others")
    if not isinstance(value, ndarray):
        raise TypeError(f"{where} is a {type(value).__name__}; the kernel wants a pointer: give a device array")
    host = value._host
    if not parameter.accepts(host.dtype):
        raise TypeError(f"{where} is an array of {host.dtype}; the kernel wants {parameter}")
    if not host.flags.c_contiguous:
        raise ValueError(f"{where} is not C-contiguous; a kernel ignores strides: use ascontiguousarray")
    return host.__array_interface__["data"][0]


def scalar_bytes(kernel: str, number: int, parameter: Parameter, value) -> bytes:
    """The bytes to pass for a scalar. Raises TypeError for anything but a NumPy scalar of the very type."""
    where = f"{kernel}: argument {number}"
    if isinstance(value, ndarray):
        raise TypeError(f"{where} is a device array; the kernel wants a {parameter} scalar, and would get an address")
    if isinstance(value, bool | int | float) and not isinstance(value, np.generic):
        raise TypeError(f"{where} is a Python {type(value).__name__}; give np.dtype('{parameter}').type(value): CuPy "
                        f"would choose the size, and the kernel wants {parameter}")
    if not isinstance(value, np.generic):
        raise TypeError(f"{where} is a {type(value).__name__}; the kernel wants a NumPy scalar of {parameter}")
    if not parameter.accepts(value.dtype):
        raise TypeError(f"{where} is a {value.dtype} scalar; the kernel wants {parameter}")
    return value.tobytes()
