"""E feed-forward blocks of the same shape, stored as one array each."""
from __future__ import annotations

import numpy as np

from minimoe import ops
from minimoe.nn.init import check_sizes, generator, truncated_normal
from minimoe.nn.module import Module, Parameter
from minimoe.ops.activations import hidden_width
from minimoe.tensor import Tensor


class Experts(Module):
    """u_s = phi(x_s W1_e + b1_e) W2_e + b2_e for rows sorted by expert.

    Parameters w1 (E, d_model, d_ff), b1 (E, d_ff), w2 (E, d_ff, d_model), b2 (E, d_model), with w1 and b1 twice as wide
    for a gated activation; every expert is drawn independently from `rng` by the rule of minimoe.nn.init. In training
    phi(...) passes dropout with probability `dropout`, drawn from `dropout_rng`. `grouped`: how a GPU multiplies,
    "library" or "kernel", as in minimoe.ops.grouped.
    """

    def __init__(self, d_model: int, d_ff: int, n_experts: int, activation: str = "gelu", *, rng,
                 dropout: float = 0.0, dropout_rng=None, grouped: str = "library"):
        check_sizes("Experts", d_model=d_model, d_ff=d_ff, n_experts=n_experts)
        rng = generator(rng, "Experts")
        self.activation, self.dropout, self.grouped = activation, dropout, grouped
        self.dropout_rng = rng.spawn(1)[0] if dropout_rng is None else generator(dropout_rng, "Experts")
        hidden = hidden_width(activation, d_ff)
        self.w1 = Parameter(truncated_normal(rng, (n_experts, d_model, hidden), fan_in=d_model))
        self.b1 = Parameter(np.zeros((n_experts, hidden), np.float32))
        self.w2 = Parameter(truncated_normal(rng, (n_experts, d_ff, d_model), fan_in=d_ff))
        self.b2 = Parameter(np.zeros((n_experts, d_model), np.float32))

    def forward(self, x: Tensor, offsets) -> Tensor:
        return ops.expert_ffn(x, self.w1, self.b1, self.w2, self.b2, offsets, self.activation,
                              self.dropout if self.training else 0.0, self.dropout_rng, self.grouped)
