"""Linear: y = x W^T + b."""
from __future__ import annotations

import numpy as np

from minimoe import ops
from minimoe.nn.init import check_sizes, generator, truncated_normal
from minimoe.nn.module import Module, Parameter
from minimoe.tensor import Tensor


class Linear(Module):
    """y = x W^T + b; x (..., in_features) -> y (..., out_features).

    `weight` (out_features, in_features) is drawn from `rng` by the rule of minimoe.nn.init with fan_in = in_features;
    `bias` (out_features,) starts at 0, or is None with `bias=False`. Raises ValueError for sizes below 1 and
    TypeError when `rng` is no generator or integer seed.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng):
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        rng = generator(rng, "Linear")
        self.weight = Parameter(truncated_normal(rng, (out_features, in_features), fan_in=in_features))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)
