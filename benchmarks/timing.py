"""How long a call takes on the device that runs it."""
from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def stopwatch(backend: str) -> Callable:
    """`elapsed(call)` -> seconds. On a GPU between two events of its stream, so that the host's own time counts only
    where the GPU waits for it; on the simulator by the clock, which says nothing about a GPU. `backend` may be "torch".
    """
    if backend == "cupy":
        import cupy
        return _by_events(cupy.cuda.Event, lambda start, end: cupy.cuda.get_elapsed_time(start, end))
    if backend == "torch":
        import torch
        return _by_events(lambda: torch.cuda.Event(enable_timing=True), lambda start, end: start.elapsed_time(end))

    def by_clock(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return by_clock


def _by_events(event: Callable, milliseconds: Callable) -> Callable:
    def elapsed(call):
        start, end = event(), event()
        start.record()
        call()
        end.record()
        end.synchronize()
        return milliseconds(start, end) / 1e3

    return elapsed


def measure(elapsed: Callable, call: Callable, repeats: int, warm_up: int) -> dict[str, float]:
    """Seconds of `repeats` calls after `warm_up` that do not count: median, fastest, slowest."""
    for _ in range(warm_up):
        call()
    times = [elapsed(call) for _ in range(repeats)]
    return {"seconds": median(times), "fastest": min(times), "slowest": max(times)}
