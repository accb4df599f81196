"""What a task's data is, whoever made it: labelled sentences or pairs of sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One sentence, or a pair of sentences, with its label.

    `label`: an int (a class), a float (regression) or None (the published test sets hide their labels).
    `deciding`: positions of the words that decide the label, counted over the words of `text` followed by those of
    `pair`; known only for the built-in tasks.
    """

    text: str
    pair: str | None = None
    label: int | float | None = None
    deciding: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The examples of one split of one task, and how the task is scored.

    `n_classes`: 1 means regression. `metrics`: the task's official metrics, by their names in `training.metrics`.
    `label_names[c]`: what class c means; for regression the one entry names the number.
    """

    name: str
    split: str
    examples: tuple[Example, ...]
    n_classes: int
    metrics: tuple[str, ...]
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.examples)

    def texts(self) -> Iterator[str]:
        """Every text of every example, pairs included, in order: what a tokenizer is trained on."""
        for example in self.examples:
            yield example.text
            if example.pair is not None:
                yield example.pair
