"""A checkpoint whose training state is not one of ours, its checksum right: `restore` refuses it and names the file."""
import json
from dataclasses import replace

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
    with safe_open(tmp_path / FILE, framework="numpy") as opened:
        content = json.loads(json.loads(opened.metadata()["minimoe"])[1])
    return trainer, content, load_file(tmp_path / FILE)


STATES = {
    **{f"no {key}": lambda s, key=key: s.pop(key)
       for key in ("step", "epoch", "batch", "tokens", "seconds", "best_score", "finished", "order", "generators",
                   "schedule")},
    "a step below 0": lambda s: s.update(step=-5), "a step after the last": lambda s: s.update(step=10**12),
    "half a step": lambda s: s.update(step=1.5), "a step in words": lambda s: s.update(step="x"),
    "an epoch below 0": lambda s: s.update(epoch=-1), "a batch in words": lambda s: s.update(batch="x"),
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
    with pytest.raises(ValueError, match=rf"{FILE}: its training state cannot be used \(.*; start afresh with another"):
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
