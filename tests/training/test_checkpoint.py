"""Checkpoints: what goes in comes out, and what is damaged is refused in one line."""
import errno
import json
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from small import CONFIG, small_task

from minimoe.models import Encoder, EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.optim import AdamW
from minimoe.training import Trainer, checkpoint, load_checkpoint, save_checkpoint
from minimoe.training.checkpoint import FILE, _checksum

SIZES = dict(vocab_size=30, d_model=8, n_heads=2, d_ff=4, n_experts=3, max_length=16)


@pytest.fixture
def saved(tmp_path):
    model = SequenceClassifier(EncoderConfig(**SIZES))
    save_checkpoint(tmp_path, model, tokenizer=small_task(30, 10).tokenizer, task={"name": "sentiment"})
    return tmp_path, model


def test_weights_configuration_tokenizer_and_task_come_back(saved):
    folder, model = saved
    found = load_checkpoint(folder)
    again = found.model()
    assert again.config == model.config and found.task == {"name": "sentiment"} and not again.training
    assert all(np.array_equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    text = "the film was good ."
    assert found.tokenizer.encode(text) == small_task(30, 10).tokenizer.encode(text)


def test_a_language_model_comes_back_as_one(tmp_path):
    save_checkpoint(tmp_path, MaskedLanguageModel(EncoderConfig(**SIZES)))
    assert type(load_checkpoint(tmp_path).model()) is MaskedLanguageModel


def test_the_optimisers_state_comes_back_bit_for_bit(tmp_path):
    model = SequenceClassifier(EncoderConfig(**SIZES))
    optimiser = AdamW(model.parameters(), lr=0.01)
    model.loss(np.array([[5, 6, 7]]), np.array([1])).backward()
    optimiser.step()
    save_checkpoint(tmp_path, model, optimiser=optimiser)
    state, found = optimiser.state_dict(), load_checkpoint(tmp_path).optimiser
    assert set(state) == set(found)
    assert all(np.array_equal(value, found[name]) for name, value in state.items())


def test_the_same_state_gives_the_same_bytes(saved, tmp_path):
    folder, model = saved
    save_checkpoint(tmp_path / "again", model, tokenizer=small_task(30, 10).tokenizer, task={"name": "sentiment"})
    assert (folder / FILE).read_bytes() == (tmp_path / "again" / FILE).read_bytes()


def test_no_temporary_file_is_left(saved):
    assert [p.name for p in saved[0].iterdir()] == [FILE]


def test_left_over_temporary_files_are_ignored(saved):
    (saved[0] / f".{FILE}.1.tmp").write_bytes(b"half of a file")
    assert load_checkpoint(saved[0]).kind == "classifier"


def test_a_missing_checkpoint_says_where_it_looked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint here; looked for .*checkpoint\.safetensors"):
        load_checkpoint(tmp_path)


def test_a_file_that_may_not_be_read_says_so(saved, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(checkpoint, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"Permission denied: .*checkpoint\.safetensors"):
        load_checkpoint(saved[0])


def damaged(change):
    def apply(path):
        data = bytearray(path.read_bytes())
        path.write_bytes(bytes(change(data)))
    return apply


def flip(data, place):
    data[place] ^= 16
    return data


DAMAGE = {"empty": damaged(lambda d: b""), "truncated": damaged(lambda d: d[:-10]), "text": damaged(lambda d: b"hello"),
          "half": damaged(lambda d: d[:len(d) // 2]), "a bit of a weight": damaged(lambda d: flip(d, len(d) - 100)),
          "a bit of the header": damaged(lambda d: flip(d, 60)),
          "a huge header": damaged(lambda d: struct.pack("<Q", 2**60) + d[8:])}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_refused_in_one_line(saved, damage):
    damage(saved[0] / FILE)
    with pytest.raises(ValueError, match="not a readable minimoe checkpoint") as caught:
        load_checkpoint(saved[0])
    assert "\n" not in str(caught.value)


def rewrite(folder, change, **tensors):
    """The same file with another header, its checksum made right again."""
    arrays = load_file(folder / FILE) | tensors
    with safe_open(folder / FILE, framework="numpy") as opened:
        content = json.loads(json.loads(opened.metadata()["minimoe"])[1])
    change(content)
    header = json.dumps(content)
    save_file(arrays, folder / FILE, metadata={"minimoe": json.dumps([_checksum(header, arrays), header])})


HOSTILE = {
    "another kind": lambda c: c.update(kind="os"), "another format": lambda c: c.update(format=9),
    "no configuration": lambda c: c.pop("config"),
    "a tokenizer of another kind": lambda c: c.update(tokenizer={"kind": "x"}),
    "words that are numbers": lambda c: c["tokenizer"].update(tokens=[1, 2]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_header_that_makes_no_sense_is_refused(saved, change):
    rewrite(saved[0], change)
    with pytest.raises(ValueError, match="not a readable minimoe checkpoint"):
        load_checkpoint(saved[0])


WRONG = {"other sizes": lambda c: c["config"].update(d_ff=5), "an unknown field": lambda c: c["config"].update(x=1),
         "sizes beyond the file": lambda c: c["config"].update(vocab_size=2**30, d_model=2**20),
         "a text for a size": lambda c: c["config"].update(n_layers="2")}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_configuration_that_does_not_fit_the_weights_is_refused_before_anything_large_is_made(saved, change):
    rewrite(saved[0], change)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
        load_checkpoint(saved[0]).model()


def test_tensors_with_names_of_no_group_are_refused(saved):
    rewrite(saved[0], lambda c: None, **{"../evil": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match="not a readable minimoe checkpoint"):
        load_checkpoint(saved[0])


def test_an_unusable_folder_raises_an_oserror(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(OSError):
        save_checkpoint(tmp_path / "taken", SequenceClassifier(EncoderConfig(**SIZES)))


def test_the_trainers_facts_hold_no_path(tmp_path):
    Trainer(replace(CONFIG, out=str(tmp_path / "secret"), max_steps=1), small_task(30, 10), progress=False).run()
    assert b"secret" not in (tmp_path / "secret" / FILE).read_bytes()


def test_a_model_of_another_class_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="model is a Encoder; what can be saved is SequenceClassifier or Masked"):
        save_checkpoint(tmp_path, Encoder(EncoderConfig(**SIZES)))
