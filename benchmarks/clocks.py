"""Where the time of a call goes: clocks put around functions of the library while it runs.

    with Clocks({"activation": [(ops.grouped, "activate")]}, {"linear": "projections"}) as clocks:
        step()
    clocks.seconds["activation"]        # own time: what a clock inside another measures is not counted twice

A clock costs about a microsecond a call, so parts of less than some ten microseconds a call look too large. One thread
only.
"""
from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from statistics import median

from minimoe import ops


class Clocks:
    """`functions`: part -> (module or class, name) of functions; `operations`: operation of minimoe.ops -> part, for
    its forward and its backward. `seconds` and `calls` by part; `nodes`: operations that recorded a node."""

    def __init__(self, functions: dict[str, list[tuple[object, str]]], operations: dict[str, str] | None = None):
        wrapped = [(owner, name, functools.partial(self._around, part))
                   for part, several in functions.items() for owner, name in several]
        wrapped += [(ops, name, functools.partial(self._around_operation, part))
                    for name, part in (operations or {}).items()]
        self.places = [(owner, name, vars(owner)[name], wrap(getattr(owner, name))) for owner, name, wrap in wrapped]
        self.seconds: Counter = Counter()
        self.calls: Counter = Counter()
        self.nodes = 0
        self._inside = [0.0]                        # per open clock: seconds measured by clocks inside it

    def __enter__(self) -> Clocks:
        for owner, name, original, timed in self.places:
            setattr(owner, name, staticmethod(timed) if isinstance(original, classmethod) else timed)
        return self

    def __exit__(self, *error) -> None:
        for owner, name, original, _ in self.places:
            setattr(owner, name, original)

    def _around(self, part: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*arguments, **options):
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                took = time.perf_counter() - start
                self.seconds[part] += took - self._inside.pop()
                self._inside[-1] += took
                self.calls[part] += 1
        return timed

    def _around_operation(self, part: str, operation: Callable) -> Callable:
        forward = self._around(part, operation)

        @functools.wraps(operation)
        def timed(*arguments, **options):
            result = forward(*arguments, **options)
            node = (result[0] if isinstance(result, tuple) else result)._node
            if node is not None:
                self.nodes += 1
                node.backward = self._around(part, node.backward)
            return result
        return timed


def profile(call: Callable, times: int, functions, operations=None) -> dict[str, float]:
    """Median seconds a call of every part, of the `whole`, and of its `rest`; `nodes` that a call records. One call
    before does not count."""
    found = []
    for _ in range(times + 1):
        with Clocks(functions, operations) as clocks:
            start = time.perf_counter()
            call()
            whole = time.perf_counter() - start
        found.append(clocks.seconds | {"whole": whole, "rest": whole - clocks.seconds.total(), "nodes": clocks.nodes})
    return {part: median(one.get(part, 0.0) for one in found[1:]) for part in found[1]}
