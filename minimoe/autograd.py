"""Reverse-mode automatic differentiation: `@op` records a node, `backward` walks the nodes home.

Every operation on tensors that need gradients makes one `Node`. A node knows the nodes and leaves its inputs came
from, never its own output tensors, so there is no reference cycle and a graph is freed the moment it is dropped.
Nodes are numbered as they are made; an operation's inputs always have smaller numbers than its output, so walking
from the largest number down meets every node after all of its users, without recursion and without sorting.
"""
from __future__ import annotations

import functools
import heapq
import inspect
import itertools
import threading
import weakref
from contextlib import contextmanager

import numpy as np

from minimoe.backend import array_module, is_array
from minimoe.tensor import Tensor, _wrap, raw

OPS: dict[str, object] = {}                         # name -> operation, for every operation in minimoe.ops
_order = itertools.count()
_mode = threading.local()                           # per thread: whether graphs are recorded


def grad_enabled() -> bool:
    """Whether operations record a graph in this thread."""
    return getattr(_mode, "enabled", True)


@contextmanager
def no_grad():
    """Inside, no operation records a graph."""
    before = grad_enabled()
    _mode.enabled = False
    try:
        yield
    finally:
        _mode.enabled = before


class Node:
    """One recorded operation: how to go back, and where the gradients of its inputs go."""

    __slots__ = ("order", "name", "backward", "edges", "outputs", "kept", "versions", "__weakref__")

    def __init__(self, name, backward, inputs, outputs: int):
        self.order = next(_order)
        self.name = name
        self.backward = backward                    # gy (or tuple of gy) -> one gradient per parameter of the op
        self.outputs = outputs
        self.kept = None                            # {output index: weak reference to a tensor that keeps its .grad}
        # (parameter, place in a list parameter or None, node or leaf, its output index, shape, dtype)
        self.edges = [(slot, place, t if t._node is None else t._node, t._index, t.data.shape, t.data.dtype)
                      for slot, place, t in inputs if t.requires_grad]
        self.versions = [(t._version, t._version[0]) for _, _, t in inputs]


def op(function):
    """Makes a differentiable operation of `function(xp, *arrays, **options) -> (y, backward)`.

    The function works on raw arrays of the module `xp` (numpy or cupy). `y` is an array, or a tuple of arrays.
    `backward(gy)` answers with a tuple: one gradient for each leading parameter after `xp`, in their order, None for
    those that have none; for a parameter that is a list of arrays, a list. With several outputs it receives a tuple
    of gradients, None where an output was not used. It may return `gy` itself or broadcast shapes: the engine copies
    where memory would be shared, sums over broadcast axes and restores the dtype. NumPy scalars among the arguments
    count as Python numbers, so that they do not turn float32 into float64.
    """
    name = function.__name__
    parameters = list(inspect.signature(function).parameters)[1:]
    slot_of = {parameter: slot for slot, parameter in enumerate(parameters)}

    @functools.wraps(function)
    def call(*args, **options):
        inputs, arrays = [], []

        def unwrap(slot, value):
            if isinstance(value, Tensor):
                inputs.append((slot, None, value))
                value = value.data
            elif isinstance(value, np.generic):
                value = value.item()
            elif isinstance(value, list | tuple):
                inputs.extend((slot, place, v) for place, v in enumerate(value) if isinstance(v, Tensor))
                value = type(value)(raw(v) for v in value)
                arrays.extend(v for v in value if is_array(v))
            if is_array(value):
                arrays.append(value)
            return value

        args = [unwrap(slot, value) for slot, value in enumerate(args)]
        options = {key: unwrap(slot_of.get(key), value) for key, value in options.items()}
        y, backward = function(array_module(*arrays), *args, **options)
        node = None
        several = isinstance(y, tuple)
        if (y[0] if several else y).dtype.char == "e":
            raise TypeError(f"{name}: got a float16 array, and there is no half precision yet; use .astype('float32')")
        if grad_enabled() and any(t.requires_grad for _, _, t in inputs):
            node = Node(name, backward, inputs, len(y) if several else 1)
        outputs = tuple(_wrap(part, node, index) for index, part in enumerate(y if several else (y,)))
        for output in outputs:
            for _, _, t in inputs:
                if _owner(output.data) is _owner(t.data):
                    output._version = t._version    # a view: a write to the input is a write to it
        return outputs if several else outputs[0]

    signature = inspect.signature(function)         # help() shows the public form, without xp
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    if function.__module__.startswith("minimoe.ops."):
        OPS[name] = call
    return call


def _owner(array):
    """The array that owns the memory."""
    return array if array.base is None else array.base


