"""Learning rate schedules: linear warm-up, then one of four ways on."""
from __future__ import annotations

import math

from minimoe.optim.optimiser import Optimiser


class Schedule:
    """Sets the learning rates of an optimiser: rate of a group at step t = its first rate * factor(t), t >= 1.

    For t <= W = `warmup_steps` the factor is t / W, for later steps it is the subclass's `_after(t)`. Making the
    schedule sets the rates for the first step, t = 1; every `step()`, called after `optimiser.step()`, those for the
    next. The first rates are those that the groups have when the schedule is made. Raises ValueError for a negative
    warmup_steps.
    """

    def __init__(self, optimiser: Optimiser, warmup_steps: int):
        if not 0 <= warmup_steps < math.inf:
            raise ValueError(f"{type(self).__name__}: warmup_steps is {warmup_steps}; it must be at least 0 and finite")
        self.optimiser = optimiser
        self.warmup_steps = warmup_steps
        self.t = 1                                  # the optimiser step to come
        self.first_rates = [group["lr"] for group in optimiser.param_groups]
        self._set()

    def factor(self, t: int) -> float:
        """The share of the first rate used in step t. Raises ValueError for t below 1."""
        if t < 1:
            raise ValueError(f"{type(self).__name__}: t is {t}; the first step is 1")
        return t / self.warmup_steps if t <= self.warmup_steps else self._after(t)

    def lr_at(self, t: int) -> float:
        """The rate of the first group in step t; changes nothing."""
        return self.first_rates[0] * self.factor(t)

    def step(self) -> None:
        """Sets the rates for the next optimiser step."""
        self.t += 1
        self._set()

    def state_dict(self) -> dict[str, int | list[float]]:
        """{"t": the step to come, "first_rates": one per group}."""
        return {"t": self.t, "first_rates": list(self.first_rates)}

    def load_state_dict(self, state: dict) -> None:
        """Takes back what `state_dict` gave and sets the optimiser's rates. Raises ValueError when the number of
        groups differs."""
        if len(state["first_rates"]) != len(self.first_rates):
            raise ValueError(f"{type(self).__name__}.load_state_dict: the state is for {len(state['first_rates'])} "
                             f"groups, the optimiser has {len(self.first_rates)}")
        self.t = int(state["t"])
        self.first_rates = [float(rate) for rate in state["first_rates"]]
        self._set()

    def _set(self) -> None:
        factor = self.factor(self.t)
        for group, first in zip(self.optimiser.param_groups, self.first_rates, strict=True):
            group["lr"] = first * factor

    def _after(self, t: int) -> float:
        raise NotImplementedError


class Constant(Schedule):
    """After the warm-up the factor stays 1."""

    def __init__(self, optimiser: Optimiser, warmup_steps: int = 0):
        super().__init__(optimiser, warmup_steps)

    def _after(self, t: int) -> float:
        return 1.0


class InverseSqrt(Schedule):
    """After the warm-up the factor is sqrt(W / t). Raises ValueError for W below 1."""

    def __init__(self, optimiser: Optimiser, warmup_steps: int):
        if warmup_steps < 1:
            raise ValueError(f"InverseSqrt: warmup_steps is {warmup_steps}; it sets the decay and must be at least 1")
        super().__init__(optimiser, warmup_steps)

    def _after(self, t: int) -> float:
        return math.sqrt(self.warmup_steps / t)


class _ToZero(Schedule):
    """After the warm-up the factor falls to 0, which it reaches at t = `total_steps` and keeps.

    Raises ValueError when total_steps is below warmup_steps or below 1.
    """

    def __init__(self, optimiser: Optimiser, warmup_steps: int, total_steps: int):
        if total_steps < max(warmup_steps, 1):
            raise ValueError(f"{type(self).__name__}: total_steps is {total_steps}; it must be at least 1 and at least "
                             f"warmup_steps, which is {warmup_steps}")
        self.total_steps = total_steps
        super().__init__(optimiser, warmup_steps)

    def _left(self, t: int) -> float:
        """From 1 at the end of the warm-up to 0 at the end of training."""
        return (self.total_steps - t) / (self.total_steps - self.warmup_steps) if t < self.total_steps else 0.0


class WarmupLinear(_ToZero):
    """After the warm-up the factor is (T - t) / (T - W), T = `total_steps`, and 0 from T on."""

    def _after(self, t: int) -> float:
        return self._left(t)


class WarmupCosine(_ToZero):
    """After the warm-up the factor is (1 + cos(pi (t - W) / (T - W))) / 2, T = `total_steps`, and 0 from T on."""

    def _after(self, t: int) -> float:
        return (1 - math.cos(math.pi * self._left(t))) / 2
