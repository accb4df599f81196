"""A class, or a number, for a whole text."""
from __future__ import annotations

from dataclasses import replace

from minimoe import ops
from minimoe.backend import array_module
from minimoe.models.config import EncoderConfig
from minimoe.models.encoder import Encoder, Output
from minimoe.nn.init import generator
from minimoe.nn.linear import Linear
from minimoe.tensor import Tensor, raw


class SequenceClassifier(Encoder):
    """Encoder, then a linear head on the first token. config.n_classes=1 is regression."""

    def __init__(self, config: EncoderConfig, rng=0):
        rng = generator(rng, type(self).__name__)
        super().__init__(config, rng)
        self.head = Linear(config.d_model, config.n_classes, rng=rng)

    def forward(self, ids, mask=None, segments=None) -> Output:
        """Output with logits (B, n_classes); arguments as in `Encoder.encode`."""
        output = self.encode(ids, mask, segments)
        if output.hidden.shape[1] == 0:
            raise ValueError("SequenceClassifier: ids has length 0, but the class is read off the first token")
        logits = self.head(output.hidden[:, 0])                                         # (B, n_classes)
        self._refuse_nonfinite("head: outputs", logits)                                 # a device is not asked again
        return replace(output, logits=logits)

    def loss(self, ids, labels, mask=None, segments=None) -> Tensor:
        """Task loss + auxiliary losses: cross-entropy for integer labels (B,), mean squared error for n_classes=1."""
        output = self(ids, mask, segments)
        return self.task_loss(output, labels) + output.aux_loss

    def task_loss(self, output: Output, labels, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy or mean squared error of an output's logits. Raises ValueError for labels out of range."""
        xp = array_module(output.logits.data)
        labels = xp.asarray(raw(labels))
        if self.config.n_classes == 1:
            return ops.mse_loss(output.logits[:, 0], labels.astype(output.logits.dtype))
        return ops.cross_entropy(output.logits, labels, label_smoothing=label_smoothing)
