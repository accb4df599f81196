"""Rows gathered, and summed back: the scatter and gather of the expert layer."""
from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array


def gather_rows(x, index):
    """x[index]: (N, d), (A,) -> (A, d)."""
    return x.take(index, axis=0)


def combine_rows(rows, gates, inv, row_ptr):
    """y_i = sum over token i's assignments a of gates[a] * rows[inv[a]], in their order; dropped ones add nothing.

    rows (kept, d), gates (A,) or None for ones -> (N, d). With gates None it is the backward of a row gather.
    """
    n, width = row_ptr.size - 1, rows.shape[1]
    if rows.shape[0] == 0:
        return np.zeros((n, width), rows.dtype)
    if gates is None:
        gates = np.ones(inv.size, rows.dtype)
    if rows.shape[0] < inv.size:                    # something was dropped
        keep = inv >= 0
        row_ptr = np.concatenate([[0], np.cumsum(keep)])[row_ptr]
        inv, gates = inv[keep], gates[keep]
    return csr_array((gates, inv, row_ptr), shape=(n, rows.shape[0])) @ rows        # (N, d)


def combine_rows_backward(gy, rows, gates, perm, token):
    """Gradients of combine_rows: g_rows[s] = gates[a] gy[token[a]], g_gates[a] = <gy[token[a]], rows[s]>, a = perm[s].

    gy (N, d), rows (kept, d), gates (A,) -> (kept, d), (A,); a dropped assignment gets 0.
    """
    arrived = gy.take(token[perm], axis=0)                                          # (kept, d)
    g_gates = np.zeros(gates.shape, gates.dtype)
    g_gates[perm] = np.vecdot(arrived, rows)
    arrived *= gates[perm][:, None]
    return arrived, g_gates


def embedding_gradient(ids, gy, n_rows: int):
    """Sum of gy's rows by id: g_weight[v] = sum of gy[j] over ids[j] = v. (M,), (M, d) -> (n_rows, d)."""
    order = np.argsort(ids, kind="stable")
    row_ptr = np.zeros(n_rows + 1, np.int32)
    np.cumsum(np.bincount(ids, minlength=n_rows), out=row_ptr[1:])
    return csr_array((np.ones(ids.size, gy.dtype), order, row_ptr), shape=(n_rows, ids.size)) @ gy
