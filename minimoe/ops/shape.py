"""Shapes: reshape, transpose, join, cut, pick and stretch. Any dtype; what can be a view is one."""
from __future__ import annotations

from itertools import pairwise

from minimoe import kernels
from minimoe.autograd import op
from minimoe.backend import is_array
from minimoe.ops.checks import as_array, axis_of


@op
def reshape(xp, x, shape):
    """The same elements in row-major order in another shape; one size may be -1. Raises ValueError if it cannot fit."""
    x = as_array(xp, "reshape", "x", x)
    try:
        if min((shape,) if isinstance(shape, int) else shape, default=0) < -1:      # NumPy takes it for -1
            raise ValueError
        y = x.reshape(shape)
    except ValueError:
        raise ValueError(f"reshape: x is {x.shape}, {x.size} elements; they do not fill shape {shape}") from None
    return y, lambda gy: (gy.reshape(x.shape),)


@op
def transpose(xp, x, axes=None):
    """y's axis i is x's axis axes[i]; None reverses all axes. Raises ValueError unless axes names each axis once."""
    x = as_array(xp, "transpose", "x", x)
    axes = tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)
    order = [a % x.ndim for a in axes if -x.ndim <= a < x.ndim]
    if len(axes) != x.ndim or sorted(order) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes is {axes}; it must name each of the {x.ndim} axes of x {x.shape} once")
    back = [order.index(i) for i in range(x.ndim)]
    return x.transpose(order), lambda gy: (gy.transpose(back),)


@op
def concatenate(xp, tensors, axis=0):
    """Joins along an existing axis. tensors: a list of equal dtype and, but for `axis`, equal shape.

    Raises ValueError for an empty list and shapes that do not fit, TypeError for dtypes that differ.
    """
    arrays = _list_of_one_dtype(xp, "concatenate", tensors)
    axis = axis_of("concatenate", arrays[0].shape, axis)
    shapes = [a.shape for a in arrays]
    if len({s[:axis] + s[axis + 1:] for s in shapes}) > 1 or len({a.ndim for a in arrays}) > 1:
        raise ValueError(f"concatenate: shapes are {shapes}; all sizes but that of axis {axis} must be equal")

    def backward(gy):
        parts, start = [], 0
        for shape in shapes:
            parts.append(gy[(slice(None),) * axis + (slice(start, start + shape[axis]),)])
            start += shape[axis]
        return (parts,)

    return xp.concatenate(arrays, axis=axis), backward


@op
def stack(xp, tensors, axis=0):
    """Joins along a new axis. tensors: a list of equal shape and dtype.

    Raises ValueError for an empty list and shapes that differ, TypeError for dtypes that differ.
    """
    arrays = _list_of_one_dtype(xp, "stack", tensors)
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"stack: shapes are {[a.shape for a in arrays]}; they must be equal")
    axis = axis_of("stack", (len(arrays), *arrays[0].shape), axis)
    return xp.stack(arrays, axis=axis), lambda gy: ([gy[(slice(None),) * axis + (i,)] for i in range(len(arrays))],)


@op
def split(xp, x, sections, axis=0):
    """Cuts along an axis, as numpy.split (torch.split takes a size instead): returns a tuple.

    `sections`: an int, that many equal parts, or a list of the places to cut at: [2, 5] gives :2, 2:5 and 5:.
    Raises ValueError when equal parts do not come out even.
    """
    x = as_array(xp, "split", "x", x)
    axis = axis_of("split", x.shape, axis)
    if isinstance(sections, int):
        if sections < 1 or x.shape[axis] % sections:
            raise ValueError(f"split: axis {axis} of x {x.shape} does not divide into {sections} equal parts; "
                             "give a list of places to cut at")
        size = x.shape[axis] // sections
        sections = [size * i for i in range(1, sections)]
    bounds = [0, *sections, x.shape[axis]]
    if any(lo > hi for lo, hi in pairwise(bounds)) or min(bounds) < 0:
        raise ValueError(f"split: sections is {list(sections)}; the places must rise from 0 to {x.shape[axis]}")
    cuts = [(slice(None),) * axis + (slice(lo, hi),) for lo, hi in pairwise(bounds)]

    def backward(gys):
        used = [xp.zeros_like(x[cut]) if gy is None else gy for cut, gy in zip(cuts, gys, strict=True)]
        return (xp.concatenate(used, axis=axis),)

    return tuple(x[cut] for cut in cuts), backward


@op
def getitem(xp, x, index):
    """y = x[index], all of NumPy's indexing; an element picked several times receives the sum of its gradients.

    Raises IndexError for an index that is out of range, of too many axes or of a wrong dtype.
    """
    x = as_array(xp, "getitem", "x", x)
    parts = tuple(xp.asarray(p) if isinstance(p, list) or is_array(p) else p
                  for p in (index if isinstance(index, tuple) else (index,)))
    try:
        y = x[parts]
    except IndexError as error:
        raise IndexError(f"getitem: x is {x.shape}; {error}") from None
    by_arrays = any(is_array(p) for p in parts)     # only arrays can pick an element twice

    def backward(gy):
        if by_arrays:                               # `gx[index] += gy` would keep one of several contributions
            picked = xp.arange(x.size, dtype=xp.int64).reshape(x.shape)[parts].reshape(-1)
            return (kernels.of(x).embedding_gradient(picked, gy.reshape(-1, 1), x.size).reshape(x.shape),)
        gx = xp.zeros_like(x)
        gx[parts] = gy
        return (gx,)

    return y, backward


@op
def broadcast_to(xp, x, shape):
    """x stretched to `shape` as a read-only view; its gradient is summed. Raises ValueError if x does not broadcast."""
    x = as_array(xp, "broadcast_to", "x", x)
    try:
        y = xp.broadcast_to(x, shape)
    except ValueError:
        raise ValueError(f"broadcast_to: x is {x.shape}; from the right its sizes must be 1 or as in {shape}") from None
    return y, lambda gy: (gy,)


def _list_of_one_dtype(xp, name: str, tensors) -> list:
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ValueError(f"{name}: tensors is {tensors!r}; it must be a list with at least one tensor")
    arrays = [as_array(xp, name, f"tensors[{i}]", t) for i, t in enumerate(tensors)]
    if len({a.dtype for a in arrays}) > 1:
        dtypes = ", ".join(str(a.dtype) for a in arrays)
        raise TypeError(f"{name}: dtypes are {dtypes}; they must be equal: use .astype")
    return arrays
