"""Runs training steps of one library alone and prints, as JSON, how much memory the process held. memory.py starts it.

    python benchmarks/memory_steps.py minimoe|torch '{"config": {...}, "batch": 32, "steps": 500, "threads": 1}'
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

SAMPLES = 10


def resident() -> tuple[float, float]:
    """(now, most so far) in MiB; where only the most is known, it stands for both."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return peak, peak
    values = dict(line.split(":", 1) for line in status.splitlines())
    return tuple(int(values[name].split()[0]) / 2**10 for name in ("VmRSS", "VmHWM"))


def minimoe_step(config: dict, batch: int, threads: int):
    from steps import ours_step  # here, so that the other library is never imported
    from threadpoolctl import threadpool_limits

    from minimoe.models import EncoderConfig, SequenceClassifier

    imported = resident()[0]
    config = EncoderConfig(**config)
    threadpool_limits(threads)                      # until the process ends
    return imported, ours_step(SequenceClassifier(config), threads, *data(config, batch))


def torch_step(config: dict, batch: int, threads: int):
    import peers
    import torch

    imported = resident()[0]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = SimpleNamespace(**config)
    model = peers.Encoder(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return imported, peers.torch_step(model, False, *map(torch.from_numpy, data(config, batch)),
                                      config.router_options["k"])


def data(config, batch: int):
    import numpy as np

    ids = np.random.default_rng(0).integers(1, config.vocab_size, (batch, config.max_length))
    return ids, ids[:, 0] % 2


def main(side: str, work: str) -> None:
    work = json.loads(work)
    steps = work.pop("steps")
    imported, step = {"minimoe": minimoe_step, "torch": torch_step}[side](**work)
    samples = [(0, resident()[0])]
    for number in range(1, steps + 1):
        step()
        if number % max(1, steps // SAMPLES) == 0:
            samples.append((number, resident()[0]))
    print(json.dumps({"imported": imported, "samples": samples, "peak": resident()[1]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
