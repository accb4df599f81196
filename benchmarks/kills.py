"""Is anything lost when training is killed? SIGKILL at random moments of the real command line, then --resume.

    python benchmarks/kills.py --json kills.json                    # 50 kills of `train`, 20 of `pretrain`: 4 minutes
    python benchmarks/kills.py --tiny                               # 2 of each: only shows that it runs

A run is killed and resumed until it ends; then every file of its folder must be, byte for byte, that of a run nobody
touched, and another one starts, until there were enough kills. After every kill each checkpoint must be readable
and no older than before. Every second kill waits for a file that is being written. POSIX only.
"""
from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minimoe.files import check_writable, write_json
from minimoe.study.summary import table
from minimoe.training import load_checkpoint

MINIMOE = [sys.executable, "-m", "minimoe"]
SIZES = ["--layers", "2", "--d-model", "16", "--heads", "2", "--d-ff", "8", "--experts", "4", "--batch-size", "64",
         "--max-length", "32", "--vocab-size", "300", "--router-option", "jitter=0.1", "--save-every", "3", "--quiet",
         "--threads", "1"]
TRAIN = [*MINIMOE, "train", *SIZES, "--epochs", "2", "--max-steps", "120"]         # the baseline is killed too
WORDS = "the cat sat on a mat while one dog ran to some big old red house by night and all was well until".split()


def pretrain(folder: Path) -> list[str]:
    """The command that trains a language model on a small text, which is written to `folder`, on two threads."""
    starts = np.random.default_rng(0).integers(0, len(WORDS), 1500)
    lines = [" ".join(WORDS[(start + i) % len(WORDS)] for i in range(12)) for start in starts]
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    return [*MINIMOE, "pretrain", *SIZES, "--threads", "2", "--epochs", "4", "--text", str(folder / "text.txt")]


def kill_and_resume(command: list[str], folder: Path, kills: int, seed: int = 0) -> dict:
    """Counts of `kills` kills of `command --out ... --resume`. Raises AssertionError where anything was lost."""
    random = np.random.default_rng(seed)
    seconds = _finish(command, folder / "whole")    # of a whole run
    whole = contents(folder / "whole")
    found = {"kills": 0, "while writing": 0, "before the first checkpoint": 0, "runs": 0, "checkpoints read": 0}
    while found["kills"] < kills:
        out, steps, ended = folder / str(found["runs"]), {}, False
        while found["kills"] < kills and not ended:
            began = time.perf_counter()
            with _start(command, out) as process:
                writing = _kill(process, out, random.uniform(0, seconds), wait_for_write=found["kills"] % 2 == 1)
                assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
            ended = process.returncode == 0         # before its moment came
            if ended and not steps:                 # a whole run, on a machine that may have been busy before
                seconds = min(seconds, time.perf_counter() - began)
            elif not ended:
                found["kills"] += 1
                found["while writing"] += writing
                found["before the first checkpoint"] += not checkpoints(out)
                found["checkpoints read"] += _read_all(out, steps)
        if not ended:
            _finish(command, out)
        found["runs"] += 1
        assert found["runs"] < kills + 10, "nearly every run ends before it can be killed, or writes no file"
        assert contents(out) == whole, f"{out}: differs from a run that was not killed: {_differences(out, whole)}"
    return found


def checkpoints(out: Path) -> list[Path]:
    return sorted(out.rglob("checkpoint.safetensors"))


def contents(out: Path) -> dict[str, bytes]:
    """Path below `out` -> bytes of every file there."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def _start(command: list[str], out: Path) -> subprocess.Popen:
    return subprocess.Popen([*command, "--out", str(out), "--resume"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)


def _finish(command: list[str], out: Path) -> float:
    """Seconds it took to the end."""
    began = time.perf_counter()
    with _start(command, out) as process:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
    return time.perf_counter() - began


def _kill(process: subprocess.Popen, out: Path, delay: float, wait_for_write: bool) -> bool:
    """Kills after `delay` seconds, or at the next write after them; True where that left a file half-written."""
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        before = _temporary(out)
        while wait_for_write and process.poll() is None and _temporary(out) <= before:
            time.sleep(1e-4)                        # a write takes longer: it ends with a flush to disk
        process.kill()
        process.wait()
        return bool(_temporary(out) - before)
    return False


def _temporary(out: Path) -> set[str]:
    """The files that are being written, or were when a process was killed."""
    return {name for folder in (out, out / "baseline") if folder.is_dir() for name in os.listdir(folder)
            if name.endswith(".tmp")}


def _read_all(out: Path, steps: dict[Path, int]) -> int:
    """Reads every checkpoint and builds its model; none may have fewer steps than it had before."""
    for path in checkpoints(out):
        found = load_checkpoint(path)
        found.model()
        assert found.state["step"] >= steps.get(path, 0), f"{path}: step {found.state['step']} after {steps[path]}"
        steps[path] = found.state["step"]
    return len(checkpoints(out))


def _differences(out: Path, whole: dict[str, bytes]) -> list[str]:
    have = contents(out)
    return sorted(name for name in have.keys() | whole.keys() if have.get(name) != whole.get(name))


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Is anything lost when training is killed?")
    parser.add_argument("--kills", type=int, default=50, help="of `train`; `pretrain` gets two for every five")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--tiny", action="store_true", help="2 kills of each: only shows that it runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if not hasattr(signal, "SIGKILL"):
        print(f"{parser.prog}: this system has no SIGKILL; run it on Linux or macOS", file=sys.stderr)
        return 2
    check_writable(options.json)
    results = {}
    for name, kills in (("train", options.kills), ("pretrain", options.kills * 2 // 5)):
        with tempfile.TemporaryDirectory() as folder:
            command = TRAIN if name == "train" else pretrain(Path(folder))
            results[name] = kill_and_resume(command, Path(folder), 2 if options.tiny else kills, options.seed)
    print(table([{"command": name, **found, "differ": 0} for name, found in results.items()]))
    if options.json:
        write_json(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
