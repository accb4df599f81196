"""Launches of rows.cu. What they compute is written at the twins in reference/rows.py."""
from __future__ import annotations

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch

FILE = "rows.cu"
WARPS = 4                                           # rows of a block that gives each row a warp
MOST_COLUMNS = 256                                  # of a block that gives each column a thread


def gather_rows(x, index):
    xp, (x,), (packed,) = array_module(x, index), contiguous(x), indices(index)
    d = x.shape[1]
    y = xp.empty((*index.shape, d), x.dtype)        # of index, not packed: packing gives a 0-d array an axis
    launch(FILE, "gather_rows", x.dtype, ceil_div(index.size, WARPS) if d else 0, 32 * WARPS,
           (x, packed, index.size, d, y))
    return y


def combine_rows(rows, gates, inv, row_ptr):
    xp, (rows,), (inv, row_ptr) = array_module(rows, inv), contiguous(rows), indices(inv, row_ptr)
    n, d = row_ptr.size - 1, rows.shape[1]
    y = xp.empty((n, d), rows.dtype)
    columns = min(32 * ceil_div(d, 32), MOST_COLUMNS)
    launch(FILE, "combine_rows", rows.dtype, n * ceil_div(d, columns) if d else 0, columns,
           (rows, *((rows, False) if gates is None else (*contiguous(gates), True)), inv, row_ptr, d, y))
    return y


def combine_rows_backward(gy, rows, gates, perm, token):
    xp, (gy, rows, gates), (perm, token) = array_module(gy, perm), contiguous(gy, rows, gates), indices(perm, token)
    kept, d = rows.shape
    g_rows = xp.empty((kept, d), gy.dtype)
    g_gates = (xp.empty if kept == gates.size else xp.zeros)(gates.shape, gates.dtype)       # a dropped one gets 0
    launch(FILE, "combine_rows_backward", gy.dtype, ceil_div(kept, WARPS), 32 * WARPS,
           (gy, rows, gates, perm, token, kept, d, g_rows, g_gates))
    return g_rows, g_gates


def embedding_gradient(ids, gy, n_rows: int):
    """Rows of gy with one id are assignments of one token: sorted by id they are what combine_rows sums."""
    xp, (ids,) = array_module(gy, ids), indices(ids)
    order = xp.argsort(ids, kind="stable")
    row_ptr = xp.searchsorted(ids[order], xp.arange(n_rows + 1, dtype=xp.int32))            # (n_rows+1,)
    return combine_rows(gy, None, order, row_ptr)
