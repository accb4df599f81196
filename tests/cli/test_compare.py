"""`minimoe compare`: a grid runs, stops, goes on, and can be checked."""
import json
import sys
from pathlib import Path

import pytest
from cli_run import run

from minimoe import cli
from minimoe.commands import study
from minimoe.study import cells as study_cells
from minimoe.study.pool import Outcome
from minimoe.study.results import recorded

sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
from grids import toml, write_glue, write_text  # noqa: E402

ROWS = '[rows.switch]\nrouter = "switch"\n[rows.dense]\nexperts = 0\nd_ff = 8'


def fake_result(cell, score):
    return {"score": score, "config": recorded(cell.config.resolved()), "metric": "accuracy",
            "mean_experts_per_token": 1.0}


class Stub:
    """In place of processes: notes which cells it is asked for; `then[name]` is an error, or an exception to raise."""

    def __init__(self):
        self.asked, self.then, self.score = [], {}, 0.5

    def __call__(self, cells, jobs):
        for cell in cells:
            self.asked.append(cell.name)
            what = self.then.get(cell.name)
            if isinstance(what, BaseException):
                raise what
            yield Outcome(cell, None if what else fake_result(cell, self.score), what)


@pytest.fixture
def stub(monkeypatch):
    found = Stub()
    monkeypatch.setattr(study, "run_cells", found)
    return found


@pytest.fixture
def grid(tmp_path):
    """A grid of two rows and two seeds, and a folder for its results."""
    path = tmp_path / "g.toml"
    path.write_text(toml(ROWS, tasks='["sentiment"]'), encoding="utf-8")
    return path, tmp_path / "out"


ORDER = ["sentiment/switch/0", "sentiment/dense/0", "sentiment/switch/1", "sentiment/dense/1"]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_real_grid_runs_in_processes_and_one_cell_again_is_equal_bit_for_bit(capsys, tmp_path):
    glue, path, out = write_glue(tmp_path / "glue"), tmp_path / "g.toml", tmp_path / "out"
    path.write_text(toml(ROWS, seeds="[0]"), encoding="utf-8")
    options = ["compare", path, "--out", out, "--set", f"data_dir={glue}"]
    status, text, err = run(capsys, *options, "--jobs", "2", "--json", tmp_path / "f.json")
    assert status == 0 and "cells: 100%" in err and text.splitlines()[0].split() == [
        "task", "row", "seeds", "metric", "score", "sd", "experts/token"]
    assert files(out) == ["sst2--dense--0.json", "sst2--switch--0.json"]
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert (figures["cells"], figures["ran"], figures["failed"]) == (2, 2, {})
    for row in ("switch", "dense"):
        found = json.loads((out / f"sst2--{row}--0.json").read_text(encoding="utf-8"))
        assert (found["router"], found["majority"]) == (row, {"accuracy": 0.6})
        assert figures["scores"][f"sst2/{row}/0"] == found["score"] and found["config"]["data_dir"] == "glue"
    before = (out / "sst2--switch--0.json").read_bytes()
    status, text, err = run(capsys, *options, "--cell", "sst2/switch/0", "--quiet")
    assert status == 0 and text.endswith("equal to the stored one bit for bit\n"), (text, err)
    assert (out / "sst2--switch--0.json").read_bytes() == before


def test_processes_give_what_the_same_cell_gives_here(capsys, tmp_path):
    text, path, out = write_text(tmp_path / "a.txt"), tmp_path / "g.toml", tmp_path / "out"
    path.write_text(toml(ROWS, "pretrain", "[0]", text=[text], max_steps=3), encoding="utf-8")
    status, _, err = run(capsys, "compare", path, "--out", out, "--jobs", "2", "--quiet")
    assert (status, err) == (0, "")
    for cell in study.read_grid(path):
        stored = json.loads((out / cell.file).read_text(encoding="utf-8"))
        here = json.loads(json.dumps(study_cells.run_cell(cell)))
        assert stored.keys() == here.keys()
        for key in here.keys() - {"seconds", "train_seconds", "tokens_per_second", "machine", "source", "commit"}:
            assert stored[key] == here[key], key


