"""Where a figure comes from: the state of the source, the machine, the libraries."""
from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

import minimoe
from minimoe.backend import cores


def machine() -> dict:
    """Processor, cores, platform, and the versions that decide the last bits of a result."""
    blas = [f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip()
            for lib in threadpool_info() if lib["user_api"] == "blas"]
    return {"processor": processor(), "cores": cores(), "platform": platform.platform(),
            "python": platform.python_version(), "numpy": np.__version__, "blas": "; ".join(dict.fromkeys(blas))}


def processor() -> str:
    """The processor's name as Linux gives it, elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def source() -> str:
    """A checksum of minimoe's own Python and CUDA files: two results with the same one came from the same code,
    whatever was committed."""
    root = Path(minimoe.__file__).parent
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".cu")):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return total.hexdigest()[:16]


def commit(root=None) -> str | None:
    """The commit that is checked out in the source tree, as `git rev-parse HEAD` says it; None outside a repository."""
    git = (Path(minimoe.__file__).parents[1] if root is None else Path(root)) / ".git"
    try:
        if git.is_file():                           # a worktree: a file that says where its folder is
            git = git.parent / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        shared = git / "commondir"
        common = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
        if (common / ref).is_file():
            return (common / ref).read_text(encoding="utf-8").strip()
        packed = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), None)
    except (OSError, UnicodeDecodeError):
        return None
