"""The CPU benchmarks run in their tiny form, time nothing that is wrong, and refuse in one line what cannot be."""
import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minimoe.kernels import reference
from minimoe.moe.routers import DynamicRouter

FOLDER = Path(__file__).parents[2] / "benchmarks"
COMPARING = ("ops", "moe_layer", "encoder_step", "scaling", "against_floor", "memory")


@pytest.fixture
def module(monkeypatch):
    """module(name) -> the module of benchmarks/name.py."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def run(module, monkeypatch):
    """run(name, *arguments) -> the exit status, or message, of benchmarks/name.py."""
    def call(name, *arguments):
        if name in COMPARING:
            pytest.importorskip("torch")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return end.value.code
    return call


@pytest.fixture
def no_timing(module, monkeypatch):
    """Whatever times something, or starts a process to, fails the test."""
    def fail(*arguments, **options):
        pytest.fail("something was timed")

    monkeypatch.setattr(module("fair"), "take_turns", fail)
    monkeypatch.setattr(module("clocks"), "profile", fail)
    monkeypatch.setattr(subprocess, "run", fail)


def a_little_off(function):
    """The same function with its first answer wrong by a thousandth: what a broken kernel looks like."""
    def wrong(*arguments, **options):
        found = function(*arguments, **options)
        return (found[0] * np.float32(1.001), *found[1:]) if isinstance(found, tuple) else found * np.float32(1.001)
    return wrong


def row_of(seconds, **more):
    return {**more, "seconds": seconds, "p25": seconds * 0.9, "p75": seconds * 1.2, "timings": 21}


# every script

@pytest.mark.parametrize("name, titles", [
    ("ops", 1), ("moe_layer", 8), ("encoder_step", 7), ("scaling", 5), ("against_floor", 3),
    pytest.param("memory", 2, marks=pytest.mark.slow), pytest.param("training_cost", 2, marks=pytest.mark.slow)])
def test_a_script_runs_and_writes_every_title_with_the_machine(run, tmp_path, name, titles):
    assert run(name, "--tiny", "--threads", "1", "--json", str(tmp_path / "found.json")) == 0
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert written["tiny"] is True and {"processor", "numpy", "torch", "blas"} <= written["machine"].keys()
    assert len(written["results"]) == titles
    for rows in written["results"].values():
        assert rows and all(row.keys() == rows[0].keys() for row in rows)
        assert all(0 < row["p25"] <= row["seconds"] <= row["p75"] for row in rows if "seconds" in row)


@pytest.mark.slow
def test_steps_run_on_two_threads_with_the_same_counts_of_experts(run):
    assert run("encoder_step", "--tiny", "--threads", "2", "--only", "K 1 to 4") == 0


def test_ops_has_every_operation_and_the_pieces_of_the_router(module):
    pytest.importorskip("torch")
    pairs = module("op_pairs")
    names = {operation.partition(",")[0] for operation, *_ in pairs.pairs(pairs.SIZES, {"S": None})}
    assert names == {"linear", "linear with bias", "gelu", "tanh gelu", "softmax", "attention", "layer norm", "dropout",
                     "embedding", "cross-entropy", "the best experts of every token", "assignments sorted by expert",
                     "combine", "AdamW"}


# nothing wrong is timed

@pytest.mark.parametrize("kernel, only", [
    ("layer_norm", "layer norm"), ("layer_norm_backward", "layer norm"), ("bias_activation", "tanh gelu"),
    ("masked_softmax", "attention"), ("masked_softmax_backward", "attention"), ("gather_rows", "embedding, forward, "),
    ("embedding_gradient", "embedding, forward and"), ("combine_rows", "combine"), ("combine_rows_backward", "combine"),
    ("adamw_update", "AdamW"), ("sort_by_expert", "sorted")])
def test_ops_stops_before_timing_a_wrong_kernel(run, no_timing, monkeypatch, kernel, only):
    wrong = a_little_off(getattr(reference, kernel))
    if kernel == "adamw_update":                    # it works in place: a step that is a thousandth too long
        def wrong(theta, g, m, v, step, lr, *rest, **options):
            return reference.dense.adamw_update(theta, g, m, v, step, lr * 1.001, *rest, **options)
    monkeypatch.setattr(reference, kernel, wrong)
    assert "nothing was timed" in run("ops", "--tiny", "--threads", "1", "--only", only)


def test_ops_stops_before_timing_a_wrong_choice_of_experts(run, no_timing, monkeypatch):
    right = reference.select_experts
    monkeypatch.setattr(reference, "select_experts", lambda *arguments: right(*arguments)[::-1])
    assert "nothing was timed" in run("ops", "--tiny", "--threads", "1", "--only", "best experts")


def test_ops_stops_before_timing_a_dropout_that_drops_nothing(run, no_timing, monkeypatch):
    monkeypatch.setattr(importlib.import_module("minimoe.ops.dropout"), "draw_mask",
                        lambda xp, shape, p, rng, dtype: xp.full(shape, 1 / (1 - p), dtype))
    assert "share of zeros" in run("ops", "--tiny", "--threads", "1", "--only", "dropout")


@pytest.mark.parametrize("name, only", [
    ("moe_layer", ""), ("encoder_step", ""), ("scaling", "more tokens"), ("scaling", "shares of a layer"),
    ("against_floor", "step tiny, 1"), ("against_floor", "profile"), ("memory", "")])
def test_a_script_stops_before_timing_wrong_experts(run, no_timing, monkeypatch, name, only):
    monkeypatch.setattr(reference, "grouped_matmul", a_little_off(reference.grouped_matmul))
    assert "nothing was timed" in run(name, "--tiny", "--threads", "1", "--only", only)


@pytest.mark.parametrize("method", ["importance", "experts_per_token"])
def test_shares_stop_before_timing_a_wrong_routing(run, module, no_timing, monkeypatch, method):
    pytest.importorskip("torch")
    right = getattr(DynamicRouter, method)
    monkeypatch.setattr(DynamicRouter, method, lambda *arguments, **options: right(*arguments, **options) * 2)
    monkeypatch.setattr(module("shares"), "tape_seconds", lambda length: 1e-6)
    assert "nothing was timed" in run("scaling", "--tiny", "--only", "shares of a step")


def test_numbers_that_are_no_numbers_and_other_shapes_are_not_timed(module):
    agree = module("fair").agree
    for wrong in (np.array([1.0, np.nan]), np.ones((2, 1)), np.array([1.0, 1.1])):
        with pytest.raises(SystemExit, match="an op: array 0 .* nothing was timed"):
            agree("an op", [wrong], [np.ones(2)], 0.01)
    agree("an op", [np.array([1.0, 1.005])], [np.ones(2)], 0.01)


# bad arguments

@pytest.mark.parametrize("name, arguments, message", [
    ("ops", ["--threads", "0"], "0 is not an integer of at least 1"),
    ("ops", ["--timings", "many"], "--timings"),
    ("ops", ["--tiny", "--threads", "1", "--only", "no such op"], "no such op"),
    ("encoder_step", ["--tiny", "--threads", "1", "--json", "/no/such/folder/a.json"], "there is no folder"),
    ("moe_layer", ["--fast"], "unrecognized arguments: --fast"),
    ("scaling", ["--figures", "/no/such/folder"], "is no folder"),
    ("memory", ["--figures", "/no/such/folder"], "is no folder"),
    ("against_floor", ["--only"], "expected one argument"),
    ("training_cost", ["--threads", "x"], "--threads"),
    ("report", ["--readme", "/no/such/README.md"], "No such file")])
def test_bad_arguments_are_one_line_and_status_2(run, capsys, name, arguments, message):
    assert run(name, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{name}.py: ") and error.count("\n") == 1 and message in error


def test_a_setting_that_changes_one_side_only_is_refused(run, capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert run("ops", "--tiny") == 2 and "OPENBLAS_CORETYPE is set" in capsys.readouterr().err


# what they share

def test_sides_take_turns_in_blocks_of_three_of_which_the_first_does_not_count(module, monkeypatch):
    fair, order, clock = module("fair"), [], iter(range(1000))
    monkeypatch.setattr(fair.time, "perf_counter", lambda: next(clock))
    found = fair.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, timings=3)
    assert "".join(order) == "aaabbb" * 2
    assert all(times["timings"] == 4 and times["seconds"] == 1 for times in found.values())


def test_quartiles_are_those_of_the_times(module):
    assert module("fair").quartiles([5.0, 1.0, 3.0, 2.0, 4.0]) == {"seconds": 3, "p25": 2, "p75": 4, "timings": 5}


def test_a_clock_measures_own_time_and_leaves_everything_as_it_was(module, monkeypatch):
    clocks, now = module("clocks"), [0.0]
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])

    class Work:
        @classmethod
        def inner(cls):
            now[0] += 2

        def outer(self):
            now[0] += 1
            self.inner()
            Work.inner()
            now[0] += 4

    before = dict(vars(Work))
    with clocks.Clocks({"inside": [(Work, "inner")], "outside": [(Work, "outer")]}) as found:
        Work().outer()
    assert found.seconds == {"inside": 4, "outside": 5} and found.calls == {"inside": 2, "outside": 1}
    assert dict(vars(Work)) == before


def test_clocks_see_an_operation_on_both_ways(module):
    from minimoe import Tensor, ops

    linear = ops.linear
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    with module("clocks").Clocks({}, {"linear": "products"}) as found:
        ops.linear(x, x).sum().backward()
        ops.linear(x.detach(), x.detach())
    assert found.calls == {"products": 3} and found.nodes == 1 and ops.linear is linear


def test_the_floor_counts_the_products_of_a_step(module):
    pytest.importorskip("torch")
    n, d, f, length, experts, k, layers = 2048, 128, 512, 64, 8, 2, 2       # step S, by hand: rows x in x out
    projections = n * d * 3 * d + n * d * d + n * d * experts
    attention = 2 * n * length * d                                          # scores and sums, all heads together
    chosen = 2 * n * k * d * f
    found = module("against_floor").flops(module("steps").S, 32)
    assert found == {"projections": 6 * layers * projections, "attention products": 6 * layers * attention,
                     "expert products": 6 * layers * chosen}


LEAK = """
import json, numpy, memory_steps
kept = []
memory_steps.minimoe_step = lambda **work: (1.0, lambda: kept.append(numpy.ones(2**18, numpy.float32)))
memory_steps.main("minimoe", json.dumps({"steps": 40}))
"""


def test_memory_steps_notice_a_leak():
    done = subprocess.run([sys.executable, "-c", LEAK], cwd=FOLDER, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [step for step, _ in found["samples"]] == list(range(0, 41, 4))
    assert found["samples"][-1][1] - found["samples"][1][1] > 30 and found["peak"] >= found["samples"][-1][1] - 1


def test_memory_of_minimoe_is_measured_without_pytorch(module):
    work = json.dumps({"config": module("steps").TINY.to_dict(), "batch": 2, "steps": 1, "threads": 1})
    code = ("import sys, memory_steps; memory_steps.main('minimoe', sys.argv[1]); "
            "print('torch' in sys.modules, 'minimoe' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code, work], cwd=FOLDER, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False True", done.stderr


def test_figures_are_small_pictures_with_text(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("scaling", "--tiny", "--only", "more", "--figures", str(tmp_path / "figures")) == 0
    drawn = sorted((tmp_path / "figures").iterdir())
    assert [path.name for path in drawn] == ["more_experts.svg", "more_experts_per_token.svg", "more_tokens.svg"]
    assert all(path.stat().st_size < 60_000 and ">MiB</text>" in path.read_text(encoding="utf-8") for path in drawn)


def test_memory_is_drawn_one_panel_a_step(module, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [{"side": side, "step": step, "MiB": 100.0 + step} for side in ("minimoe", "torch eager") for step in (0, 9)]
    [path] = module("figures").draw_memory({"resident memory, S, 1 thread": rows, "resident memory, S, 2 threads": rows,
                                            "resident memory, M, 1 thread": rows}, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.count("MiB resident") == 2 and "2 threads" not in text


# the report

@pytest.fixture
def results(tmp_path):
    """results(name, **results) writes a file as a script does; the folder."""
    def write(name, found, tiny=False):
        content = {"machine": {"processor": "P"}, "tiny": tiny, "results": found}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path
    return write


def test_the_report_puts_the_sides_of_a_comparison_on_one_line(module, results):
    sides = [row_of(0.010, side="minimoe", ratio=0.5, ratio_p25=0.5), row_of(0.020, side="torch eager", ratio=1.0,
             ratio_p25=1.0), row_of(0.008, side="torch best", ratio=0.4, ratio_p25=0.4)]
    folder = results("encoder_step", {"S, 1 thread": sides, "M, 1 thread": sides})
    text = module("report").section(folder, folder)
    assert "### encoder_step" in text and "On processor P." in text
    assert [line for line in text.splitlines() if line.startswith("| M")] == [
        "| M, 1 thread | 10.00 (9.00 to 12.00) | 20.00 (18.00 to 24.00) | 8.00 (7.20 to 9.60) "
        "| 0.50 | 0.50 | 1.25 | 1.25 |"]
    assert text.count("\n| --- |") == 1             # one table for both


def test_the_report_writes_other_rows_as_they_are_and_leaves_curves_to_the_figures(module, results):
    folder = results("memory", {"peaks": [{"step": "S", "peak": 123.456}, {"step": "M", "peak": 0.12345}],
                                "resident memory, S, 1 thread": [{"side": "minimoe", "step": 0, "MiB": 5.0}] * 3})
    (folder / "memory.svg").write_text("<svg/>", encoding="utf-8")
    text = module("report").section(folder, folder)
    assert "**peaks**\n\n| step | peak |\n| --- | --- |\n| S | 123 |\n| M | 0.123 |" in text
    assert "resident" not in text and "![memory](figures/memory.svg)" in text


@pytest.mark.parametrize("name, content, message", [
    ("ops", '{"machine": {}, "tiny": true, "results": {}}', "written with --tiny"),
    ("ops", "{", "not what a benchmark writes"), ("ops", "[]", "not what a benchmark writes"),
    ("spo", '{"machine": {}, "tiny": false, "results": {}}', "no benchmark of this name")])
def test_the_report_refuses_what_was_not_measured(run, tmp_path, capsys, name, content, message):
    (tmp_path / f"{name}.json").write_text(content, encoding="utf-8")
    assert run("report", "--results", str(tmp_path), "--check") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_report_replaces_what_stands_between_the_marks_and_nothing_else(run, module, results, tmp_path, capsys):
    report, folder = module("report"), results("ops", {"all": [{"operation": "linear", "ms": 1.5}] * 2})
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    arguments = ("--results", str(folder), "--readme", str(readme))
    assert run("report", *arguments, "--check") == 1 and "run report.py" in capsys.readouterr().err
    assert run("report", *arguments) == 0 and run("report", *arguments, "--check") == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{report.BEGIN}\n\n### ops\n") and text.endswith(f"{report.END}\nafter\n")
    assert "| linear | 1.5 |" in text and "old" not in text
    readme.write_text("no marks", encoding="utf-8")
    assert run("report", *arguments) == 2 and readme.read_text(encoding="utf-8") == "no marks"


def test_the_readme_says_what_the_measurements_say(run):
    assert run("report", "--check") == 0
