"""Embedding: one row of a table for every id."""
from __future__ import annotations

from minimoe import ops
from minimoe.nn.init import check_sizes, generator, truncated_normal
from minimoe.nn.module import Module, Parameter
from minimoe.tensor import Tensor


class Embedding(Module):
    """y = weight[ids]; ids: integers of any shape -> y (*ids.shape, embedding_dim).

    `weight` (num_embeddings, embedding_dim) is drawn from `rng` by the rule of minimoe.nn.init with fan_in =
    embedding_dim [assumed: the deviation then does not depend on the vocabulary, and is BERT's 0.02 at width 256].
    The row `padding_idx` (negative counts from the end) starts at 0, its gradient is 0, and decay of 0 is 0: no
    optimiser of minimoe moves it. Raises ValueError for sizes below 1 and a padding_idx outside the table, TypeError
    when `rng` is no generator or integer seed.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, rng):
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        rng = generator(rng, "Embedding")
        self.weight = Parameter(truncated_normal(rng, (num_embeddings, embedding_dim), fan_in=embedding_dim))
        self.padding_idx = padding_idx
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"Embedding: padding_idx is {padding_idx}; the table has {num_embeddings} rows")
            self.padding_idx = padding_idx % num_embeddings
            self.weight.data[self.padding_idx] = 0

    def forward(self, ids) -> Tensor:
        return ops.embedding(ids, self.weight, self.padding_idx)
