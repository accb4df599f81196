"""FeedForward: the dense sub-layer of a transformer block."""
from __future__ import annotations

from functools import partial

from minimoe import ops
from minimoe.nn.init import generator
from minimoe.nn.linear import Linear
from minimoe.nn.module import Module
from minimoe.ops.activations import hidden_width
from minimoe.tensor import Tensor

PLAIN = {"gelu": ops.gelu, "gelu_tanh": partial(ops.gelu, approximate="tanh"), "relu": ops.relu}
GATES = {"geglu": ops.gelu, "reglu": ops.relu}


class FeedForward(Module):
    """y = linear2(phi(linear1(x))); x and y (..., d_model), hidden (..., d_ff).

    `activation`: "gelu", "gelu_tanh", "relu", or the gated "geglu" and "reglu", phi(g) * v with (g, v) = linear1(x)
    twice as wide; the names that experts take too. Weights are drawn from `rng`. Raises
    ValueError for another activation and sizes below 1.
    """

    def __init__(self, d_model: int, d_ff: int, activation: str = "gelu", *, rng):
        if activation not in PLAIN | GATES:
            raise ValueError(f"FeedForward: activation {activation!r} is not one of {', '.join(PLAIN | GATES)}")
        rng = generator(rng, "FeedForward")
        self.linear1 = Linear(d_model, hidden_width(activation, d_ff), rng=rng)
        self.linear2 = Linear(d_ff, d_model, rng=rng)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear1(x)                                        # (..., d_ff), or twice as wide for a gate
        if self.activation in GATES:
            gate, value = ops.split(hidden, 2, axis=-1)
            hidden = GATES[self.activation](gate) * value               # (..., d_ff)
        else:
            hidden = PLAIN[self.activation](hidden)
        return self.linear2(hidden)                                     # (..., d_model)
