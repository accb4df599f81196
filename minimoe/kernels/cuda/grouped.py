"""Launches of grouped.cu. What they compute is written at the twins in reference/grouped.py.

One launch does all experts and takes their offsets on the device, so the host waits for nothing. The other form is one
call of the matrix library for each expert that has rows, which is what the twins do, for arrays of every backend: it
must wait for the offsets, and then has the library's speed. Which is faster for which sizes awaits a measurement on a
GPU.
"""
from __future__ import annotations

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch
from minimoe.kernels.reference.grouped import segments

__all__ = ["grouped_matmul", "grouped_sum", "grouped_weight_gradient", "segments"]

FILE = "grouped.cu"
TILE, THREADS = 64, 256                             # as in grouped.cu


def grouped_matmul(x, weight, offsets):
    """A weight that is the transpose (E, d, f) of a packed (E, f, d), as backward gives it, is read as it lies."""
    xp, (x,), (offsets,) = array_module(x, weight), contiguous(x), indices(offsets)
    (rows, d), (n_experts, _, f) = x.shape, weight.shape
    turned = weight.swapaxes(1, 2)
    transposed = turned.flags.c_contiguous
    (weight,) = contiguous(turned if transposed else weight)
    y = xp.empty((rows, f), x.dtype)
    launch(FILE, "grouped_matmul", x.dtype, (rows // TILE + n_experts if rows else 0) * ceil_div(f, TILE), THREADS,
           (x, weight, transposed, offsets, n_experts, d, f, y))
    return y


def grouped_weight_gradient(x, gy, offsets):
    xp, (x, gy), (offsets,) = array_module(x, gy), contiguous(x, gy), indices(offsets)
    n_experts, d, f = offsets.size - 1, x.shape[1], gy.shape[1]
    gw = xp.empty((n_experts, d, f), gy.dtype)
    launch(FILE, "grouped_weight_gradient", gy.dtype, n_experts * ceil_div(d, TILE) * ceil_div(f, TILE), THREADS,
           (x, gy, offsets, d, f, gw))
    return gw


def grouped_sum(x, offsets):
    xp, (x,), (offsets,) = array_module(x), contiguous(x), indices(offsets)
    n_experts, f = offsets.size - 1, x.shape[1]
    total = xp.empty((n_experts, f), x.dtype)
    launch(FILE, "grouped_sum", x.dtype, n_experts * ceil_div(f, 32), (32, 8), (x, offsets, f, total))
    return total
