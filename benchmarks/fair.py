"""What every benchmark shares: thread counts, turns, quartiles, the comparison with PyTorch, the machine, the table.

Import it before NumPy: OpenBLAS reads its settings when it loads. PyTorch is imported only where it is compared with.
"""
from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")       # idle workers sleep instead of taking PyTorch's cores

import argparse
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from multiprocessing import get_context

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import minimoe
from minimoe.cli import Parser
from minimoe.files import check_writable, write_json
from minimoe.study.machine import processor
from minimoe.study.summary import table
from minimoe.training import heap

BLOCK = 3           # calls of one side in a row; the first, which finds the other side's data in the cache, is dropped
M_MMAP_THRESHOLD = -3                               # glibc's number


@contextmanager
def threads(n: int):
    """Both sides use n threads inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


def take_turns(calls: dict[str, Callable], timings: int, before_block: Callable = lambda name: None) -> dict[str, dict]:
    """Seconds of every call, at least `timings` a side, in blocks A A A B B B: median, quartiles, count."""
    found = {name: [] for name in calls}
    while min(map(len, found.values())) < timings:
        for name, call in calls.items():
            before_block(name)
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
        a, b = np.asarray(a), np.asarray(b.detach() if hasattr(b, "detach") else b)
        if a.shape != b.shape:
            raise SystemExit(f"{what}: array {number} is {a.shape}, PyTorch's is {b.shape}; nothing was timed")
        error = float(np.abs(a - b).max(initial=0)) / max(float(np.abs(b).max(initial=0)), 1e-30)
        if not error <= tolerance:
            raise SystemExit(f"{what}: array {number} differs from PyTorch's by {error:.1e} of its largest entry, "
                             f"allowed {tolerance:.0e}; nothing was timed")


def ratios(found: dict[str, dict], peer: str) -> list[dict]:
    """One row a side: milliseconds, quartiles, and the time over the peer's, of medians and of lower quartiles."""
    return [{"side": name, **times, "ratio": times["seconds"] / found[peer]["seconds"],
             "ratio_p25": times["p25"] / found[peer]["p25"]} for name, times in found.items()]


def columns(row: dict) -> dict[str, str]:
    """A row as people read it: times in milliseconds, other numbers to three digits."""
    times = ("seconds", "p25", "p75", "timings", "ratio", "ratio_p25")
    cells = {key: short(value) for key, value in row.items() if key not in times}
    if "seconds" in row:
        ms = {key: f"{1e3 * row[key]:.2f}" for key in times[:3]}
        cells |= {"ms": ms["seconds"], "quartiles": f"{ms['p25']} to {ms['p75']}"}
    if "ratio" in row:
        cells |= {"ratio": f"{row['ratio']:.2f}", "of lower quartiles": f"{row['ratio_p25']:.2f}"}
    return cells


def short(value) -> str:
    """A float to three digits, anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(title: str, rows: list[dict]) -> None:
    """Rows of the same keys, times as `quartiles` and `ratios` name them, as a table."""
    print(f"\n{title}")
    print(table([columns(row) for row in rows]), flush=True)


def on_threads(title: str, n: int) -> str:
    return f"{title}, {n} thread{'s' * (n > 1)}"


def keeper(results: dict[str, list[dict]], only: str) -> Callable:
    """keep(title, rows): where --only chooses the title, puts rows() into `results` and shows them."""
    def keep(title: str, rows: Callable) -> None:
        if only in title:
            results[title] = rows()
            show(title, results[title])
    return keep


def beside_torch(calls: dict[str, Callable], options) -> list[dict]:
    """Lets `calls` take turns: their rows, with ratios to "torch eager". `--memory kept`: see `add_memory`."""
    before_block = (lambda name: heap.keep_freed_memory()) if options.memory == "kept" else own_memory
    return ratios(take_turns(calls, options.timings, before_block), "torch eager")


def own_memory(name: str) -> None:
    """Each library has the memory that its users have: our trainer keeps what a step frees, and PyTorch has the
    thresholds at which glibc's own ones, which rise with what is freed, end."""
    if name == "minimoe":
        heap.keep_freed_memory()
    else:
        heap.set_malloc(heap.M_MMAP_MAX, 2**16)
        heap.set_malloc(M_MMAP_THRESHOLD, 2**25)
        heap.set_malloc(heap.M_TRIM_THRESHOLD, 2**26)


def in_own_process(options, function: Callable, *arguments):
    """function(*arguments) in a fresh process, so that no measurement finds memory that one before it left behind.
    Tiny ones, whose times mean nothing, stay here."""
    if options.tiny:
        return function(*arguments)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def add_memory(parser) -> None:
    parser.add_argument("--memory", choices=("own", "kept"), default="own", help="own: each library's as its users "
                        "have it; kept: what PyTorch frees stays with the process too, as minimoe's trainer does it")


def machine() -> dict:
    """Where the figures come from."""
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    blas = min(found, key=lambda lib: "numpy" not in lib["filepath"], default={})       # SciPy may bring another
    return {"processor": processor(), "cores": os.cpu_count(), "platform": platform.platform(terse=True),
            "python": platform.python_version(), "numpy": np.__version__, "torch": _torch_version(),
            "blas": f"{blas.get('internal_api', '?')} {blas.get('version', '?')} {blas.get('architecture', '?')}",
            "minimoe": minimoe.__version__}


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "not installed"


def run(description: str, measure: Callable, arguments=None, timings: int = 21, threads: tuple[int, ...] = (1, 2),
        add_options: Callable = lambda parser: None) -> int:
    """The command line of a script: measure(options) prints and returns {title: rows}, which --json keeps.

    Exit status: 0 done; 1, with a line, where results differ; 2, with a line, for arguments that cannot be.
    """
    parser = Parser(description=description)
    parser.add_argument("--tiny", action="store_true", help="small sizes, few timings: only shows that it runs")
    parser.add_argument("--threads", type=positive, nargs="+", default=list(threads), help="thread counts")
    parser.add_argument("--timings", type=positive, default=timings, help="timings a side, at least")
    parser.add_argument("--only", default="", help="only measurements whose title contains this")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    add_options(parser)
    try:
        options = parser.parse_args(arguments)
        check_writable(options.json)
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            if name in os.environ:
                raise ValueError(f"{name} is set, which changes one side only; unset it")
    except (ValueError, ImportError) as error:
        return _refuse(parser, error)
    if options.tiny:
        options.timings = 2
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    results = measure(options)
    if not results:
        return _refuse(parser, f"--only {options.only}: no measurement has that in its title")
    if options.json:
        write_json(options.json, {"machine": machine(), "tiny": options.tiny, "results": results})
    return 0


def _refuse(parser, reason) -> int:
    print(f"{parser.prog}: {reason}", file=sys.stderr)
    return 2


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not an integer of at least 1")
    return number
