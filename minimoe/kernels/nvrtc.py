"""Compile CUDA C for a GPU that is not here: NVRTC, NVIDIA's run-time compiler, needs neither a device nor a driver.

It comes as a wheel of one library (`pip install nvidia-cuda-nvrtc`) and is called through ctypes.
"""
from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import re
from dataclasses import dataclass

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")           # Turing, Ampere, Hopper, Blackwell
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
LIBRARY = re.compile(r"libnvrtc\.so\.\d+|nvrtc64_\d+_\d\.dll")
OPTIONS = ("-std=c++17", "--device-as-default-execution-space", "--ptxas-options=-v")       # the first two are CuPy's
USAGE = re.compile(r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores.*?"
                   r"Used (\d+) registers([^\n]*)", re.S)


@dataclass(frozen=True)
class Usage:
    """What one kernel takes: registers per thread, and bytes of shared memory per block, of stack and of spills."""

    kernel: str
    registers: int
    shared: int
    stack: int
    spills: int


def missing() -> str:
    """"" when NVRTC can be used, else one line that says how to get it. Never raises."""
    try:
        _library()
    except (RuntimeError, OSError) as error:
        return str(error)
    return ""


def version() -> str:
    """NVRTC's version, such as "13.0". Raises RuntimeError when it is missing."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_source(code: str, real: str, architecture: str, name: str = "kernel.cu") -> list[Usage]:
    """Compiles `code` with REAL = "float" or "double" to machine code for `architecture` ("sm_90").

    Answers with what each kernel of it uses, in alphabetical order. Raises RuntimeError with the compiler's messages
    when it does not compile, and when NVRTC is missing.
    """
    library, program = _library(), ctypes.c_void_p()
    _check(library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), name.encode(), 0, None, None))
    try:
        options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={architecture}", f"-DREAL={real}")]
        result = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        size = ctypes.c_size_t()
        _check(library.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
        log = ctypes.create_string_buffer(size.value)
        _check(library.nvrtcGetProgramLog(program, log))
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    if result:
        raise RuntimeError(f"{name} for {architecture}, REAL={real}: {text.strip()}")
    return sorted((_usage(*found) for found in USAGE.findall(text)), key=lambda usage: usage.kernel)


def _usage(kernel: str, stack: str, spills: str, registers: str, rest: str) -> Usage:
    shared = re.search(r"(\d+) bytes smem", rest)
    return Usage(kernel, int(registers), int(shared[1]) if shared else 0, int(stack), int(spills))


@functools.cache
def _library():
    """The library, found in the files of its wheel."""
    for wheel in WHEELS:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if LIBRARY.fullmatch(file.name):
                library = ctypes.CDLL(str(file.locate()))
                library.nvrtcGetErrorString.restype = ctypes.c_char_p
                return library
    raise RuntimeError("NVRTC is not installed, so kernels cannot be compiled here: pip install nvidia-cuda-nvrtc")


def _check(result: int) -> None:
    if result:
        raise RuntimeError(f"NVRTC: {_library().nvrtcGetErrorString(result).decode()}")
