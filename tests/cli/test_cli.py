"""The command line: what each command writes, and one clear line for every mistake."""
import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minimoe.cli import main, parse
from minimoe.commands import checks, runs
from minimoe.moe import build_plan
from minimoe.moe.plan import scan_counts
from minimoe.study.reading import read_sentence
from minimoe.training import Trainer, load_checkpoint, save_checkpoint
from minimoe.training import trainer as trainer_module

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from small import CONFIG, small_task

SMALL = ["--d-model", "16", "--heads", "2", "--d-ff", "8", "--experts", "4", "--batch-size", "16", "--max-length", "32",
         "--vocab-size", "300", "--epochs", "1", "--quiet"]


@pytest.fixture(scope="module")
def task():
    return small_task()


@pytest.fixture
def small_data(monkeypatch, task):
    """Every training command sees the small task."""
    whole = runs.prepare_task
    monkeypatch.setattr(runs, "prepare_task", lambda config: task if config.builtin else whole(config))


@pytest.fixture(scope="module")
def checkpoint(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    Trainer(replace(CONFIG, out=str(folder), max_steps=8), task, progress=False).run()
    return str(folder)


def run(capsys, *argv):
    status = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_train_prints_table_health_and_one_sentence_per_class_and_writes_figures(capsys, small_data, tmp_path):
    status, out, err = run(capsys, "train", *SMALL, "--json", tmp_path / "f.json", "--out", tmp_path / "run")
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert status == 0 and err == ""
    assert figures["router"] == "da" and figures["baseline"]["router"] == "switch"
    assert figures["baseline"]["mean_experts_per_token"] == 1.0
    for word in ("accuracy", "experts/token", "FLOPs/token", "tokens/s", "Balance", "Experts per word by rowmax",
                 "Experts per word by colmax"):
        assert word in out
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    assert (tmp_path / "run" / "baseline" / "checkpoint.safetensors").is_file()


def test_no_baseline_trains_one_model(capsys, small_data, tmp_path):
    run(capsys, "train", *SMALL, "--no-baseline", "--json", tmp_path / "f.json")
    assert "baseline" not in json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))


def test_resume_starts_afresh_without_a_checkpoint_and_does_nothing_on_a_finished_run(capsys, small_data, tmp_path):
    options = ["train", *SMALL, "--no-baseline", "--out", tmp_path / "run", "--resume"]
    status, out, _ = run(capsys, *options)
    assert status == 0 and "resuming" not in out
    status, out, _ = run(capsys, *options)
    assert status == 0 and out.startswith("resuming at step 7: finished, nothing to do")


