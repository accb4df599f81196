"""Launches of sorting.cu. What they compute is written at the twins in reference/sorting.py."""
from __future__ import annotations

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch

FILE = "sorting.cu"
REAL = "float32"                                    # launch wants one; this file has integers only
TILE = 256                                          # assignments that a warp ranks, 32 at a time
THREADS = 256


def token_of_assignment(row_ptr, assignments: int):
    (row_ptr,) = indices(row_ptr)
    tokens, token = row_ptr.size - 1, array_module(row_ptr).empty(assignments, "int32")
    launch(FILE, "token_of_assignment", REAL, ceil_div(tokens, THREADS), THREADS, (row_ptr, tokens, token))
    return token


def sort_by_expert(expert, keep, n_experts: int):
    """Reads one number back, how many are kept, if there is a `keep`; else nothing."""
    xp, (expert,) = array_module(expert), indices(expert)
    total, tiles = expert.size, ceil_div(expert.size, TILE)
    keeping = (xp.empty(1, bool), False) if keep is None else (*contiguous(keep), True)
    count, inv = xp.zeros((n_experts, tiles), xp.int32), xp.empty(total, xp.int32)
    launch(FILE, "rank_in_tile", REAL, tiles, 32, (expert, *keeping, total, TILE, tiles, count, inv))
    start = xp.zeros(n_experts * tiles + 1, xp.int32)
    xp.cumsum(count.reshape(-1), out=start[1:])
    offsets = start[::tiles].copy() if tiles else xp.zeros(n_experts + 1, xp.int32)
    perm = xp.empty(total if keep is None else int(offsets[-1]), xp.int32)
    launch(FILE, "place_assignments", REAL, ceil_div(total, THREADS), THREADS,
           (expert, start, total, TILE, tiles, inv, perm))
    return offsets[1:] - offsets[:-1], offsets, perm, inv
