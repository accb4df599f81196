"""FeedForward: the dense sub-layer of a transformer block."""
from __future__ import annotations

from functools import partial

from minimoe import ops
from minimoe.nn.init import generator
from minimoe.nn.linear import Linear
from minimoe.nn.module import Module
from minimoe.tensor import Tensor

ACTIVATIONS = {"gelu": ops.gelu, "gelu_tanh": partial(ops.gelu, approximate="tanh"), "relu": ops.relu}


class FeedForward(Module):
    """y = linear2(phi(linear1(x))); x and y (..., d_model), hidden (..., d_ff).

    `activation`: "gelu", "gelu_tanh" or "relu", the names that experts take too. Weights are drawn from `rng`. Raises
    ValueError for another activation and sizes below 1.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str = "gelu", *, rng):
        if activation not in ACTIVATIONS:
            raise ValueError(f"FeedForward: activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        rng = generator(rng, "FeedForward")
        self.linear1 = Linear(d_model, d_ff, rng=rng)
        self.linear2 = Linear(d_ff, d_model, rng=rng)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden = ACTIVATIONS[self.activation](self.linear1(x))          # (..., d_ff)
        return self.linear2(hidden)                                     # (..., d_model)
