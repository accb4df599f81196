"""Softmax and its logarithm."""
from __future__ import annotations

from minimoe.autograd import op
from minimoe.ops.checks import as_float, axis_of


@op
def softmax(xp, x, axis=-1):
    """y_i = exp(x_i) / sum_j exp(x_j) along `axis`. x: float, any shape; y: same shape.

    Entries of -inf get 0; a row of nothing else is NaN (attention knows what a row without keys means). Raises
    ValueError for an axis out of range, TypeError for integers.
    """
    x = as_float(xp, "softmax", "x", x)
    axis = axis_of("softmax", x.shape, axis)
    if x.size == 0:
        return x.copy(), lambda gy: (gy,)
    y = x - x.max(axis=axis, keepdims=True)         # shift: exp never overflows
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)

    def backward(gy):
        gx = gy * y
        row = gx.sum(axis=axis, keepdims=True)
        xp.subtract(gy, row, out=gx)
        gx *= y
        return (gx,)

    return y, backward


@op
def log_softmax(xp, x, axis=-1):
    """y_i = x_i - ln sum_j exp(x_j) along `axis`. x: float, any shape; y: same shape. Raises as softmax."""
    x = as_float(xp, "log_softmax", "x", x)
    axis = axis_of("log_softmax", x.shape, axis)
    if x.size == 0:
        return x.copy(), lambda gy: (gy,)
    y = x - x.max(axis=axis, keepdims=True)
    p = xp.exp(y)
    total = p.sum(axis=axis, keepdims=True)
    y -= xp.log(total)

    def backward(gy):
        gx = p * (gy.sum(axis=axis, keepdims=True) / total)
        xp.subtract(gy, gx, out=gx)
        return (gx,)

    return y, backward
