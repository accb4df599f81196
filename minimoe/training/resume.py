"""Going on with a run: whether a checkpoint is of this very run, and of a moment that the run can have been in."""
from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import numpy as np

from minimoe.training.checkpoint import Checkpoint, not_finite

COUNTERS = dict(finished=(bool,), step=(int,), epoch=(int,), batch=(int,), tokens=(int,),
                seconds=(float, type(None)), best_score=(float, type(None)))    # kept beside arrays and generators


class OtherRun(ValueError):
    """The checkpoint is of a run with other options or other data."""


def data_sum(arrays: Iterable[np.ndarray]) -> int:
    """CRC-32 of what a run learns from and is validated on."""
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array), total)
    return total


def check_same_run(loop, checkpoint: Checkpoint) -> None:
    """Raises OtherRun unless the checkpoint was written by a run with the options and the data of `loop`."""
    out, then, now = loop.config.out, checkpoint.state["config"], loop.config.kept()
    for key in now:
        if then.get(key) != now[key]:
            raise OtherRun(f"resume: {key} is {now[key]!r}, but the run in {out} was started with {then.get(key)!r}; "
                           "use the same options or another --out")
    if checkpoint.tokenizer is None or checkpoint.tokenizer.to_dict() != loop.tokenizer.to_dict():
        raise OtherRun(f"resume: the run in {out} has another vocabulary, so it had other data; give the same data and "
                       "--init-from, or another --out")
    if checkpoint.state.get("data", loop.data_sum) != loop.data_sum:    # a file of an older version has no sum
        raise OtherRun(f"resume: the run in {out} had other data; give the same data or another --out")


def check_moment(loop, checkpoint: Checkpoint) -> None:
    """Raises ValueError (KeyError and the like where parts are missing) for what no moment of the run can have been."""
    state = checkpoint.state
    for name, kinds in COUNTERS.items():
        if type(state[name]) not in kinds or isinstance(state[name], float) and not math.isfinite(state[name]):
            raise ValueError(f"{name} is {state[name]!r:.60}")
    for group in ("weights", "best", "optimiser"):
        name = not_finite(getattr(checkpoint, group))
        if name is not None:
            raise ValueError(f"{group}: {name} holds NaN or infinite numbers")
    _check_counters(loop, **{name: state[name] for name in COUNTERS})
    for name, values in checkpoint.optimiser.items():
        least, most = -np.inf if name.startswith("m.") else 0, state["step"] if name == "steps" else np.inf
        if np.min(values, initial=0) < least or np.max(values, initial=0) > most:
            raise ValueError(f"optimiser: {name} is out of range")
    if state["finished"]:
        return
    own = {name: (p.shape, p.dtype) for name, p in loop.model.named_parameters()} if state["epoch"] else {}
    best = {name: (array.shape, array.dtype) for name, array in checkpoint.best.items()}
    if best != own:
        wrong = min(name for name in own.keys() | best.keys() if own.get(name) != best.get(name))
        raise ValueError(f"best: {wrong} is missing, unexpected or of another shape")
    if state["schedule"] != {"t": state["step"] + 1, "first_rates": loop.schedule.first_rates}:
        raise ValueError(f"schedule is {state['schedule']!r:.60}")


def _check_counters(loop, finished, step, epoch, batch, tokens, seconds, best_score) -> None:
    """They must belong together."""
    size = loop.steps_per_epoch
    within = 0 <= batch <= size and epoch >= 0 and step == epoch * size + batch <= loop.total_steps
    ended = step == loop.total_steps and batch == 0 and epoch == math.ceil(step / size)     # an epoch cut short
    if not (ended or within and not finished):
        raise ValueError(f"step {step}, epoch {epoch}, batch {batch}, finished {finished}")
    if tokens < 0 or not finished and (seconds is None or seconds < 0):
        raise ValueError(f"tokens {tokens}, seconds {seconds}")
    if (best_score is None) != (epoch == 0):
        raise ValueError(f"best_score is {best_score} after {epoch} epochs")
