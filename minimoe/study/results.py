"""Result files: one per cell, written whole or not at all, and never mistaken for those of another grid."""
from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np

from minimoe.files import write_json
from minimoe.study.grid import KINDS, Cell, whole_config
from minimoe.study.result_file import read_result

PATHS = ("data_dir", "init_from", "text", "held_out")           # kept as names: where they lie is nobody's business
FREE = ("out", "save_every")                                    # do not move a result


def recorded(config) -> dict:
    """A whole configuration as a result file keeps it: every key that decides the result, of a path its last part."""
    values = {key: value for key, value in config.to_dict().items() if key not in FREE}
    for key in PATHS:
        value = values.get(key)
        if value:
            values[key] = _last(value) if isinstance(value, str) else [_last(path) for path in value]
    path, colon, name = values["router"].rpartition(":")
    values["router"] = f"{_last(path)}{colon}{name}"
    return json.loads(json.dumps(values))


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def stored(folder, cell: Cell) -> dict | None:
    """The cell's result in `folder`, None when it has not been run. Raises ValueError, naming the cell, when the file
    there is no result, or that of another configuration."""
    path = Path(folder) / cell.file
    if not path.exists():
        return None
    advice = f"; give another --out or remove {path}"
    try:
        result = read_result(path, whole=False)
    except ValueError as error:
        raise ValueError(f"{cell.name}: its file is not a result of minimoe{advice} ({error})") from None
    for key, now in recorded(whole_config(cell)).items():
        before = result["config"].get(key, _default(cell, key))
        if before != now:
            raise ValueError(f"{cell.name} is there already with {key} {before!r}, the grid has {now!r}{advice}")
    return result


def _default(cell: Cell, key: str):
    """What a key meant before there was one."""
    field = next(f for f in fields(KINDS[cell.kind]) if f.name == key)
    return field.default if field.default is not MISSING else field.default_factory()


def store(folder, cell: Cell, result: dict) -> None:
    """Writes the cell's result; an interruption leaves the old file or the new one."""
    write_json(Path(folder) / cell.file, result)


def row_means(cells: list[Cell], results: dict[str, dict | None]) -> list[dict]:
    """One line per task and row for `summary.table`: the mean over the seeds whose results are there, by cell name."""
    groups: dict[tuple[str, str], list] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.row), []).append(results[cell.name])
    lines = []
    for (task, row), found in groups.items():
        there = [result for result in found if result]
        scores, experts = ([result[key] for result in there] for key in ("score", "mean_experts_per_token"))
        lines.append({"task": task, "row": row, "seeds": f"{len(there)}/{len(found)}",
                      "metric": there[0]["metric"] if there else "-",
                      "score": f"{np.mean(scores):.4f}" if there else "-",
                      "sd": f"{np.std(scores, ddof=1):.4f}" if len(there) > 1 else "-",
                      "experts/token": f"{np.mean(experts):.2f}" if there else "-"})
    return lines
