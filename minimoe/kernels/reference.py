"""The kernels in NumPy: routing, scatter and gather on raw arrays. Deterministic: every output has one writer.

Layouts (N tokens, A assignments, E experts; index arrays int32). Canonical order is token-major: the assignments of
token i are row_ptr[i]:row_ptr[i+1], best expert first. Sorted order puts the kept assignments of expert e at
offsets[e]:offsets[e+1]; perm leads from a sorted row to its assignment, inv back (-1: dropped, no row).
"""
from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array


def masked_softmax(scores, live):
    """P = softmax of `scores` over the last axis, over live entries only; a row with no live entry is exactly 0.

    `live`: bool, broadcastable to scores, or None. `scores` is overwritten and returned.
    """
    if scores.size == 0:
        return scores
    if live is not None:
        np.copyto(scores, -np.inf, where=~live)
    top = scores.max(axis=-1, keepdims=True)
    if live is not None:
        top[np.isneginf(top)] = 0                   # a dead row: exp(-inf - 0) = 0 everywhere
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    if live is not None:
        total[total == 0] = 1
    scores /= total
    return scores


def select_experts(logits, row_ptr):
    """The experts of every token, best first: (logit descending, index ascending). (N, E), (N+1,) -> int32 (A,)."""
    k = np.diff(row_ptr)
    order = np.argsort(-logits, axis=1, kind="stable").astype(np.int32)             # (N, E)
    return order[np.arange(logits.shape[1]) < k[:, None]]                           # (A,)


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


def grouped_matmul(x, weight, offsets):
    """Rows of expert e times its matrix: (A, d), (E, d, f), (E+1,) -> (A, f)."""
    y = np.empty((x.shape[0], weight.shape[2]), x.dtype)
    for e, lo, hi in segments(offsets, x.shape[0]):
        np.matmul(x[lo:hi], weight[e], out=y[lo:hi])
    return y


def grouped_weight_gradient(x, gy, offsets):
    """Per expert x_e^T gy_e: (A, d), (A, f), (E+1,) -> (E, d, f); zeros where an expert has no row."""
    gw = np.zeros((offsets.size - 1, x.shape[1], gy.shape[1]), gy.dtype)
    for e, lo, hi in segments(offsets, x.shape[0]):
        np.matmul(x[lo:hi].T, gy[lo:hi], out=gw[e])
    return gw


def grouped_sum(x, offsets):
    """Sum of every expert's rows: (A, f), (E+1,) -> (E, f); zeros where an expert has no row."""
    total = np.zeros((offsets.size - 1, x.shape[1]), x.dtype)
    for e, lo, hi in segments(offsets, x.shape[0]):
        np.matmul(np.ones(hi - lo, x.dtype), x[lo:hi], out=total[e])                # a GEMV is twice as fast as sum(0)
    return total


def segments(offsets, rows: int):
    """(expert, first row, end row) of every expert that has rows. Raises ValueError unless they cover all `rows`."""
    bounds = offsets.tolist()
    if bounds[0] != 0 or bounds[-1] != rows or any(lo > hi for lo, hi in zip(bounds, bounds[1:], strict=False)):
        raise ValueError(f"offsets: {bounds} must rise from 0 to {rows}, the number of rows")
    return [(e, lo, hi) for e, (lo, hi) in enumerate(zip(bounds, bounds[1:], strict=False)) if hi > lo]
