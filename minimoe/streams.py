"""Random numbers for a part of a batch, the same that the whole batch would have drawn."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np


class PartStream(np.random.Generator):
    """A generator for some samples of a batch: it draws the numbers of all samples and keeps those of its own.

    So a batch that is computed in parts sees the dropout masks and the noise that it sees whole. It works for draws
    whose first axis counts samples, or rows of which every sample has equally many. `take(first, end, total)` says
    which samples the next draws are for; `bit_generator.state` is the stream's, as for every generator.
    """

    def __init__(self):
        super().__init__(np.random.PCG64(0))
        self.whole = np.random.Generator(self.bit_generator)
        self.take(0, 1, 1)

    def take(self, first: int, end: int, total: int) -> None:
        self.first, self.end, self.total = first, end, total

    def part(self, shape: tuple[int, ...], draw: Callable):
        """The own rows of draw(generator, whole shape); shape: what the part needs."""
        each = shape[0] // (self.end - self.first)
        return draw(self.whole, (each * self.total, *shape[1:]))[each * self.first:each * self.end]

    def random(self, size):
        return self.part(size, lambda whole, shape: whole.random(shape))

    def uniform(self, low, high, size):
        return self.part(size, lambda whole, shape: whole.uniform(low, high, shape))

    def standard_normal(self, size):
        return self.part(size, lambda whole, shape: whole.standard_normal(shape))
