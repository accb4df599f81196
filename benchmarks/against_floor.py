"""How close is a training step to what the machine can do at most? And where does the rest of the time go?

    python benchmarks/against_floor.py --json floor.json            # about 2 minutes

The floor of a step: its multiplications and additions at the rate of one large matrix product measured in turns with
it. Softmax, norms, activations, routing and Adam count as nothing there. The profile takes a step apart on one thread:
for every part its own time and what of it is over the floor.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import fair  # first: it sets OpenBLAS up before NumPy loads
import numpy as np
from clocks import profile
from encoder_step import make_step
from steps import TINY, M, S, ours_step

from minimoe import autograd, ops
from minimoe.kernels import reference
from minimoe.moe.base import Router
from minimoe.ops import grouped
from minimoe.optim.optimiser import Optimiser

STEPS = {"S": (S, 32), "M": (M, 16)}                # config, batch
FUNCTIONS = {
    "expert products": [(reference, "grouped_matmul"), (reference, "grouped_weight_gradient")],
    "expert biases": [(reference, "add_bias"), (reference, "grouped_sum")],
    "activation, first bias": [(grouped, "activate"), (grouped, "through_slope")],
    "softmax of attention": [(reference, "masked_softmax"), (reference, "masked_softmax_backward")],
    "routing": [(Router, "forward")],
    "Adam": [(Optimiser, "step")],
    "walk of the tape": [(autograd, "backward")],
}
OPERATIONS = dict.fromkeys(ops.OPS, "sums and other small ones") | {
    "linear": "projections", "attention": "attention products", "layer_norm": "norms", "expert_ffn": "expert biases",
    "router_terms": "routing", "dispatch": "rows to experts and back", "combine": "rows to experts and back",
    "embedding": "embeddings and loss", "cross_entropy": "embeddings and loss",
} | dict.fromkeys(("reshape", "transpose", "split", "getitem", "concatenate", "stack"), "heads split and joined")


def flops(config, batch: int) -> dict[str, float]:
    """Of one step, by part: a product costs as much again for each of its two gradients."""
    tokens, d, k = batch * config.max_length, config.d_model, config.router_options["k"]
    once = {"expert products": 4 * d * config.d_ff * k, "attention products": 4 * config.max_length * d,
            "projections": 8 * d * d + 2 * d * config.n_experts}
    assert sum(once.values()) * config.n_layers == config.flops_per_token(k, config.max_length)
    return {part: 3 * tokens * config.n_layers * each for part, each in once.items()}


def product(size: int) -> Callable:
    a, b = np.random.default_rng(0).standard_normal((2, size, size), "float32")
    c = np.empty_like(a)
    return lambda: np.matmul(a, b, out=c)


def share_rows(name: str, config, batch: int, n: int, size: int, timings: int) -> list[dict]:
    model, _, inputs, _ = make_step(config, batch, config.router_options["k"], "class")
    work, step = sum(flops(config, batch).values()), ours_step(model, n, *inputs)
    found = fair.take_turns({"product": product(size), "step": step}, timings)
    rate = 2 * size**3 / found["product"]["seconds"]
    return [{"step": name, "threads": n, "GFLOP": work / 1e9, "product, GFLOP/s": rate / 1e9,
             "floor, ms": 1e3 * work / rate, **found["step"],
             "share of the floor, %": 100 * work / rate / found["step"]["seconds"]}]


def bandwidth_rows(n: int, mib: int, timings: int) -> list[dict]:
    """Bytes read and written a second, by n threads on their own parts."""
    source, target = np.ones((2, n, mib * 2**18 // n), np.float32)
    with ThreadPoolExecutor(n) as pool:
        calls = {"copy": lambda: list(pool.map(np.copyto, target, source)),
                 "add in place": lambda: list(pool.map(lambda t, s: np.add(t, s, out=t), target, source))}
        found = fair.take_turns(calls, timings)
    moved = {"copy": 2 * source.nbytes, "add in place": 3 * source.nbytes}
    return [{"memory": name, "threads": n, "MiB": mib, **found[name],
             "GB/s": moved[name] / found[name]["seconds"] / 1e9} for name in calls]


def profile_rows(config, batch: int, size: int, timings: int) -> list[dict]:
    """Parts of a step on one thread, the dearest first; `over the floor`: own time less that of its products."""
    model, _, inputs, _ = make_step(config, batch, config.router_options["k"], "class")
    rate = 2 * size**3 / fair.take_turns({"product": product(size)}, timings)["product"]["seconds"]
    found = profile(ours_step(model, 1, *inputs), timings, FUNCTIONS, OPERATIONS)
    whole, work = found.pop("whole"), flops(config, batch)
    del found["nodes"]
    parts = [*sorted(found.items(), key=lambda pair: -pair[1]), ("the step", whole)]
    work["the step"] = sum(work.values())
    return [{"part": part, "own ms": 1e3 * seconds, "share, %": 100 * seconds / whole,
             "GFLOP": work.get(part, 0.0) / 1e9,
             "over the floor, ms": 1e3 * (seconds - work.get(part, 0.0) / rate)} for part, seconds in parts]


def measure(options) -> dict:
    steps, size, mib = ({"tiny": (TINY, 2)}, 64, 1) if options.tiny else (STEPS, 2048, 64)
    results = {}
    keep = fair.keeper(results, options.only)
    for n in options.threads:
        with fair.threads(n):
            for name, (config, batch) in steps.items():
                keep(fair.on_threads(f"step {name}", n),
                     lambda args=(name, config, batch, n, size): share_rows(*args, options.timings))
            keep(fair.on_threads("memory", n), lambda n=n: bandwidth_rows(n, mib, options.timings))
    with fair.threads(1):
        for name, (config, batch) in steps.items():
            keep(f"profile of step {name}",
                 lambda args=(config, batch, size): profile_rows(*args, options.timings))
    return results


if __name__ == "__main__":
    sys.exit(fair.run("A training step against the machine's floor.", measure))
