"""TrainConfig: round trips, defaults, and one line for every bad value."""
import math
from dataclasses import replace

import pytest

from minimoe.training.config import PretrainConfig, TrainConfig
from minimoe.training.values import parse_toml

FULL = TrainConfig(task="sst2", data_dir="glue", router="topk", experts=4, router_options={"k": 2, "gates": "renorm"},
                   lr=1e-4, max_steps=7, out="a \"quoted\" \\ path", seed=3)


def test_json_round_trip():
    assert TrainConfig.from_json(FULL.to_json()) == FULL


def test_toml_round_trip():
    assert TrainConfig.from_toml(FULL.to_toml()) == FULL
    nested = TrainConfig(router_options={"levels": [1, 2], "ban": [True, False], "jitter": 0.01, "x": {"y": 1}})
    assert TrainConfig.from_toml(nested.to_toml()) == nested


def test_toml_keys_may_be_written_with_dashes():
    assert parse_toml("batch-size = 4\n[router-options]\nk = 2") == {"batch_size": 4, "router_options": {"k": 2}}


def test_defaults_depend_on_the_task():
    assert TrainConfig().resolved().d_ff == TrainConfig.BUILTIN_DEFAULTS["d_ff"]
    assert TrainConfig(task="rte", data_dir="x").resolved().d_ff == TrainConfig.GLUE_DEFAULTS["d_ff"]
    assert TrainConfig(d_ff=7).resolved().d_ff == 7


def test_a_run_uses_the_cores_there_are_up_to_four_but_one_for_a_built_in_task(monkeypatch):
    for there, used in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr("minimoe.training.config.cores", lambda there=there: there)
        assert TrainConfig(task="sst2", data_dir="glue").resolved().threads == used
        assert PretrainConfig(out="o").resolved().threads == used
        assert TrainConfig(task="sentiment").resolved().threads == 1
        assert TrainConfig(task="sst2", data_dir="glue", threads=3).resolved().threads == 3


def test_the_baseline_is_switch_on_the_same_data_and_seed():
    config = TrainConfig(seed=5, importance="colmax", k_max=3, router_options={"jitter": 0.1}, out="runs/a").resolved()
    baseline = config.baseline()
    assert (baseline.router, baseline.seed, baseline.lr) == ("switch", 5, config.lr)
    assert baseline.all_router_options() == {} and baseline.out.replace("\\", "/") == "runs/a/baseline"


def test_named_router_options_reach_the_router():
    config = TrainConfig(importance="colmax", allocation="budget", mean_experts=2.0, router_options={"gates": "renorm"})
    assert config.all_router_options() == {"measure": "colmax", "allocation": "budget", "mean_experts": 2.0,
                                           "gates": "renorm"}


BAD = [("epochs", 0), ("epochs", -1), ("epochs", 1.5), ("epochs", True), ("batch_size", 0), ("lr", 0), ("lr", -1e-3),
       ("lr", math.nan), ("lr", math.inf), ("lr", "fast"), ("dropout", 1.0), ("dropout", -0.1), ("warmup", 2),
       ("seed", -1), ("threads", 0), ("save_every", 0), ("max_steps", 0), ("experts", -1), ("heads", 2**40),
       ("max_length", 1), ("vocab_size", 0), ("clip", 0), ("mean_experts", math.nan), ("label_smoothing", 1.0),
       ("router_options", "k=2"), ("out", ""), ("out", "a\0b"), ("tokenizer", "letters"), ("task", None)]


@pytest.mark.parametrize("key, value", BAD, ids=[f"{k}={v!r}" for k, v in BAD])
def test_a_bad_value_names_its_key(key, value):
    with pytest.raises(ValueError, match=f"^{key}: "):
        TrainConfig(**{key: value})


def test_a_glue_task_without_its_folder_says_what_to_give():
    with pytest.raises(ValueError, match="needs --data-dir"):
        TrainConfig(task="sst2")
    with pytest.raises(ValueError, match="'sentiment' is not a GLUE task"):
        TrainConfig(task="sentiment", data_dir="x")


def test_an_unknown_key_lists_the_keys():
    with pytest.raises(ValueError, match="speed: there is no such key; the keys are router, experts"):
        TrainConfig.from_dict({"speed": 1})


def test_broken_toml_names_the_line():
    with pytest.raises(ValueError, match="TOML: .*line 2"):
        TrainConfig.from_toml("epochs = 3\nlr = = 1\n")


def test_texts_beyond_ascii_and_empty_options_survive_toml():
    config = TrainConfig(out="läufe 😀", router_options={"capacity": None, "gates": "renorm"})
    assert TrainConfig.from_toml(config.to_toml()) == replace(config, router_options={"gates": "renorm"})


def test_a_pretraining_configuration_comes_back_equal():
    config = PretrainConfig(text=("a.txt", "b.txt"), held_out=("c.txt",))
    assert PretrainConfig.from_toml(config.to_toml()) == config == PretrainConfig.from_json(config.to_json())


@pytest.mark.parametrize("text", ["3", "null", "[1, 2]", '"seed"'])
def test_json_that_is_no_table_is_refused(text):
    with pytest.raises(ValueError, match="TrainConfig: .* is not a table of KEY = VALUE"):
        TrainConfig.from_json(text)