def test_finished_cells_never_run_again(capsys, grid, stub):
    path, out = grid
    assert run(capsys, "compare", path, "--out", out)[0] == 0 and stub.asked == ORDER
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    stub.asked = []
    status, text, err = run(capsys, "compare", path, "--out", out)
    assert status == 0 and stub.asked == [] and text.count("2/2") == 2 and err == ""
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before


def test_an_interrupted_grid_ends_with_130_and_goes_on_where_it_stopped(capsys, grid, stub):
    path, out = grid
    stub.then = {ORDER[2]: KeyboardInterrupt()}
    status, _, err = run(capsys, "compare", path, "--out", out, "--quiet")
    assert status == 130 and err == (f"minimoe: interrupted; 2 of 4 cells are done and kept in {out}; the same command "
                                     "goes on\n")
    assert files(out) == ["sentiment--dense--0.json", "sentiment--switch--0.json"]
    stub.asked, stub.then = [], {}
    assert run(capsys, "compare", path, "--out", out)[0] == 0 and stub.asked == ORDER[2:]
    assert len(files(out)) == 4


def test_an_interruption_stops_the_processes_before_it_is_reported(capsys, grid, monkeypatch):
    closed, at_report = [], []

    def endless(cells, jobs):
        try:
            yield Outcome(cells[0], fake_result(cells[0], 0.5))
        finally:
            closed.append(True)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_cells", endless)
    monkeypatch.setattr(study, "store", interrupted)
    monkeypatch.setattr(cli, "say", lambda message, status: at_report.extend(closed) or status)
    assert run(capsys, "compare", grid[0], "--out", grid[1], "--quiet")[0] == 130 and at_report == [True]


def test_a_failing_cell_is_reported_the_others_go_on_and_the_status_is_1(capsys, grid, stub, tmp_path):
    path, out = grid
    stub.then = {ORDER[1]: "ValueError: odd"}
    status, text, err = run(capsys, "compare", path, "--out", out, "--quiet", "--json", tmp_path / "f.json")
    assert status == 1 and err == "minimoe: sentiment/dense/0: failed: ValueError: odd\n" and text == ""
    assert stub.asked == ORDER and len(files(out)) == 3
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert figures["failed"] == {"sentiment/dense/0": "ValueError: odd"} and figures["ran"] == 3
    stub.asked, stub.then = [], {}
    assert run(capsys, "compare", path, "--out", out)[0] == 0 and stub.asked == [ORDER[1]]


def test_a_changed_configuration_is_refused_before_any_cell_runs(capsys, grid, stub):
    path, out = grid
    stub.then = {ORDER[3]: "stop"}
    run(capsys, "compare", path, "--out", out)
    stub.asked = []
    status, text, err = run(capsys, "compare", path, "--out", out, "--set", "lr=0.5")
    assert status == 2 and stub.asked == [] and text == "" and err == (
        "minimoe: sentiment/switch/0 is there already with lr 0.001, the grid has 0.5; give another --out or remove "
        f"{out / 'sentiment--switch--0.json'}\n")


def test_a_cell_that_comes_out_otherwise_is_said_and_nothing_is_written(capsys, grid, stub):
    path, out = grid
    run(capsys, "compare", path, "--out", out)
    before, stub.asked, stub.score = (out / "sentiment--dense--1.json").read_bytes(), [], 0.5 + 2**-53
    status, text, _ = run(capsys, "compare", path, "--out", out, "--cell", "sentiment/dense/1")
    assert status == 1 and stub.asked == ["sentiment/dense/1"]
    assert text == "sentiment/dense/1: score 0.5000000000000001 is not the stored one, 0.5\n"
    assert (out / "sentiment--dense--1.json").read_bytes() == before


