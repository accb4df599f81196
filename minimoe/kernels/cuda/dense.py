"""Launches of norm.cu, activation.cu and adamw.cu. What they compute is written at the twins in reference/dense.py."""
from __future__ import annotations

import math

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch

PHI = {"relu": 0, "gelu": 1, "gelu_tanh": 2}
THREADS = 256
WARPS = THREADS // 32                               # rows of a block that gives each row a warp
BIAS_ROWS = 8                                       # rows that a thread of the bias kernels walks down
CHUNK_ROWS, MOST_CHUNKS = 64, 128                   # of the first pass of a sum over rows
MOST_BLOCKS = 4096                                  # a grid that strides over the rest fills every GPU


def layer_norm(x, weight, bias, eps: float):
    (x,), xp = contiguous(x), array_module(x)
    rows, d = x.shape
    y, xhat, inverse = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype), xp.empty((rows, 1), x.dtype)
    launch("norm.cu", "layer_norm", x.dtype, ceil_div(rows, WARPS), THREADS,
           (x, *_optional(weight, x), *_optional(bias, x), eps, rows, d, y, xhat, inverse))
    return y, xhat, inverse


def layer_norm_backward(gy, xhat, inverse, weight):
    (gy, xhat, inverse), xp = contiguous(gy, xhat, inverse), array_module(gy)
    rows, d = gy.shape
    gx, gw, gb = xp.empty(gy.shape, gy.dtype), xp.empty(d, gy.dtype), xp.empty(d, gy.dtype)
    launch("norm.cu", "layer_norm_input_gradient", gy.dtype, ceil_div(rows, WARPS), THREADS,
           (gy, xhat, inverse, *_optional(weight, gy), rows, d, gx))
    chunk_rows = max(CHUNK_ROWS, ceil_div(rows, MOST_CHUNKS))
    chunks = ceil_div(rows, chunk_rows)
    gw_part, gb_part = xp.empty((chunks, d), gy.dtype), xp.empty((chunks, d), gy.dtype)
    launch("norm.cu", "layer_norm_weight_partials", gy.dtype, ceil_div(d, 32) * chunks, (32, 8),
           (gy, xhat, rows, d, chunk_rows, gw_part, gb_part))
    launch("norm.cu", "layer_norm_weight_sums", gy.dtype, ceil_div(d, THREADS), THREADS,
           (gw_part, gb_part, chunks, d, gw, gb))
    return gx, gw, gb


def add_bias(y, bias, offsets):
    (packed,), (rows, columns) = contiguous(y), y.shape
    launch("activation.cu", "add_bias", y.dtype, *_tiles(rows, columns),
           (*_groups(y, bias, offsets), rows, columns, BIAS_ROWS, packed))
    if packed is not y:                             # y is strided
        y[...] = packed
    return y


def bias_activation(h, bias, offsets, phi: str, gated: bool = False):
    xp, shape = array_module(h), (*h.shape[:-1], h.shape[-1] // 2) if gated else h.shape
    y, slope = xp.empty(shape, h.dtype), xp.empty(h.shape, h.dtype)
    (h,) = contiguous(h)
    if bias is None and not gated:                  # then rows mean nothing: one long row, a thread for every element
        rows, columns = 1, h.size
    else:
        rows, columns = math.prod(shape[:-1]), shape[-1]
    launch("activation.cu", "bias_gated_activation" if gated else "bias_activation", h.dtype, *_tiles(rows, columns),
           (h, *_groups(h, bias, offsets), PHI[phi], rows, columns, BIAS_ROWS, y, slope))
    return y, slope


def adamw_update(theta, g, m, v, step: int, lr: float, beta1: float, beta2: float, eps: float,
                 weight_decay: float = 0.0, l2: float = 0.0):
    c1 = 1 - beta1**step
    c2 = math.sqrt(1 - beta2**step)
    flat = [array.reshape(-1) for array in (theta, g, m, v)]
    launch("adamw.cu", "adamw_update", theta.dtype, min(ceil_div(theta.size, THREADS), MOST_BLOCKS), THREADS,
           (*flat, theta.size, beta1, 1 - beta1, beta2, 1 - beta2, c2 * eps, lr * c2 / c1, 1 - lr * weight_decay, l2))
    for array, values in ((theta, flat[0]), (m, flat[2]), (v, flat[3])):
        if not array.flags.c_contiguous:            # then reshape made a copy
            array[...] = values.reshape(array.shape)
    return theta, m, v


def _optional(array, like):
    """An argument that may be None, for a kernel that takes a pointer and whether to read it."""
    return (like, False) if array is None else (*contiguous(array), True)


def _groups(h, bias, offsets):
    """bias, offsets and the number of groups, as activation.cu takes them."""
    if bias is None:
        bias, groups = h, 0
    else:
        (bias,), groups = contiguous(bias), 1 if offsets is None else offsets.size - 1
    return bias, array_module(h).empty(1, "int32") if offsets is None else indices(offsets)[0], groups


def _tiles(rows: int, columns: int) -> tuple[int, int]:
    """Grid and block of the bias kernels."""
    return ceil_div(rows, BIAS_ROWS) * ceil_div(columns, THREADS), THREADS
