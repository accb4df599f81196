"""Does the expert layer cost what was asked for, and nothing else? Time and memory against the sum of K, and shares.

    python benchmarks/scaling.py --json scaling.json --figures benchmarks/figures       # about 4 minutes

One layer of width 128 and hidden width 512, forward and backward: 8 to 64 experts at the same sum of K, 1,024 to
65,536 tokens, 1 to 8 experts per token; then the shares of routing in a layer, and of importance, allocation and the
tape in a step. Memory is the most that arrays held at one time during a pass (tracemalloc), parameters and input left
out. Each layer is compared with PyTorch on some of its tokens first. With many experts what counts is the rows that
each gets: its weights are read, and their gradients written, whether they are few or many.
"""
from __future__ import annotations

import sys
import tracemalloc

import fair  # first: it sets OpenBLAS up before NumPy loads
import figures
import numpy as np
import peers
import torch
from moe_layer import compare, our_pass
from shares import share_rows

from minimoe.moe import MoELayer
from minimoe.training.heap import keep_freed_memory

WIDTHS, TINY_WIDTHS = (128, 512), (8, 12)           # width, hidden width
GROWTH = {                                          # title: [(tokens, experts, K)]
    "more experts, 2048 tokens": [(2048, experts, 2) for experts in (8, 16, 32, 64)],
    "more experts, 8192 tokens": [(8192, experts, 2) for experts in (8, 16, 32, 64)],
    "more experts, 16384 tokens": [(16384, experts, 2) for experts in (8, 16, 32, 64)],
    "more tokens": [(tokens, 8, 2) for tokens in (1024, 2048, 4096, 8192, 16384, 32768, 65536)],
    "more experts per token": [(4096, 8, k) for k in range(1, 9)],
}
TINY = {
    "more experts": [(24, experts, 2) for experts in (4, 8)],
    "more tokens": [(tokens, 4, 2) for tokens in (24, 48)],
    "more experts per token": [(24, 4, k) for k in (1, 2)],
}
COMPARED = 256                                      # tokens


def make_layer(widths, tokens: int, experts: int, k: int):
    """(layer, x, gy), after a comparison with PyTorch's."""
    layer = MoELayer(*widths, experts, "topk", rng=1, router_options={"k": k})
    peer = peers.Experts(*widths, experts)
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    x, gy = np.random.default_rng(0).standard_normal((2, tokens, widths[0]), "float32")
    compare(layer, {"torch eager": peer}, x[:COMPARED], gy[:COMPARED], k)
    layer.zero_grad()
    return layer, x, gy


def peak_memory(call) -> int:
    """Bytes of arrays, at most at one time, beyond those there were before."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def growth_rows(works, widths, timings: int) -> list[dict]:
    """One row a layer, with time per assignment beside the first row's. The layers take turns, so that a disturbance
    meets all of them."""
    layers = [make_layer(widths, *work) for work in works]
    calls = {number: lambda args=args: our_pass(*args) for number, args in enumerate(layers)}
    found = fair.take_turns(calls, timings)
    rows = []
    for number, (tokens, experts, k) in enumerate(works):
        asked = tokens * k
        layers[number][0].zero_grad()
        rows.append({"tokens": tokens, "experts": experts, "K": k, "sum of K": asked,
                     "rows per expert": asked // experts, **found[number],
                     "ns per assignment": 1e9 * found[number]["seconds"] / asked,
                     "MiB": peak_memory(calls[number]) / 2**20})
        rows[-1]["over the first"] = rows[-1]["ns per assignment"] / rows[0]["ns per assignment"]
        layers[number][0].zero_grad()
    return rows


def measure(options) -> dict:
    growth, widths = (TINY, TINY_WIDTHS) if options.tiny else (GROWTH, WIDTHS)
    results = {}
    keep_freed_memory()                             # as in training
    for n in options.threads:
        with fair.threads(n):
            for title, works in growth.items():
                if options.only in title:
                    key = fair.on_threads(title, n)
                    results[key] = growth_rows(works, widths, options.timings)
                    fair.show(key, results[key])
            if n == 1:                              # clocks measure one thread
                for title, rows in share_rows(options.tiny, options.timings, options.only):
                    results[title] = rows
                    fair.show(title, rows)
    if options.figures:
        for path in figures.draw_scaling(results, options.figures):
            print(f"figure: {path}")
    return results


if __name__ == "__main__":
    sys.exit(fair.run("Growth of the expert layer's cost.", measure, timings=11, threads=(1,),
                      add_options=figures.add_option))
