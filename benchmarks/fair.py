"""What every comparison with PyTorch shares: thread counts, turns, quartiles, the machine, the table.

Import it before NumPy: OpenBLAS reads its settings when it loads.
"""
from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")       # idle workers sleep instead of taking PyTorch's cores

import argparse
import platform
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import minimoe
from minimoe.files import check_writable, write_json
from minimoe.study.summary import table

BLOCK = 3           # calls of one side in a row; the first, which finds the other side's data in the cache, is dropped


@contextmanager
def threads(n: int):
    """Both sides use n threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    with threadpool_limits(n):
        yield
    torch.set_num_threads(before)


def take_turns(calls: dict[str, Callable], timings: int) -> dict[str, dict]:
    """Seconds of every call, at least `timings` a side, in blocks A A A B B B: median, quartiles, count."""
    found = {name: [] for name in calls}
    while min(map(len, found.values())) < timings:
        for name, call in calls.items():
            for number in range(BLOCK):
                start = time.perf_counter()
                call()
                if number:
                    found[name].append(time.perf_counter() - start)
    return {name: quartiles(times) for name, times in found.items()}


def quartiles(times: list[float]) -> dict:
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75]).tolist()
    return {"seconds": middle, "p25": low, "p75": high, "timings": len(times)}


def agree(what: str, ours, theirs, tolerance: float) -> None:
    """Stops the benchmark unless every array of `ours` is that of `theirs` to `tolerance` of its largest entry."""
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = np.asarray(a), np.asarray(b.detach() if isinstance(b, torch.Tensor) else b)
        error = float(np.abs(a - b).max(initial=0)) / max(float(np.abs(b).max(initial=0)), 1e-30)
        if a.shape != b.shape or not error <= tolerance:
            raise SystemExit(f"{what}: array {number} differs from PyTorch's by {error:.1e} of its largest entry, "
                             f"allowed {tolerance:.0e}; nothing was timed")


def ratios(found: dict[str, dict], peer: str) -> list[dict]:
    """One row a side: milliseconds, quartiles, and the time over the peer's, of medians and of lower quartiles."""
    return [{"side": name, **times, "ratio": times["seconds"] / found[peer]["seconds"],
             "ratio_p25": times["p25"] / found[peer]["p25"]} for name, times in found.items()]


def show(title: str, rows: list[dict]) -> None:
    """A table of rows from `ratios`, with whatever other columns they have."""
    print(f"\n{title}")
    known = ("seconds", "p25", "p75", "timings", "ratio", "ratio_p25")
    print(table([{**{key: value for key, value in row.items() if key not in known},
                  "ms": f"{1e3 * row['seconds']:.2f}", "quartiles": f"{1e3 * row['p25']:.2f} to {1e3 * row['p75']:.2f}",
                  "ratio": f"{row['ratio']:.2f}", "of lower quartiles": f"{row['ratio_p25']:.2f}"} for row in rows]),
          flush=True)


def machine() -> dict:
    """Where the figures come from."""
    blas = next((lib for lib in threadpool_info() if lib["internal_api"] == "openblas"), {})
    return {"processor": _processor(), "cores": os.cpu_count(), "platform": platform.platform(terse=True),
            "python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__,
            "blas": f"{blas.get('internal_api', '?')} {blas.get('version', '?')} {blas.get('architecture', '?')}",
            "minimoe": minimoe.__version__}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def run(description: str, measure: Callable, arguments=None, timings: int = 21) -> int:
    """The command line of a script: measure(options) prints and returns {title: rows}, which --json keeps."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tiny", action="store_true", help="small sizes, few timings: only shows that it runs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts to compare at")
    parser.add_argument("--timings", type=int, default=timings, help="timings a side, at least")
    parser.add_argument("--only", default="", help="only measurements whose title contains this")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    set_by_hand = [name for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ]
    try:
        check_writable(options.json)
        if set_by_hand:
            raise ValueError(f"{set_by_hand[0]} is set, which changes one side only; unset it")
    except ValueError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    if options.tiny:
        options.timings = 2
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    results = measure(options)
    if options.json:
        write_json(options.json, {"machine": machine(), "tiny": options.tiny, "results": results})
    return 0