def test_options_win_over_the_configuration_file(capsys, small_data, tmp_path):
    (tmp_path / "c.toml").write_text('router = "topk"\nseed = 3\nbaseline = false\n[router_options]\nk = 3\n')
    status, _, err = run(capsys, "train", *SMALL, "--config", tmp_path / "c.toml", "--seed", "4", "--json",
                         tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert status == 0, err
    assert (figures["router"], figures["seed"], figures["mean_experts_per_token"]) == ("topk", 4, 3.0)


def test_router_options_are_reachable_from_the_command_line(capsys, small_data, tmp_path):
    status, _, err = run(capsys, "train", *SMALL, "--no-baseline", "--allocation", "budget", "--mean-experts", "2",
                         "--router-option", "gates=renorm", "--router-option", "jitter=0.01", "--json", tmp_path / "f")
    figures = json.loads((tmp_path / "f").read_text(encoding="utf-8"))
    assert status == 0, err
    assert figures["mean_experts_per_token"] == pytest.approx(2, abs=0.01)


def test_predict_names_a_class_with_its_probability(capsys, checkpoint, tmp_path):
    status, out, _ = run(capsys, "predict", "the film was good .", "--checkpoint", checkpoint, "--json", tmp_path / "p")
    found = json.loads((tmp_path / "p").read_text(encoding="utf-8"))
    assert status == 0 and found["prediction"] in ("negative", "positive") and out.startswith(found["prediction"])
    assert sum(found["probabilities"].values()) == pytest.approx(1)


def test_evaluate_scores_the_split(capsys, checkpoint, tmp_path):
    status, out, _ = run(capsys, "evaluate", "--checkpoint", checkpoint, "--split", "dev", "--json", tmp_path / "e")
    found = json.loads((tmp_path / "e").read_text(encoding="utf-8"))
    assert status == 0 and found["examples"] == 1000 and f"{found['score']:.4f}" in out


def test_inspect_shows_unknown_words_and_says_so(capsys, checkpoint):
    status, out, _ = run(capsys, "inspect", "the film was zyzzyva .", "--checkpoint", checkpoint)
    assert status == 0 and "[UNK]" in out and "read as [UNK]: zyzzyva" in out and "layer 2" in out


@pytest.mark.parametrize("capacity", [None, 0.5])
def test_the_exported_rows_rebuild_the_plan(capsys, task, tmp_path, capacity):
    options = {"capacity": capacity, "priority": "importance"} if capacity else {}
    folder = tmp_path / "run"
    Trainer(replace(CONFIG, out=str(folder), max_steps=4, router_options=options), task, progress=False).run()
    text = "the film was good , but the ending was not ."
    status, _, err = run(capsys, "inspect", text, "--checkpoint", folder, "--export", tmp_path / "r.csv")
    assert status == 0, err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text(encoding="utf-8"))))
    found = load_checkpoint(folder)
    reading = read_sentence(found.model(), found.tokenizer, text)
    assert len(rows) == sum(int(k.sum()) for k in reading.k)
    for layer, routing in enumerate(reading.routings):
        mine = [row for row in rows if int(row["layer"]) == layer]
        kept = np.array([row["kept"] == "1" for row in mine])
        expert = np.array([int(row["expert"]) for row in mine], np.int32)
        plan = build_plan(scan_counts(reading.k[layer]), expert, 4, None if kept.all() else kept)
        for name in ("row_ptr", "expert", "perm", "inv", "offsets", "counts", "token"):
            assert np.array_equal(getattr(plan, name), getattr(routing.plan, name)), name
        assert kept.all() == (capacity is None)
        assert [int(row["token"]) for row in mine] == plan.token.tolist()
        assert [row["text"] for row in mine] == [reading.tokens[t] for t in plan.token]
        assert [int(row["k"]) for row in mine] == reading.k[layer][plan.token].tolist()
        for column, values in (("gate", routing.gates.data), ("importance", routing.importance[plan.token]),
                               ("probability", routing.probabilities.data[plan.token, plan.expert])):
            assert [float(row[column]) for row in mine] == values.tolist(), column


def test_inspect_draws_a_picture(capsys, checkpoint, tmp_path):
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        status, _, _ = run(capsys, "inspect", "the film was good .", "--checkpoint", checkpoint, "--plot",
                           tmp_path / f"p.{kind}")
        assert status == 0 and (tmp_path / f"p.{kind}").read_bytes().startswith(start)


def test_the_packaged_model_answers_without_any_option(capsys):
    status, out, _ = run(capsys, "inspect", "the plot was not bad , but the ending was boring .")
    assert status == 0 and "layer 2" in out and ("negative" in out or "positive" in out)


def test_gradcheck_prints_every_operation_and_its_largest_error(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "check_all", lambda backend, seed: {"exp": {"cases": 2, "worst": 1e-9}})
    status, out, _ = run(capsys, "gradcheck", "--json", tmp_path / "g")
    found = json.loads((tmp_path / "g").read_text(encoding="utf-8"))
    assert status == 0 and "exp" in out and "1.0e-09" in out
    assert found == {"backend": "numpy", "worst": 1e-9, "kernel_launches": 0,
                     "ops": {"exp": {"cases": 2, "worst": 1e-9, "kernel_launches": 0}}}


def test_info_names_versions_and_backends(capsys):
    status, out, _ = run(capsys, "info")
    assert status == 0 and f"numpy        {np.__version__}" in out and "cudasim" in out


COLLAPSED = """
import numpy as np
from minimoe.moe import TopKRouter

class Collapsed(TopKRouter):
    def logits(self, x):
        return super().logits(x) + np.array([50.0] + [0.0] * (self.n_experts - 1), np.float32)
"""


