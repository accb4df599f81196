"""Files, tables, options and outputs that must be refused: name -> Bad. Checkpoints are in bad_checkpoints.py.

Rows of tests/cli/test_cli_errors.py are not repeated here.
"""
import os

from refusal import TINY, Bad

OUT = ("--out", "run", "--json", "figures.json")


def glue(says: str, train: str | bytes | None, dev: str | bytes | None = "sentence\tlabel\na\t1\nb\t0\n") -> Bad:
    """SST-2 from these two files; None is a file that is missing."""
    files = {f"SST-2/{name}.tsv": content for name, content in (("train", train), ("dev", dev)) if content is not None}
    return Bad(("train", "--task", "sst2", "--data-dir", "{}", *TINY, *OUT), says, files)


def text(says: str, content: str | bytes, *more: str) -> Bad:
    return Bad(("pretrain", "--text", "{}/a.txt", *more, *TINY, *OUT), says, {"a.txt": content})


def toml(says: str, content: str | bytes, *command: str) -> Bad:
    return Bad((*(command or ("train", *OUT)), "--config", "{}/c.toml"), says, {"c.toml": content})


def option(says: str, *argv: str, **files) -> Bad:
    return Bad(argv, says, files)


HEAD = "sentence\tlabel\n"
READ = "this command reads this file or keeps its work in it; give another name"
FILES = {
    "training file missing": glue(r"no file train\.tsv in .*SST-2; needed the published layout", None),
    "development file missing": glue(r"no file dev\.tsv", HEAD + "a\t1\nb\t0\n", None),
    "empty": glue(r"train\.tsv is empty", ""),
    "header only": glue(r"train\.tsv holds no examples", HEAD),
    "one example": glue("1 training example is too few", HEAD + "a\t1\n"),
    "other columns": glue(r"line 1 names the columns .*'text'", "text\tlabel\na\t1\n"),
    "a column twice": glue(r"needs one named 'sentence'", "sentence\tsentence\tlabel\na\tb\t1\n"),
    "commas for tabs": glue(r"line 1 names the columns", "sentence,label\na,1\nb,0\n"),
    "old Macintosh line ends": glue(r"line 1 names the columns", "sentence\tlabel\ra\t1\rb\t0\r"),
    "a column too few": glue(r"line 3 has 1 columns separated by TAB; needed 2", HEAD + "a\t1\nb\n"),
    "latin-1": glue(r"line 2 is not UTF-8; convert", HEAD.encode() + b"caf\xe9\t1\n"),
    "utf-16": glue(r"line 1 holds a NUL byte; .*UTF-16", (HEAD + "a\t1\n").encode("utf-16")),
    "a NUL byte": glue(r"line 3 holds a NUL byte", HEAD + "a\t1\nb\0c\t0\n"),
    "binary": glue(r"train\.tsv, line \d+ (holds a NUL byte|is not UTF-8)", bytes(range(256)) * 40),
    "label out of range": glue(r"line 2 has the label '2'; SST-2 needs 0 or 1", HEAD + "a\t2\n"),
    "label below range": glue(r"line 2 has the label '-1'", HEAD + "a\t-1\n"),
    "label is a fraction": glue(r"line 2 has the label '1\.0'", HEAD + "a\t1.0\n"),
    "label without end": glue(r"line 2 has the label '9{40,60}; SST-2 needs", HEAD + "a\t" + "9" * 2_000_000 + "\n"),
    "header without end": glue(r"line 1 names the columns .{1,220}; SST-2 needs", "x\t" * 500_000 + "\na\n"),
    "a file in the folder's place": option(r"no file train\.tsv", "train", "--task", "sst2", "--data-dir", "{}/SST-2",
                                           *TINY, **{"SST-2": "a file"}),
    "text empty": text(r"a\.txt holds no text", ""),
    "text blank": text(r"a\.txt holds no text", " \n\t\n\u3000\n"),
    "text of one line": text("1 paragraph is too little", "only this\n"),
    "text of marks that are not seen": text("do not fill one block of 8; give more text", "\u200b\u2060\n" * 50),
    "text latin-1": text(r"a\.txt, line 2 is not UTF-8", b"one\ncaf\xe9\n"),
    "text with a NUL byte": text(r"a\.txt, line 2 is not UTF-8 text", "one\nt\0wo\n"),
    "text binary": text(r"a\.txt, line 1 is not UTF-8", b"\x80" + os.urandom(100)),
    "text is a folder": option("Is a directory", "pretrain", "--text", "{}", *TINY, *OUT),
    "second text missing": text(r"no file .*b\.txt", "one\ntwo\n" * 30, "{}/b.txt"),
    "held-out text missing": text(r"no file .*b\.txt", "one\ntwo\n" * 30, "--held-out", "{}/b.txt"),
    "held-out text of the training": text("held_out: .*a.txt is among the training texts too", "one two\n" * 60,
                                          "--held-out", "{}/../given/a.txt"),
    "held-out text empty": Bad(("pretrain", "--text", "{}/a.txt", "--held-out", "{}/b.txt", *TINY, *OUT),
                               r"b\.txt holds no text", {"a.txt": "one two three\n" * 30, "b.txt": ""}),
}

