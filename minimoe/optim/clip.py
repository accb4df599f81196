"""Clipping by the norm over all gradients."""
from __future__ import annotations

import math
from collections.abc import Iterable

from minimoe.optim.optimiser import squared_norms
from minimoe.tensor import Tensor


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Multiplies every gradient in place by min(1, max_norm / (norm + 1e-6)); norm is that over all of them together.

    Answers with the norm before clipping. Each gradient's sum of squares is taken in its own dtype, or in float64
    where that overflows, and the sums are added in float64. A norm that is not finite leaves the gradients as they
    are, so that `optimiser.step()` refuses them; parameters without a gradient do not count. `parameters` may be one
    tensor. Raises ValueError for a max_norm that is negative or NaN.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm is {max_norm}; it must be at least 0")
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    trained = [p for p in parameters if p.grad is not None]
    sums = squared_norms([p.grad for p in trained])
    if not all(map(math.isfinite, sums)):           # squares that overflow float32 may be finite in float64
        sums = squared_norms([p.grad.astype("float64") for p in trained])
    norm = math.sqrt(sum(sums))
    scale = max_norm / (norm + 1e-6)
    if math.isfinite(norm) and scale < 1:
        for p in trained:
            p.grad *= p.grad.dtype.type(scale)     # a gradient of no axes may be a NumPy scalar
    return norm
