"""Three tasks made by rule, so that the library can be tried without any download.

They are stand-ins with a planted signal, not GLUE: every label follows from a rule, and every example knows the
positions of the words that decide it. The words are in `grammar.py`.
"""

from __future__ import annotations

import zlib

import numpy as np

from minimoe.data import grammar
from minimoe.data.dataset import Dataset, Example

BUILTIN = {
    "sentiment": (grammar.sentiment, ("negative", "positive")),
    "acceptability": (grammar.acceptability, ("unacceptable", "acceptable")),
    "paraphrase": (grammar.paraphrase, ("different", "same meaning")),
}
SIZES = {"train": 8000, "dev": 1000, "test": 1000}
SHORTEST, LONGEST = 8, 18  # words in one text


def load_builtin(name: str, split: str, seed: int = 0) -> Dataset:
    """The `split` (train 8,000 examples, dev 1,000, test 1,000) of a task made by rule; always the same for a seed.

    Both labels are equally frequent and none is wrong. No text of one split occurs in another, whatever the seeds.
    Logistic regression on the words of each text, order forgotten, reaches on test (measured, seed 0): sentiment 0.72,
    acceptability 0.65, paraphrase 0.69; the rest of the answer lies in how the words relate.
    ValueError for an unknown name or split and for a negative seed.
    """
    if name not in BUILTIN:
        raise ValueError(f"load_builtin: name is {name!r}; needed one of {' '.join(BUILTIN)}, or a GLUE task's folder")
    if split not in SIZES:
        raise ValueError(f"load_builtin: split is {split!r}; needed one of {' '.join(SIZES)}")
    if seed < 0:
        raise ValueError(f"load_builtin: seed is {seed}; needed 0 or more")
    make, label_names = BUILTIN[name]
    size = SIZES[split]
    rng = np.random.default_rng([zlib.crc32(name.encode()), list(SIZES).index(split), seed])
    labels = rng.permutation(np.arange(size) % 2).tolist()
    draw = grammar.Draws(rng)
    examples: dict[tuple[str, ...], Example] = {}  # by their texts, to keep each only once
    while len(examples) < size:
        label = labels[len(examples)]
        starred = [text for text in make(draw, label) if text is not None]
        texts = tuple(text.replace("*", "") for text in starred)
        if all(_fits(text, split) for text in texts):
            words = " ".join(starred).split()
            deciding = tuple(i for i, word in enumerate(words) if word.startswith("*"))
            examples[texts] = Example(texts[0], texts[1] if len(texts) > 1 else None, label, deciding)
    return Dataset(name, split, tuple(examples.values()), 2, ("accuracy",), label_names)


def _fits(text: str, split: str) -> bool:
    """Is the text of the right length, and of this split? Its checksum says: three fifths train, one dev, one test."""
    owner = ("train", "train", "train", "dev", "test")[zlib.crc32(text.encode()) % 5]
    return owner == split and SHORTEST <= len(text.split()) <= LONGEST
