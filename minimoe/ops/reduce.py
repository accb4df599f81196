"""Sums, means, extremes and logsumexp over axes. `axis`: None for all, an int or a tuple of ints."""
from __future__ import annotations

import math

from minimoe.autograd import op
from minimoe.ops.checks import as_array, as_float, axes_of


@op
def sum(xp, x, axis=None, keepdims=False):
    """y = sum of x over `axis`; over no elements 0. x: any dtype. Raises ValueError for an axis out of range."""
    x = as_array(xp, "sum", "x", x)
    axes = axes_of("sum", x.shape, axis)
    return x.sum(axis=axes, keepdims=keepdims), lambda gy: (xp.broadcast_to(_kept(gy, x, axes), x.shape),)


@op
def mean(xp, x, axis=None, keepdims=False):
    """y = sum of x over `axis` / how many. x: float. Raises ValueError for an axis out of range or without elements."""
    x = as_float(xp, "mean", "x", x)
    axes = axes_of("mean", x.shape, axis)
    count = _count("mean", x, axes)
    return x.mean(axis=axes, keepdims=keepdims), lambda gy: (xp.broadcast_to(_kept(gy / count, x, axes), x.shape),)


@op
def max(xp, x, axis=None, keepdims=False):
    """y = the largest of x over `axis`; equal ones share the gradient evenly. x: any dtype.

    Raises ValueError for an axis out of range or without elements.
    """
    return _extreme(xp, "max", x, axis, keepdims)


@op
def min(xp, x, axis=None, keepdims=False):
    """y = the smallest of x over `axis`; equal ones share the gradient evenly. x: any dtype.

    Raises ValueError for an axis out of range or without elements.
    """
    return _extreme(xp, "min", x, axis, keepdims)


def _extreme(xp, name: str, x, axis, keepdims: bool):
    x = as_array(xp, name, "x", x)
    axes = axes_of(name, x.shape, axis)
    _count(name, x, axes)
    y = getattr(x, name)(axis=axes, keepdims=True)

    def backward(gy):
        hit = (x == y).astype(x.dtype)
        hit /= xp.maximum(hit.sum(axis=axes, keepdims=True), 1)     # 1: a NaN equals nothing, not even itself
        hit *= _kept(gy, x, axes)
        return (hit,)

    return y if keepdims else y.squeeze(axes), backward


@op
def logsumexp(xp, x, axis=-1, keepdims=False):
    """y = ln(sum of e ** x) over `axis`, without overflow; gradient: softmax. x: float.

    Entries of -inf add nothing; over nothing else, or no elements, y is -inf with gradient 0. Raises ValueError for
    an axis out of range, TypeError for integers.
    """
    x = as_float(xp, "logsumexp", "x", x)
    axes = axes_of("logsumexp", x.shape, axis)
    kept = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    top = x.max(axis=axes, keepdims=True) if x.size else xp.full(kept, -xp.inf, x.dtype)
    p = xp.exp(x - xp.where(xp.isfinite(top), top, 0))                      # -inf - -inf would be NaN
    total = p.sum(axis=axes, keepdims=True)
    total = xp.where(total == 0, 1, total)
    y = xp.log(total) + top
    p /= total
    return y if keepdims else y.squeeze(axes), lambda gy: (p * _kept(gy, x, axes),)


def _kept(gy, x, axes):
    """gy with its reduced axes back in place, of size 1."""
    return gy.reshape([1 if i in axes else size for i, size in enumerate(x.shape)])


def _count(name: str, x, axes) -> int:
    """How many elements make one result. Raises ValueError for none, which have no mean and no extreme."""
    count = math.prod(x.shape[i] for i in axes)
    if count == 0:
        raise ValueError(f"{name}: x is {x.shape}; over axis {axes} there is no element to take")
    return count
