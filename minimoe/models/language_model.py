"""Guess the hidden words of a text."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from minimoe import ops
from minimoe.backend import array_module
from minimoe.models.config import EncoderConfig
from minimoe.models.encoder import Encoder, Output
from minimoe.nn.module import Parameter
from minimoe.tensor import Tensor, raw

IGNORE = -100    # label of a position that is not asked for


class MaskedLanguageModel(Encoder):
    """Encoder, then scores over the vocabulary: the token embedding's own weights (tied), plus a bias."""

    def __init__(self, config: EncoderConfig, rng=0):
        super().__init__(config, rng)
        self.head_bias = Parameter(np.zeros(config.vocab_size, np.float32))

    def forward(self, ids, mask=None, segments=None) -> Output:
        """Output with logits (B, S, vocab_size); arguments as in `Encoder.encode`."""
        output = self.encode(ids, mask, segments)
        return replace(output, logits=self.scores(output.hidden))

    def scores(self, hidden: Tensor) -> Tensor:
        """(..., d) -> (..., vocab_size)."""
        scores = ops.linear(hidden, self.token_embedding.weight, self.head_bias)
        self._refuse_nonfinite("head_bias: scores", scores)
        return scores

    def loss(self, ids, labels, mask=None, segments=None) -> Tensor:
        """Mean cross-entropy over positions whose label is not -100, plus auxiliary losses. labels int (B, S)."""
        output = self.encode(ids, mask, segments)
        return self.task_loss(output, labels) + output.aux_loss

    def task_loss(self, output: Output, labels) -> Tensor:
        """The cross-entropy alone; scores are computed for the asked positions only."""
        xp = array_module(output.hidden.data)
        labels = xp.asarray(raw(labels))
        if labels.shape != output.hidden.shape[:2]:
            raise ValueError(f"MaskedLanguageModel: labels is {labels.shape}; it must be {output.hidden.shape[:2]}")
        asked = xp.flatnonzero(labels.reshape(-1) != IGNORE)
        rows = output.hidden.reshape(-1, output.hidden.shape[-1])[asked]                # (asked, d)
        return ops.cross_entropy(self.scores(rows), labels.reshape(-1)[asked])