def test_a_cell_without_a_result_is_run_alone_and_written(capsys, grid, stub):
    path, out = grid
    status, text, _ = run(capsys, "compare", path, "--out", out, "--cell", "sentiment/dense/1")
    assert status == 0 and f"score 0.5, written to {out}" in text and files(out) == ["sentiment--dense--1.json"]
    stub.then = {"sentiment/dense/0": "ValueError: odd"}
    status, _, err = run(capsys, "compare", path, "--out", out, "--cell", "sentiment/dense/0")
    assert status == 1 and "failed: ValueError: odd" in err and len(files(out)) == 1


def test_a_cell_that_kept_its_model_is_checked_from_its_first_step(capsys, tmp_path, monkeypatch):
    path, out, kept = tmp_path / "g.toml", tmp_path / "out", []
    path.write_text(toml(ROWS, tasks='["sentiment"]', out=f"{tmp_path.as_posix()}/{{row}}-{{seed}}"), encoding="utf-8")

    def runs(cells, jobs):
        kept.extend(cell.config.out for cell in cells)
        return iter([Outcome(cell, fake_result(cell, 0.5)) for cell in cells])

    monkeypatch.setattr(study, "run_cells", lambda cells, jobs: (outcome for outcome in runs(cells, jobs)))
    for _ in range(2):
        assert run(capsys, "compare", path, "--out", out, "--cell", "sentiment/dense/1")[0] == 0
    assert kept == [f"{tmp_path.as_posix()}/dense-1", None]


def test_a_dry_run_lists_cells_with_times_and_runs_and_writes_nothing(capsys, grid, stub, monkeypatch, tmp_path):
    path, out = grid
    stub.then = {ORDER[0]: "stop", ORDER[3]: "stop"}
    run(capsys, "compare", path, "--out", out)
    stub.asked, before = [], files(out)
    monkeypatch.setattr(study, "estimate_seconds", lambda cells: {c.name: 600.0 * (1 + c.seed) for c in cells})
    status, text, _ = run(capsys, "compare", path, "--out", out, "--dry-run", "--jobs", "2", "--json", tmp_path / "f")
    lines = [line.split(maxsplit=2) for line in text.splitlines()[2:6]]
    assert status == 0 and stub.asked == [] and files(out) == before
    assert lines == [["sentiment/switch/0", "to", "do  10 min"], ["sentiment/dense/0", "done", "-"],
                     ["sentiment/switch/1", "done", "-"], ["sentiment/dense/1", "to", "do  20 min"]]
    assert text.splitlines()[-1].startswith("4 cells, 2 done, 2 to do: about 20 min, 2 at a time")
    figures = json.loads((tmp_path / "f").read_text(encoding="utf-8"))
    assert figures["seconds"] == 1200 and [c["done"] for c in figures["cells"]] == [False, True, True, False]
    run(capsys, "compare", path, "--out", tmp_path / "new", "--dry-run")
    assert not (tmp_path / "new").exists()


def test_a_dry_run_really_measures(capsys, tmp_path):
    path = tmp_path / "g.toml"
    path.write_text(toml(ROWS, data_dir=write_glue(tmp_path / "glue")), encoding="utf-8")
    status, text, err = run(capsys, "compare", path, "--out", tmp_path / "out", "--dry-run", "--jobs", "3")
    assert (status, err) == (0, "") and "4 cells, 0 done, 4 to do: about " in text and text.count(" s\n") == 4


def test_options_of_the_command_reach_every_cell(capsys, grid, stub, monkeypatch):
    path, out = grid
    found = []
    monkeypatch.setattr(study, "run_cells", lambda cells, jobs: found.append((jobs, cells)) or iter_of())
    run(capsys, "compare", path, "--out", out, "--threads", "2", "--seed", "9", "--jobs", "5", "--set", "lr=0.5")
    [(jobs, cells)] = found
    assert jobs == 5 and [c.name for c in cells] == ["sentiment/switch/9", "sentiment/dense/9"]
    assert {(c.config.threads, c.config.lr, c.config.seed) for c in cells} == {(2, 0.5, 9)}


