"""How kernels run: checked or not, and in which order the threads get their turn."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

SCHEDULES = ("forward", "reversed")


@dataclass(frozen=True)
class Settings:
    check: bool = False
    schedule: str | int = "forward"


DEFAULT = Settings()
_current: ContextVar[Settings] = ContextVar("cudasim settings", default=DEFAULT)


def current() -> Settings:
    """The settings in force."""
    return _current.get()


@contextmanager
def settings(check: bool | None = None, schedule: str | int | None = None) -> Iterator[None]:
    """Inside the `with`, launches follow these settings; None leaves one as it is around.

    check (at first False): report faults instead of computing with them; slower by 3 to 20 times. schedule (at first
    "forward"): the order of threads and of blocks, "reversed", or an int: the seed of a random order, drawn anew at
    every barrier, in which threads also give way at atomics. A right kernel gives the same bits under every schedule.
    Raises ValueError for another schedule.
    """
    is_seed = isinstance(schedule, int) and not isinstance(schedule, bool) and 0 <= schedule < 2**64
    if schedule is not None and schedule not in SCHEDULES and not is_seed:
        raise ValueError(f"settings: schedule is {schedule!r}; give 'forward', 'reversed' or a seed of at least 0")
    wanted = {"check": check, "schedule": schedule}
    token = _current.set(replace(current(), **{k: v for k, v in wanted.items() if v is not None}))
    try:
        yield
    finally:
        _current.reset(token)