def test_a_planted_collapse_warns_once_and_a_healthy_run_is_silent(capsys, small_data, tmp_path):
    (tmp_path / "mine.py").write_text(COLLAPSED, encoding="utf-8")
    planted = ["--router", f"{tmp_path}/mine.py:Collapsed", "--router-option", "k=1", "--router-option",
               "balance_weight=0"]
    status, out, err = run(capsys, "train", *SMALL, "--no-baseline", *planted, "--out", tmp_path / "run")
    assert status == 0, err
    assert [line for line in out.splitlines() if "Warning" in line][0].startswith(
        "Warning: expert layers 1 and 2: routing has collapsed, expert 0 alone got 100.0% of all assignments")
    assert out.count("Warning") == 1
    text = "the film was good , but the ending of the book was not good ."
    status, out, _ = run(capsys, "inspect", text, "--checkpoint", tmp_path / "run", *planted[:2])
    assert status == 0 and out.count("Warning") == 1
    status, out, _ = run(capsys, "train", *SMALL, "--no-baseline", "--router", "topk")
    assert status == 0 and "Warning" not in out


def test_a_checkpoint_with_a_router_of_ones_own_asks_for_its_file(capsys, small_data, tmp_path):
    (tmp_path / "mine.py").write_text("from minimoe.moe import TopKRouter\nclass Mine(TopKRouter):\n    pass\n")
    router = ["--router", f"{tmp_path}/mine.py:Mine"]
    run(capsys, "train", *SMALL, "--no-baseline", *router, "--out", tmp_path / "run")
    for command in (["evaluate", "--split", "dev"], ["predict", "a film"], ["inspect", "a film"]):
        argv = [*command, "--checkpoint", tmp_path / "run"]
        status, _, err = run(capsys, *argv)
        assert status == 2 and "say where it is with --router FILE.py:Mine" in err
        status, _, err = run(capsys, *argv, *router)
        assert status == 0, err
    status, out, _ = run(capsys, "train", *SMALL, "--no-baseline", *router, "--out", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in out
    status, _, err = run(capsys, "train", *SMALL, "--no-baseline", "--out", tmp_path / "run", "--resume")
    assert status == 2 and "router is 'da', but the run in" in err


BAD = {
    "no command": [], "unknown command": ["fly"], "unknown option": ["train", "--speed", "3"],
    "not a number": ["train", "--epochs", "many"], "zero epochs": ["train", "--epochs", "0"],
    "negative rate": ["train", "--lr", "-1"], "rate is nan": ["train", "--lr", "nan"],
    "unknown task": ["train", "--task", "poetry"], "glue without folder": ["train", "--task", "sst2"],
    "folder is missing": ["train", "--task", "sst2", "--data-dir", "no/such/folder"],
    "unknown router": ["train", "--router", "best"], "router file is missing": ["train", "--router", "no.py:Mine"],
    "unknown measure": ["train", "--importance", "beauty"], "budget without mean": ["train", "--allocation", "budget"],
    "k above experts": ["train", "--router", "topk", "--router-option", "k=9"],
    "k_min above k_max": ["train", "--k-min", "4", "--k-max", "2"],
    "unknown router option": ["train", "--router-option", "speed=3"],
    "no equals sign": ["train", "--router-option", "k"],
    "heads do not divide": ["train", "--heads", "5"], "resume without out": ["train", "--resume"],
    "unusable backend": ["train", "--backend", "cupy"], "unknown backend": ["train", "--backend", "abacus"],
    "config is missing": ["train", "--config", "no.toml"],
    "json into no folder": ["train", "--json", "no/folder/f.json"],
    "no checkpoint": ["predict", "hello", "--checkpoint", "no/such"], "a pair for one text": ["predict", "a", "b"],
    "a foreign task": ["evaluate", "--task", "acceptability"],
    "measure given twice": ["train", "--importance", "rowmax", "--router-option", "measure=colmax"],
    "dense with a measure": ["train", "--experts", "0", "--importance", "colmax"],
    "empty text": ["inspect", ""], "text without words": ["inspect", "  \n "],
    "plot of unknown kind": ["inspect", "a film", "--plot", "x.bmp"],
    "plot into no folder": ["inspect", "a film", "--plot", "no/folder/x.png"],
}


@pytest.mark.parametrize("argv", BAD.values(), ids=BAD.keys())
def test_a_mistake_ends_with_status_2_and_at_most_three_lines(capsys, tmp_path, monkeypatch, argv, small_data):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *argv)
    assert status == 2 and out == ""
    assert err.startswith("minimoe: ") and 1 <= len(err.strip().splitlines()) <= 3 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_configuration_file_names_the_file(capsys, tmp_path, small_data):
    for text, message in (("epochs = = 3", "c.toml: TOML"), ("speed = 3", "there is no option 'speed'")):
        (tmp_path / "c.toml").write_text(text)
        status, _, err = run(capsys, "train", "--config", tmp_path / "c.toml")
        assert status == 2 and message in err


