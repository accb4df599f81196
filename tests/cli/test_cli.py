"""The command line: what each command writes."""
import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from cli_run import SMALL, run

from minimoe.commands import checks
from minimoe.moe import build_plan
from minimoe.moe.plan import scan_counts
from minimoe.study.reading import read_sentence
from minimoe.training import Trainer, load_checkpoint

from small import CONFIG  # isort: skip  conftest.py knows where it lies


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
    monkeypatch.setattr(checks, "check_all", lambda backend, seed: {
        "exp": {"cases": 2, "worst": 1e-9, "kernel_launches": 3}})
    status, out, _ = run(capsys, "gradcheck", "--json", tmp_path / "g")
    found = json.loads((tmp_path / "g").read_text(encoding="utf-8"))
    assert status == 0 and "exp" in out and "1.0e-09" in out
    assert found == {"backend": "numpy", "worst": 1e-9, "kernel_launches": 3,
                     "ops": {"exp": {"cases": 2, "worst": 1e-9, "kernel_launches": 3}}}


def test_info_names_versions_and_backends(capsys):
    status, out, _ = run(capsys, "info")
    assert status == 0 and f"numpy        {np.__version__}" in out and "cudasim" in out
    assert "compile them for sm_75, sm_80, sm_90, sm_100\n" in out


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


def test_a_baselines_folder_that_holds_another_run_is_refused_before_anything_is_trained(capsys, small_data, tmp_path):
    out = tmp_path / "run"
    assert run(capsys, "train", *SMALL, "--no-baseline", "--out", out / "baseline")[0] == 0
    status, _, err = run(capsys, "train", *SMALL, "--baseline", "--out", out)
    assert status == 2 and f"{out / 'baseline'} holds a run already" in err
    assert [path.name for path in out.iterdir()] == ["baseline"]


def test_a_router_that_ends_the_program_is_a_failed_run(capsys, small_data, tmp_path):
    source = "import sys\nfrom minimoe.moe import TopKRouter\nclass Mine(TopKRouter):\n    def logits(self, x):\n"
    (tmp_path / "mine.py").write_text(source + "        sys.exit(0)\n")
    status, _, err = run(capsys, "train", *SMALL, "--no-baseline", "--router", f"{tmp_path}/mine.py:Mine")
    assert (status, err) == (1, "minimoe: sys.exit was called in the middle of the work, so nothing more was done\n")


def test_a_run_whose_numbers_overflow_ends_in_one_line_that_names_where(capsys, small_data):
    status, _, err = run(capsys, "train", *SMALL, "--no-baseline", "--quiet", "--lr", 1000, "--warmup", 0, "--clip",
                         1e12, "--epochs", 30)
    assert status == 1 and err.count("\n") == 1
    assert re.match(r"minimoe: step \d+: the gradient is not finite \(loss .*, first in layers|minimoe: layers", err)


@pytest.mark.slow
def test_a_cp1252_console_shows_something_sensible():
    found = subprocess.run([sys.executable, "-m", "minimoe", "inspect", "naïve 東京 film"], capture_output=True,
                           text=True, encoding="cp1252", env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert found.returncode == 0 and found.stderr == "" and "naïve" in found.stdout


@pytest.mark.slow
def test_python_dash_m_minimoe_is_the_command(tmp_path):
    found = subprocess.run([sys.executable, "-m", "minimoe", "train", "--epochs", "0"], capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr.startswith("minimoe: epochs: 0 is not an integer of at least 1")


@pytest.mark.skipif(os.name != "posix", reason="2>&- is of POSIX shells")
def test_it_works_where_the_caller_closed_both_outputs(tmp_path):
    command = [sys.executable, "-m", "minimoe", "predict", "a film", "--json", str(tmp_path / "f.json")]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command],
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0 and "prediction" in json.loads((tmp_path / "f.json").read_text())
