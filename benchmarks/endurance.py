"""Can training be left running overnight? Memory, graph and step time over many steps, without the garbage collector.

    python benchmarks/endurance.py --json endurance.json            # 20,000 steps, 1,000 models: about 6 minutes
    python benchmarks/endurance.py --tiny                           # 200 steps, 20 models: only shows that it runs

The collector is off throughout: whatever is freed here is freed by reference counting, the moment it is dropped.
Linux only, because that is where a process can read its resident memory.
"""
from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minimoe.autograd import Node
from minimoe.files import check_writable, write_json
from minimoe.models import EncoderConfig, SequenceClassifier
from minimoe.nn import Module
from minimoe.optim import AdamW
from minimoe.optim.optimiser import Optimiser
from minimoe.tensor import Tensor
from minimoe.training import TrainConfig, Trainer

WARM_UP = 200
STATM = Path("/proc/self/statm")
EVERY = 100                                         # steps between two looks at the memory


@contextmanager
def collector_off():
    """Inside, only reference counting frees anything."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def live_objects() -> Counter:
    """How many tensors, nodes of graphs, modules and optimisers there are in this process."""
    kinds = (Tensor, Node, Module, Optimiser)       # by type(o): isinstance would ask o, and some objects answer back
    return Counter(kind.__name__ for o in gc.get_objects() for kind in kinds if issubclass(type(o), kind))


class Watched(Trainer):
    """Notes the seconds of every step, and what `memory()` answers after every EVERY of them."""

    def watch(self, memory: Callable[[], int]) -> Watched:
        self.memory = memory
        self.step_seconds = np.empty(self.total_steps)              # made here, so that notes do not grow
        self.used = np.empty(self.total_steps // EVERY, np.int64)
        return self

    def _step(self, item, bar) -> None:
        began = time.perf_counter()
        super()._step(item, bar)
        self.step_seconds[self.step - 1] = time.perf_counter() - began
        if self.step % EVERY == 0:
            self.used[self.step // EVERY - 1] = self.memory()


def endure(trainer: Watched) -> dict:
    """Figures of a whole run. Warm-up is the first quarter of the steps."""
    before = live_objects()["Node"]
    trainer.run()
    nodes = live_objects()["Node"] - before
    quarter = len(trainer.step_seconds) // 4
    first, last = np.median(trainer.step_seconds[:quarter]), np.median(trainer.step_seconds[-quarter:])
    kib = trainer.used / 1024
    warm, second_half = kib[len(kib) // 4:], kib[len(kib) // 2:]
    return {"steps": trainer.step, "KiB per 1,000 steps": slope(warm), "the same, second half": slope(second_half),
            "KiB, least and most": [int(warm.min()), int(warm.max())], "live nodes": nodes,
            "ms, first quarter": 1e3 * float(first), "ms, last quarter": 1e3 * float(last),
            "ratio": float(last / first), "memory": trainer.used.tolist()}


def slope(values: np.ndarray) -> float:
    """Of the straight line through values that are EVERY steps apart, per 1,000 steps."""
    return float(np.polyfit(np.arange(len(values)) * EVERY / 1000, values, 1)[0]) if len(values) > 1 else 0.0


def one_step() -> None:
    """A model is made, takes a step of Adam and is dropped."""
    model = SequenceClassifier(EncoderConfig(vocab_size=100, d_model=32, n_heads=4, d_ff=32, n_experts=4), rng=0)
    adam = AdamW(model.parameters(), lr=1e-3)
    model.loss(np.arange(48).reshape(4, 12), np.array([0, 1, 0, 1])).backward()
    adam.step()
    model.loss(np.arange(48).reshape(4, 12), np.array([0, 1, 0, 1]))        # a graph that is never walked


def create_and_drop(cycles: int, memory: Callable[[], int]) -> dict:
    """What `cycles` models leave behind, after WARM_UP that do not count: Python's and NumPy's caches of small blocks
    fill slowly, and are full when it no longer matters how many models there were."""
    for _ in range(WARM_UP):
        one_step()
    objects, before = live_objects(), memory()
    for _ in range(cycles):
        one_step()
    after = memory()
    left = {kind: n - objects[kind] for kind, n in live_objects().items() if n != objects[kind]}
    return {"cycles": cycles, "objects left": sum(left.values()), "memory left": after - before}


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Can training be left running overnight?")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--cycles", type=int, default=1000, help="models to create and drop")
    parser.add_argument("--tiny", action="store_true", help="200 steps, 20 cycles: only shows that it runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if not STATM.exists():
        print(f"{parser.prog}: needs {STATM}, so it runs on Linux only", file=sys.stderr)
        return 2
    check_writable(options.json)
    steps, cycles = (200, 20) if options.tiny else (options.steps, options.cycles)
    trainer = Watched(TrainConfig(epochs=steps, max_steps=steps), progress=False).watch(resident)
    with collector_off():
        found = {"training": endure(trainer), "models": create_and_drop(cycles, resident)}
        found["garbage"] = gc.collect()
    for name, figures in (found["training"] | found["models"]).items():
        if name != "memory":
            print(f"{name:<24}{figures:.2f}" if isinstance(figures, float) else f"{name:<24}{figures}")
    print(f"{'garbage at the end':<24}{found['garbage']}")
    if options.json:
        write_json(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
