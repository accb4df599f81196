"""A grid of runs, task x row x seed, described in one TOML file.

    kind = "train"                        # or "pretrain", which has no tasks
    seeds = [0, 1, 2]
    tasks = ["sentiment", "acceptability"]
    [common]                              # any key of `minimoe train --config`
    epochs = 3
    [rows.switch]                         # what is compared: any of the same keys
    router = "switch"
    [rows.budget]
    mean_experts = 2
    allocation = "budget"
    seeds = [0]                           # a row may have seeds and tasks of its own, in place of the grid's
    [tasks_options.sentiment]             # keys for one task only
    epochs = 5
    seeds = [0, 1]                        # in place of the grid's; a row's own win

A cell's configuration is [common], in which --set, --threads and --backend of `minimoe compare` win, then the task's
options, then the row's keys; the later wins, tables of router options are joined. In `out` and `init_from`, {task},
{row} and {seed} stand for the cell's own: so a pretrain grid can keep its models and a train grid can start from them.
Paths start at the current folder.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minimoe.backend import get_backend
from minimoe.training.config import PretrainConfig, RunConfig, TrainConfig
from minimoe.training.task import check_model, start_from
from minimoe.training.values import check_value, parse_toml, with_underscores

KINDS = {"train": TrainConfig, "pretrain": PretrainConfig}
KEYS = ("kind", "seeds", "tasks", "common", "rows", "tasks_options")
NO_TASK = "mlm"                                     # what a pre-training cell is called in place of a task
NAME = re.compile(r"[A-Za-z0-9_.+=](-?[A-Za-z0-9_.+=])*")       # safe in a file's name; "--" parts the name of a cell


@dataclass(frozen=True)
class Cell:
    """One run of the grid. config: complete but for the defaults, its `resolved()` fills them in."""

    kind: str
    task: str
    row: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        return f"{self.task}/{self.row}/{self.seed}"

    @property
    def file(self) -> str:
        return f"{self.task}--{self.row}--{self.seed}.json"


def read_grid(path, options: dict | None = None, seed: int | None = None) -> list[Cell]:
    """The cells of a grid file, seeds outermost, so that a part of them is a balanced grid.

    options: keys of [common] that win over the file's [common], not over its tasks' and rows'; seed: the only one, in
    place of the file's lists. Every configuration is checked. Raises ValueError with one line that names file and table
    or cell, also for an option that reaches no cell, OSError when there is no file.
    """
    try:
        values = parse_toml(Path(path).read_text(encoding="utf-8-sig"))
        return grid_cells(values, options, seed)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def grid_cells(values: dict, options: dict | None = None, seed: int | None = None) -> list[Cell]:
    """`read_grid` for values that are read already."""
    for key in values:
        if key not in KEYS:
            raise ValueError(f"there is no key {key!r} here; a grid has {', '.join(KEYS)}; keys of a run belong into "
                             "[common] or a row")
    kind = values.get("kind", "train")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is not {' or '.join(KINDS)}")
    if kind == "pretrain" and ("tasks" in values or "tasks_options" in values):
        raise ValueError("tasks: a pretrain grid has none, its only task is the masked language model")
    seeds = _list("seeds", values.get("seeds", [0]), int)
    tasks = _list("tasks", values.get("tasks", []), str, empty=True) if kind == "train" else [NO_TASK]
    common, options = _table("[common]", values.get("common", {})), _table("--set", options or {})
    by_task, seeds_of = {}, {}
    for task, keys in _tables("tasks_options", values.get("tasks_options", {})).items():
        where = f"[tasks_options.{task}]"
        seeds_of[task] = _list(f"{where} seeds", keys.get("seeds", seeds), int)
        by_task[task] = _table(where, {key: value for key, value in keys.items() if key != "seeds"})
    cells, tables = [], []
    for row, keys in _rows(values.get("rows", {})).items():
        where = f"[rows.{row}]"
        own_seeds = _list(f"{where} seeds", keys["seeds"], int) if "seeds" in keys else None
        own_tasks = _list(f"{where} tasks", keys.get("tasks", tasks), str) if kind == "train" else tasks
        own = ("seeds", "tasks") if kind == "train" else ("seeds",)
        keys = _table(where, {key: value for key, value in keys.items() if key not in own})
        for task in own_tasks:
            tables.append(_joined(by_task.get(task, {}), keys))
            cells += [_cell(kind, task, row, number, _joined(common | options, tables[-1]))
                      for number in ([seed] if seed is not None else own_seeds or seeds_of.get(task, seeds))]
    for task in by_task:
        if task not in {cell.task for cell in cells}:
            raise ValueError(f"[tasks_options.{task}]: no row has the task {task!r}")
    _check_options(options, common, tables)
    _check_folders(cells)
    seeds = list(dict.fromkeys([*seeds, *(cell.seed for cell in cells)]))
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    return sorted(cells, key=lambda cell: (seeds.index(cell.seed), tasks.index(cell.task)))     # rows keep their order


def _cell(kind: str, task: str, row: str, seed: int, values: dict) -> Cell:
    """One cell with its configuration checked, the model included."""
    values = {"threads": 1} | values | {"seed": seed}
    for key in ("out", "init_from"):
        if isinstance(values.get(key), str):
            for part, own in (("{task}", task), ("{row}", row), ("{seed}", str(seed))):
                values[key] = values[key].replace(part, own)
    if kind == "train":
        values["task"] = task
    try:
        cell = Cell(kind, task, row, seed, KINDS[kind].from_dict(values))
        get_backend(cell.config.backend)
        check_model(cell.config)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(f"{task}/{row}/{seed}: {error}") from error
    return cell


def _rows(rows) -> dict[str, dict]:
    rows = _tables("rows", rows)
    if not rows:
        raise ValueError("there are no rows; a grid compares tables like [rows.switch]")
    seen: dict[str, str] = {}
    for row in rows:
        if not NAME.fullmatch(row):
            raise ValueError(f"[rows.{row}]: a row's name is part of a file's name; use letters, digits and _.+= with "
                             "single dashes inside")
        if row.lower() in seen:
            raise ValueError(f"[rows.{row}]: there is {seen[row.lower()]!r} already; names must differ in more than "
                             "upper and lower case")
        seen[row.lower()] = row
    return rows


def _tables(name: str, tables) -> dict[str, dict]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"{name}: these are tables, as in [{name}.NAME]")
    return tables


def _table(where: str, table) -> dict:
    """The keys of a run in one table, dashes read as underscores."""
    if not isinstance(table, dict):
        raise ValueError(f"{where}: {table!r} is not a table")
    try:
        table = with_underscores(table)
        check_value("router_options", table.get("router_options", {}))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    for key in ("seed", "task", "seeds", "tasks"):
        if key in table:
            raise ValueError(f"{where} {key}: the grid sets it, with its lists of seeds and tasks")
    return table


def _list(where: str, values, kind: type, empty: bool = False) -> list:
    """A list without repetitions of seeds or tasks."""
    wanted = "integers" if kind is int else "names of tasks"
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{where}: {values!r} is not a list of {wanted}")
    if not values and not empty:
        raise ValueError(f"{where}: there are none; give a list of {wanted}")
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{where}: {value!r} is there twice")
    return values


def _joined(*tables: dict) -> dict:
    """Later tables win; router options are joined key by key."""
    whole, options = {}, {}
    for table in tables:
        whole |= table
        options |= table.get("router_options", {})
    return whole | ({"router_options": options} if options else {})


def _check_options(options: dict, common: dict, tables: list[dict]) -> None:
    """Every option must change a cell. tables: what each row sets itself, with the options of each of its tasks."""
    for key in options:
        if all(key in own and _joined(common, own)[key] == _joined(common | options, own)[key] for own in tables):
            name = f"--{key}" if key in ("threads", "backend") else f"--set {key}"
            raise ValueError(f"{name}: every row sets it itself, so that this changes nothing; leave it out or change "
                             "the rows")


def _check_folders(cells: list[Cell]) -> None:
    """Cells that keep their checkpoints must not share a folder."""
    owners: dict[str, str] = {}
    for cell in cells:
        folder = cell.config.out
        if folder is not None and owners.setdefault(folder, cell.name) != cell.name:
            raise ValueError(f"out: {folder} would hold {owners[folder]} and {cell.name}; put {{task}}, {{row}} and "
                             "{seed} into it")


def find_cell(cells: list[Cell], name: str) -> Cell:
    """The cell called `name`. Raises ValueError when there is none."""
    for cell in cells:
        if cell.name == name:
            return cell
    raise ValueError(f"--cell {name}: the grid has no such cell; a cell is TASK/ROW/SEED, as in {cells[0].name}")


def whole_config(cell: Cell) -> RunConfig:
    """The cell's configuration with its defaults, and with the sizes of a model it starts from, as it will be run."""
    return start_from(cell.config)[0] if getattr(cell.config, "init_from", None) else cell.config.resolved()
