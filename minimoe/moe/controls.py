"""Control measures: importance that carries no information, or the wrong one. A gain that survives them is no gain
from importance. Random numbers come from a NumPy generator on the host, so every backend sees the same ones."""
from __future__ import annotations

import re

import numpy as np

from minimoe.backend import array_module
from minimoe.moe.normalise import live_range
from minimoe.moe.ranking import unsort

CONTROLS = ("shuffled", "reversed")


def split_controls(measure: str) -> tuple[list[str], str]:
    """The controls around a measure, innermost first, and the measure: "shuffled(reversed(cls))" ->
    (["reversed", "shuffled"], "cls")."""
    controls: list[str] = []
    while match := re.fullmatch(rf"({'|'.join(CONTROLS)})\((.*)\)", measure):
        controls.insert(0, match[1])
        measure = match[2]
    return controls, measure


def apply_controls(controls: list[str], importance: np.ndarray, live: np.ndarray,
                   rng: np.random.Generator) -> np.ndarray:
    """Importance (B,S) after each of `controls`, innermost first, among the live tokens (B,S) of each sample."""
    for control in controls:
        if control == "shuffled":
            importance = shuffle_importance(importance, live, rng)
        else:
            importance = reverse_importance(importance, live)
    return importance


def random_importance(like: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """U(0,1) for every token, (B,S), in the backend and dtype of `like`."""
    return array_module(like).asarray(rng.random(shape)).astype(like.dtype)


def shuffle_importance(importance: np.ndarray, live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Importance (B,S) permuted at random among the live tokens of each sample: the same values, at other tokens. The
    decisive control, since under any schedule it keeps each sample's histogram of experts per token."""
    xp = array_module(importance)
    key = xp.where(live, xp.asarray(rng.random(live.shape)), xp.inf)
    source = xp.argsort(key, axis=1, kind="stable")              # live positions in random order, then the others
    target = xp.argsort(~live, axis=1, kind="stable")            # live positions in order, then the others
    return unsort(target, xp.take_along_axis(importance, source, axis=1))


def reverse_importance(importance: np.ndarray, live: np.ndarray) -> np.ndarray:
    """max + min - I over the live tokens of each sample: the most important token becomes the least. (B,S) -> (B,S)."""
    low, high = live_range(importance, live)
    return array_module(importance).where(live, high + low - importance, 0)