CONFIGS = {
    "not UTF-8": toml(r"c\.toml: not a UTF-8 text file", b"\xff\xfee\0"),
    "binary": toml(r"c\.toml: (not a UTF-8|TOML)", b"\x00\x01\x02"),
    "no equals sign": toml(r"c\.toml: TOML: Expected '='", "epochs\n"),
    "key given twice": toml(r"c\.toml: TOML: Cannot overwrite", "epochs = 1\nepochs = 2\n"),
    "bracket left open": toml(r"c\.toml: TOML: .*end of document", "text = [\n"),
    "brackets without end": toml(r"c\.toml: TOML: brackets are nested too deeply", "text = " + "[" * 50_000),
    "number without end": toml(r"c\.toml: .*4300 digits", "seed = " + "9" * 5000),
    "unknown key": toml("there is no option 'spede' here; the options are", "spede = 3"),
    "unknown table": toml("there is no option 'model'", "[model]\nlayers = 2\n"),
    "help is no key": toml("there is no option 'help'", "help = true"),
    "a text for a number": toml("epochs: '3' is not an integer", "epochs = '3'"),
    "a switch for a number": toml("epochs: True is not an integer", "epochs = true"),
    "a fraction for an integer": toml("layers: 1.5 is not an integer", "layers = 1.5"),
    "a date for a number": toml(r"lr: .*2024.* is not a number", "lr = 2024-01-01"),
    "not a number": toml("lr: nan is not a number", "lr = nan"),
    "a table for a text": toml("task: .* is not a text", "[task]\nname = 'sentiment'\n"),
    "a number for a file": toml("json: 3 is not a text", "json = 3", "train"),
    "NUL in a file's name": toml(r"json: 'a\\x00b' is not a text", 'json = "a\\u0000b"', "train"),
    "empty file name": toml("json: '' is not a text", "json = ''", "train"),
    "a number for a table": toml("router_options: 3 is not a table", "router_options = 3"),
    "router's shares in words": toml("rho must lie in 0..1, got 'x'", "allocation = 'mass'\n[router_options]\nrho='x'"),
    "router's thresholds in words": toml("needs thresholds, a list of numbers",
                                         "allocation = 'threshold'\n[router_options]\nthresholds = ['x']"),
    "router's levels in words": toml("levels must rise and stay within",
                                     "allocation = 'quantile'\nmean_experts = 2\n[router_options]\nlevels = ['a']"),
    "threads in words": toml("threads: 'x' is not an integer", "threads = 'x'", "predict", "a film"),
    "seed in words": toml("seed: 'x' is not an integer", "seed = 'x'", "evaluate"),
    "unknown backend": toml("backend: 'gpu' is not one of numpy, cupy, cudasim", "backend = 'gpu'", "info"),
    "checkpoint is a number": toml("checkpoint: 3 is not a text", "checkpoint = 3", "predict", "a film"),
    "router is a number": toml("router: 3 is not a text", "router = 3", "inspect", "a film"),
    "plot is a number": toml("plot: 3 is not a text", "plot = 3", "inspect", "a film"),
    "jobs in words": toml("--jobs x is not an integer", "jobs = 'x'", "compare", "g.toml", "--out", "o"),
    "set is a number": toml("common: 3 is not a table", "common = 3", "compare", "g.toml", "--out", "o"),
    "it is a folder": option("Is a directory", "train", "--config", "{}"),
    "grid nested without end": option(r"g\.toml: TOML: brackets are nested", "compare", "{}/g.toml", "--out", "o",
                                      **{"g.toml": "seeds = " + "[" * 50_000}),
    "grid of nothing": option("there are no rows", "compare", "{}/g.toml", "--out", "o", **{"g.toml": ""}),
}

