"""Reading the GLUE tasks (Wang et al. 2019) from a folder in their published layout.

    DIR/CoLA/train.tsv  DIR/SST-2/train.tsv  DIR/MRPC/train.tsv  DIR/RTE/train.tsv  DIR/STS-B/train.tsv
    DIR/WNLI/train.tsv  DIR/QNLI/train.tsv   DIR/QQP/train.tsv   DIR/MNLI/train.tsv
    each with dev.tsv and test.tsv; MNLI has dev_matched.tsv, dev_mismatched.tsv, test_matched.tsv, test_mismatched.tsv

The files are UTF-8 text, one example a line, columns separated by TAB, and nothing else is special: a quotation mark is
a letter, so they must not be read as CSV. The columns are found by their names in the first line; only CoLA's train and
dev files have no such line. A damaged line is an error that names file and line; only QQP's, of which the published
files have a few (nyu-mll/GLUE-baselines#5), are left out with a warning that counts them.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

from minimoe.data.dataset import Dataset, Example

YES_NO = ("0", "1")
ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class _Task:
    """Where a task's columns are, and what its labels mean. An empty `classes` means a number from 0 to 5."""

    folder: str
    text: str
    pair: str | None
    label: str
    classes: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]


TASKS = {
    "cola": _Task("CoLA", "sentence", None, "label", YES_NO, ("unacceptable", "acceptable"), ("matthews",)),
    "sst2": _Task("SST-2", "sentence", None, "label", YES_NO, ("negative", "positive"), ("accuracy",)),
    "mrpc": _Task(
        "MRPC", "#1 String", "#2 String", "Quality", YES_NO, ("different", "paraphrase"), ("accuracy", "f1")
    ),
    "rte": _Task("RTE", "sentence1", "sentence2", "label", ENTAILMENT, ENTAILMENT, ("accuracy",)),
    "stsb": _Task("STS-B", "sentence1", "sentence2", "score", (), ("similarity",), ("pearson", "spearman")),
    "wnli": _Task("WNLI", "sentence1", "sentence2", "label", YES_NO, ("does not follow", "follows"), ("accuracy",)),
    "qnli": _Task("QNLI", "question", "sentence", "label", ENTAILMENT, ENTAILMENT, ("accuracy",)),
    "qqp": _Task(
        "QQP", "question1", "question2", "is_duplicate", YES_NO, ("different", "duplicate"), ("accuracy", "f1")
    ),
    "mnli": _Task(
        "MNLI",
        "sentence1",
        "sentence2",
        "gold_label",
        ("entailment", "neutral", "contradiction"),
        ("entailment", "neutral", "contradiction"),
        ("accuracy",),
    ),
}
MNLI_SPLITS = ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched")


def load_glue(task: str, data_dir: str | Path, split: str) -> Dataset:
    """The `split` of `task` from `data_dir`, which has the published layout (see the top of this file).

    task: cola sst2 mrpc rte stsb wnli qnli qqp mnli. split: train, dev or test; for mnli also dev_matched (which `dev`
    means), dev_mismatched, test_matched (which `test` means) and test_mismatched.
    Class numbers follow `Dataset.label_names`; STS-B's label is a float from 0 to 5; test labels are None.
    FileNotFoundError if the file is not there; ValueError for any other trouble, naming file and line.
    """
    if task not in TASKS:
        raise ValueError(f"load_glue: task is {task!r}; needed one of {' '.join(TASKS)}")
    split = _split_name(task, split)
    facts = TASKS[task]
    path = Path(data_dir) / facts.folder / f"{split}.tsv"
    lines = _read_lines(path)
    is_test = split.startswith("test")

    if task == "cola" and not is_test:  # no header: source, label, mark, sentence
        columns, width, first = {"label": 1, "sentence": 3}, 4, 0
    else:
        header = lines[0].split("\t")
        columns, width, first = {name: i for i, name in enumerate(header)}, len(header), 1
        needed = [facts.text, facts.pair, None if is_test else facts.label]
        for name in needed:
            if name is not None and header.count(name) != 1:
                raise ValueError(
                    f"load_glue: {path}, line 1 names the columns {str(header):.200}; {facts.folder} needs one named"
                    f" {name!r}. Use the published file, first line included"
                )
    if len(lines) == first:
        raise ValueError(f"load_glue: {path} holds no examples, only its header; get the published file again")

    examples, damaged = [], []
    for number, line in enumerate(lines[first:], start=first + 1):
        fields = line.split("\t")
        if len(fields) != width and task == "qqp":
            damaged.append(number)
            continue
        if len(fields) != width:
            raise ValueError(
                f"load_glue: {path}, line {number} has {len(fields)} columns separated by TAB; needed {width}"
                f" as in the rest of {facts.folder}. Repair or delete the line"
            )
        label = None if is_test else _label(fields[columns[facts.label]], facts, path, number)
        pair = None if facts.pair is None else fields[columns[facts.pair]]
        examples.append(Example(fields[columns[facts.text]], pair, label))
    if not examples:
        raise ValueError(f"load_glue: {path}: every line is damaged (not {width} columns); get the published file "
                         "again")
    if damaged:
        warnings.warn(f"load_glue: {path}: left out {len(damaged)} damaged lines (not {width} columns), the first is "
                      f"line {damaged[0]}", stacklevel=2)
    n_classes = len(facts.classes) or 1
    return Dataset(task, split, tuple(examples), n_classes, facts.metrics, facts.label_names)


def _split_name(task: str, split: str) -> str:
    """The name of the split's file without `.tsv`."""
    splits = MNLI_SPLITS if task == "mnli" else ("train", "dev", "test")
    name = f"{split}_matched" if task == "mnli" and split in ("dev", "test") else split
    if name not in splits:
        raise ValueError(f"load_glue: split is {split!r}; {task} has {' '.join(splits)}")
    return name


def _read_lines(path: Path) -> list[str]:
    r"""The file's lines. Only "\n" ends one (or "\r\n"): str.splitlines would also split at marks inside a text."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"load_glue: no file {path.name} in {path.parent}; needed the published layout,"
            f" DATA_DIR/{path.parent.name}/{path.name} (folders {' '.join(t.folder for t in TASKS.values())})"
        ) from None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ValueError(
            f"load_glue: {path}, line {line} holds a NUL byte; the file is damaged or UTF-16, convert it to UTF-8"
        )
    try:
        text = data.decode("utf-8-sig")  # drops a byte-order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"load_glue: {path}, line {line} is not UTF-8; convert the file to UTF-8") from None
    lines = text.rstrip("\r\n").split("\n")
    if lines == [""]:
        raise ValueError(f"load_glue: {path} is empty; get the published file again")
    return [line.removesuffix("\r") for line in lines]


def _label(text: str, facts: _Task, path: Path, number: int) -> int | float:
    """The class number, or for a task without classes the score."""
    if facts.classes:
        if text in facts.classes:
            return facts.classes.index(text)
        needed = " or ".join(facts.classes)
    else:
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if 0 <= score <= 5:
            return score
        needed = "a number from 0 to 5"
    raise ValueError(f"load_glue: {path}, line {number} has the label {text!r:.60}; {facts.folder} needs {needed}")
