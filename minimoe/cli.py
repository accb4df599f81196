"""The command line: arguments and messages, nothing else.

Exit status: 0 done, 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from dataclasses import fields
from pathlib import Path

from minimoe import __version__
from minimoe.files import check_writable
from minimoe.training.config import PretrainConfig, RunConfig, TrainConfig
from minimoe.training.values import check_value, parse_toml, with_underscores

MODEL_WORDS = "folder written by `minimoe train --out`"
GRID = """a grid, task x row x seed, every cell one run of `train` (or, with kind = "pretrain", of `pretrain`):

  seeds = [0, 1, 2]
  tasks = ["sentiment", "acceptability"]
  [common]                      # any key of `minimoe train --config`
  epochs = 3
  [rows.switch]                 # what is compared, by names of your own
  router = "switch"
  [rows.budget]
  allocation = "budget"
  mean_experts = 2
"""
LONGEST = 1000                                      # characters of a message
PACKAGED = "; default: the sentiment model in the package"


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line and no usage dump."""

    def error(self, message: str):
        raise ValueError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Runs one command and answers with its exit status."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:                          # closed by the caller, as in 2>&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for as long as we run
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")    # a cp1252 console cannot show every word
    with warnings.catch_warnings():
        # numbers that leave the finite ones end in an error that names the layer; NumPy's word for it says less
        warnings.filterwarnings("ignore", "(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
        warnings.showwarning = lambda message, *where: print(f"minimoe: {message}", file=sys.stderr)
        return run(sys.argv[1:] if argv is None else argv)


def run(argv: list[str]) -> int:
    """The command, with every expected failure turned into a line and a status."""
    try:
        command, values = parse(argv)
        from minimoe import commands  # late, so that --help and usage errors answer at once
        try:
            return getattr(commands, command)(**values)
        except SystemExit:                          # of a router of one's own, perhaps with status 0
            return say("sys.exit was called in the middle of the work, so nothing more was done", 1)
    except KeyboardInterrupt as error:
        return say(f"interrupted; {error}" if str(error) else "interrupted", 130)
    except FloatingPointError as error:
        return say(error, 1)
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        return say(error, 2)
    except MemoryError as error:
        return say(f"not enough memory: {error}", 1)
    except OSError as error:
        reason = error.strerror or str(error)
        return say(f"{error.filename}: {reason}" if error.filename else reason, 2)
    except Exception as error:                      # a router of one's own may raise anything
        return say(f"failed with {type(error).__name__}: {error}", 1)


def say(message, status: int) -> int:
    """Prints at most three lines' worth of a message, names from hostile files made harmless to a terminal."""
    text = " ".join((str(message).strip().splitlines() or [type(message).__name__])[:3])
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:LONGEST])
    print(f"minimoe: {text}", file=sys.stderr)
    return status


def parse(argv: list[str]) -> tuple[str, dict]:
    """(command, its values): command-line options win over those of --config."""
    values = vars(build_parser().parse_args(argv))
    command = values.pop("command")
    known = values.pop("known")
    config = values.pop("config", None)
    found = {} if config is None else read_config(config, known)
    for table, cleaned in (("router_options", dict), ("common", with_underscores)):
        if table in values:                         # given as pairs
            kept = found.get(table, {})
            values[table] = (cleaned(kept) if isinstance(kept, dict) else {}) | cleaned(dict(values[table]))
    values = found | values
    for name, value in values.items():
        if name in known and not known[name] and name != "jobs":        # a switch is one already; `compare` checks jobs
            check_value(name, value)
    check_outputs(values, config)
    return command, values


def check_outputs(values: dict, config: str | None) -> None:
    """No output may replace what the command reads."""
    texts = [path for name in ("text", "held_out") if isinstance(values.get(name), list) for path in values[name]]
    inputs = [values.get(name) for name in ("checkpoint", "init_from", "data_dir", "grid")]
    router = (values.get("router") or "").rpartition(":")[0] or None
    check_writable(*(values.get(name) for name in ("json", "plot", "export")), folder=values.get("out"),
                   inputs=[config, router, *inputs, *texts])


