"""Activations: tanh, sigmoid, ReLU and GELU.

`ACTIVATIONS` maps "gelu", "gelu_tanh" and "relu" to functions on raw arrays, for operations that contain one:

    y, slope_times = ACTIVATIONS["gelu"](xp, x)         # y: a fresh array; x is only read
    gx = slope_times(gy)                                # a fresh array; gy is only read; may be called once or never

x is float32 or float64 of any shape and any strides; y and gx have its shape and dtype. "geglu" and "reglu" are gated:
their y is half as wide as x.
"""
from __future__ import annotations

import math

from scipy.special import ndtr

from minimoe.autograd import op
from minimoe.ops.checks import as_float

BLOCK = 65536                                       # elements that stay in the cache from one pass to the next
TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf(z) = 1 - poly(t) exp(-z^2), t = 1/(1 + p z)
ERF_P = 0.3275911
ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


@op
def tanh(xp, x):
    """y = tanh(x). x: float, any shape. Raises TypeError for integers."""
    x = as_float(xp, "tanh", "x", x)
    y = xp.tanh(x)
    return y, lambda gy: (gy * (1 - y * y),)


@op
def sigmoid(xp, x):
    """y = 1 / (1 + exp(-x)), without overflow at either end. x: float, any shape. Raises TypeError for integers."""
    x = as_float(xp, "sigmoid", "x", x)
    z = xp.exp(-xp.abs(x))                          # in (0, 1]
    y = xp.where(x >= 0, xp.ones_like(z), z) / (1 + z)
    return y, lambda gy: (gy * y * (1 - y),)


@op
def relu(xp, x):
    """y = max(x, 0); the slope at 0 is 0, as in PyTorch. x: float, any shape. Raises TypeError for integers."""
    y, slope_times = _relu(xp, as_float(xp, "relu", "x", x))
    return y, lambda gy: (slope_times(gy),)


@op
def gelu(xp, x, approximate="none"):
    """y = x cdf(x), cdf of the standard normal distribution; `approximate="tanh"`: its tanh form. x: float, any shape.

    Source: Hendrycks and Gimpel, arXiv 1606.08415, equation in section 2. In float32 "none" is within 5e-7 of the
    exact value. Raises ValueError for another `approximate`, TypeError for integers.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' or 'tanh'")
    y, slope_times = (_gelu if approximate == "none" else _gelu_tanh)(xp, as_float(xp, "gelu", "x", x))
    return y, lambda gy: (slope_times(gy),)


def _relu(xp, x):
    y = xp.maximum(x, 0)
    return y, lambda gy: gy * (y > 0)


def _gelu(xp, x):
    return _by_blocks(xp, x, _gelu_block_float32 if x.dtype == xp.float32 else _gelu_block_float64)


def _gelu_tanh(xp, x):
    return _by_blocks(xp, x, _gelu_tanh_block)


def _by_blocks(xp, x, block):
    """Runs block(xp, x, y, slope) over cache-sized parts. The slope is taken here, where its parts are at hand."""
    flat = x.reshape(-1)
    y, slope = xp.empty_like(flat), xp.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        block(xp, flat[part], y[part], slope[part])
    slope = slope.reshape(x.shape)
    return y.reshape(x.shape), lambda gy: gy * slope


def _gelu_block_float64(xp, x, y, slope):
    cdf = ndtr(x)
    xp.multiply(x, cdf, out=y)
    slope[...] = cdf + x * xp.exp(-0.5 * x * x) * INV_SQRT_2PI


def _gelu_block_float32(xp, x, y, slope):
    """As float64, with erf by its polynomial: the exact erf of SciPy costs 30 times an exp."""
    e = x * x
    e *= -0.5
    xp.exp(e, out=e)                                # exp(-x^2 / 2): in erf, and again in the slope
    t = xp.abs(x)
    t *= ERF_P / math.sqrt(2)
    t += 1
    xp.divide(1, t, out=t)
    tail = t * (ERF_A[4] / 2)                       # tail = poly(t) e / 2, the probability beyond |x|
    for a in ERF_A[3::-1]:
        tail += a / 2
        tail *= t
    tail *= e
    xp.subtract(0.5, tail, out=tail)
    xp.copysign(tail, x, out=tail)
    tail += 0.5                                     # cdf(x)
    xp.multiply(x, tail, out=y)
    xp.multiply(x, e, out=slope)
    slope *= INV_SQRT_2PI
    slope += tail                                   # cdf + x pdf


def _gelu_tanh_block(xp, x, y, slope):
    """y = x/2 (1 + th), th = tanh(c (x + a x^3)); slope = (1 + th)/2 + x/2 (1 - th^2) c (1 + 3 a x^2)."""
    square = x * x
    th = square * TANH_CUBIC
    th += 1
    th *= x
    th *= TANH_SCALE
    xp.tanh(th, out=th)
    square *= 3 * TANH_CUBIC * TANH_SCALE / 2
    square += TANH_SCALE / 2
    square *= x                                     # x/2 c (1 + 3 a x^2)
    xp.multiply(th, th, out=slope)
    xp.subtract(1, slope, out=slope)
    slope *= square
    th *= 0.5
    th += 0.5
    slope += th
    xp.multiply(x, th, out=y)


def _gated(phi):
    """y = phi(first half) * second half along the last axis: (..., 2 f) -> (..., f)."""
    def activation(xp, x):
        f = x.shape[-1] // 2
        value = x[..., f:]
        gate, slope_times = phi(xp, x[..., :f])

        def backward(gy):
            gx = xp.empty_like(x)
            gx[..., :f] = slope_times(gy * value)
            gx[..., f:] = gy * gate
            return gx

        return gate * value, backward

    return activation


# The gated ones need a hidden layer of twice the width. Source: Shazeer, arXiv 2002.05202, equation 5.
GATED = {"geglu": _gated(_gelu), "reglu": _gated(_relu)}
ACTIVATIONS = {"gelu": _gelu, "gelu_tanh": _gelu_tanh, "relu": _relu, **GATED}


def hidden_width(activation: str, d_ff: int) -> int:
    """Width of what goes into an activation whose result is d_ff wide."""
    return 2 * d_ff if activation in GATED else d_ff
