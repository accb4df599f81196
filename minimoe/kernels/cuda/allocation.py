"""The launch of allocation.cu. What it computes is written at the twin in reference/allocation.py."""
from __future__ import annotations

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, launch

MOST_THREADS = 1024                                 # of a block


def budget_counts(importance, mask, total, k_min: int, k_max: int):
    xp, (importance, mask, total) = array_module(importance), contiguous(importance, mask, total)
    batch, length = importance.shape
    counts = xp.empty((batch, length), xp.int32)
    if length:
        numbers, places = xp.empty((batch, 3, length), xp.float64), xp.empty((batch, 2, length), xp.int32)
        launch("allocation.cu", "budget_counts", importance.dtype, batch, min(32 * ceil_div(length, 32), MOST_THREADS),
               (importance, mask, total, length, k_min, k_max, numbers, places, counts))
    return counts
