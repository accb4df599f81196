"""How much memory does training take, and does it grow? Steps S and M, minimoe beside torch eager, each alone in a
process of its own.

    python benchmarks/memory.py --json memory.json --figures benchmarks/figures            # about 8 minutes

Resident memory, MiB: what the imports alone take, the peak, and what the last nine tenths of the steps added.
"""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fair  # first: it sets OpenBLAS up before NumPy loads
import figures
from encoder_step import make_step
from steps import TINY, M, S

STEPS = {"S": (S, 32, 500), "M": (M, 16, 60)}       # config, batch, steps
SIDES = {"minimoe": "minimoe", "torch": "torch eager"}


def run_alone(side: str, config, batch: int, steps: int, threads: int) -> dict:
    """What memory_steps.py prints."""
    work = json.dumps({"config": config.to_dict(), "batch": batch, "steps": steps, "threads": threads})
    script = Path(__file__).with_name("memory_steps.py")
    done = subprocess.run([sys.executable, str(script), side, work], capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"memory_steps.py {side}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return json.loads(done.stdout)


def measure(options) -> dict:
    peaks, series = [], {}
    for name, (config, batch, steps) in ({"tiny": (TINY, 2, 20)} if options.tiny else STEPS).items():
        if options.only not in name:
            continue
        make_step(config, batch, config.router_options["k"], "class")           # both compute the same, or it stops
        for n in options.threads:
            found = {side: run_alone(side, config, batch, steps, n) for side in SIDES}
            for side, result in found.items():
                samples = result["samples"]
                peaks.append({"step": name, "threads": n, "side": SIDES[side], "imports": result["imported"],
                              "peak": result["peak"], "peak of torch's": result["peak"] / found["torch"]["peak"],
                              "peak without imports": result["peak"] - result["imported"], "steps": samples[-1][0],
                              "growth": samples[-1][1] - samples[1][1]})
            series[fair.on_threads(f"resident memory, {name}", n)] = [
                {"side": SIDES[side], "step": step, "MiB": mib} for side in SIDES
                for step, mib in found[side]["samples"]]
    if not peaks:
        return {}
    title = "resident memory of training, MiB"
    fair.show(title, peaks)
    if options.figures:
        for path in figures.draw_memory(series, options.figures):
            print(f"figure: {path}")
    return {title: peaks, **series}


if __name__ == "__main__":
    sys.exit(fair.run("Memory of training steps.", measure, add_options=figures.add_option))
