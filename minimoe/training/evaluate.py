"""Scores a classifier on a data set, and says how it spent its experts."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minimoe.autograd import no_grad
from minimoe.backend import backend_name, to_backend, to_host
from minimoe.data.batching import Batch, Encoded, batches
from minimoe.models import SequenceClassifier
from minimoe.moe.routers import DynamicRouter
from minimoe.moe.routing import Routing, pool_stats
from minimoe.training import metrics as scores

COMPARED_MEASURES = ("rowmax", "colmax")


@dataclass(frozen=True)
class Evaluation:
    """metrics by name and their mean; layer_stats: per expert layer `Routing.stats` over the whole set; `deciding`:
    measure -> mean experts of deciding words and of the other words; routed: the same pair per expert layer, of the
    experts they really got. Both are empty where the data does not know."""

    metrics: dict[str, float]
    score: float
    predictions: np.ndarray        # (n,) classes, or numbers for regression, in the data's order
    tokens: int                    # real ones
    layer_stats: list[dict]
    mean_length: float             # real tokens per example, every token counted once: what a row can look at
    deciding: dict[str, tuple[float, float]]
    routed: list[tuple[float, float]]

    @property
    def mean_experts_per_token(self) -> float:
        """Assignments kept per real token and expert layer; 1 for a dense model, which has one block for all."""
        kept = sum(stats["kept"] for stats in self.layer_stats)
        return kept / max(self.tokens * len(self.layer_stats), 1) if self.layer_stats else 1.0


def evaluate(model: SequenceClassifier, data: Encoded, metrics, batch_size: int = 128) -> Evaluation:
    """Runs `model` over `data` without gradients and scores it by `metrics`, names of `minimoe.training.metrics`.

    The whole set is scored at once, never batch by batch. Raises ValueError when the data has no labels.
    """
    if data.labels is None:
        raise ValueError("evaluate: this split has no labels (published test sets hide them); use the dev split")
    was_training = model.training
    model.eval()
    tally = _Tally(model)
    with no_grad():
        for batch in batches(data, batch_size, pad_id=model.config.pad_id):
            tally.add(batch, model(batch.ids, batch.mask, batch.segments))
    model.train(was_training)
    predictions = tally.predictions(len(data.ids))
    values = scores.compute(metrics, data.labels, predictions)
    return Evaluation(values, scores.score(values), predictions, tally.tokens, tally.layer_stats(),
                      tally.tokens_times_length / max(tally.tokens, 1), tally.deciding_means(), tally.routed_means())


class _Tally:
    """Sums over batches."""

    def __init__(self, model: SequenceClassifier):
        self.regression = model.config.n_classes == 1
        self.routers = [layer.router for layer in model.expert_layers()]
        self.has_experts = [layer.has_experts for layer in model.layers]
        self.stats: list[list[dict]] = [[] for _ in self.routers]       # per expert layer, per batch
        self.tokens = self.tokens_times_length = 0
        self.found: list[tuple[np.ndarray, np.ndarray]] = []
        self.sums: dict[str, np.ndarray] = {}       # measure -> [experts, words] of deciding and of other words
        self.routed: dict[int, np.ndarray] = {}     # layer -> the same sums of the experts as routed

    def add(self, batch: Batch, output) -> None:
        logits = to_host(output.logits.data)
        self.found.append((batch.index, logits[:, 0] if self.regression else logits.argmax(axis=1)))
        lengths = batch.mask.sum(axis=1)
        self.tokens += int(lengths.sum())
        self.tokens_times_length += int((lengths * lengths).sum())
        for stats, routing in zip(self.stats, output.routings, strict=True):
            stats.append(routing.stats)
        if batch.deciding.any():
            self._add_deciding(batch, output)

    def _add_deciding(self, batch: Batch, output) -> None:
        layers = [layer for layer, experts in enumerate(self.has_experts) if experts]
        for router, routing, layer in zip(self.routers, output.routings, layers, strict=True):
            attentions = [a.data for a in output.attentions[:layer + 1]]
            _count(self.routed.setdefault(layer, np.zeros((2, 2))), batch, to_host(routing.k).reshape(batch.mask.shape))
            for measure, k in _counts_by_measure(router, routing, attentions, batch.mask).items():
                _count(self.sums.setdefault(measure, np.zeros((2, 2))), batch, k)

    def predictions(self, n: int) -> np.ndarray:
        result = np.zeros(n, np.float32 if self.regression else np.int64)
        for index, values in self.found:
            result[index] = values
        return result

    def layer_stats(self) -> list[dict]:
        return [pool_stats(stats) for stats in self.stats]

    def deciding_means(self) -> dict[str, tuple[float, float]]:
        return {measure: _means(sums) for measure, sums in self.sums.items()}

    def routed_means(self) -> list[tuple[float, float]]:
        return [_means(sums) for sums in self.routed.values()]


def _count(sums: np.ndarray, batch: Batch, k: np.ndarray) -> None:
    """Adds [experts, words] of the deciding and of the other words of a batch. k (B, S)."""
    for row, words in enumerate((batch.deciding, batch.words & ~batch.deciding)):
        sums[row] += k[words].sum(), words.sum()


def _means(sums: np.ndarray) -> tuple[float, float]:
    return tuple((sums[:, 0] / np.maximum(sums[:, 1], 1)).tolist())


def _counts_by_measure(router, routing: Routing, attentions, mask) -> dict[str, np.ndarray]:
    """K (B, S): of DA-MoE as the same attention would give it under each of COMPARED_MEASURES, else as routed."""
    if not isinstance(router, DynamicRouter):
        return {"routed": to_host(routing.k).reshape(mask.shape)}
    found = {}
    mask = to_backend(mask, backend_name(routing.k))
    for measure in COMPARED_MEASURES:
        twin = router.with_measure(measure)
        k = twin.experts_per_token(routing.probabilities.data, twin.importance(attentions, mask), mask)
        found[measure] = to_host(k)
    return found
