"""Any command line of known options with any values ends with a status and at most three lines, never a traceback.

The work itself is replaced: what would train, evaluate or draw raises Reached. The examples are always the same.
"""
import argparse
import io
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from refusal import BARE, place

from minimoe.cli import build_parser, main
from minimoe.commands import checks, reading, runs, study

PARSER = build_parser()
COMMANDS = next(a for a in PARSER._actions if isinstance(a, argparse._SubParsersAction)).choices
OPTIONS = {name: [a for a in command._actions if a.option_strings and a.dest != "help"]
           for name, command in COMMANDS.items()}
FILES = {"c.toml": "seed = 3\n", "g.toml": "tasks = ['sentiment']\n[rows.a]\nmax_steps = 1\n", "t.txt": "a b c\n" * 90,
         "b.toml": "seed = 'x'\nrouter_options = 3\n", "f": b"\xff\0\xfe", "folder/x": "x"}
# no "/" in a text: what is written must stay in the test's own folder
VALUES = st.sampled_from([*FILES, "folder", "sentiment", "sst2", "da", "topk", "numpy", "abacus", "budget", "rowmax",
                          "wordpiece", "0", "1", "2", "-1", "0.5", "1e-3", "nan", "inf", "1e999", "9" * 30, "k=2",
                          "gates=renorm", "levels=[1,[2]]", "levels={", "=", "--", "-", "", " ", ".", "..", "f.py:A",
                          ":", "sentiment/a/0", "[MASK]", "a film"])
ANYTHING = VALUES | st.text(st.characters(exclude_characters="/\\"), max_size=8)


class Reached(Exception):
    """The work would have begun."""


@pytest.fixture
def no_work(monkeypatch, tmp_path):
    def reached(*arguments, **options):
        raise Reached

    for module, names in ((runs, ("prepare_task", "Pretrainer")), (reading, ("evaluate_model", "_draw")),
                          (checks, ("check_all",)), (study, ("run_cells", "estimate_seconds", "_report"))):
        for name in names:
            monkeypatch.setattr(module, name, reached)
    place(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)


@st.composite
def command_lines(draw):
    name = draw(st.sampled_from(sorted(COMMANDS)))
    argv = [name, *draw(st.lists(ANYTHING, max_size=2))]
    for action in draw(st.lists(st.sampled_from(OPTIONS[name]), max_size=5)):
        option = draw(st.sampled_from(action.option_strings))
        if action.nargs == 0:
            argv += [option]
        elif draw(st.booleans()):
            argv += [f"{option}={draw(ANYTHING)}"]
        else:
            argv += [option, *draw(st.lists(ANYTHING, min_size=1, max_size=2 if action.nargs == "+" else 1))]
    return argv


@settings(max_examples=150, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command_lines())
@example(["train", "--config", "b.toml"])
@example(["compare", "g.toml", "--out", "o", "--jobs", "9" * 30])
@example(["predict", "a film", "--threads", "9" * 30])
def test_it_ends_with_a_status_and_at_most_three_lines(no_work, argv):
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        status = main(argv)
    assert "Traceback" not in error.getvalue(), argv
    said = error.getvalue()[max(error.getvalue().find("minimoe: "), 0):]        # a progress bar may stand before it
    assert status in (0, 1, 2) and said.count("\n") <= 3, (argv, said)
    assert status == 0 or said.startswith("minimoe: "), (argv, said)
    assert "failed with Reached" in said or not BARE.match(said), (argv, said)
    assert (status == 1) == ("failed with Reached" in said), (argv, said)


@pytest.mark.parametrize("argv", [
    ["train"], ["pretrain", "--out", "o"], ["evaluate"], ["gradcheck"], ["compare", "g.toml", "--out", "o"],
    ["inspect", "a film", "--plot", "a.png"]], ids=str)
def test_a_good_command_line_does_reach_the_work(no_work, argv, capsys):
    assert main(argv) == 1 and "failed with Reached" in capsys.readouterr().err
