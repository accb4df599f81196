"""From a data set to padded batches of about equal lengths."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minimoe.data.dataset import Dataset

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
    """B examples padded to S tokens. ids, segments int32 (B, S); mask bool (B, S), True marks a real token; words
    bool (B, S): real tokens that are not [CLS] or [SEP]; deciding bool (B, S); labels (B,) or None; index (B,): where
    the examples stand in the data set."""

    ids: np.ndarray
    mask: np.ndarray
    segments: np.ndarray
    words: np.ndarray
    deciding: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray


def encode_dataset(dataset: Dataset, tokenizer, max_length: int) -> Encoded:
    """Every example through `tokenizer`, cut to `max_length` tokens. Raises ValueError for a mix of labelled and
    unlabelled examples."""
    examples = dataset.examples
    ids = [np.array(found, np.int32) for found in tokenizer.encode_batch(
        [(e.text, e.pair) for e in examples], max_length)]
    segments = [np.array(tokenizer.segments(found.tolist()), np.int32) for found in ids]
    deciding = [_positions(e, found, part, tokenizer) for e, found, part in zip(examples, ids, segments, strict=True)]
    labels = [e.label for e in examples]
    if any(label is None for label in labels):
        if any(label is not None for label in labels):
            raise ValueError(f"{dataset.name} {dataset.split}: some examples have a label and some have none")
        return Encoded(ids, segments, None, deciding)
    dtype = np.float32 if dataset.n_classes == 1 else np.int64
    return Encoded(ids, segments, np.array(labels, dtype), deciding)


def _positions(example, ids: np.ndarray, segments: np.ndarray, tokenizer) -> np.ndarray:
    """Where an example's deciding words stand after [CLS] and [SEP] came in; those that were cut are left out."""
    if not example.deciding:
        return np.zeros(0, np.int64)
    first = len(tokenizer.words(example.text))      # words of `text`, of which the first `kept` are still there
    kept = int((segments == 0).sum()) - 2
    places = [1 + p if p < kept else -1 if p < first else p - first + kept + 2 for p in example.deciding]
    end = len(ids) - 1                              # the last [SEP]
    return np.array([p for p in places if 0 < p < end], np.int64)


def batch_order(lengths, batch_size: int, rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """Index arrays that cover every example once.

    With `rng` the examples are shuffled, pools of 50 batches sorted by length (so that little is padded) and the
    batches shuffled; without it, all are sorted by length, for evaluation. The last batch of a pool may be smaller.
    """
    lengths = np.asarray(lengths)
    if rng is None:
        order = np.argsort(lengths, kind="stable")
        return [order[i:i + batch_size] for i in range(0, len(order), batch_size)]
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start:start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i:i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def make_batch(encoded: Encoded, index, pad_id: int = 0) -> Batch:
    """The examples at `index`, padded to the longest of them."""
    index = np.asarray(index)
    lengths = np.array([len(encoded.ids[i]) for i in index], np.int64)
    shape = (len(index), int(lengths.max(initial=0)))
    mask = np.arange(shape[1]) < lengths[:, None]                               # (B, S)
    ids, segments = np.full(shape, pad_id, np.int32), np.zeros(shape, np.int32)
    ids[mask] = np.concatenate([encoded.ids[i] for i in index] or [np.zeros(0, np.int32)])
    segments[mask] = np.concatenate([encoded.segments[i] for i in index] or [np.zeros(0, np.int32)])
    deciding = np.zeros(shape, bool)
    words = mask.copy()
    for row, i in enumerate(index):
        deciding[row, encoded.deciding[i]] = True
        words[row, [0, lengths[row] - 1, int((encoded.segments[i] == 0).sum()) - 1]] = False     # [CLS], [SEP]
    labels = None if encoded.labels is None else encoded.labels[index]
    return Batch(ids, mask, segments, words, deciding, labels, index)


def batches(encoded: Encoded, batch_size: int, rng: np.random.Generator | None = None, pad_id: int = 0) -> Iterator[Batch]:
    """Every example once, in the order of `batch_order`."""
    for index in batch_order([len(ids) for ids in encoded.ids], batch_size, rng):
        yield make_batch(encoded, index, pad_id)
