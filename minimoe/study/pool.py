"""Cells in parallel: one process for each, so that none can disturb another or the grid."""
from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait

from minimoe.backend import cores
from minimoe.study.cells import run_cell
from minimoe.study.grid import Cell

# what the matrix libraries read when they are loaded, so it is set before a process starts
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PATIENCE = 5.0                                      # seconds that a process gets to end itself


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its result, or one line that says why there is none. warnings: texts."""

    cell: Cell
    result: dict | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()


def default_jobs(cells: list[Cell]) -> int:
    """As many processes as the cores have room for with the threads that the cells ask for."""
    return max(1, cores() // max(cell.config.threads for cell in cells))


def run_cells(cells: Iterable[Cell], jobs: int, run: Callable[[Cell], dict] = run_cell) -> Iterator[Outcome]:
    """Runs `run(cell)` for every cell, `jobs` at a time, and yields each as it ends. A cell that fails, even one whose
    process is killed, is an Outcome like any other. Closing the iterator, or an interruption, stops what still runs.

    Processes are started afresh (spawn), so `run` must be importable and a script that calls this needs
    `if __name__ == "__main__":`.
    """
    waiting, running = iter(cells), {}
    try:
        while True:
            while len(running) < jobs and (cell := next(waiting, None)) is not None:
                running |= _start(run, cell)
            if not running:
                return
            for answer in wait(list(running)):
                process, cell = running[answer]
                outcome = _outcome(answer, process, cell)
                del running[answer]
                yield outcome
    finally:
        _stop([process for process, _ in running.values()])


def _start(run, cell: Cell) -> dict:
    """{where its answer will come: (the process, its cell)}."""
    context = multiprocessing.get_context("spawn")
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, run, cell), name=cell.name, daemon=True)
    with _environment(dict.fromkeys(THREADS, str(cell.config.threads))), _deaf_to_interrupts():
        process.start()
    theirs.close()                                  # so that the answer ends when the process does
    return {answer: (process, cell)}


def _outcome(answer, process, cell: Cell) -> Outcome:
    try:
        result, error, texts = answer.recv()
    except (EOFError, OSError):
        result, error, texts = None, None, ()
    process.join()
    answer.close()
    if result is None and error is None:
        error = f"its process ended with status {process.exitcode} and said nothing; out of memory?"
    return Outcome(cell, result, error, texts)


def _stop(processes: list) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _work(answer, run, cell: Cell) -> None:
    """What a process does: one cell. It ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("default")
            result = run(cell)
        answer.send((result, None, tuple(dict.fromkeys(str(w.message) for w in found))))
    except _Ended:
        raise
    except (Exception, SystemExit) as error:        # sys.exit: of a router of one's own
        lines = str(error).strip().splitlines() or ["no message"]
        answer.send((None, f"{type(error).__name__}: {lines[-1]}", ()))


class _Ended(SystemExit):
    """The grid stops; on the way out half-written files are cleared away."""


def _end(*_) -> None:
    raise _Ended(1)


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextmanager
def _environment(values: dict[str, str]):
    """These variables for the time being: a new process inherits them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts():
    """A process that starts meanwhile is deaf to Ctrl-C from its first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
