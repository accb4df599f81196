"""Every numeric option of every command: what is below, above, not finite or no number is refused by its name.

The options come from the parser itself, so that a new one cannot escape: it needs a row in LIMITS.
"""
import argparse

import pytest
from cli_run import run
from refusal import check_line, listing

from minimoe.cli import build_parser, parse

MOST = 2**31 - 1
# the smallest and the largest value that makes sense, from what each is for; None: no upper end
LIMITS = {"seed": (0, MOST), "threads": (1, 1024), "jobs": (1, None), "experts": (0, 4096), "k_min": (0, 4096),
          "k_max": (0, 4096), "layers": (1, 1000), "d_model": (1, 65536), "heads": (1, 65536), "d_ff": (1, 2**20),
          "vocab_size": (6, 1_000_000), "max_length": (5, 65536), "epochs": (1, MOST), "max_steps": (1, MOST),
          "batch_size": (1, MOST), "save_every": (1, MOST), "mean_experts": (0.0, 1e6), "dropout": (0.0, 0.999),
          "lr": (1e-12, 1e3), "warmup": (0.0, 1.0), "weight_decay": (0.0, 1e3), "clip": (1e-12, 1e12),
          "label_smoothing": (0.0, 0.999)}
NEEDED = {"predict": ["a film"], "inspect": ["a film"], "compare": ["g.toml", "--out", "run"],
          "pretrain": ["--out", "run"]}


def numeric_options():
    """(command, option, its type) of the whole parser."""
    parser = build_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    return [(name, action.dest, action.type) for name, command in commands.items() for action in command._actions
            if action.type in (int, float)]


OPTIONS = numeric_options()


def bad_values(dest: str, kind: type) -> list[str]:
    low, high = LIMITS[dest]
    values = ["-1", "-0.5", "nan", "inf", "-inf", "many", "", " ", "0x10", "1,5", "1 2", "\u2155", "None"]
    if kind is int:
        values += [str(low - 1), "1.5", "1e3", "9" * 5000] + ([str(high + 1), str(2**63), "9" * 30] if high else [])
    else:
        values += [str(high * 1.001), "1e400", "-1e-9"] + (["0", "1e-400"] if low else [])
    return values


def test_every_numeric_option_has_its_limits_here():
    assert {dest for _, dest, _ in OPTIONS} == set(LIMITS) and len(OPTIONS) > 50


@pytest.mark.parametrize("command, dest, kind", OPTIONS, ids=[f"{c} {d}" for c, d, _ in OPTIONS])
def test_what_is_out_of_range_or_no_number_is_refused_by_name(command, dest, kind, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    option = "--" + dest.replace("_", "-")
    for value in bad_values(dest, kind):
        status, out, error = run(capsys, command, *NEEDED.get(command, []), f"{option}={value}")
        assert status == 2 and out == "", (value, error)
        check_line(error, rf"^minimoe: (argument )?({option}|{dest})\b")
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("command, dest, kind", OPTIONS, ids=[f"{c} {d}" for c, d, _ in OPTIONS])
def test_both_ends_of_the_range_are_taken(command, dest, kind):
    for end in LIMITS[dest]:
        if end is not None:
            argv = [command, *NEEDED.get(command, []), f"--{dest.replace('_', '-')}={end}"]
            assert parse(argv)[1][dest] == end


@pytest.mark.parametrize("dest", sorted(set(LIMITS) - {"jobs", "seed", "threads"}))
def test_a_configuration_file_is_held_to_the_same_limits(dest, capsys, tmp_path):
    kind = next(kind for _, name, kind in OPTIONS if name == dest)
    high = LIMITS[dest][1]
    for value in ("-1", "nan", "true", "'3'", "[1]", str(high + 1) if kind is int else str(high * 1.001)):
        (tmp_path / "c.toml").write_text(f"{dest} = {value}\n", encoding="utf-8")
        status, _, error = run(capsys, "train", "--config", tmp_path / "c.toml")
        assert status == 2, (value, error)
        check_line(error, f"^minimoe: {dest}: ")
