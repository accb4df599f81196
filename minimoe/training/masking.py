"""Texts to blocks of tokens, and which tokens of a block are hidden."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minimoe.models.language_model import IGNORE


def blocks_of(texts: Iterable[str], tokenizer, length: int) -> np.ndarray:
    """int32 (n, length): [CLS], then a stretch of the texts run together with [SEP] after each; no padding.

    Raises ValueError when the texts do not fill one block.
    """
    stream: list[int] = []
    for ids in tokenizer.encode_batch([(text, None) for text in texts]):
        stream.extend(ids[1:])                      # without its [CLS], with its [SEP]
    n = len(stream) // (length - 1)
    if n == 0:
        raise ValueError(f"text: {len(stream)} tokens do not fill one block of {length}; give more text")
    blocks = np.full((n, length), tokenizer.cls_id, np.int32)
    blocks[:, 1:] = np.array(stream[:n * (length - 1)], np.int32).reshape(n, length - 1)
    return blocks


def hide_tokens(ids: np.ndarray, tokenizer, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(ids with some tokens hidden, labels): each ordinary token is chosen with probability `share`.

    Of the chosen 80 % become [MASK], 10 % a random ordinary token, 10 % stay; labels hold the true token there and -100
    elsewhere. Special tokens are never chosen. Source: BERT (arXiv 1810.04805) section 3.1, confirmed.
    """
    special = tokenizer.special_ids
    chosen = (rng.random(ids.shape) < share) & ~np.isin(ids, special)
    fate = rng.random(ids.shape)
    ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), special)
    random = ordinary[rng.integers(0, ordinary.size, ids.shape)]
    hidden = np.where(chosen & (fate < 0.8), tokenizer.mask_id, ids)
    hidden = np.where(chosen & (fate >= 0.8) & (fate < 0.9), random, hidden)
    return hidden.astype(np.int32), np.where(chosen, ids, IGNORE).astype(np.int64)


def unigram_loss(train: np.ndarray, targets: np.ndarray, vocab_size: int) -> float:
    """Mean -ln p(target) in nats, p from the training counts plus one: what guessing by frequency alone gets."""
    counts = np.bincount(train.reshape(-1), minlength=vocab_size) + 1.0
    return float(-np.log(counts[targets] / counts.sum()).mean())
