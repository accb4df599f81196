"""Assignments sorted by expert."""
from __future__ import annotations

import numpy as np


def token_of_assignment(row_ptr, assignments: int):
    """The token of every assignment: (N+1,) -> int32 (A,). assignments: A."""
    return np.repeat(np.arange(row_ptr.size - 1, dtype=np.int32), np.diff(row_ptr))


def sort_by_expert(expert, keep, n_experts: int):
    """Stable counting sort of the kept assignments. `keep`: bool (A,) or None.

    Returns counts (E,), offsets (E+1,), perm (kept,), inv (A,), all int32.
    """
    kept = expert if keep is None else expert[keep]
    narrow = kept.astype(np.uint8) if n_experts <= 256 else kept                    # one byte: a radix sort
    perm = np.argsort(narrow, kind="stable").astype(np.int32)
    if keep is not None:
        perm = np.flatnonzero(keep).astype(np.int32)[perm]
    counts = np.bincount(kept, minlength=n_experts).astype(np.int32)
    offsets = np.zeros(n_experts + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    inv = np.full(expert.shape, -1, np.int32)
    inv[perm] = np.arange(perm.size, dtype=np.int32)
    return counts, offsets, perm, inv
