"""What a training run spends on anything but training: data, tokenizer, metrics, progress bar; and how soon it starts.

    python benchmarks/training_cost.py --json training_cost.json            # about 3 minutes

The runs are whole ones on the built-in sentiment task, with its own small model and with the size that GLUE tasks get.
Metrics: evaluation without the model's own forward pass. The bar is drawn as for a terminal. Start-up is from the
command to the moment when it asks for its data, and to its first step.
"""
from __future__ import annotations

import io
import subprocess
import sys
import time
from contextlib import redirect_stderr
from unittest import mock

import fair  # first: it sets OpenBLAS up before NumPy loads
from clocks import Clocks
from tqdm import tqdm

from minimoe.data import batching
from minimoe.data.tokenizer import WordTokenizer
from minimoe.models import SequenceClassifier
from minimoe.training import TrainConfig, loop, task, trainer
from minimoe.training.log import Log
from minimoe.training.loop import Loop

RUNS = {"the task's own model": {}, "a model of the size for GLUE": {"d_model": 128, "d_ff": 512}}
TINY = {"tiny": {"d_model": 8, "d_ff": 8, "heads": 2, "experts": 2, "max_steps": 2}}
LEAST_SCORE = 0.95                                  # of a whole run: one that learns nothing is no training run
FUNCTIONS = {
    "data made": [(task, "load_split"), (task, "carve")],
    "tokenizer": [(task, "encode_dataset"), (WordTokenizer, "train")],
    "batches": [(batching, "make_batch"), (batching, "batch_order"), (trainer, "make_batch"), (trainer, "batch_order")],
    "metrics": [(trainer, "evaluate"), (trainer, "score")],
    "progress bar and log": [(Loop, "_bar"), (Log, "add"), (tqdm, "update"), (tqdm, "set_postfix_str")],
    "model, forward": [(SequenceClassifier, "forward")],
}
ASIDE = ("data made", "tokenizer", "batches", "metrics", "progress bar and log")
STOPPED = """
import sys, {module} as module
def stop(*arguments, **options):
    print("reached")
    sys.exit()
module.{place} = stop
from minimoe.cli import main
main(["train", "--max-steps", "1", "--quiet"])
"""


def run_rows(config: TrainConfig, learns: bool) -> list[dict]:
    """Seconds of every part of a run, and those beside training together."""
    with Clocks(FUNCTIONS) as clocks, mock.patch.object(loop, "_is_watched", return_value=True), \
            redirect_stderr(io.StringIO()):
        start = time.perf_counter()
        score = trainer.Trainer(config).train()["score"]
        whole = time.perf_counter() - start
    if learns and score < LEAST_SCORE:
        raise SystemExit(f"training run: its score is {score:.3f}, below {LEAST_SCORE}; its times would say nothing")
    parts = {part: clocks.seconds[part] for part in ASIDE}
    parts["all of these"] = sum(parts.values())
    parts["training and forward passes"] = whole - parts["all of these"]
    return [{"part": part, "s": took, "share, %": 100 * took / whole} for part, took in parts.items()]


def start_rows(timings: int) -> list[dict]:
    """Python, the library, and `minimoe train` stopped on its way, each in processes of its own."""
    codes = {"python alone": "print('reached')", "import minimoe": "import minimoe; print('reached')",
             "minimoe train, asks for its data": STOPPED.format(module="minimoe.commands.runs", place="prepare_task"),
             "minimoe train, begins its first step": STOPPED.format(module="minimoe.training.loop", place="Loop._step")}
    found = fair.take_turns({name: lambda code=code: run_python(code) for name, code in codes.items()}, timings)
    alone = found["python alone"]["seconds"]
    return [{"until": name, **times, "over python alone, s": times["seconds"] - alone}
            for name, times in found.items()]


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    if done.stdout != "reached\n":
        raise SystemExit(f"start-up: the process did not come to the place: {done.stderr.strip()[-200:]}")


def measure(options) -> dict:
    results = {}
    keep = fair.keeper(results, options.only)
    keep("start-up", lambda: start_rows(options.timings))
    for n in options.threads:
        for name, sizes in (TINY if options.tiny else RUNS).items():
            keep(fair.on_threads(f"training run, {name}", n),
                 lambda sizes=sizes, n=n: run_rows(TrainConfig(threads=n, **sizes), not options.tiny))
    return results


if __name__ == "__main__":
    sys.exit(fair.run("What a training run spends beside training.", measure, timings=10, threads=(1,)))
