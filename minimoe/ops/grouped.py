"""Experts on contiguous segments: one matrix per expert, applied to that expert's rows only.

The option `grouped` chooses how a GPU multiplies. "library": one call of its matrix library for each expert that has
rows; the host waits for the offsets, once per operation. "kernel": one launch of grouped.cu for all experts, and the
host waits for nothing. The results differ by rounding only, and on NumPy not at all. Which is faster awaits a
measurement on a GPU; until then the library, which cannot be far from the best, is the default.
"""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.backend import to_host
from minimoe.kernels import reference
from minimoe.ops.activations import ACTIVATIONS, activate, hidden_width, through_slope
from minimoe.ops.checks import same_float
from minimoe.ops.dropout import draw_mask

GROUPED = ("library", "kernel")


@op
def grouped_linear(xp, x, weight, bias, offsets, grouped="library"):
    """y_s = x_s W_e + b_e for the rows offsets[e]:offsets[e+1] of each expert e.

    x (A, d) sorted by expert, weight (E, d, f), bias (E, f) or None, offsets int (E+1,) -> (A, f). An expert without
    rows gets gradients of zeros. Raises ValueError for shapes that do not fit and for another `grouped`.
    """
    _check("grouped_linear", x, weight, bias, offsets)
    kernel, (products, bounds) = kernels.of(x), _products("grouped_linear", x, offsets, grouped)
    y = products.grouped_matmul(x, weight, bounds)
    if bias is not None:
        kernel.add_bias(y, bias, offsets)

    def backward(gy):
        gx = products.grouped_matmul(gy, weight.swapaxes(1, 2), bounds)
        gw = products.grouped_weight_gradient(x, gy, bounds)
        return gx, gw, None if bias is None else kernel.grouped_sum(gy, offsets)

    return y, backward


@op
def expert_ffn(xp, x, w1, b1, w2, b2, offsets, activation="gelu", dropout_p=0.0, rng=None, grouped="library"):
    """u_s = D(phi(x_s W1_e + b1_e)) W2_e + b2_e: every expert's feed-forward block on its own rows, as one operation.

    x (A, d) sorted by expert; w1 (E, d, f), b1 (E, f), w2 (E, f, d), b2 (E, d); offsets int (E+1,) -> (A, d).
    `activation`: a name of minimoe.ops.activations.ACTIVATIONS; for the gated ones, phi(g) * v with (g, v) = x W1 + b1,
    w1 and b1 are 2 f wide. D: dropout with probability `dropout_p`, drawn from the host generator `rng`. Work grows
    with A, the rows that were chosen, not with tokens times experts. An expert without rows gets gradients of zeros.
    Raises ValueError for shapes that do not fit, unknown activations and another `grouped`.
    """
    _check("expert_ffn", x, w1, b1, offsets)
    same_float("expert_ffn", x=x, w2=w2, b2=b2)
    if activation not in ACTIVATIONS:
        raise ValueError(f"expert_ffn: activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
    n_experts, d, hidden = w1.shape
    width = w2.shape[1] if w2.ndim == 3 else -1
    if hidden != hidden_width(activation, width) or w2.shape != (n_experts, width, d) or b2.shape != (n_experts, d):
        raise ValueError(f"expert_ffn: w1 is {w1.shape}, w2 is {w2.shape}, b2 is {b2.shape}; they must be (E, d, f), "
                         "(E, f, d), (E, d)")
    keep = draw_mask(xp, (x.shape[0], width), dropout_p, rng, x.dtype) if dropout_p else None
    kernel, (products, bounds) = kernels.of(x), _products("expert_ffn", x, offsets, grouped)
    h = products.grouped_matmul(x, w1, bounds)                                          # (A, f), 2 f when gated
    r, slope = activate(h, activation, b1, offsets)                                     # (A, f)
    if keep is not None:
        r *= keep
    u = kernel.add_bias(products.grouped_matmul(r, w2, bounds), b2, offsets)            # (A, d)

    def backward(gu):
        gr = products.grouped_matmul(gu, w2.swapaxes(1, 2), bounds)                     # (A, f)
        if keep is not None:
            gr *= keep
        gh = through_slope(gr, slope)                                                   # (A, f), 2 f when gated
        gx = products.grouped_matmul(gh, w1.swapaxes(1, 2), bounds)
        gw1, gb1 = products.grouped_weight_gradient(x, gh, bounds), kernel.grouped_sum(gh, offsets)
        gw2, gb2 = products.grouped_weight_gradient(r, gu, bounds), kernel.grouped_sum(gu, offsets)
        return gx, gw1, gb1, gw2, gb2

    return u, backward


def _products(name: str, x, offsets, grouped: str):
    """The module whose grouped products do as `grouped` says, and the offsets where it reads them."""
    if grouped == "kernel":
        return kernels.of(x), offsets
    if grouped == "library":
        return reference, to_host(offsets)
    raise ValueError(f"{name}: grouped is {grouped!r}; it must be {' or '.join(map(repr, GROUPED))}")


def _check(name: str, x, weight, bias, offsets) -> None:
    same_float(name, ("bias",), x=x, weight=weight, bias=bias)
    if x.ndim != 2 or weight.ndim != 3 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"{name}: x is {x.shape} and weight is {weight.shape}; they must be (A, d) and (E, d, f)")
    if bias is not None and bias.shape != (weight.shape[0], weight.shape[2]):
        raise ValueError(f"{name}: bias is {bias.shape}; this weight needs {(weight.shape[0], weight.shape[2])}")
    if offsets.shape != (weight.shape[0] + 1,):
        raise ValueError(f"{name}: offsets is {offsets.shape}; {weight.shape[0]} experts need "
                         f"({weight.shape[0] + 1},), from 0 to A")
