"""Importance that learns: a research switch, off by default. Everywhere else nothing flows back through importance.

The expert layer's answer becomes y_i (1 + kappa (I_i - stop(mean I))), with kappa learned from 0, so that the layer
starts unchanged; the gradient of I_i reaches the attention weights it was read from. Ours (assumed): the paper says
nothing of gradients through importance.
"""
from __future__ import annotations

from minimoe.autograd import op
from minimoe.backend import array_module, backend_name, to_backend
from minimoe.moe.importance import joined_heads, per_head_importance, real_tokens, without_padding
from minimoe.tensor import Tensor, raw

DIFFERENTIABLE = ("rowmax", "colmax", "colsum", "colsum_l1", "cls", "focus", "diffuse")


@op
def differentiable_importance(xp, attention, mask=None, measure="rowmax", heads="mean", x=None):
    """`token_importance` of (B,H,S,S) -> (B,S) with a gradient: dI_i/dP, by measure, for the mean over H heads:

    rowmax, colmax   1/H at each head's first largest weight of the row, of the column
    colsum           1/(H n) on the column's live queries; colsum_l1 times |x_i|_1, where x (B,S,d) is a constant
    cls              1/H on row 0
    focus            (log P + 1) / (H log n) where P > 0, and diffuse its negative; 0 for a single token

    heads="max": the whole gradient at the first head with the largest value. mask (B,S) bool, True = real token.
    """
    p = without_padding(attention, mask)
    n_heads, length = p.shape[1:3]
    n = real_tokens(p, mask)                                                                # (B, 1, 1)
    scale = xp.abs(x).sum(axis=2).astype(p.dtype) if measure == "colsum_l1" else 1
    each = per_head_importance(p, n, measure)                                               # (B, H, S)
    y = joined_heads(each, heads) * scale
    y = 1 - y if measure == "diffuse" else y

    def backward(gy):
        g = gy * scale if measure != "diffuse" else -gy
        if heads == "mean":
            g = xp.broadcast_to(g[:, None, :] / n_heads, each.shape)                        # (B, H, S)
        else:
            g = g[:, None, :] * (xp.arange(n_heads)[:, None] == each.argmax(axis=1)[:, None, :])
        place = xp.arange(length)
        if measure == "rowmax":
            gp = g[..., None] * (place == p.argmax(axis=3)[..., None])
        elif measure == "colmax":
            gp = g[:, :, None, :] * (place[:, None] == p.argmax(axis=2)[:, :, None, :])
        elif measure in ("colsum", "colsum_l1"):
            gp = xp.broadcast_to((g / n)[:, :, None, :], p.shape)
        elif measure == "cls":
            gp = g[:, :, None, :] * (place[:, None] == 0)
        else:
            slope = xp.where(p > 0, xp.log(xp.where(p > 0, p, 1)) + 1, 0)
            gp = (g / xp.log(xp.maximum(n, 2)))[..., None] * xp.where((n > 1)[..., None], slope, 0)
        return (without_padding(gp, mask).astype(p.dtype),)

    return y, backward


def weigh_by_importance(y: Tensor, kappa: Tensor, importance, mask) -> Tensor:
    """y_i (1 + kappa (I_i - stop(mean I))). y (N,d); importance tensor (B,S); mean over the real tokens of each sample.

    With q_i = <dL/dy_i, y_i>, y before scaling: dL/dI_i = kappa q_i and dL/dkappa = sum of (I_i - mean I) q_i.
    """
    values = raw(importance)
    xp = array_module(values)
    real = xp.ones(values.shape, bool) if mask is None else to_backend(raw(mask), backend_name(values))
    mean = xp.where(real, values, 0).sum(axis=1, keepdims=True) / xp.maximum(real.sum(axis=1, keepdims=True), 1)
    above = (importance - mean.astype(values.dtype)).reshape(-1, 1)                         # (N, 1)
    return y * (above * kappa + 1)
