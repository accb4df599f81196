"""Experts on contiguous segments: one matrix per expert, applied to that expert's rows only."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.activations import ACTIVATIONS, activate, hidden_width, through_slope
from minimoe.ops.checks import same_float
from minimoe.ops.dropout import draw_mask


@op
def grouped_linear(xp, x, weight, bias, offsets):
    """y_s = x_s W_e + b_e for the rows offsets[e]:offsets[e+1] of each expert e.

    x (A, d) sorted by expert, weight (E, d, f), bias (E, f) or None, offsets int (E+1,) -> (A, f). An expert without
    rows gets gradients of zeros. Raises ValueError for shapes that do not fit.
    """
    _check("grouped_linear", x, weight, bias, offsets)
    grouped = kernels.of(x)
    y = grouped.grouped_matmul(x, weight, offsets)
    if bias is not None:
        grouped.add_bias(y, bias, offsets)

    def backward(gy):
        gx = grouped.grouped_matmul(gy, weight.swapaxes(1, 2), offsets)
        gw = grouped.grouped_weight_gradient(x, gy, offsets)
        return gx, gw, None if bias is None else grouped.grouped_sum(gy, offsets)

    return y, backward


@op
def expert_ffn(xp, x, w1, b1, w2, b2, offsets, activation="gelu", dropout_p=0.0, rng=None):
    """u_s = D(phi(x_s W1_e + b1_e)) W2_e + b2_e: every expert's feed-forward block on its own rows, as one operation.

    x (A, d) sorted by expert; w1 (E, d, f), b1 (E, f), w2 (E, f, d), b2 (E, d); offsets int (E+1,) -> (A, d).
    `activation`: a name of minimoe.ops.activations.ACTIVATIONS; for the gated ones, phi(g) * v with (g, v) = x W1 + b1,
    w1 and b1 are 2 f wide. D: dropout with probability `dropout_p`, drawn from the host generator `rng`. Work grows
    the A rows that were chosen, not with tokens times experts. An expert without rows gets gradients of zeros. Raises
    ValueError for shapes that do not fit and unknown activations.
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
    grouped = kernels.of(x)
    h = grouped.grouped_matmul(x, w1, offsets)                                          # (A, f), 2 f when gated
    r, slope = activate(h, activation, b1, offsets)                                     # (A, f)
    if keep is not None:
        r *= keep
    u = grouped.add_bias(grouped.grouped_matmul(r, w2, offsets), b2, offsets)           # (A, d)

    def backward(gu):
        gr = grouped.grouped_matmul(gu, w2.swapaxes(1, 2), offsets)                     # (A, f)
        if keep is not None:
            gr *= keep
        gh = through_slope(gr, slope)                                                   # (A, f), 2 f when gated
        gx = grouped.grouped_matmul(gh, w1.swapaxes(1, 2), offsets)
        gw1, gb1 = grouped.grouped_weight_gradient(x, gh, offsets), grouped.grouped_sum(gh, offsets)
        gw2, gb2 = grouped.grouped_weight_gradient(r, gu, offsets), grouped.grouped_sum(gu, offsets)
        return gx, gw1, gb1, gw2, gb2

    return u, backward


def _check(name: str, x, weight, bias, offsets) -> None:
    same_float(name, x=x, weight=weight, bias=bias)
    if x.ndim != 2 or weight.ndim != 3 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"{name}: x is {x.shape} and weight is {weight.shape}; they must be (A, d) and (E, d, f)")
    if bias is not None and bias.shape != (weight.shape[0], weight.shape[2]):
        raise ValueError(f"{name}: bias is {bias.shape}; this weight needs {(weight.shape[0], weight.shape[2])}")
    if offsets.shape != (weight.shape[0] + 1,):
        raise ValueError(f"{name}: offsets is {offsets.shape}; {weight.shape[0]} experts need "
                         f"({weight.shape[0] + 1},), from 0 to A")
