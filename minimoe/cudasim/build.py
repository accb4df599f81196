"""g++ and the folder where its results stay.

A cached library is machine code that this process will run, so the folder must belong to this user and to nobody else,
and a file is loaded only if its last 32 bytes are the SHA-256 of the rest. Its name is a hash of all that it was made
from: kernel text, headers, options and compiler. The folder may be deleted at any time.
"""
from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from minimoe.cudasim.errors import SimulationError

RUNTIME = Path(__file__).parent / "runtime"
COMMON = ["-std=c++17", "-gdwarf-4", "-fPIC"]         # version 5 confuses addr2line about text that comes by a pipe
# A kernel's own options. No contraction: a * b + c is rounded twice, always. Each library keeps its own statics.
KERNEL = ["-w", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-gnu-unique", "-include", str(RUNTIME / "cuda.h")]
FAST = ["-O2"]
CHECKED = ["-O1", "-fsanitize=thread,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all",
           "-fno-optimize-sibling-calls", "--param", "tsan-distinguish-volatile=1"]
DIGEST = 32                                         # bytes of a SHA-256


def missing() -> str:
    """"" when kernels can be compiled and run here, else one line that says what is missing and how to get it."""
    if not sys.platform.startswith("linux"):
        return f"the CUDA simulator needs Linux, and this is {sys.platform}; a Linux container will do"
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"the CUDA simulator needs an x86-64 processor, and this is {platform.machine()}"
    if shutil.which("g++") is None:
        return "the CUDA simulator needs g++: apt install g++ (or dnf install gcc-c++)"
    if shutil.which("addr2line") is None:
        return "the CUDA simulator needs addr2line: apt install binutils (or dnf install binutils)"
    return ""


@functools.cache
def runtime() -> ctypes.CDLL:
    """The runtime, compiled when it is not in the cache yet. Its names are visible to kernels that are loaded later."""
    if why := missing():
        raise SimulationError(why)
    sources = [str(path) for path in sorted(RUNTIME.glob("*.cpp"))]
    path = _library("runtime", "", [*COMMON, "-O2", "-shared", *sources])
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


@functools.cache
def kernel_library(text: str, defines: tuple[str, ...], check: bool) -> tuple[ctypes.CDLL, Path]:
    """The library of a translated .cu file, loaded, and its path. Raises SimulationError if it does not compile."""
    runtime()
    options = [*COMMON, *KERNEL, *(CHECKED if check else FAST), *defines, "-c", "-x", "c++", "-"]
    path = _library("checked" if check else "kernel", text, options)
    return ctypes.CDLL(str(path)), path


def source_line(library: Path, address: int) -> int | None:
    """The line of the kernel file from which the instruction before `address` comes, or None."""
    command = ["addr2line", "-i", "-e", str(library), hex(address - 1)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for place in answer.splitlines():               # innermost function first; those of our headers do not count
        file, _, line = place.partition(" ")[0].rpartition(":")
        if file.endswith("kernel.cu") and line.isdigit():
            return int(line)
    return None


@functools.cache
def cache_folder() -> Path:
    """Where libraries stay: $XDG_CACHE_HOME/minimoe/cudasim, else ~/.cache/minimoe/cudasim; if that cannot be made or
    is open to others, a private temporary folder that goes when the process ends."""
    wanted = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(wanted) if os.path.isabs(wanted) else Path.home() / ".cache"
        for folder in (base / "minimoe", base / "minimoe" / "cudasim"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(folder):
                raise PermissionError(folder)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):                 # RuntimeError: no home folder
        pass
    private = Path(tempfile.mkdtemp(prefix="minimoe-cudasim-"))         # made with mode 0700
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


def _is_private(folder: Path) -> bool:
    """A real folder (no link), ours, and closed: the inner one to all others, the outer one to their writing."""
    facts = folder.lstat()
    others = 0o077 if folder.name == "cudasim" else 0o022
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & others


def _library(kind: str, text: str, options: list[str]) -> Path:
    """The path of a library made from these, out of the cache when it is there and unharmed."""
    key = "\0".join([_compiler(), *options, _sources(), text])
    path = cache_folder() / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if not _is_whole(path):
        _compile(text, options, path)
    return path


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def _compile(text: str, options: list[str], path: Path) -> None:
    """Compiles under a temporary name and renames: another process sees either nothing or all of it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made, linked = Path(folder) / "made", Path(folder) / "linked"
        _gxx([*options, "-o", str(made)], text)
        if "-c" in options:                         # linked without the sanitizers' libraries: the runtime is theirs
            _gxx(["-shared", "-Wl,-Bsymbolic", str(made), "-o", str(linked)], "")
            made = linked
        content = made.read_bytes()
        made.write_bytes(content + hashlib.sha256(content).digest())      # what follows an ELF file's end is ignored
        os.replace(made, path)


def _gxx(arguments: list[str], text: str) -> None:
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(["g++", *arguments], input=text, capture_output=True, encoding="utf-8", env=english,
                          check=False)
    if done.returncode:
        raise SimulationError(f"g++ does not compile this kernel file:\n{done.stderr.strip()[:4000]}")


@functools.cache
def _compiler() -> str:
    """Which g++ this is: another one must not use its files."""
    asked = ["g++", "-dumpfullversion", "-dumpmachine"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"{shutil.which('g++')} {done.stdout}"


@functools.cache
def _sources() -> str:
    return "\0".join(path.read_text(encoding="utf-8") for path in sorted(RUNTIME.iterdir()) if path.is_file())
