"""Grids and data small enough for a test, and stand-ins for a run; importable, as a fresh process needs them."""
import os
import sys
import time
import warnings
from pathlib import Path

from minimoe.study.grid import grid_cells

TINY = dict(epochs=1, batch_size=8, d_model=8, heads=2, d_ff=4, experts=4, layers=2, max_length=16)
GOOD, BAD = ("good", "fine", "warm", "bright"), ("bad", "cold", "grey", "dull")
REST = ("the", "film", "was", "so", "and", "day", "our", "long")


def toml(rows: str, kind="train", seeds="[0, 1]", tasks='["sst2"]', common=TINY, **more) -> str:
    """A grid file with the tiny sizes and these rows."""
    lines = [f'kind = "{kind}"', f"seeds = {seeds}"] + ([f"tasks = {tasks}"] if kind == "train" else [])
    keys = {**common, **more}
    return "\n".join([*lines, "[common]", *(f"{key} = {_toml(value)}" for key, value in keys.items()), rows, ""])


def _toml(value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return f"'{value}'" if isinstance(value, str | Path) else str(value)


def cells(n: int) -> list:
    """Cells sentiment/switch/0, 1, ... that are never trained."""
    return grid_cells({"seeds": list(range(n)), "tasks": ["sentiment"], "rows": {"switch": {"router": "switch"}}})


def write_glue(folder: Path) -> Path:
    """A tiny SST-2 in the published layout: 120 sentences to train on, 40 to score on, 24 of them positive."""
    (folder / "SST-2").mkdir(parents=True)
    for split, n in (("train", 120), ("dev", 40)):
        lines = ["sentence\tlabel"]
        for i in range(n):
            label = int(i % 5 < 3)
            words = [REST[(i * 7 + j * j) % len(REST)] for j in range(3 + i % 6)]
            words.insert(i % len(words), (GOOD if label else BAD)[i % 4])
            lines.append(f"{' '.join(words)}\t{label}")
        (folder / "SST-2" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_text(path: Path, n=200) -> Path:
    """Paragraphs for a language model."""
    lines = [" ".join([REST[(i * 3 + j * j) % len(REST)] for j in range(8)] + [GOOD[i % 4], "."]) for i in range(n)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# runs that are none
def seed_and_process(cell) -> dict:
    return {"score": cell.seed / 10, "process": os.getpid(), "threads": os.environ["OPENBLAS_NUM_THREADS"]}


def leave_on_seed_1(cell):
    """A router of one's own that ends the program, and says that all is well."""
    if cell.seed == 1:
        sys.exit(0)
    return {"score": 0.5}


def fail_on_seed_1(cell) -> dict:
    if cell.seed == 1:
        raise ValueError("first line\nthe router is odd")
    return {"score": 0.5}


def die_on_seed_1(cell) -> dict:
    if cell.seed == 1:
        os._exit(7)
    return {"score": 0.5}


def warn_twice(cell) -> dict:
    warnings.warn("all predictions are equal", RuntimeWarning, stacklevel=1)
    warnings.warn("all predictions are equal", RuntimeWarning, stacklevel=1)
    return {"score": 0.0}


def say_which_process_and_sleep(cell) -> dict:
    Path(cell.config.out).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(60)
    return {"score": 0.5}


def first_is_slow(cell) -> dict:
    time.sleep(60 if cell.seed == 0 else 0)
    return {"score": 0.5}