def test_a_finished_run_is_not_written_over_without_resume(capsys, small_data, tmp_path):
    options = ["train", *SMALL, "--no-baseline", "--out", tmp_path / "run"]
    assert run(capsys, *options)[0] == 0
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    status, _, err = run(capsys, *options)
    assert status == 2 and "holds a run already; go on with --resume" in err
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before


def test_a_text_that_is_too_long_is_cut_and_says_so(capsys, checkpoint):
    _, out, _ = run(capsys, "predict", "good " * 50, "--checkpoint", checkpoint)
    assert "cut to the model's 32 tokens; 20 were left out" in out


def test_router_options_of_the_command_line_join_those_of_the_file(tmp_path):
    (tmp_path / "c.toml").write_text("[router_options]\njitter = 0.01\nz_weight = 1.0\n")
    _, values = parse(["train", "--config", str(tmp_path / "c.toml"), "--router-option", "z_weight=0.1"])
    assert dict(values["router_options"]) == {"jitter": 0.01, "z_weight": 0.1}


def test_a_json_path_that_is_a_folder_is_refused_before_training(capsys, small_data, tmp_path):
    status, out, err = run(capsys, "train", *SMALL, "--json", tmp_path)
    assert status == 2 and out == "" and "this is a folder" in err


def test_a_router_that_fails_is_one_line_and_status_1(capsys, small_data, tmp_path):
    (tmp_path / "bad.py").write_text("from minimoe.moe import Router\nclass Bad(Router):\n"
                                     "    def experts_per_token(self, p, i, m):\n        return {}['k']\n")
    status, _, err = run(capsys, "train", *SMALL, "--no-baseline", "--router", f"{tmp_path}/bad.py:Bad")
    assert status == 1 and err.strip() == "minimoe: failed with KeyError: 'k'"


def test_a_checkpoint_without_tokenizer_or_label_names_reads_no_text(capsys, checkpoint, tmp_path):
    found = load_checkpoint(checkpoint)
    for name, extra in (("a", {}), ("b", {"tokenizer": found.tokenizer})):
        save_checkpoint(tmp_path / name, found.model(), **extra)
        status, _, err = run(capsys, "predict", "a film", "--checkpoint", tmp_path / name)
        assert status == 2 and "it reads no text" in err


def test_an_output_folder_that_is_a_file_is_refused_before_training(capsys, tmp_path, small_data):
    (tmp_path / "taken").write_text("x")
    status, _, err = run(capsys, "train", *SMALL, "--out", tmp_path / "taken")
    assert status == 2 and "taken" in err


def test_a_failing_run_ends_with_status_1(capsys, small_data, monkeypatch):
    def fail(self, item):
        raise FloatingPointError("layers.0: router logits are NaN")

    monkeypatch.setattr(trainer_module.Trainer, "batch_loss", fail)
    status, _, err = run(capsys, "train", *SMALL)
    assert status == 1 and err.strip() == "minimoe: layers.0: router logits are NaN"


@pytest.mark.slow
def test_a_cp1252_console_shows_something_sensible():
    found = subprocess.run([sys.executable, "-m", "minimoe", "inspect", "naïve 東京 film"], capture_output=True,
                           text=True, encoding="cp1252", env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert found.returncode == 0 and found.stderr == "" and "naïve" in found.stdout


@pytest.mark.slow
def test_python_dash_m_minimoe_is_the_command(tmp_path):
    found = subprocess.run([sys.executable, "-m", "minimoe", "train", "--epochs", "0"], capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr.startswith("minimoe: epochs: 0 is not an integer of at least 1")
