"""Losses: one number for a batch."""
from __future__ import annotations

from minimoe.autograd import op
from minimoe.backend import is_array
from minimoe.ops.checks import as_float, rows_of, together

BLOCK = 65536                                       # elements that stay in the cache from one pass to the next


@op
def cross_entropy(xp, logits, target, ignore_index=-100, label_smoothing=0.0):
    """Mean over the counting targets t of -sum_c q_c ln softmax(logits)_c, q = (1 - s) [c = t] + s / C.

    logits (..., C) float, usually (N, C); target (...) integers; s = `label_smoothing`. Targets equal to `ignore_index`
    do not count; when none counts the loss is 0 with a zero gradient. Raises ValueError for shapes that do not fit, s
    outside [0, 1] and targets outside 0..C-1 that are not ignored, TypeError for targets that are no integers.
    """
    logits = as_float(xp, "cross_entropy", "logits", logits)
    _check_target(logits, target, label_smoothing)
    n, classes = rows_of(logits), logits.shape[-1]
    target = target.reshape(n)
    live = xp.flatnonzero(target != ignore_index)   # the rows that count; nothing else is looked at
    t = target[live].astype(xp.int64)
    if ((t < 0) | (t >= classes)).any():
        raise ValueError(f"cross_entropy: targets go from {t.min()} to {t.max()}; {classes} classes are 0 to "
                         f"{classes - 1}, and targets to leave out are ignore_index = {ignore_index}")
    rows = logits.reshape(n, classes)
    if live.size < n:
        rows = rows[live]                                                   # (L, C)
    smooth = label_smoothing / classes
    step = max(1, BLOCK // classes)
    p, losses = xp.empty_like(rows), xp.empty(live.size, rows.dtype)        # p: softmax of the rows
    for start in range(0, live.size, step):
        part = slice(start, start + step)
        z = rows[part] - rows[part].max(axis=1, keepdims=True)
        losses[part] = z[xp.arange(len(z)), t[part]] * (label_smoothing - 1)
        if smooth:
            losses[part] -= z.sum(axis=1) * smooth
        xp.exp(z, out=p[part])
        sums = p[part].sum(axis=1, keepdims=True)
        losses[part] += xp.log(sums[:, 0])
        p[part] /= sums
    total = max(live.size, 1)

    def backward(gy):
        gx = p                                      # ours alone, and not needed again
        gx[xp.arange(live.size), t] -= 1 - label_smoothing
        for start in range(0, live.size, step):
            part = slice(start, start + step)
            if smooth:
                gx[part] -= smooth
            gx[part] *= gy / total
        if live.size < n:
            gx = xp.zeros((n, classes), p.dtype)
            gx[live] = p
        return gx.reshape(logits.shape), None

    return losses.sum() / total, backward


def _check_target(logits, target, label_smoothing: float) -> None:
    if not is_array(target) or target.dtype.kind not in "iu":
        kind = target.dtype if is_array(target) else f"a {type(target).__name__}"
        raise TypeError(f"cross_entropy: target is {kind}; it must be an integer array of class numbers")
    if logits.ndim == 0 or logits.shape[-1] == 0 or target.shape != logits.shape[:-1]:
        raise ValueError(f"cross_entropy: logits is {logits.shape} and target is {target.shape}; they must be (..., C) "
                         "and (...), with at least one class")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it must be from 0 to 1")


@op
def mse_loss(xp, input, target):
    """Mean of (input - target)^2; 0 for no elements. input, target: float arrays of one shape.

    Raises ValueError for shapes that differ: (N, 1) beside (N,) would broadcast to N x N and still train.
    """
    if not is_array(input) or not is_array(target) or input.shape != target.shape:
        shapes = [x.shape if is_array(x) else f"a {type(x).__name__}" for x in (input, target)]
        raise ValueError(f"mse_loss: input is {shapes[0]} and target is {shapes[1]}; they must be equal")
    a, b = together(xp, "mse_loss", input, target)
    difference = as_float(xp, "mse_loss", "input", a - b)
    count = max(difference.size, 1)

    def backward(gy):
        gx = difference * (gy * (2 / count))
        return gx, -gx

    return (difference * difference).sum() / count, backward
