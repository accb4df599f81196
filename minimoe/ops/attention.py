"""Masked scaled dot-product attention as one operation."""
from __future__ import annotations

import math

from minimoe import kernels
from minimoe.autograd import op
from minimoe.ops.checks import same_float
from minimoe.ops.dropout import draw_mask


@op
def attention(xp, q, k, v, mask=None, dropout_p=0.0, rng=None, scale=None):
    """O = D(P) V, P = softmax over live keys of (scale * Q K^T). Returns (O, P); P is before dropout.

    q (..., Sq, d_h), k and v (..., Sk, d_h) with equal leading axes, usually (B, H). `mask`: bool, True marks a real
    token: (B, S) for self-attention, where a query and a key are live when both are real; or of q's number of axes,
    broadcastable to P, True where the query may see the key. A query with no live key gets P = 0 and O = 0, and all
    its gradients are 0. `scale`: default 1/sqrt(d_h). Dropout D with probability `dropout_p` draws from `rng`, a host
    generator. O (..., Sq, d_h), P (..., Sq, Sk). Source: arXiv 1706.03762 eq. 1; that importance is read from P before
    dropout is assumed. Raises ValueError for shapes that do not fit, TypeError for a mask that is not bool
    and unless q, k and v are all float32 or all float64.
    """
    _check(q, k, v)
    live = _live(xp, mask, q.shape, k.shape[-2])
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scaled_q = q * scale                                                # smaller than the scores: scale it here
    kernel = kernels.of(q)
    p, _ = kernel.masked_softmax(xp.matmul(scaled_q, k.swapaxes(-1, -2)), live)         # (..., Sq, Sk)
    keep = draw_mask(xp, p.shape, dropout_p, rng, p.dtype) if dropout_p else None
    dropped = p if keep is None else p * keep
    o = xp.matmul(dropped, v)                                           # (..., Sq, d_h)

    def backward(gys):
        go, gp = gys
        gv = None
        if go is not None:
            gv = xp.matmul(dropped.swapaxes(-1, -2), go)                # (..., Sk, d_h)
            arrived = xp.matmul(go, v.swapaxes(-1, -2))                 # (..., Sq, Sk)
            if keep is not None:
                arrived *= keep
            gp = arrived if gp is None else arrived + gp
        gs = kernel.masked_softmax_backward(p, gp)                      # (..., Sq, Sk)
        gq = xp.matmul(gs, k)
        gq *= scale
        gk = xp.matmul(gs.swapaxes(-1, -2), scaled_q)
        return gq, gk, gv

    return (o, p), backward


def _check(q, k, v) -> None:
    same_float("attention", q=q, k=k, v=v)
    fits = (q.ndim >= 2 and q.ndim == k.ndim and q.shape[:-2] == k.shape[:-2] and q.shape[-1] == k.shape[-1]
            and k.shape == v.shape[:-1] + k.shape[-1:] and v.ndim == k.ndim and q.shape[-1] > 0)
    if not fits:
        raise ValueError(f"attention: q is {q.shape}, k is {k.shape}, v is {v.shape}; they must be (..., Sq, d), "
                         "(..., Sk, d) and (..., Sk, dv) with equal leading axes and d of at least 1")


def _live(xp, mask, q_shape, keys: int):
    """The mask as a bool array that broadcasts to (..., Sq, Sk), or None when everything is live."""
    if mask is None:
        return None
    if mask.dtype != bool:
        raise TypeError(f"attention: mask is {mask.dtype}; it must be bool with True for real tokens: "
                        "use mask.astype(bool), and give no additive mask")
    if mask.ndim == 2 and len(q_shape) > 2:
        if mask.shape != (q_shape[0], keys) or q_shape[-2] != keys:
            raise ValueError(f"attention: mask is {mask.shape}; a (B, S) mask needs q and k of B = {q_shape[0]} and "
                             f"equal lengths, here Sq = {q_shape[-2]}, Sk = {keys}")
        live = mask[:, :, None] & mask[:, None, :]                      # (B, S, S)
        return live.reshape(live.shape[:1] + (1,) * (len(q_shape) - 3) + live.shape[1:])
    scores = q_shape[:-1] + (keys,)
    if mask.ndim != len(scores) or any(m not in (1, s) for m, s in zip(mask.shape, scores, strict=True)):
        raise ValueError(f"attention: mask is {mask.shape}; it must be (B, S) or broadcast to {scores}")
    return mask
