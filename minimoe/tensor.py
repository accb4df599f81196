"""Tensor: an array, its gradient, and the node of the graph that made it."""
from __future__ import annotations

import numpy as np

from minimoe.backend import array_module, backend_name, get_backend, is_array, to_backend, to_host

FLOATS = ("float32", "float64")


class Tensor:
    """An array that can take part in a graph.

    `data`: an array of any backend keeps its dtype and backend; numbers and lists of numbers become arrays of
    `backend` (default NumPy), and Python floats become float32. `requires_grad=True` asks for `.grad`, an array of
    the same shape, after `backward()`. Dtypes: float32, float64, integers and bool; only floats can have gradients.

    Raises TypeError for any other dtype (float16 included: there is no half precision yet) and for integers that ask
    for gradients.
    """

    __slots__ = ("data", "grad", "requires_grad", "_node", "_index", "_version", "__weakref__")
    __array_ufunc__ = None                          # numpy_array * tensor must come to Tensor.__rmul__, not to NumPy

    def __init__(self, data, requires_grad: bool = False, dtype=None, backend: str | None = None):
        if isinstance(data, Tensor):
            data = data.data
        if not is_array(data):
            python_number = not isinstance(data, np.generic)
            data = get_backend(backend or "numpy").asarray(data, dtype=dtype)
            if dtype is None and python_number and data.dtype == np.float64:
                data = data.astype(np.float32)
        if dtype is not None:
            data = data.astype(dtype, copy=False)
        if backend is not None:
            data = to_backend(data, backend)
        if data.dtype.kind not in "biu" and data.dtype.name not in FLOATS:
            raise TypeError(f"Tensor: dtype {data.dtype} is not supported; use float32, float64, an integer or bool")
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"Tensor: dtype {data.dtype} cannot have a gradient; use dtype='float32' or 'float64'")
        self.data = data
        self.grad = None                            # an array once a backward pass has reached this tensor
        self.requires_grad = requires_grad
        self._node = None                           # the Node that made it; None for a leaf
        self._index = 0                             # which of the node's outputs it is
        self._version = [0]                         # counts writes; shared with tensors over the same memory

    # facts
    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def backend(self) -> str:
        return backend_name(self.data)

    @property
    def T(self) -> Tensor:
        return ops.transpose(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor of shape ()")
        return self.shape[0]

    def __repr__(self) -> str:
        text = np.array2string(to_host(self.data), separator=", ", prefix="Tensor(", threshold=100)
        made_by = f", made by {self._node.name}" if self._node is not None else ""
        asks = ", requires_grad=True" if self.requires_grad and self._node is None else ""
        return f"Tensor({text}, shape={self.shape}, dtype={self.dtype}{asks}{made_by})"

    # to arrays and numbers
    def numpy(self) -> np.ndarray:
        """The values as a NumPy array on the host (shares memory when they are there already)."""
        return to_host(self.data)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=bool(copy) or None)

    def item(self) -> float | int | bool:
        """The only element as a Python number. Raises ValueError when there is not exactly one."""
        if self.size != 1:
            raise ValueError(f"item: the tensor has shape {self.shape}; only one element can become a number")
        return self.data.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def detach(self) -> Tensor:
        """The same values outside the graph; memory is shared."""
        result = _wrap(self.data)
        result._version = self._version
        return result

    def to(self, backend: str) -> Tensor:
        """A tensor with the same values on `backend`, outside any graph; itself when it is there already."""
        if backend == self.backend:
            return self
        return Tensor(to_backend(self.data, backend), requires_grad=self.requires_grad and self._node is None)

    def astype(self, dtype) -> Tensor:
        """The values in another dtype, outside the graph."""
        return Tensor(self.data.astype(dtype))

    # gradients
    def backward(self, grad=None) -> None:
        """Adds d(self)/d(leaf) to `.grad` of every leaf. `grad`: upstream gradient, default 1 for one element."""
        autograd.backward(self, grad)

    def retain_grad(self) -> Tensor:
        """Keeps `.grad` of a tensor in the middle of a graph too; by default only leaves keep it."""
        if self._node is not None:
            autograd.retain(self)
        return self

    def __setitem__(self, index, value) -> None:
        if self._node is not None or (self.requires_grad and autograd.grad_enabled()):
            raise RuntimeError(
                "a Tensor in a graph is never written in place; build a new one, for example with minimoe.ops.where, "
                "or write to a leaf inside `with minimoe.no_grad():`"
            )
        self.data[index] = value.data if isinstance(value, Tensor) else value
        self._version[0] += 1                       # a graph that still needs the old values will notice

    # operators
    def __add__(self, other): return ops.add(self, other)
    def __radd__(self, other): return ops.add(other, self)
    def __sub__(self, other): return ops.sub(self, other)
    def __rsub__(self, other): return ops.sub(other, self)
    def __mul__(self, other): return ops.mul(self, other)
    def __rmul__(self, other): return ops.mul(other, self)
    def __truediv__(self, other): return ops.div(self, other)
    def __rtruediv__(self, other): return ops.div(other, self)
    def __pow__(self, exponent): return ops.pow(self, exponent)
    def __neg__(self): return ops.neg(self)
    def __abs__(self): return ops.abs(self)
    def __matmul__(self, other): return ops.matmul(self, other)
    def __rmatmul__(self, other): return ops.matmul(other, self)
    def __getitem__(self, index): return ops.getitem(self, index)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a tensor of shape ()")
        return (self[i] for i in range(self.shape[0]))

    # comparisons answer with plain boolean arrays: nothing flows back through them
    def __lt__(self, other): return self.data < raw(other)
    def __le__(self, other): return self.data <= raw(other)
    def __gt__(self, other): return self.data > raw(other)
    def __ge__(self, other): return self.data >= raw(other)
    def __eq__(self, other): return self.data == raw(other)
    def __ne__(self, other): return self.data != raw(other)
    __hash__ = object.__hash__

    # operations as methods
    def sum(self, axis=None, keepdims=False): return ops.sum(self, axis, keepdims)
    def mean(self, axis=None, keepdims=False): return ops.mean(self, axis, keepdims)
    def max(self, axis=None, keepdims=False): return ops.max(self, axis, keepdims)
    def min(self, axis=None, keepdims=False): return ops.min(self, axis, keepdims)
    def exp(self): return ops.exp(self)
    def log(self): return ops.log(self)
    def sqrt(self): return ops.sqrt(self)
    def tanh(self): return ops.tanh(self)
    def sigmoid(self): return ops.sigmoid(self)
    def relu(self): return ops.relu(self)
    def abs(self): return ops.abs(self)
    def pow(self, exponent): return ops.pow(self, exponent)
    def clip(self, min=None, max=None): return ops.clip(self, min, max)
    def matmul(self, other): return ops.matmul(self, other)
    def softmax(self, axis=-1): return ops.softmax(self, axis)
    def log_softmax(self, axis=-1): return ops.log_softmax(self, axis)
    def logsumexp(self, axis=-1, keepdims=False): return ops.logsumexp(self, axis, keepdims)
    def broadcast_to(self, shape): return ops.broadcast_to(self, shape)
    def reshape(self, *shape): return ops.reshape(self, _one_tuple(shape))
    def transpose(self, *axes): return ops.transpose(self, _one_tuple(axes) or None)


def _one_tuple(values) -> tuple:
    """(2, 3) for both f(2, 3) and f((2, 3))."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], tuple | list) else tuple(values)


def _wrap(array, node=None, index: int = 0) -> Tensor:
    """A Tensor around a float or integer array that is known to be right: what ops make, without the checks."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = array if is_array(array) else array_module(array).asarray(array)
    tensor.grad = None
    tensor.requires_grad = node is not None
    tensor._node, tensor._index, tensor._version = node, index, [0]
    return tensor


def raw(value):
    """The array of a Tensor; anything else as it is."""
    return value.data if isinstance(value, Tensor) else value


from minimoe import autograd, ops  # noqa: E402  last, because both need the class above
