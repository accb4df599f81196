"""Every operation of a training step on its own, forward and backward with the tape, against PyTorch.

    python benchmarks/ops.py --json ops.json                        # about 2 minutes
    python benchmarks/ops.py --only gelu --threads 1

float32; a ratio below 1 means that minimoe is faster. What each side answers is compared before it is timed.
"""
from __future__ import annotations

import sys
import time

import fair  # first: it sets OpenBLAS up before NumPy loads
from encoder_step import TINY, M, S
from op_pairs import SIZES, pairs
from op_pairs import TINY as TINY_SIZES

LEAST = 2e-3            # seconds a timing takes at least: shorter calls are repeated, or the clock would decide


def rows_of(operation: str, size: str, pair, timings: int, least: float) -> list[dict]:
    """One row for every peer of the pair, after a comparison with each."""
    ours = pair.ours()
    for name, peer in pair.theirs.items():
        pair.compare(f"{operation}, {size}, {name}", ours, peer())
    start = time.perf_counter()
    pair.ours()
    repeats = max(1, round(least / (time.perf_counter() - start)))

    def repeated(call):
        return lambda: [call() for _ in range(repeats)]

    found = fair.take_turns({name: repeated(call) for name, call in {"minimoe": pair.ours, **pair.theirs}.items()},
                            timings, fair.own_memory)
    for times in found.values():
        times |= {key: times[key] / repeats for key in ("seconds", "p25", "p75")}
    return [{"operation": operation, "size": size, "against": name, "its ms": 1e3 * found[name]["seconds"],
             **found["minimoe"], "ratio": found["minimoe"]["seconds"] / found[name]["seconds"],
             "ratio_p25": found["minimoe"]["p25"] / found[name]["p25"]} for name in pair.theirs]


def measure(options) -> dict:
    sizes, models = (TINY_SIZES, {"tiny": TINY}) if options.tiny else (SIZES, {"S": S, "M": M})
    results = {}
    for n in options.threads:
        with fair.threads(n):
            rows = [row for operation, size, make in pairs(sizes, models) if options.only in f"{operation}, {size}"
                    for row in rows_of(operation, size, make(), options.timings, 0 if options.tiny else LEAST)]
        if rows:
            title = fair.on_threads("operations", n)
            results[title] = rows
            fair.show(title, rows)
    return results


if __name__ == "__main__":
    sys.exit(fair.run("Every operation against PyTorch.", measure))