OPTIONS = {
    "dense with a router": option("leave out router", "train", "--experts", "0", "--router", "topk"),
    "dense with k": option("leave out k_min, k_max", "train", "--experts", "0", "--k-min", "1", "--k-max", "2"),
    "mean without a schedule that keeps it": option("mean_experts does nothing under allocation='ceil'", "train",
                                                    "--mean-experts", "2"),
    "mean above the experts": option("it must lie in k_min=1 .. k_max=8", "train", "--allocation", "budget",
                                     "--mean-experts", "9"),
    "k_min of a router without it": option("router switch: option 'k_min' is not one of", "train", "--router", "switch",
                                           "--k-min", "2"),
    "built-in task with a folder": option("leave out --data-dir for a built-in", "train", "--data-dir", "{}"),
    "layers of another model": option("layers: 9 does not fit the model in", "train", "--init-from", "{packaged}",
                                      "--layers", "9"),
    "tokenizer of another model": option("tokenizer: wordpiece is not that of the model", "train", "--init-from",
                                         "{packaged}", "--tokenizer", "wordpiece"),
    "unknown tokenizer": option("tokenizer: 'bpe' is not one of word, wordpiece", "train", "--tokenizer", "bpe"),
    "two texts for one": option("sentiment reads one text", "inspect", "a", "b"),
    "too many texts": option("unrecognized arguments: c", "predict", "a", "b", "c"),
    "no text": option("required: text", "predict"),
    "text of marks that are not seen": option("has no words", "predict", "\u200b\u200b"),
    "text of a NUL": option(r"the text '\\x00' has no words", "predict", "\0"),
    "option without value": option("--seed: expected one argument", "train", "--seed"),
    "shortened option": option("unrecognized arguments", "train", "--epoch", "3"),
    "router option without key": option("'=3' is not KEY=VALUE", "train", "--router-option", "=3"),
    "empty task": option("task: '' is not a text", "evaluate", "--task", ""),
    "unknown split": option("split is 'mars'", "evaluate", "--split", "mars"),
    "resume without a folder": option("--resume needs --out", "train", "--resume"),
    "pretrain without a folder": option("pretrain needs --out", "pretrain"),
    "compare without a grid": option("compare needs a grid", "compare", "--out", "o", "--dry-run"),
    "report of nothing": option("there is no such folder", "compare", "--out", "o", "--report"),
}

OUTPUTS = {
    "two outputs of one name": option("a: two outputs have this name; give each its own", "inspect", "a film",
                                      "--json", "a", "--export", "a"),
    "plot over figures": option("two outputs have this name", "inspect", "a film", "--json", "./a.png", "--plot",
                                "a.png"),
    "figures in the folder's place": option("two outputs have this name", "train", *TINY, "--out", "run", "--json",
                                            "run"),
    "figures into a folder": option("this is a folder", "info", "--json", "."),
    "figures into no folder": option("there is no folder .*no; make it first", "info", "--json", "no/f.json"),
    "figures under a file": option("there is no folder", "predict", "a film", "--json", "{}/f/x.json", f="a file"),
    "name too long": option("File name too long", "inspect", "a film", "--export", "x" * 300),
    "run under a file": option("f/run", "train", *TINY, "--no-baseline", "--out", "{}/f/run", f="a file"),
    "pretrain over a file": option(r"/f: File exists", "pretrain", *TINY, "--text", "{}/a.txt", "--out", "{}/f",
                                   f="a file", **{"a.txt": "one two three four\n" * 30}),
    "results over a file": option("o: File exists", "compare", "{}/g.toml", "--out", "{}/o", o="a file",
                                  **{"g.toml": "tasks = ['sentiment']\n[rows.a]\nmax_steps = 1\n"}),
    "figures over the configuration": option("c.toml: " + READ, "train", *TINY, "--config", "{}/c.toml", "--json",
                                             "{}/c.toml", **{"c.toml": "seed = 1\n"}),
    "figures over the router": option("r.py: " + READ, "train", *TINY, "--router", "{}/r.py:Mine", "--json", "{}/r.py",
                                      **{"r.py": "x = 1\n"}),
    "figures over the data": option("train.tsv: " + READ, "train", *TINY, "--task", "sst2", "--data-dir", "{}",
                                    "--json", "{}/SST-2/train.tsv", **{"SST-2/train.tsv": "x"}),
    "figures over the text": option("a.txt: " + READ, "pretrain", *TINY, "--text", "{}/a.txt", "--out", "run", "--json",
                                    "{}/../given/a.txt", **{"a.txt": "one two three four\n" * 30}),
    "figures over the model": option("s.safetensors: " + READ, "predict", "a film", "--checkpoint", "{}", "--json",
                                     "{}/s.safetensors", **{"s.safetensors": "x"}),
    "figures in the new model's place": option("n.safetensors: " + READ, "train", *TINY, "--out", "{}/d", "--json",
                                               "{}/d/baseline/n.safetensors", **{"d/baseline/x": "x"}),
    "figures over the grid": option("g.toml: " + READ, "compare", "{}/g.toml", "--out", "o", "--json", "{}/g.toml",
                                    **{"g.toml": "tasks = ['sentiment']\n[rows.a]\nmax_steps = 1\n"}),
    "figures over a result": option("t--a--0.json: " + READ, "compare", "{}/g.toml", "--out", "{}/o", "--json",
                                    "{}/o/t--a--0.json", **{"g.toml": "tasks = ['sentiment']\n[rows.a]\n",
                                                            "o/t--a--0.json": "{}"}),
    "one file by two ways": option("two outputs have this name", "inspect", "a film", "--json", "{}/d/../a", "--export",
                                   "{}/a", **{"d/x": "x"}),
    "picture of no kind": option("the name must end in .png, .svg, .pdf", "inspect", "a film", "--plot", "a.gif"),
}
