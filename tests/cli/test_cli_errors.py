"""The command line's answers to mistakes: one clear line, status 2 (1 when a run failed), nothing left behind."""
import pytest
from cli_run import SMALL, run

from minimoe.cli import parse
from minimoe.training import load_checkpoint, save_checkpoint
from minimoe.training import trainer as trainer_module

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
    for text, message in (("epochs = = 3", "c.toml: TOML"), ("speed = 3", "there is no option 'speed'"),
                          ('quiet = "yes"', "quiet is 'yes'; it is a switch: true or false")):
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
    def fail(self, model, inputs):
        raise FloatingPointError("layers.0: router logits are NaN")

    monkeypatch.setattr(trainer_module.Trainer, "loss_of", fail)
    status, _, err = run(capsys, "train", *SMALL)
    assert status == 1 and err.strip() == "minimoe: layers.0: router logits are NaN"
