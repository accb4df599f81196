"""What every operation of minimoe.ops should give, by slow loops over Python numbers. No engine, no shortcut.

A reference takes the arrays and options of the operation and answers with an array or a tuple of arrays.
`REFERENCES` maps names to references; those of attention and experts are in op_references_moe.py.
"""
from __future__ import annotations

import itertools
import math

import numpy as np


def each(function):
    """function on numbers -> function on arrays that broadcast."""
    def reference(*arrays):
        arrays = np.broadcast_arrays(*arrays)
        y = np.empty(arrays[0].shape)
        for index in np.ndindex(y.shape):
            y[index] = function(*(a[index].item() for a in arrays))
        return y
    return reference


def clip(x, min=-math.inf, max=math.inf):
    return each(lambda v: min if v < min else max if v > max else v)(x)


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return each(lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3))))(x)
    return each(lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2)))(x)


def over(function):
    """function on a list of numbers -> function that reduces axes of an array."""
    def reference(x, axis=None, keepdims=False):
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = {a % x.ndim for a in axes}
        y = np.empty([1 if i in axes else size for i, size in enumerate(x.shape)])
        for index in np.ndindex(y.shape):
            ranges = [range(x.shape[i]) if i in axes else [index[i]] for i in range(x.ndim)]
            y[index] = function([x[place].item() for place in itertools.product(*ranges)])
        return y if keepdims else y.reshape([size for i, size in enumerate(y.shape) if i not in axes])
    return reference


