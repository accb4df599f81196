"""From a data set to padded batches of about equal lengths."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minimoe.data.dataset import Dataset, Example
from minimoe.data.tokenizer import Tokenizer, WordTokenizer

POOL = 50                                           # batches that are sorted by length together


@dataclass(frozen=True)
class Encoded:
    """A data set as numbers: per example its ids and segments (int32), and the positions of its deciding tokens.

    `labels`: int64 (n,) classes, float32 (n,) numbers for regression, None where the split hides them.
    """

    ids: list[np.ndarray]
    segments: list[np.ndarray]
    labels: np.ndarray | None
    deciding: list[np.ndarray]


@dataclass(frozen=True)
class Batch:
    """B examples padded to S tokens. ids, segments int32 (B, S); mask bool (B, S), True marks a real token; labels
    (B,) or None; index (B,): where the examples stand in the data set; places: the positions of each one's deciding
    tokens."""

    ids: np.ndarray
    mask: np.ndarray
    segments: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    places: list[np.ndarray]

    @cached_property
    def words(self) -> np.ndarray:
        """bool (B, S): real tokens that are not [CLS] or [SEP]."""
        words = self.mask.copy()
        if words.size:
            first_sep = (self.mask & (self.segments == 0)).sum(axis=1) - 1
            for column in (0, first_sep, self.mask.sum(axis=1) - 1):
                words[np.arange(len(words)), column] = False
        return words

    @cached_property
    def deciding(self) -> np.ndarray:
        """bool (B, S): the tokens that decide the label, where the data knows them."""
        deciding = np.zeros(self.mask.shape, bool)
        for row, places in zip(deciding, self.places, strict=True):
            row[places] = True
        return deciding


def encode_dataset(dataset: Dataset, tokenizer: Tokenizer, max_length: int) -> Encoded:
    """Every example through `tokenizer`, cut to `max_length` tokens.

    Deciding positions are known only where tokens are words, so other tokenizers get none.
    Raises ValueError for a mix of labelled and unlabelled examples and for a class that the task does not have.
    """
    examples = dataset.examples
    found = tokenizer.encode_batch([(e.text, e.pair) for e in examples], max_length)
    ids = [np.array(row, np.int32) for row in found]
    segments = [np.array(tokenizer.segments(row), np.int32) for row in found]
    if isinstance(tokenizer, WordTokenizer):
        deciding = [_positions(e, part, tokenizer) for e, part in zip(examples, segments, strict=True)]
    else:
        deciding = [np.zeros(0, np.int64)] * len(examples)
    return Encoded(ids, segments, _labels(dataset), deciding)


def _labels(dataset: Dataset) -> np.ndarray | None:
    labels = [e.label for e in dataset.examples]
    unlabelled = sum(label is None for label in labels)
    if unlabelled == len(labels):
        return None
    if unlabelled:
        raise ValueError(f"encode_dataset: {unlabelled} of the {len(labels)} examples of {dataset.name}"
                         f" {dataset.split} have no label; needed all or none")
    if dataset.n_classes == 1:
        if not np.isfinite(labels).all():
            raise ValueError(f"encode_dataset: {dataset.name} {dataset.split} has labels that are NaN or infinite")
        return np.array(labels, np.float32)
    if not set(labels) <= set(range(dataset.n_classes)):
        raise ValueError(f"encode_dataset: {dataset.name} {dataset.split} has the labels {sorted(set(labels))};"
                         f" needed classes from 0 to {dataset.n_classes - 1}")
    return np.array(labels, np.int64)


def _positions(example: Example, segments: np.ndarray, tokenizer: WordTokenizer) -> np.ndarray:
    """Where an example's deciding words stand after [CLS] and [SEP] came in; those that were cut are left out."""
    if not example.deciding:
        return np.zeros(0, np.int64)
    first = len(tokenizer.words(example.text))      # words of `text`, of which the first `kept` are still there
    kept = int((segments == 0).sum()) - 2
    places = [p + 1 if p < kept else -1 if p < first else p - first + kept + 2 for p in example.deciding]
    return np.array([p for p in places if 0 < p < len(segments) - 1], np.int64)     # the last is a [SEP]


def batch_order(lengths: Sequence[int] | np.ndarray, batch_size: int,
                rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """Index arrays that cover every example once; one of them may be smaller than batch_size.

    With `rng` the examples are shuffled, pools of 50 batches sorted by length (so that little is padded) and the
    batches shuffled; without it, all are sorted by length, for evaluation. Raises ValueError for a batch_size under 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_order: batch_size is {batch_size}; needed 1 or more")
    lengths = np.asarray(lengths)
    if rng is None:
        order = np.argsort(lengths, kind="stable")
        return [order[i:i + batch_size] for i in range(0, len(order), batch_size)]
    order = rng.permutation(len(lengths))
    found = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start:start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        found += [pool[i:i + batch_size] for i in range(0, len(pool), batch_size)]
    return [found[i] for i in rng.permutation(len(found))]


def make_batch(encoded: Encoded, index: Sequence[int] | np.ndarray, pad_id: int = 0) -> Batch:
    """The examples at `index`, padded to the longest of them. The mask comes from the lengths, never from the ids."""
    index = np.asarray(index, np.int64)
    rows, segment_rows, places = ([a[i] for i in index] for a in (encoded.ids, encoded.segments, encoded.deciding))
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]                 # (B, S)
    ids, segments = np.full(mask.shape, pad_id, np.int32), np.zeros(mask.shape, np.int32)
    if rows:
        ids[mask], segments[mask] = np.concatenate(rows), np.concatenate(segment_rows)
    return Batch(ids, mask, segments, None if encoded.labels is None else encoded.labels[index], index, places)


def batches(encoded: Encoded, batch_size: int, rng: np.random.Generator | None = None,
            pad_id: int = 0) -> Iterator[Batch]:
    """Every example once, in the order of `batch_order`, which is drawn from `rng` at once."""
    order = batch_order([len(ids) for ids in encoded.ids], batch_size, rng)
    return (make_batch(encoded, index, pad_id) for index in order)
