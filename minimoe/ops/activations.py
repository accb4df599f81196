"""Activations: tanh, sigmoid, ReLU and GELU, and the gated ones, for operations that contain an activation:

    y, slope = activate(x, "gelu")                      # y and dy/dx: fresh arrays; x is only read
    gx = through_slope(gy, slope)                       # dy/dx gy; may overwrite gy

x is float32 or float64 of any shape and any strides. "geglu" and "reglu" are gated: with (g, v) the halves of x along
the last axis, y = phi(g) v is half as wide.
"""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import as_float

# The gated ones need a hidden layer of twice the width. Source: Shazeer, arXiv 2002.05202, equation 5.
GATED = {"geglu": "gelu", "reglu": "relu"}
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", *GATED)


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
    y, slope = activate(as_float(xp, "relu", "x", x), "relu")
    return y, lambda gy: (gy * slope,)


@op
def gelu(xp, x, approximate="none"):
    """y = x cdf(x), cdf of the standard normal distribution; `approximate="tanh"`: its tanh form. x: float, any shape.

    Source: Hendrycks and Gimpel, arXiv 1606.08415, equation in section 2. In float32 "none" is within 5e-7 of the
    exact value. Raises ValueError for another `approximate`, TypeError for integers.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' or 'tanh'")
    y, slope = activate(as_float(xp, "gelu", "x", x), "gelu" if approximate == "none" else "gelu_tanh")
    return y, lambda gy: (gy * slope,)


def activate(x, activation: str, bias=None, offsets=None):
    """y = phi(x + bias) and its slope; for the rows offsets[e]:offsets[e+1] of x (A, f) the bias is bias[e].

    x may be overwritten when there is a bias. For gated activations the slope, as wide as x, holds the derivatives of
    y for the gates, phi'(g) v, and for the values, phi(g).
    """
    return kernels.of(x).bias_activation(x, bias, offsets, GATED.get(activation, activation), activation in GATED)


def through_slope(gy, slope):
    """The gradient for x in y, slope = activate(x, ...): gy times slope, for both halves of a gated one.

    gy may be overwritten.
    """
    if gy.shape == slope.shape:
        gy *= slope
        return gy
    halves = slope.reshape(*gy.shape[:-1], 2, gy.shape[-1])
    return (gy[..., None, :] * halves).reshape(slope.shape)


def hidden_width(activation: str, d_ff: int) -> int:
    """Width of what goes into an activation whose result is d_ff wide."""
    return 2 * d_ff if activation in GATED else d_ff
