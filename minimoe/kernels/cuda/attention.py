"""Launches of attention.cu. What they compute is written at the twins in reference/attention.py."""
from __future__ import annotations

import math

from minimoe.backend import array_module
from minimoe.kernels.launch import ceil_div, contiguous, launch

FILE = "attention.cu"
WARP_COLUMNS = 1024                                 # the longest row that one warp keeps in registers
WARPS = 4                                           # rows of a block that gives each row a warp


def masked_softmax(scores, live):
    xp, (scores,) = array_module(scores), contiguous(scores)
    row_max = xp.empty(scores.shape[:-1], scores.dtype)
    rows, columns = row_max.size, scores.shape[-1]
    if columns == 0:
        row_max[...] = 0
        return scores, row_max
    live, heads, queries, steps = _live(xp, scores.shape, live)
    args = (scores, live, rows, columns, heads, queries, *steps, row_max)
    if columns <= WARP_COLUMNS:
        launch(FILE, "masked_softmax_warp", scores.dtype, ceil_div(rows, WARPS), 32 * WARPS, args)
    else:
        launch(FILE, "masked_softmax_block", scores.dtype, rows, 256, args)
    return scores, row_max


def masked_softmax_backward(p, gp):
    p, gp = contiguous(p, gp)
    gs = array_module(p).empty(p.shape, p.dtype)
    rows, columns = math.prod(p.shape[:-1]), p.shape[-1]
    if columns:
        launch(FILE, "masked_softmax_backward", p.dtype, ceil_div(rows, WARPS), 32 * WARPS, (p, gp, rows, columns, gs))
    return gs


def column_importance(p, mask, measure: str, heads: str):
    xp, (p,) = array_module(p), contiguous(p)
    batch, n_heads, length = p.shape[:3]
    importance = xp.empty((batch, length), p.dtype)
    real, step = (xp.ones(1, bool), 0) if mask is None else (*contiguous(mask), 1)
    launch(FILE, "column_importance", p.dtype, batch * ceil_div(length, 32), (32, 8),
           (p, real, step, n_heads, length, measure == "colmax", heads == "max", importance))
    return importance


def _live(xp, shape, live):
    """(live, heads, queries, steps): bool array and its step along batch, heads, queries and keys, as attention.cu
    reads it: 0 where it is broadcast. None is one True for everything, so no mask is ever made as large as scores."""
    if live is None:
        return xp.ones(1, bool), 1, 1, (0, 0, 0, 0)
    if len(shape) > 4:                              # more leading axes than the kernel has: one of them, in full
        live = xp.broadcast_to(live, shape[:-2] + live.shape[-2:]).reshape(-1, 1, *live.shape[-2:])
        shape = (live.shape[0], 1, *shape[-2:])
    shape = (1,) * (4 - len(shape)) + tuple(shape)
    (live,) = contiguous(live.reshape((1,) * (4 - live.ndim) + live.shape))
    steps, step = [], 1
    for size in reversed(live.shape):
        steps.append(step if size > 1 else 0)
        step *= size
    return live, shape[1], shape[2], steps[::-1]