def iter_of(*items):
    yield from items


def test_the_report_is_written_after_the_cells_or_alone(capsys, grid, stub, monkeypatch):
    path, out = grid
    written = []
    module = type(sys)("minimoe.study.report")
    module.write_report = lambda folder: written.append((folder, files(Path(folder)))) or [Path(folder) / "report.md"]
    monkeypatch.setitem(sys.modules, "minimoe.study.report", module)
    assert run(capsys, "compare", path, "--out", out, "--report")[0] == 0
    assert run(capsys, "compare", "--out", out, "--report") == (0, f"{out / 'report.md'}\n", "")
    assert [len(names) for folder, names in written] == [4, 4] and written[0][0] == str(out)
    stub.then, stub.asked = dict.fromkeys(ORDER, "odd"), []
    assert run(capsys, "compare", path, "--out", out / "b", "--report")[0] == 1 and len(written) == 3


BAD = {
    "no grid": (["--out", "o"], "compare needs a grid"),
    "no out": (["g.toml"], "compare needs --out"),
    "a report of no folder": (["--out", "o", "--report"], "there is no such folder"),
    "no file": (["no.toml", "--out", "o"], "no.toml: No such file"),
    "a folder for a grid": ([".", "--out", "o"], ".: "),
    "not TOML": (["bad.toml", "--out", "o"], "bad.toml: TOML"),
    "no jobs": (["g.toml", "--out", "o", "--jobs", "0"], "--jobs 0 is not an integer of at least 1"),
    "an unknown key": (["g.toml", "--out", "o", "--set", "speed=1"], "g.toml: sentiment/switch/0: speed: there is no"),
    "a key of the grid": (["g.toml", "--out", "o", "--set", "task=cola"], "--set task: the grid sets it"),
    "an unknown cell": (["g.toml", "--out", "o", "--cell", "a/b/0"], "--cell a/b/0: the grid has no such cell"),
    "data that is missing": (["glue.toml", "--out", "o"], "no file train.tsv in no/such/SST-2"),
    "an unknown backend": (["g.toml", "--out", "o", "--backend", "abacus"], "backend: 'abacus' is not one of"),
    "an output that is a file": (["g.toml", "--out", "g.toml"], "g.toml: "),
    "json into no folder": (["g.toml", "--out", "o", "--json", "no/f.json"], "no/f.json: there is no folder"),
}


@pytest.mark.parametrize("argv, message", BAD.values(), ids=BAD.keys())
def test_a_mistake_is_one_line_with_status_2_before_any_cell_runs(capsys, tmp_path, monkeypatch, stub, argv, message):
    monkeypatch.chdir(tmp_path)
    Path("g.toml").write_text(toml(ROWS, tasks='["sentiment"]'))
    Path("glue.toml").write_text(toml(ROWS, data_dir="no/such"))
    Path("bad.toml").write_text("rows = = 3")
    before = files(tmp_path)
    status, out, err = run(capsys, "compare", *argv)
    assert status == 2 and out == "" and message in err, err
    assert err.startswith("minimoe: ") and len(err.splitlines()) == 1 and "Traceback" not in err
    assert stub.asked == [] and files(tmp_path) == before


def test_an_option_wins_over_the_same_key_of_a_configuration_however_it_is_written(tmp_path):
    (tmp_path / "c.toml").write_text("[common]\nbatch-size = 8\nepochs = 2\n", encoding="utf-8")
    argv = ["compare", "g.toml", "--config", str(tmp_path / "c.toml"), "--set", "batch_size=5"]
    assert cli.parse(argv)[1]["common"] == {"batch_size": 5, "epochs": 2}
