"""Experts on contiguous segments: one matrix per expert, applied to that expert's rows only."""
from __future__ import annotations

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.activations import ACTIVATIONS, hidden_width
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
        y += xp.repeat(bias, offsets[1:] - offsets[:-1], axis=0)                         # (A, f)

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
    w1 and b1 are 2 f wide. D: dropout with probability `dropout_p`, drawn from
    the host generator `rng`. Work grows with A, the rows that were chosen, never with tokens times experts. An expert
    without rows gets gradients of zeros. Raises ValueError for shapes that do not fit and unknown activations.
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
    phi = ACTIVATIONS[activation]
    segments = kernels.of(x).segments(offsets, x.shape[0])
    keep = draw_mask(xp, (x.shape[0], width), dropout_p, rng, x.dtype) if dropout_p else None
    u = xp.empty((x.shape[0], w2.shape[2]), x.dtype)
    kept = {}                                       # expert -> (r = D(phi(h)), how to go back through phi)
    for e, lo, hi in segments:                      # an expert's rows stay in the cache from one product to the next
        h = xp.matmul(x[lo:hi], w1[e])              # (rows, f)
        h += b1[e]
        r, phi_backward = phi(xp, h)
        if keep is not None:
            r = r * keep[lo:hi]
        xp.matmul(r, w2[e], out=u[lo:hi])           # (rows, d)
        u[lo:hi] += b2[e]
        kept[e] = r, phi_backward

    def backward(gu):
        gx = xp.empty_like(x)
        gw1, gb1, gw2, gb2 = (xp.zeros_like(p) for p in (w1, b1, w2, b2))
        for e, lo, hi in segments:
            r, phi_backward = kept[e]
            ones = xp.ones(hi - lo, x.dtype)        # bias gradients as products with ones: twice as fast as sum(0)
            xp.matmul(r.T, gu[lo:hi], out=gw2[e])
            xp.matmul(ones, gu[lo:hi], out=gb2[e])
            gr = xp.matmul(gu[lo:hi], w2[e].T)      # (rows, f)
            if keep is not None:
                gr *= keep[lo:hi]
            gh = phi_backward(gr)
            xp.matmul(x[lo:hi].T, gh, out=gw1[e])
            xp.matmul(ones, gh, out=gb1[e])
            xp.matmul(gh, w1[e].T, out=gx[lo:hi])
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
