"""Counts host synchronisations: the places where a program would wait for the GPU.

A GPU works through a queue while the program runs ahead. Whenever the program asks for a value (a Python number, a
NumPy copy, a size that depends on data) it must wait until the queue is empty, so these places are worth counting.
"""
from __future__ import annotations

_count = 0


def host_synchronisations() -> int:
    """How many times this process has read something back from the simulated device so far."""
    return _count


def synchronise() -> None:
    """Called wherever a real program would wait."""
    global _count
    _count += 1
