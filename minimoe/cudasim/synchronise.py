"""Counts host synchronisations: the places where a program would wait for the GPU.

A GPU works through a queue while the program runs ahead. Whenever the program copies a value to the host (a Python
number, a NumPy array, a size that depends on data) it must wait until the queue is empty. Counted is each such copy, as
CuPy's own detector does (cupyx.allow_synchronize; cupy/_core/core.pyx calls it in ndarray.get, once per copy).
"""
from __future__ import annotations

_count = 0


def host_synchronisations() -> int:
    """How many values this process has copied back from the simulated device so far."""
    return _count


def synchronise(times: int = 1) -> None:
    """Called wherever a real program would wait."""
    global _count
    _count += times