def reshape(x, shape):
    known = math.prod(size for size in shape if size != -1)
    y = np.empty([x.size // known if size == -1 else size for size in shape])
    for number, index in enumerate(np.ndindex(y.shape)):
        y[index] = list(x.flat)[number]
    return y


def transpose(x, axes=None):
    axes = list(range(x.ndim))[::-1] if axes is None else [a % x.ndim for a in axes]
    y = np.empty([x.shape[a] for a in axes])
    for index in np.ndindex(y.shape):
        source = [0] * x.ndim
        for place, a in zip(index, axes, strict=True):
            source[a] = place
        y[index] = x[tuple(source)]
    return y


def concatenate(arrays, axis=0):
    axis %= arrays[0].ndim
    slabs = [slab for a in arrays for slab in np.moveaxis(a, axis, 0)]
    return stack(slabs, axis)


def stack(arrays, axis=0):
    axis %= arrays[0].ndim + 1
    y = np.empty((*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:]))
    for index in np.ndindex(y.shape):
        y[index] = arrays[index[axis]][index[:axis] + index[axis + 1:]]
    return y


def split(x, sections, axis=0):
    axis, size = axis % x.ndim, x.shape[axis]
    cuts = [size // sections * i for i in range(1, sections)] if isinstance(sections, int) else sections
    parts = []
    for lo, hi in zip([0, *cuts], [*cuts, size], strict=True):
        part = np.empty((*x.shape[:axis], hi - lo, *x.shape[axis + 1:]))
        for index in np.ndindex(part.shape):
            part[index] = x[(*index[:axis], index[axis] + lo, *index[axis + 1:])]
        parts.append(part)
    return tuple(parts)


def getitem(x, index):
    """Picks from the flat list of elements, with the places that NumPy picks from an array of places."""
    places = np.arange(x.size).reshape(x.shape)[index]
    return each(lambda place: x.ravel().tolist()[place])(np.asarray(places))


def broadcast_to(x, shape):
    y = np.empty(shape)
    for index in np.ndindex(y.shape):
        tail = index[len(shape) - x.ndim:]
        y[index] = x[tuple(0 if size == 1 else place for place, size in zip(tail, x.shape, strict=True))]
    return y


def matmul(a, b):
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = broadcast_to(left, lead + left.shape[-2:]), broadcast_to(right, lead + right.shape[-2:])
    y = np.empty((*lead, left.shape[-2], right.shape[-1]))
    for *n, i, j in np.ndindex(y.shape):
        y[(*n, i, j)] = sum(left[(*n, i, k)] * right[(*n, k, j)] for k in range(left.shape[-1]))
    return y.reshape(lead + (left.shape[-2:-1] if a.ndim > 1 else ()) + (right.shape[-1:] if b.ndim > 1 else ()))


def linear(x, weight, bias=None):
    y = np.empty((*x.shape[:-1], len(weight)))
    for *n, o in np.ndindex(y.shape):
        y[(*n, o)] = sum(x[(*n, i)] * weight[o, i] for i in range(x.shape[-1])) + (0 if bias is None else bias[o])
    return y


def along(function):
    """function on a list of numbers to a list of numbers -> function along one axis of an array."""
    def reference(x, axis=-1):
        y = np.empty(x.shape)
        rows, results = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
        for index in np.ndindex(rows.shape[:-1]):
            results[index] = function(rows[index].tolist())
        return y
    return reference


def softmax(row):
    return [1 / sum(math.exp(w - v) for w in row) for v in row]


def log_softmax(row):
    return [-math.log(sum(math.exp(w - v) for w in row)) for v in row]


def layer_norm(x, weight, bias, eps=1e-5):
    def normal(row):
        mean = math.fsum(row) / len(row)
        variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
        return [(v - mean) / math.sqrt(variance + eps) * (1 if weight is None else weight[i])
                + (0 if bias is None else bias[i]) for i, v in enumerate(row)]
    return along(normal)(x)


def rms_norm(x, weight=None, eps=None):
    def normal(row):
        length = math.sqrt(math.fsum(v * v for v in row) / len(row) + (2.0 ** -52 if eps is None else eps))
        return [v / length * (1 if weight is None else weight[i]) for i, v in enumerate(row)]
    return along(normal)(x)


def cross_entropy(logits, target, ignore_index=-100, label_smoothing=0.0):
    losses = []
    for index in np.ndindex(target.shape):
        if target[index] != ignore_index:
            costs = [-v for v in log_softmax(logits[index].tolist())]
            losses.append((1 - label_smoothing) * costs[target[index]] + label_smoothing * sum(costs) / len(costs))
    return np.array(sum(losses) / len(losses) if losses else 0.0)


def mse_loss(input, target):
    squares = [(a - b) ** 2 for a, b in zip(input.ravel(), target.ravel(), strict=True)]
    return np.array(sum(squares) / len(squares) if squares else 0.0)


def embedding(ids, weight, padding_idx=None):
    y = np.empty((*ids.shape, weight.shape[1]))
    for index in np.ndindex(ids.shape):
        y[index] = weight[int(ids[index])]
    return y


def dropout(x, p=0.5, training=True, rng=None):
    if not training:
        return x
    return x * np.reshape(mask(x.size, p, rng), x.shape)


def mask(size: int, p: float, seed: int) -> list[float]:
    """Four elements from every 64-bit draw, lowest 16 bits first; one is dropped when they are below p * 65536."""
    if p == 1:
        return [0.0] * size
    draws = np.random.default_rng(seed).integers(0, 2**64, size=(size + 3) // 4, dtype=np.uint64).tolist()
    return [float((draws[i // 4] >> 16 * (i % 4)) % 65536 >= round(p * 65536)) / (1 - p) for i in range(size)]


REFERENCES = {
    "add": each(lambda a, b: a + b), "sub": each(lambda a, b: a - b), "mul": each(lambda a, b: a * b),
    "div": each(lambda a, b: a / b), "neg": each(lambda v: -v), "pow": lambda x, exponent: each(math.pow)(x, exponent),
    "exp": each(math.exp), "log": each(math.log), "sqrt": each(math.sqrt), "abs": each(math.fabs),
    "maximum": each(max), "minimum": each(min), "clip": clip, "where": each(lambda c, a, b: a if c else b),
    "tanh": each(math.tanh), "sigmoid": each(lambda v: 1 / (1 + math.exp(-v))), "gelu": gelu,
    "relu": each(lambda v: v if v > 0 else 0),
    "sum": over(sum), "mean": over(lambda values: sum(values) / len(values)), "max": over(max), "min": over(min),
    "logsumexp": over(lambda values: math.log(sum(math.exp(v) for v in values))),
    "reshape": reshape, "transpose": transpose, "concatenate": concatenate, "stack": stack, "split": split,
    "getitem": getitem, "broadcast_to": broadcast_to, "matmul": matmul, "linear": linear,
    "softmax": along(softmax), "log_softmax": along(log_softmax), "layer_norm": layer_norm, "rms_norm": rms_norm,
    "cross_entropy": cross_entropy, "mse_loss": mse_loss, "embedding": embedding, "dropout": dropout,
}