def retain(tensor: Tensor) -> None:
    """Lets a tensor in the middle of a graph keep its gradient in `.grad`."""
    node = tensor._node
    node.kept = node.kept or {}
    node.kept[tensor._index] = weakref.ref(tensor)


def backward(root: Tensor, grad=None) -> None:
    """Walks from `root` to the leaves, adds to every leaf's `.grad`, and frees the graph on the way.

    Raises ValueError when `root` has more than one element and `grad` is missing or of another shape, RuntimeError
    when there is no graph, when it was walked before, and when a tensor it needs was written since.
    """
    if not root.requires_grad:
        raise RuntimeError("backward: nothing to do, no tensor with requires_grad=True led to this one")
    xp = array_module(root.data)
    if grad is None:
        if root.size != 1:
            raise ValueError(f"backward: a tensor of shape {root.shape} needs grad=, an array of that shape")
        grad = xp.ones(root.shape, root.dtype)
    given = xp.asarray(raw(grad))
    if given.dtype.kind not in "iub" and given.dtype not in (np.float32, np.float64):
        raise TypeError(f"backward: grad is {given.dtype}; it must be float32 or float64: use grad.astype('float32')")
    grad = xp.asarray(given, dtype=root.dtype)
    if grad.shape != root.shape:
        raise ValueError(f"backward: grad is {grad.shape}, the tensor is {root.shape}; they must be equal")
    if root._node is None:
        _add_to_leaf(root, grad, shared=True)
        return

    pending: dict[Node, _Gradients] = {root._node: _Gradients(root._node.outputs)}
    pending[root._node].add(root._index, grad)
    queue = [(-root._node.order, root._node)]       # the youngest node first
    while queue:
        node = heapq.heappop(queue)[1]
        gys = pending.pop(node).arrays
        gradients, edges = _step_back(node, gys)
        for slot, place, target, index, shape, dtype in edges:
            g = gradients[slot] if place is None else gradients[slot][place]
            if g is None:
                continue
            shared = g.base is not None or any(g is gy for gy in gys) or _appears_twice(g, gradients)
            g = _fit(g, shape, dtype)
            if isinstance(target, Tensor):
                _add_to_leaf(target, g, shared)
            else:
                if target not in pending:
                    pending[target] = _Gradients(target.outputs)
                    heapq.heappush(queue, (-target.order, target))
                pending[target].add(index, g)


class _Gradients:
    """The gradients of one node's outputs while they are being summed.

    The first array is only borrowed (another user may hold it too); a sum is made fresh, and only a sum that was
    made here is added to in place.
    """

    __slots__ = ("arrays", "own")

    def __init__(self, outputs: int):
        self.arrays = [None] * outputs
        self.own = [False] * outputs

    def add(self, index: int, g) -> None:
        if self.arrays[index] is None:
            self.arrays[index] = g
        elif self.own[index]:
            self.arrays[index] += g
        else:
            self.arrays[index] = self.arrays[index] + g
            self.own[index] = True


def _step_back(node: Node, gys: list):
    """The gradients that `node` sends to its inputs, and its edges; the node is empty afterwards."""
    if node.backward is None:
        raise RuntimeError(f"backward: this graph was walked before and is freed ({node.name}); run the forward again")
    if any(cell[0] != seen for cell, seen in node.versions):
        raise RuntimeError(f"backward: an input of {node.name} was written in place after the graph was built")
    for index, reference in (node.kept or {}).items():
        tensor = reference()
        if tensor is not None and gys[index] is not None:
            tensor.grad = gys[index].copy() if tensor.grad is None else tensor.grad + gys[index]
    gradients = node.backward(tuple(gys) if node.outputs > 1 else gys[0])
    edges = node.edges
    node.backward = node.edges = None               # frees what the step kept, before the next one allocates
    return gradients, edges


def _appears_twice(g, gradients) -> bool:
    return sum(g is other for part in gradients for other in (part if isinstance(part, list) else (part,))) > 1


def _fit(g, shape, dtype):
    """`g` summed over the axes that broadcasting added or stretched, in the input's shape and dtype."""
    if g.shape != shape:
        extra = g.ndim - len(shape)
        stretched = tuple(i + extra for i, size in enumerate(shape) if size != g.shape[i + extra])
        g = g.sum(axis=tuple(range(extra)) + stretched, keepdims=True).reshape(shape)
    return g if g.dtype == dtype else g.astype(dtype)


def _add_to_leaf(leaf: Tensor, g, shared: bool) -> None:
    if leaf.grad is None:
        leaf.grad = array_module(leaf.data).asarray(g.copy() if shared else g)      # a 0-d sum is a scalar, no array
    else:
        leaf.grad += g
