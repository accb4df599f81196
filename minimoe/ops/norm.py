"""Layer norm and RMS norm over the last axis."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import rows_of, same_float


@op
def layer_norm(xp, x, weight, bias, eps=1e-5):
    """y = xhat * weight + bias, xhat = (x - mean) / sqrt(variance + eps) over the last axis, variance divided by n.

    x (..., d); weight and bias (d,), or None for 1 and 0. Backward, with g = gy * weight, per row:
    gx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(variance + eps); over all rows: gw = sum gy * xhat, gb = sum gy.
    Source: Ba et al., arXiv 1607.06450, equations 3 and 4. Raises ValueError for shapes that do not fit, TypeError
    unless all are float32 or all float64.
    """
    same_float("layer_norm", ("weight", "bias"), x=x, weight=weight, bias=bias)
    _check("layer_norm", x, weight=weight, bias=bias)
    kernel, rows = kernels.of(x), (rows_of(x), x.shape[-1])
    y, xhat, inverse = kernel.layer_norm(x.reshape(rows), weight, bias, eps)

    def backward(gy):
        gx, gw, gb = kernel.layer_norm_backward(gy.reshape(rows), xhat, inverse, weight)
        return gx.reshape(x.shape), None if weight is None else gw, None if bias is None else gb

    return y.reshape(x.shape), backward


@op
def rms_norm(xp, x, weight=None, eps=None):
    """y = x / sqrt(mean of x^2 + eps) * weight over the last axis. x (..., d), weight (d,) or None for 1.

    `eps`: None for the machine epsilon of x's dtype, as in PyTorch. Source: Zhang and Sennrich, arXiv 1910.07467,
    equation 4. Raises as layer_norm.
    """
    same_float("rms_norm", ("weight",), x=x, weight=weight)
    _check("rms_norm", x, weight=weight)
    eps = float(xp.finfo(x.dtype).eps) if eps is None else eps
    ones = xp.ones(x.shape[-1], x.dtype)
    scale = ones if weight is None else weight
    rows = x.reshape(rows_of(x), x.shape[-1])                               # (R, d)
    inverse = 1 / xp.sqrt(_mean(rows * rows, ones) + eps)                   # (R, 1)
    xhat = rows * inverse

    def backward(gy):
        gy = gy.reshape(rows.shape)
        product = gy * xhat
        gw = None if weight is None else xp.matmul(xp.ones(rows.shape[0], x.dtype), product)
        along_xhat = _mean(product, scale)                                  # (R, 1)
        gx = xp.multiply(gy, scale, out=product)
        gx -= xhat * along_xhat
        gx *= inverse
        return gx.reshape(x.shape), gw

    return (xhat * scale).reshape(x.shape), backward


def _mean(rows, weight):
    """sum_j rows_j weight_j / d as a column (R, 1): a product with a vector is several times faster than a row sum."""
    return (rows @ weight)[:, None] / rows.shape[1]


def _check(name: str, x, **parameters) -> None:
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"{name}: x is {x.shape}; it must be (..., d) with d of at least 1")
    for argument, value in parameters.items():
        if value is not None and value.shape != x.shape[-1:]:
            raise ValueError(f"{name}: {argument} is {value.shape}; x {x.shape} needs {x.shape[-1:]}")
