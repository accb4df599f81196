"""LayerNorm and RMSNorm over the last axis."""
from __future__ import annotations

import math

import numpy as np

from minimoe import ops
from minimoe.nn.init import check_sizes
from minimoe.nn.module import Module, Parameter
from minimoe.tensor import Tensor


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the last axis; variance divides by n.

    x and y (..., d). `normalized_shape`: d, or (d,). `weight` (d,) starts at 1, `bias` (d,) at 0. Raises ValueError
    for a shape of several axes and an eps that is no finite number of at least 0.
    """

    def __init__(self, normalized_shape: int | tuple[int], eps: float = 1e-5):
        width = _width("LayerNorm", normalized_shape, eps)
        self.eps = eps
        self.weight = Parameter(np.ones(width, np.float32))
        self.bias = Parameter(np.zeros(width, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axis.

    x and y (..., d). `normalized_shape`: d, or (d,). `weight` (d,) starts at 1. `eps=None` means the machine epsilon
    of x's dtype, as in PyTorch. Raises what LayerNorm raises.
    """

    def __init__(self, normalized_shape: int | tuple[int], eps: float | None = None):
        width = _width("RMSNorm", normalized_shape, eps or 0.0)
        self.eps = eps
        self.weight = Parameter(np.ones(width, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return ops.rms_norm(x, self.weight, self.eps)


def _width(layer: str, normalized_shape, eps: float) -> int:
    if not 0 <= eps < math.inf:
        raise ValueError(f"{layer}: eps is {eps}; it must be a finite number of at least 0")
    shape = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    if len(shape) != 1:
        raise ValueError(f"{layer}: normalized_shape is {normalized_shape!r}; it must be one size, the last axis'")
    check_sizes(layer, normalized_shape=shape[0])
    return shape[0]
