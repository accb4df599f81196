"""One text through a model, with everything one would like to see of its routing."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minimoe.autograd import no_grad
from minimoe.backend import to_host
from minimoe.moe.routing import Routing


@dataclass(frozen=True)
class Reading:
    """S tokens, L expert layers. unknown: words that the vocabulary lacks."""

    tokens: list[str]
    k: list[np.ndarray]                      # L times (S,)
    importance: list[np.ndarray | None]      # L times (S,), None for routers that do not use it
    routings: list[Routing]
    logits: np.ndarray                       # (n_classes,), or (S, vocab) of a language model
    unknown: list[str]
    ids: list[int]
    cut: int                                 # tokens of the text that the model has no room for


def read_sentence(model, tokenizer, text: str, pair: str | None = None) -> Reading:
    """Runs `model` over one text (or pair), cut to the model's length. Raises ValueError for a text without words."""
    ids = tokenizer.encode(text, pair, max_length=model.config.max_length)
    if len(ids) <= 2:
        raise ValueError(f"the text {text!r} has no words")
    with no_grad():
        output = model(np.array([ids], np.int32), np.ones((1, len(ids)), bool),
                       np.array([tokenizer.segments(ids)], np.int32))
    return Reading(tokenizer.tokens(ids), [to_host(r.k) for r in output.routings],
                   [None if r.importance is None else to_host(r.importance) for r in output.routings],
                   output.routings, to_host(output.logits.data)[0], _unknown(tokenizer, ids, text, pair), ids,
                   len(tokenizer.encode(text, pair)) - len(ids))


def _unknown(tokenizer, ids: list[int], text: str, pair: str | None) -> list[str]:
    """The words behind [UNK], in their order, each once."""
    if tokenizer.unk_id not in ids:
        return []
    words = [w for part in (text, pair) if part is not None for w in tokenizer.words(part)]
    return list(dict.fromkeys(w for w in words if tokenizer.encode(w) == [tokenizer.cls_id, tokenizer.unk_id,
                                                                          tokenizer.sep_id]))