def read_config(path: str, known: dict[str, bool]) -> dict:
    """The keys of a TOML file, which must be options of the command. known: option -> is it a switch."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{path}: there is no option {key!r} here; the options are {', '.join(sorted(known))}")
        if known[key] and not isinstance(value, bool):
            raise ValueError(f"{path}: {key} is {value!r}; it is a switch: true or false")
    return values


def build_parser() -> Parser:
    parser = Parser(prog="minimoe", description="DA-MoE from scratch: experts per token from attention.",
                    allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minimoe {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    train = add(commands, "train", "train a classifier; without options: the built-in sentiment task")
    add_run_options(train, TrainConfig)
    train.add_argument("--baseline", action=argparse.BooleanOptionalAction,
                       help="train a Switch Transformer on the same data too (default: for built-in tasks)")

    pretrain = add(commands, "pretrain", "train a masked language model on plain text")
    pretrain.add_argument("--text", action="extend", nargs="+", metavar="FILE",
                          help="text files, one paragraph a line; default: the standard library's documentation")
    pretrain.add_argument("--held-out", action="extend", nargs="+", metavar="FILE",
                          help="text files to measure on; default: every 20th paragraph")
    add_run_options(pretrain, PretrainConfig)

    evaluate = add(commands, "evaluate", "score a checkpoint")
    evaluate.add_argument("--checkpoint", help=MODEL_WORDS + PACKAGED)
    evaluate.add_argument("--task", help="default: the task it was trained on")
    evaluate.add_argument("--data-dir", help="folder with the GLUE files")
    evaluate.add_argument("--split", help="default: test for a built-in task, dev for GLUE")
    add_router(evaluate)

    predict = add(commands, "predict", "classify a text, or fill the [MASK]s of one")
    predict.add_argument("text")
    predict.add_argument("pair", nargs="?", help="second text, for tasks on pairs")
    predict.add_argument("--checkpoint", help=MODEL_WORDS + PACKAGED)
    add_router(predict)

    inspect = add(commands, "inspect", "show how many experts each word of a text gets")
    inspect.add_argument("text")
    inspect.add_argument("pair", nargs="?", help="second text, for tasks on pairs")
    inspect.add_argument("--checkpoint", help=MODEL_WORDS + PACKAGED)
    inspect.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    inspect.add_argument("--export", metavar="FILE.csv", help="write one row per assignment")
    add_router(inspect)

    compare = add(commands, "compare", "run a grid of tasks, rows and seeds, and compare",
                  seed="this one alone, in place of the grid's", threads="per cell; default: the grid's, else 1")
    compare.formatter_class, compare.epilog = argparse.RawDescriptionHelpFormatter, GRID
    compare.add_argument("grid", nargs="?", metavar="GRID.toml", help="what to run, see below")
    compare.add_argument("--out", help="folder for the results, one file per cell; what is there is not run again")
    compare.add_argument("--jobs", type=int, help="cells at a time (default: as many as the cores have room for)")
    compare.add_argument("--dry-run", action="store_true", help="list the cells and how long they will take")
    compare.add_argument("--cell", metavar="TASK/ROW/SEED", help="run this one, again if it has a result: is it equal?")
    compare.add_argument("--report", action="store_true", help="write tables and figures; without a grid, only those")
    compare.add_argument("--set", dest="common", action="append", type=key_value, metavar="KEY=VALUE",
                         help="a key of the grid's [common], as in data_dir=glue; repeatable; wins over the file's, "
                              "not over those of a task or row")

    add(commands, "gradcheck", "compare every operation's gradient with finite differences")
    add(commands, "info", "what is installed and usable here")

    for command in commands.choices.values():
        known = {a.dest: a.nargs == 0 for a in command._actions if a.option_strings}
        known = {name: switch for name, switch in known.items() if name not in ("help", "config")}
        command.set_defaults(known=known)
    return parser


THREADS = ("threads, which share each batch of `train` and `pretrain` (default: the cores, at most 4; a built-in "
           "task: 1)")


def add(commands, name: str, text: str, seed: str = "default 0", threads: str = THREADS) -> Parser:
    parser = commands.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS,
                                 allow_abbrev=False)
    parser.add_argument("--backend", help="numpy, cupy or cudasim (default numpy)")
    parser.add_argument("--seed", type=int, help=seed)
    parser.add_argument("--threads", type=int, help=threads)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--config", metavar="FILE.toml", help="the same keys as the options; options win")
    return parser


def add_router(parser: Parser) -> None:
    parser.add_argument("--router", help="FILE.py:CLASS, for a checkpoint trained with a router of your own")


HELP = dict(
    task="built-in: sentiment, acceptability, paraphrase; with --data-dir: cola sst2 mrpc rte stsb wnli qnli qqp mnli",
    data_dir="folder with the GLUE files, as published: DIR/SST-2/train.tsv and so on",
    router="da, switch, topk, topp, expert_choice or FILE.py:CLASS", experts="0 is the dense model",
    importance="what makes a token important: rowmax, colmax, ...",
    allocation="from importance to experts: ceil, budget, ...",
    mean_experts="mean experts per token, for --allocation budget", warmup="share of the steps",
    out="folder for checkpoint and log", save_every="steps between checkpoints",
    init_from="folder of a pre-trained model", max_steps="stop after this many",
)


def add_run_options(parser: Parser, config: type[RunConfig]) -> None:
    """One option for every key of the configuration that the parser does not have yet."""
    have = {a.dest for a in parser._actions}
    types = {"int": int, "float": float, "str": str}
    for f in fields(config):
        if f.name in have or f.name == "router_options":
            continue
        kind = next(types[part] for part in f.type.split(" | ") if part in types)
        default = f" (default {default_of(config, f)})" if default_of(config, f) is not None else ""
        parser.add_argument("--" + f.name.replace("_", "-"), type=kind, help=HELP.get(f.name, "") + default)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    parser.add_argument("--router-option", dest="router_options", action="append", type=key_value,
                        metavar="KEY=VALUE", help="any keyword of the router, VALUE as JSON, as in levels=[1,2,4]; "
                        "repeatable; in TOML a table [router_options]")


def default_of(config: type[RunConfig], f) -> str | None:
    """A key's default in words; the sizes of a TrainConfig depend on the task."""
    if f.default is not None:
        return str(f.default)
    tables = [getattr(config, name, {}) for name in ("BUILTIN_DEFAULTS", "GLUE_DEFAULTS", "DEFAULTS")]
    found = [table[f.name] for table in tables if f.name in table]
    return " or for GLUE ".join(dict.fromkeys(map(str, found))) or None


def key_value(text: str) -> tuple[str, object]:
    """("k", 2) of "k=2"; what is not JSON is a text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value
