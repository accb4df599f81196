"""MultiHeadAttention: every token reads the real tokens of its sample, and says how much it read of each."""
from __future__ import annotations

import numpy as np

from minimoe import ops
from minimoe.nn.init import check_sizes, generator, truncated_normal
from minimoe.nn.linear import Linear
from minimoe.nn.module import Module, Parameter
from minimoe.ops.dropout import check_probability
from minimoe.tensor import Tensor


class MultiHeadAttention(Module):
    """output = out_proj(heads joined), head_h = softmax(Q_h K_h^T / sqrt(d_h)) V_h, d_h = d_model / n_heads.

    `layer(x, mask=None)` with x (B, S, d_model) -> (output (B, S, d_model), attention (B, H, S, S)). `mask`: bool
    (B, S), True marks a real token. A padding query reads nothing: its attention is 0 and its output out_proj.bias.
    The attention is that before dropout; the model reads token importance from it. Dropout acts on the attention
    weights, in training only, and draws from `dropout_rng` (a host Generator or a seed; default: a
    stream of its own spawned from `rng`).

    Parameters as in torch.nn.MultiheadAttention: `in_proj_weight` (3 d, d) with Q, K and V below one another, drawn
    together with fan_in = d, `in_proj_bias` (3 d,), `out_proj.weight` (d, d), `out_proj.bias` (d,); weights from
    `rng`, biases 0. Raises ValueError when n_heads does not divide d_model and for x of another shape.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0, *, rng, dropout_rng=None):
        check_sizes("MultiHeadAttention", d_model=d_model, n_heads=n_heads)
        if d_model % n_heads:
            raise ValueError(f"MultiHeadAttention: {n_heads} heads cannot share a width of {d_model} equally")
        rng = generator(rng, "MultiHeadAttention")
        self.in_proj_weight = Parameter(truncated_normal(rng, (3 * d_model, d_model), fan_in=d_model))
        self.in_proj_bias = Parameter(np.zeros(3 * d_model, np.float32))
        self.out_proj = Linear(d_model, d_model, rng=rng)
        self.n_heads = n_heads
        check_probability("MultiHeadAttention", dropout)
        self.dropout = float(dropout)
        self.dropout_rng = rng.spawn(1)[0] if dropout_rng is None else generator(dropout_rng, "MultiHeadAttention")

    def forward(self, x: Tensor, mask=None) -> tuple[Tensor, Tensor]:
        d_model = self.out_proj.weight.shape[0]
        shape = getattr(x, "shape", ())
        if len(shape) != 3 or shape[2] != d_model:
            raise ValueError(f"MultiHeadAttention: x is {shape or type(x).__name__}; it must be (B, S, {d_model})")
        batch, length = shape[:2]

        def heads(t):
            split = t.reshape(batch, length, self.n_heads, d_model // self.n_heads)     # (B, S, H, d_h)
            return split.transpose(0, 2, 1, 3)                                          # (B, H, S, d_h)

        qkv = ops.linear(x, self.in_proj_weight, self.in_proj_bias)                     # (B, S, 3 d)
        q, k, v = ops.split(qkv, 3, axis=-1)
        dropout = self.dropout if self.training else 0.0
        output, attention = ops.attention(heads(q), heads(k), heads(v), mask, dropout, self.dropout_rng)
        joined = output.transpose(0, 2, 1, 3).reshape(batch, length, d_model)           # heads of a token side by side
        return self.out_proj(joined), attention
