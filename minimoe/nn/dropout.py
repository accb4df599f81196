"""Dropout as a layer, with its own generator."""
from __future__ import annotations

from minimoe import ops
from minimoe.nn.init import generator
from minimoe.nn.module import Module
from minimoe.ops.dropout import check_probability
from minimoe.tensor import Tensor


class Dropout(Module):
    """In training each element is 0 with probability p and x / (1 - p) otherwise; in evaluation y is x itself.

    x and y: any one shape. `rng`: the host Generator that masks are drawn from, or the seed of a new one; give several
    layers one Generator, for layers with equal seeds draw equal masks. Raises ValueError for p outside 0..1.
    """

    def __init__(self, p: float, *, rng=0):
        check_probability("Dropout", p)
        self.p = float(p)
        self.rng = generator(rng, "Dropout")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return ops.dropout(x, self.p, rng=self.rng)
