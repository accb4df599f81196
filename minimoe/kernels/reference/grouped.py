"""One matrix per expert, on contiguous segments of rows: one call of the matrix library for each expert that has any.

The first three also take device arrays, for which this is the other form of grouped.cu: they wait for the offsets.
"""
from __future__ import annotations

from minimoe.backend import array_module


def grouped_matmul(x, weight, offsets):
    """Rows of expert e times its matrix: (A, d), (E, d, f), (E+1,) -> (A, f)."""
    xp = array_module(x, weight)
    y = xp.empty((x.shape[0], weight.shape[2]), x.dtype)
    for e, lo, hi in segments(offsets, x.shape[0]):
        xp.matmul(x[lo:hi], weight[e], out=y[lo:hi])
    return y


def grouped_weight_gradient(x, gy, offsets):
    """Per expert x_e^T gy_e: (A, d), (A, f), (E+1,) -> (E, d, f); zeros where an expert has no row."""
    xp = array_module(x, gy)
    gw = xp.empty((offsets.size - 1, x.shape[1], gy.shape[1]), gy.dtype)
    busy = segments(offsets, x.shape[0])
    for e in set(range(len(gw))) - {e for e, _, _ in busy}:
        gw[e] = 0
    for e, lo, hi in busy:
        xp.matmul(x[lo:hi].T, gy[lo:hi], out=gw[e])
    return gw


def grouped_sum(x, offsets):
    """Sum of every expert's rows: (A, f), (E+1,) -> (E, f); zeros where an expert has no row."""
    xp = array_module(x)
    total = xp.zeros((offsets.size - 1, x.shape[1]), x.dtype)
    for e, lo, hi in segments(offsets, x.shape[0]):
        xp.matmul(xp.ones(hi - lo, x.dtype), x[lo:hi], out=total[e])                # a GEMV is twice as fast as sum(0)
    return total


def segments(offsets, rows: int):
    """(expert, first row, end row) of every expert that has rows. Raises ValueError unless they cover all `rows`."""
    bounds = offsets.tolist()
    if bounds[0] != 0 or bounds[-1] != rows or any(lo > hi for lo, hi in zip(bounds, bounds[1:], strict=False)):
        raise ValueError(f"offsets: {bounds} must rise from 0 to {rows}, the number of rows")
    return [(e, lo, hi) for e, (lo, hi) in enumerate(zip(bounds, bounds[1:], strict=False)) if hi > lo]
