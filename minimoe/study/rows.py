"""The result files of one or several grids, gathered into rows: one row is one configuration over its seeds."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from minimoe.moe.controls import split_controls
from minimoe.study.result_file import read_result

ROLES = ("dense", "fixed", "control", "own", "importance")      # the order of every table and figure
BLIND = ("uniform", "random", "router_entropy")                 # measures that no attention went into
HERE = ""                                                       # the grid of result files that lie in no sub-folder


@dataclass(frozen=True)
class Row:
    """results: of one grid, task and row, in the order of their seeds."""

    grid: str
    task: str
    name: str
    results: tuple[dict, ...]

    @property
    def group(self) -> str:
        """What the rows of one comparison share, in words."""
        return f"{self.task} ({self.grid})" if self.grid else self.task

    @cached_property
    def scores(self) -> dict[int, float]:
        """Seed -> score."""
        return {result["seed"]: result["score"] for result in self.results}

    @property
    def lower_is_better(self) -> bool:
        return self.results[0]["kind"] == "pretrain"            # the score is a loss

    @property
    def metric(self) -> str:
        return self.results[0]["metric"]

    @property
    def config(self) -> dict:
        """The configuration of the first seed."""
        return self.results[0]["config"]

    @property
    def measure(self) -> str | None:
        """What makes a token important; None for routers that do not ask, and for those of one's own that were not
        told."""
        if self.config["experts"] == 0 or self.config["allocation"] == "top_p":
            return None
        own, da = ":" in self.config["router"], self.config["router"] == "da"
        named = self.config["importance"] or self.config["router_options"].get("measure")
        return (named or ("rowmax" if da else None)) if own or da else None

    @property
    def role(self) -> str:
        """One of ROLES: control is importance that carries no information or the wrong one, own another router of
        one's own, fixed every other that asks for no importance."""
        if self.config["experts"] == 0:
            return "dense"
        controls, inner = split_controls(self.measure or "")
        if controls or inner in BLIND:
            return "control"
        if ":" in self.config["router"]:
            return "own"
        return "importance" if self.measure else "fixed"

    def mean(self, key: str) -> float:
        """Mean over the seeds of a number in the results."""
        return float(np.mean([result[key] for result in self.results]))

    def k_shares(self) -> list[dict[int, float]]:
        """Per expert layer: number of experts -> share of the tokens of all seeds, where it is not 0."""
        layers = [np.sum(layer, axis=0) for layer in zip(*(r["k_per_layer"] for r in self.results), strict=True)]
        return [{k: float(n / counts.sum()) for k, n in enumerate(counts) if n} for counts in layers]

    def sd_k(self) -> float | None:
        """Standard deviation of K over the tokens of a layer, mean over the layers; None for a dense row. Near 0, a
        row hardly differs from one with a fixed number of experts."""
        layers = [(np.array(list(shares)), np.array(list(shares.values()))) for shares in self.k_shares()]
        if not layers:
            return None
        return float(np.mean([np.sqrt(shares @ (k - shares @ k) ** 2) for k, shares in layers]))

    def load_cv(self) -> float | None:
        """Coefficient of variation of the experts' loads, mean over layers and seeds; None for a dense row."""
        found = [value for result in self.results for value in result["load_cv"]]
        return float(np.mean(found)) if found else None

    def experts_by_role(self) -> tuple[list[float], list[float]] | None:
        """Experts of the deciding words and of the others, a number for each seed; None where nobody knows them."""
        routed = [result["deciding"].get("routed") for result in self.results]
        if None in routed:
            return None
        return [r["deciding"] for r in routed], [r["others"] for r in routed]

    def by_frequency(self) -> dict[str, np.ndarray] | None:
        """Per class of words their `share`, `importance` and `experts`, means over the seeds; None without importance.
        Seeds that met other classes are left out."""
        found = [result["by_frequency"] for result in self.results]
        classes = [c["first_rank"] for c in found[0]]
        if not classes:
            return None
        same = [several for several in found if [c["first_rank"] for c in several] == classes]
        return {key: np.mean([[c[key] for c in several] for several in same], axis=0)
                for key in ("share", "importance", "experts")}

    def example(self) -> tuple[list[str], np.ndarray] | None:
        """The example's tokens and their experts, mean over the seeds that cut it into the same tokens; None without
        experts."""
        found = [result["example"] for result in self.results]
        if None in found:
            return None
        tokens = found[0]["tokens"]
        return tokens, np.mean([one["experts"] for one in found if one["tokens"] == tokens], axis=0)


def read_rows(folder) -> list[Row]:
    """The rows of all result files in `folder` and in the folders in it, each of which is a grid of its own.

    Sorted by grid, task, role and name. Raises ValueError, naming the file, for one that is no result.
    """
    found: dict[tuple[str, str, str], list[dict]] = {}
    common: dict[tuple, object] = {}
    for path in sorted([*Path(folder).glob("*--*--*.json"), *Path(folder).glob("*/*--*--*.json")]):
        result = _read(path)
        grid = path.parent.name if path.parent != Path(folder) else HERE
        for key, value in _in_common(grid, result).items():
            if common.setdefault(key, value) != value:
                what, group, *_ = key
                raise ValueError(f"{path}: its {what} are not those of other results of its {group}; remove what is "
                                 "wrong and run the cell again")
        row = found.setdefault((grid, result["task"], result["row"]), [])
        if any(other["seed"] == result["seed"] for other in row):
            raise ValueError(f"{path}: there is another result of {result['task']}/{result['row']}/{result['seed']}; "
                             "remove one of them")
        row.append(result)
    rows = [Row(*key, tuple(sorted(results, key=lambda result: result["seed"]))) for key, results in found.items()]
    return sorted(rows, key=lambda row: (row.grid, row.task, ROLES.index(row.role), row.name))


def groups(rows: list[Row]) -> list[list[Row]]:
    """Rows of the same grid and task together: those that may be compared."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return list(found.values())


def _read(path: Path) -> dict:
    try:
        return read_result(path, whole=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; remove it and run the cell again") from None


def _in_common(grid: str, result: dict) -> dict[tuple, object]:
    """What every result of a task, and of a row, must share to stand in one table."""
    task, row = (grid, result["task"]), result["row"]
    return {("metrics", "task", *task): (result["kind"], result["metric"], result["metrics"].keys()),
            ("layers", "row", *task, row): [len(layer) for layer in result["k_per_layer"]]}
