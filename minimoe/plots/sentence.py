"""One sentence with its experts per token: the checked data behind the text, HTML and figure forms."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minimoe.plots.inputs import check_tokens, host_array

WHERE = "experts_per_token"


@dataclass(frozen=True)
class Sentence:
    """S tokens, L expert layers."""

    tokens: list[str]                 # S, printable
    k: np.ndarray                     # (L, S) integers
    importance: np.ndarray | None     # (L, S), or (1, S) for all layers
    labels: list[str]                 # L names of layers, or none
    k_max: int                        # the darkest shade
    title: str | None

    def row(self, layer: int) -> list[tuple[str, float]]:
        """(the number, how dark) for every token."""
        return [(str(k), k / self.k_max) for k in self.k[layer].tolist()]

    def importance_of(self, layer: int) -> np.ndarray | None:
        """The importance that belongs to a layer alone, (S,); one that counts for all belongs to the first."""
        if self.importance is None or layer >= len(self.importance):
            return None
        return self.importance[layer]


def read_sentence(tokens: Sequence[str], k, importance, k_max: int | None, title: str | None,
                  labels: Sequence[str] | None) -> Sentence:
    """Checks everything; raises ValueError or TypeError in one line."""
    k = host_array(WHERE, "k", k, ("S", "LS"), integers=True)
    layers = 1 if k.ndim == 1 else len(k)
    if labels is None:
        labels = [] if k.ndim == 1 else [f"layer {number}" for number in range(1, layers + 1)]
    elif len(labels) != layers:
        raise ValueError(f"{WHERE}: {len(labels)} labels for {layers} rows of k; give one a row")
    tokens = check_tokens(WHERE, tokens, k.shape[-1], "k")
    k = k.reshape(layers, len(tokens))
    if layers == 0 or k.min() < 0:
        raise ValueError(f"{WHERE}: k is {k.shape} with smallest value {k.min() if k.size else None}; it needs at "
                         "least one row and no value below 0")
    most = int(k.max())
    if k_max is not None and k_max < most:
        raise ValueError(f"{WHERE}: k_max is {k_max}, but a token has {most} experts; give the number of experts")
    if importance is not None:
        importance = np.atleast_2d(host_array(WHERE, "importance", importance, ("S", "LS")))
        if importance.shape not in (k.shape, (1, k.shape[1])):
            raise ValueError(f"{WHERE}: importance is {importance.shape}; k needs {k.shape} or ({k.shape[1]},)")
    return Sentence(tokens, k, importance, list(labels), max(k_max or most, 1), title)
