"""How weights start: one rule for every layer, drawn from a generator that the caller names."""
from __future__ import annotations

import math

import numpy as np

SCALE = 0.1                                         # s of the rule below


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """float32 array of N(0, sigma^2) draws, re-drawn while beyond 2 sigma; sigma = sqrt(s / fan_in), s = 0.1.

    sigma is that of the normal before its tails are cut; the array's deviation is 0.88 sigma. Source: Switch
    Transformer (arXiv 2101.03961), section 2.4, confirmed: s = 0.1 trains more stably than 1.
    """
    draws = rng.standard_normal(shape, dtype=np.float32)
    flat = draws.reshape(-1)
    beyond = np.flatnonzero(np.abs(flat) > 2)
    while beyond.size:
        again = rng.standard_normal(beyond.size, dtype=np.float32)
        flat[beyond] = again
        beyond = beyond[np.abs(again) > 2]
    draws *= math.sqrt(SCALE / fan_in)
    return draws


def generator(rng, layer: str) -> np.random.Generator:
    """`rng` itself when it is a Generator, a new Generator from an integer seed. Raises TypeError for anything else."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer):
        return np.random.default_rng(rng)
    raise TypeError(f"{layer}: rng is {type(rng).__name__}; give a numpy.random.Generator or an integer seed")


def check_sizes(layer: str, **sizes) -> None:
    """Raises ValueError for a size that is not an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{layer}: {name} is {size!r}; it must be an integer of at least 1")
