"""Central differences: does a backward match its forward?"""
from __future__ import annotations

import numpy as np

from minimoe.autograd import no_grad
from minimoe.backend import to_host
from minimoe.tensor import Tensor


class GradientError(AssertionError):
    """An analytic gradient differs from the numeric one."""


def gradcheck(fn, inputs, step: float = 1e-5, rtol: float = 1e-6, atol: float = 1e-8, seed: int = 0,
              backend: str = "numpy") -> float:
    """Compares the gradients of `fn` with (f(x + step) - f(x - step)) / (2 step), every element, in float64.

    `fn(*tensors)` answers with a tensor, or a tuple of them. `inputs`: arrays; floats are cast to float64 and
    checked, integers and booleans are passed as they are. f = sum(y * u) with a random upstream gradient u drawn from
    `seed`: with ones, softmax and layer_norm have a zero gradient and every backward would pass. Returns the largest
    |a - n| / (|n| + atol / rtol), a analytic, n numeric, which is at most `rtol`. Raises GradientError naming input,
    index and both values otherwise, and ValueError when no input is a float.
    """
    arrays = [np.array(to_host(getattr(x, "data", x))) for x in inputs]
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    if not any(a.dtype.kind == "f" for a in arrays):
        raise ValueError("gradcheck: no input is a float array, so there is no gradient to check")
    random = np.random.default_rng(seed)

    def outputs(requires_grad: bool):
        tensors = [Tensor(a.copy(), requires_grad and a.dtype.kind == "f", backend=backend) for a in arrays]
        y = fn(*[t if t.dtype.kind == "f" else t.data for t in tensors])
        return tensors, y if isinstance(y, tuple) else (y,)

    tensors, ys = outputs(requires_grad=True)
    upstream = [random.standard_normal(y.shape) for y in ys]
    total = None
    for y, u in zip(ys, upstream, strict=True):
        part = (y * Tensor(u, backend=backend)).sum()
        total = part if total is None else total + part
    if total.requires_grad:
        total.backward()

    def value() -> float:
        with no_grad():
            return sum(float((to_host(y.data) * u).sum()) for y, u in zip(outputs(False)[1], upstream, strict=True))

    worst = 0.0
    for number, (array, tensor) in enumerate(zip(arrays, tensors, strict=True)):
        if array.dtype.kind != "f":
            continue
        analytic = np.zeros(array.shape) if tensor.grad is None else to_host(tensor.grad)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = value()
            array[index] = kept - step
            below = value()
            array[index] = kept
            numeric = (above - below) / (2 * step)
            error = abs(analytic[index] - numeric) / (abs(numeric) + atol / rtol)
            if not error <= rtol:                   # written so that NaN fails too
                raise GradientError(f"gradcheck: input {number} at {index}: analytic {analytic[index]:.10g}, "
                                    f"numeric {numeric:.10g}, relative error {error:.3g}, allowed {rtol:g}")
            worst = max(worst, error)
    return worst
