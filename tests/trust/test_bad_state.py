"""A checkpoint whose training state is not one of ours, its checksum right: `restore` refuses it and names the file."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bad_checkpoints import packed
from safetensors import safe_open
from safetensors.numpy import load_file
from small import CONFIG, small_task

from minimoe.training import Trainer
from minimoe.training.checkpoint import FILE


@pytest.fixture
def begun(tmp_path):
    """(trainer of a run that saved its first step, content and arrays of its file)."""
    trainer = Trainer(replace(CONFIG, out=str(tmp_path)), small_task(), progress=False)
    trainer.save()
    return read_back(trainer)


def read_back(trainer):
    """(trainer, content and arrays of its file)."""
    file = Path(trainer.config.out) / FILE
    with safe_open(file, framework="numpy") as opened:
        content = json.loads(json.loads(opened.metadata()["minimoe"])[1])
    return trainer, content, load_file(file)


AFTER_AN_EPOCH = {"t": 8, "first_rates": [CONFIG.lr] * 2}       # an epoch has 7 steps
REFUSED = rf"{FILE}: its training state cannot be used \(.*; start afresh with another"
STATES = {
    **{f"no {key}": lambda s, key=key: s.pop(key)
       for key in ("step", "epoch", "batch", "tokens", "seconds", "best_score", "finished", "order", "generators",
                   "schedule")},
    "a step below 0": lambda s: s.update(step=-5), "a step after the last": lambda s: s.update(step=10**12),
    "half a step": lambda s: s.update(step=1.5), "a step in words": lambda s: s.update(step="x"),
    "an epoch below 0": lambda s: s.update(epoch=-1), "a batch in words": lambda s: s.update(batch="x"),
    "an epoch after the last": lambda s: s.update(epoch=10**6),
    "a batch after the last": lambda s: s.update(batch=10**6),
    "an epoch below 0 that a batch makes up for": lambda s: s.update(epoch=-1, batch=7),
    "a step that is a truth": lambda s: s.update(step=False), "tokens below 0": lambda s: s.update(tokens=-1),
    "seconds without end": lambda s: s.update(seconds=float("inf")),
    "seconds below 0": lambda s: s.update(seconds=-1.0),
    "seconds of a finished run": lambda s: s.update(seconds=None),
    "a score that is no number": lambda s: s.update(best_score=float("nan")),
    "a score before a validation": lambda s: s.update(best_score=1e9),
    "an epoch without best weights": lambda s: s.update(step=7, epoch=1, best_score=0.5, schedule=AFTER_AN_EPOCH),
    "an epoch without a score": lambda s: s.update(step=7, epoch=1, schedule=AFTER_AN_EPOCH),
    "finished before the end": lambda s: s.update(finished=True),
    "finished within an epoch": lambda s: s.update(finished=True, step=21, epoch=2, batch=7, best_score=0.5),
    "a rate that is no number": lambda s: s["schedule"].update(first_rates=[float("nan")] * 2),
    "rates of another run": lambda s: s["schedule"].update(first_rates=[0.5, 0.5]),
    "a schedule of another step": lambda s: s["schedule"].update(t=9),
    "a generator of another kind": lambda s: s["order"].update(bit_generator="MT19937"),
    "no options": lambda s: s.pop("config"),
    "a score in words": lambda s: s.update(best_score="x"), "finished in words": lambda s: s.update(finished="no"),
    "no generator": lambda s: s.update(generators={}), "generators a number": lambda s: s.update(generators=3),
    "schedule empty": lambda s: s.update(schedule={}), "options a number": lambda s: s.update(config=3),
    "a generator below 0": lambda s: s["order"]["state"].update(state=-1),
    "a generator too large": lambda s: s["order"]["state"].update(state=2**200),
    "a generator in words": lambda s: s["order"]["state"].update(inc="x"),
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES.keys())
def test_a_state_that_makes_no_sense_is_refused_by_name(begun, change, tmp_path):
    trainer, content, arrays = begun
    change(content["state"])
    (tmp_path / FILE).write_bytes(packed(json.dumps(content), arrays))
    with pytest.raises(ValueError, match=REFUSED):
        trainer.restore()


@pytest.fixture
def validated(tmp_path):
    """The same of a run whose first epoch has been validated."""
    trainer = Trainer(replace(CONFIG, out=str(tmp_path)), small_task(), progress=False)
    validate = trainer.validate

    def stop_after():
        trainer.stopping = True
        return validate()

    trainer.validate = stop_after
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    return read_back(trainer)


NAN = np.float32(np.nan)
ARRAYS = {
    "no best weights": lambda a: [a.pop(name) for name in list(a) if name.startswith("best.")],
    "a best weight missing": lambda a: a.pop("best.head.weight"),
    "a best weight too many": lambda a: a.update({"best.x": np.zeros(1, np.float32)}),
    "a best weight of another shape": lambda a: a.update({"best.head.weight": a["best.head.weight"][:1]}),
    "a best weight of integers": lambda a: a.update({"best.head.bias": np.zeros(2, int)}),
    "a best weight of NaN": lambda a: a["best.head.bias"].fill(NAN),
    "a weight of NaN": lambda a: a["model.head.bias"].fill(NAN),
    "a weight without end": lambda a: a["model.head.bias"].fill(np.inf),
    "a moment of NaN": lambda a: a["optimiser.m.0"].fill(NAN),
    "a square below 0": lambda a: a["optimiser.v.0"].fill(-1),
    "counts below 0": lambda a: a["optimiser.steps"].fill(-1),
    "counts after the step": lambda a: a["optimiser.steps"].fill(8),
}


@pytest.mark.parametrize("harm", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_that_make_no_sense_are_refused_by_name(validated, harm, tmp_path):
    trainer, content, arrays = validated
    harm(arrays)
    (tmp_path / FILE).write_bytes(packed(json.dumps(content), arrays))
    with pytest.raises(ValueError, match=REFUSED):
        trainer.restore()


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, "x"])
def test_an_optimisers_rate_that_makes_no_sense_is_refused(validated, rate, tmp_path):
    trainer, content, arrays = validated
    content["optimiser"]["lr.0"] = rate
    (tmp_path / FILE).write_bytes(packed(json.dumps(content), arrays))
    with pytest.raises(ValueError, match=REFUSED):
        trainer.restore()


def test_a_finished_run_with_weights_of_nan_is_refused(tmp_path):
    trainer = Trainer(replace(CONFIG, out=str(tmp_path), max_steps=2), small_task(), progress=False)
    trainer.run()
    trainer.model.head.bias.data.fill(NAN)
    trainer.save()
    with pytest.raises(ValueError, match=REFUSED):
        trainer.restore()


@pytest.mark.parametrize("harm", [lambda a: a.pop("optimiser.steps"), lambda a: a.update({"optimiser.x": np.zeros(1)}),
                                  lambda a: a.update({"optimiser.steps": np.zeros((1, 1))})],
                         ids=["missing", "unexpected", "another shape"])
def test_an_optimisers_state_that_does_not_fit_is_refused(begun, harm, tmp_path):
    trainer, content, arrays = begun
    harm(arrays)
    (tmp_path / FILE).write_bytes(packed(json.dumps(content), arrays))
    with pytest.raises(ValueError, match="AdamW.load_state_dict: missing, unexpected or of another shape"):
        trainer.restore()


def test_a_state_of_ours_is_taken(begun):
    assert begun[0].restore() and begun[0].step == 0


def test_a_state_after_a_validation_is_taken(validated):
    assert validated[0].restore() and (validated[0].step, validated[0].epoch) == (7, 1)
