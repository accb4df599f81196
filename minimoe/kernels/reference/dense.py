"""Layer norm, bias and activation, and the step of Adam, in NumPy.

Where a formula has several passes it runs over blocks that stay in the cache from one pass to the next, and sums over
rows or columns are products with a vector, which are several times faster.
"""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minimoe.kernels.reference.grouped import segments

BLOCK = 131072                  # elements: few enough for the cache, enough that two threads seldom wait for each other
TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715
SIGN = np.uint32(1 << 31)                           # the bit of a float32
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf(z) = 1 - poly(t) exp(-z^2), t = 1/(1 + p z)
ERF_P = 0.3275911
ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def blocks(*arrays) -> Iterator[tuple]:
    """Matching parts of arrays of one shape: views of at most BLOCK elements. Arrays come whole when one is strided,
    and when they are on a device, which has no use for small parts."""
    if not all(isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(a[start:start + BLOCK] for a in flat)


def layer_norm(x, weight, bias, eps: float):
    """y = xhat * weight + bias, xhat = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps) of every row.

    x (R, d), weight and bias (d,) or None for 1 and 0 -> y (R, d), and for backward xhat (R, d), inverse (R, 1).
    """
    ones = np.ones(x.shape[1], x.dtype)
    xhat = x - _mean(x, ones)
    xhat -= _mean(xhat, ones)                       # again: far from zero the first mean is rounded
    y = xhat * xhat                                 # squares of centred values: mean(x^2) - mean(x)^2 loses every digit
    inverse = 1 / np.sqrt(_mean(y, ones) + eps)                             # (R, 1)
    xhat *= inverse
    np.multiply(xhat, ones if weight is None else weight, out=y)
    if bias is not None:
        y += bias
    return y, xhat, inverse


def layer_norm_backward(gy, xhat, inverse, weight):
    """gx = inverse * (g - mean(g) - xhat * mean(g * xhat)) with g = gy * weight; gw = sum_r gy * xhat; gb = sum_r gy.

    gy, xhat (R, d), inverse (R, 1), weight (d,) or None -> gx (R, d), gw (d,), gb (d,).
    """
    scale = np.ones(gy.shape[1], gy.dtype) if weight is None else weight
    each_row = np.ones(gy.shape[0], gy.dtype)
    product = gy * xhat
    gw, gb = each_row @ product, each_row @ gy
    along_xhat = _mean(product, scale)                                      # (R, 1)
    gx = np.multiply(gy, scale, out=product)
    gx -= _mean(gy, scale)
    gx -= xhat * along_xhat
    gx *= inverse
    return gx, gw, gb


def _mean(rows, weight):
    """sum_j rows_j weight_j / d as a column (R, 1)."""
    return (rows @ weight)[:, None] / rows.shape[1]


def add_bias(y, bias, offsets):
    """y += bias in place, and y is returned: bias[e] for the rows of expert e. (A, f), (E, f), (E+1,).

    With offsets None bias is (f,), the same for every row.
    """
    if offsets is None:
        y += bias
        return y
    for e, lo, hi in segments(offsets, y.shape[0]):
        y[lo:hi] += bias[e]
    return y


def bias_activation(h, bias, offsets, phi: str, gated: bool = False):
    """y = phi(z), z = h + bias, and slope = phi'(z). Gated, with (g, v) the halves of z: y = phi(g) v, and slope holds
    the derivatives for g and for v, (phi'(g) v, phi(g)).

    phi: "relu", "gelu" or "gelu_tanh". h: any shape; (A, f) when gated or with a bias, which is given as in add_bias.
    y and slope have h's shape, y half the width when gated. With a bias h is used up: one of them may take its memory.
    The slope of "relu" is True or False on NumPy.
    """
    if bias is not None:
        add_bias(h, bias, offsets)
    return _gated(h, phi, bias is not None) if gated else _activate(h, phi, bias is not None)


def _gated(z, phi: str, overwrite: bool):
    f = z.shape[1] // 2
    y, slope = np.empty((z.shape[0], f), z.dtype), z if overwrite else np.empty_like(z)
    step = max(1, BLOCK // z.shape[1])
    for start in range(0, z.shape[0], step):
        rows = slice(start, start + step)
        gate, gate_slope = _activate(z[rows, :f], phi, False)
        np.multiply(gate, z[rows, f:], out=y[rows])
        np.multiply(gate_slope, z[rows, f:], out=slope[rows, :f])
        slope[rows, f:] = gate
    return y, slope


def _activate(x, phi: str, overwrite: bool):
    if phi == "relu":
        y = np.maximum(x, 0, out=x if overwrite else None)
        return y, y > 0
    block = _gelu_tanh if phi == "gelu_tanh" else _gelu_float32 if x.dtype == np.float32 else _gelu_float64
    flat = x.reshape(-1)
    y, slope = flat if overwrite else np.empty_like(flat), np.empty_like(flat)
    # Scratch for all blocks, which stays in the cache: 3 % of a training step.
    scratch = np.empty((2, min(BLOCK, flat.size)), x.dtype)
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        block(flat[part], y[part], slope[part], *scratch[:, :flat[part].size])          # y may be x: it is written last
    return y.reshape(x.shape), slope.reshape(x.shape)


def _gelu_float64(x, y, slope, cdf, pdf):
    from scipy.special import ndtr  # late: it takes half as long to import as all of minimoe

    ndtr(x, out=cdf)
    np.multiply(x, x, out=pdf)
    pdf *= -0.5
    np.exp(pdf, out=pdf)
    pdf *= INV_SQRT_2PI
    np.multiply(x, pdf, out=slope)
    slope += cdf
    np.multiply(x, cdf, out=y)


def _gelu_float32(x, y, slope, t, tail):
    """As float64, with erf by its polynomial: the exact erf of SciPy costs 30 times an exp."""
    e = np.multiply(x, x, out=slope)
    e *= -0.5
    np.exp(e, out=e)                                # exp(-x^2 / 2): in erf, and again in the slope
    np.abs(x, out=t)
    t *= ERF_P / math.sqrt(2)
    t += 1
    np.divide(1, t, out=t)
    np.multiply(t, ERF_A[4] / 2, out=tail)          # tail = poly(t) e / 2, the probability beyond |x|
    for a in ERF_A[3::-1]:
        tail += a / 2
        tail *= t
    tail *= e
    cdf = np.subtract(0.5, tail, out=tail)
    sign = np.bitwise_and(x.view(np.uint32), SIGN, out=t.view(np.uint32))
    np.bitwise_or(cdf.view(np.uint32), sign, out=cdf.view(np.uint32))       # copysign, in a third of its time
    cdf += 0.5
    slope *= x
    slope *= INV_SQRT_2PI
    slope += cdf                                    # cdf + x pdf
    np.multiply(x, cdf, out=y)


def _gelu_tanh(x, y, slope, th, square):
    """y = x/2 (1 + th), th = tanh(c (x + a x^3)); slope = (1 + th)/2 + x/2 (1 - th^2) c (1 + 3 a x^2)."""
    np.multiply(x, x, out=square)
    np.multiply(square, TANH_CUBIC, out=th)
    th += 1
    th *= x
    th *= TANH_SCALE
    np.tanh(th, out=th)
    square *= 3 * TANH_CUBIC * TANH_SCALE / 2
    square += TANH_SCALE / 2
    square *= x                                     # x/2 c (1 + 3 a x^2)
    np.multiply(th, th, out=slope)
    np.subtract(1, slope, out=slope)
    slope *= square
    th *= 0.5
    th += 0.5
    slope += th
    np.multiply(x, th, out=y)


def adamw_update(theta, g, m, v, step: int, lr: float, beta1: float, beta2: float, eps: float,
                 weight_decay: float = 0.0, l2: float = 0.0):
    """One step t = `step` >= 1, in place on theta, m and v, which are returned; all four have one shape and dtype.

    g <- g + l2 theta; m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    theta <- theta - lr [(m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay theta],
    with the old theta on the right. The corrections are moved out of the arrays:
    (m / c1) / (sqrt(v) / c2 + eps) = (c2 / c1) m / (sqrt(v) + c2 eps), c1 = 1 - beta1^t, c2 = sqrt(1 - beta2^t).
    """
    c1 = 1 - beta1**step
    c2 = math.sqrt(1 - beta2**step)
    for theta_, g_, m_, v_ in blocks(theta, g, m, v):
        if l2:
            g_ = g_ + l2 * theta_
        work = g_ * (1 - beta1)                     # the only scratch: one block
        m_ *= beta1
        m_ += work
        np.multiply(g_, g_, out=work)
        work *= 1 - beta2
        v_ *= beta2
        v_ += work
        np.sqrt(v_, out=work)
        work += c2 * eps
        np.divide(m_, work, out=work)
        work *= lr * c2 / c1
        if weight_decay:
            theta_ *= 1 - lr * weight_decay
        theta_ -= work
    return theta, m, v
