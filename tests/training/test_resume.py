"""Going on with a run: only with its own options and data, and in a folder that can hold its checkpoint."""
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small import CONFIG, small_task, train_until

from minimoe.data import tokenizer_from_dict
from minimoe.files import alone_in
from minimoe.training import Trainer, load_checkpoint, save_checkpoint
from minimoe.training.checkpoint import FILE


@pytest.fixture(scope="module")
def task():
    return small_task()


def test_resuming_with_other_options_is_refused(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), max_steps=3)
    Trainer(config, task, progress=False).run()
    with pytest.raises(ValueError, match="resume: lr is 0.5, but the run in .* was started with"):
        Trainer(replace(config, lr=0.5), task, progress=False).restore()


def test_resuming_with_another_vocabulary_is_refused(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), max_steps=3)
    Trainer(config, task, progress=False).run()
    words = task.tokenizer.to_dict()["tokens"]
    other = replace(task, tokenizer=tokenizer_from_dict({"kind": "word", "tokens": [*words[:-1], "zyzzyva"]}))
    with pytest.raises(ValueError, match="has another vocabulary"):
        Trainer(config, other, progress=False).restore()


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """The configuration of a finished run."""
    config = replace(CONFIG, out=str(tmp_path_factory.mktemp("whole")))
    Trainer(config, task, progress=False).run()
    return config


def other_ids(encoded):
    return replace(encoded, ids=[*encoded.ids[:-1], encoded.ids[-1][::-1].copy()])


def other_labels(encoded):
    return replace(encoded, labels=1 - encoded.labels)


@pytest.mark.parametrize("steps", [3, None], ids=["begun", "finished"])
@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("change", [other_ids, other_labels])
def test_resuming_with_other_data_of_the_same_words_is_refused(task, whole, tmp_path, change, part, steps):
    config = whole
    if steps:
        config = replace(CONFIG, out=str(tmp_path), save_every=1)
        train_until(config, task, steps)
    with pytest.raises(ValueError, match="resume: the run in .* had other data; give the same data or another --out"):
        Trainer(config, replace(task, **{part: change(getattr(task, part))}), progress=False).restore()


def test_a_checkpoint_that_knows_nothing_of_its_data_is_gone_on_with(task, whole, tmp_path):
    """As versions before wrote them."""
    config = replace(CONFIG, out=str(tmp_path))
    train_until(config, task, 9)
    found = load_checkpoint(tmp_path)
    old = {key: value for key, value in found.state.items() if key != "data"}
    trainer = Trainer(config, task, progress=False)
    trainer.restore()
    save_checkpoint(tmp_path, trainer.model, tokenizer=task.tokenizer, task=found.task, optimiser=trainer.optimiser,
                    best=found.best, state=old)
    again = Trainer(config, task, progress=False)
    assert again.restore() and again.step == 8
    again.run()
    assert (tmp_path / FILE).read_bytes() == (Path(whole.out) / FILE).read_bytes()


def test_a_folder_in_the_checkpoints_place_is_named(task, tmp_path):
    (tmp_path / FILE).mkdir()
    trainer = Trainer(replace(CONFIG, out=str(tmp_path)), task, progress=False)
    assert not trainer.restore()
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is a folder, and the checkpoint goes there; remove"):
        trainer.run()
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_runs_in_one_folder_at_a_time_are_refused(task, tmp_path):
    trainer = Trainer(replace(CONFIG, out=str(tmp_path)), task, progress=False)
    with alone_in(str(tmp_path)), pytest.raises(ValueError, match="another process works in this folder"):
        trainer.run()
    assert list(tmp_path.iterdir()) == []
    trainer.run()
