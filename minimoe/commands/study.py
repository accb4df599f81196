"""The paper's question as a grid of runs: `compare`."""
from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from minimoe.files import write_json
from minimoe.study.cells import check_data
from minimoe.study.estimate import estimate_seconds
from minimoe.study.grid import Cell, find_cell, read_grid
from minimoe.study.pool import default_jobs, run_cells
from minimoe.study.results import row_means, store, stored
from minimoe.study.summary import table


def compare(grid=None, out=None, jobs=None, dry_run=False, cell=None, report=False, common=(), seed=None, threads=None,
            backend=None, json=None, quiet=False) -> int:
    """Runs every cell of a grid that has no result yet, then says what each row reached."""
    if not out:
        raise ValueError("compare needs --out, the folder for the results")
    if jobs is not None and not (type(jobs) is int and jobs >= 1):
        raise ValueError(f"--jobs {jobs} is not an integer of at least 1")
    if grid is None:
        if not report or cell or dry_run:
            raise ValueError("compare needs a grid, a TOML file; only --report does without")
        return _report(out)
    options = {"threads": threads, "backend": backend}
    cells = read_grid(grid, dict(common) | {key: value for key, value in options.items() if value is not None}, seed)
    if cell:
        cells = [find_cell(cells, cell)]
    results = {c.name: stored(out, c) for c in cells}
    to_do = [c for c in cells if cell or results[c.name] is None]
    check_data(to_do)
    jobs = jobs or default_jobs(cells)
    if dry_run:
        return _list(cells, to_do, jobs, json)
    _make_folder(out)
    if cell:
        return _once_more(cells[0], results[cell], out, json)
    failed = _run(to_do, out, jobs, quiet, results)
    if not quiet:
        print(table(row_means(cells, results)))
    if json:
        write_json(json, {"cells": len(cells), "ran": len(to_do) - len(failed), "failed": failed,
                          "scores": {name: result["score"] for name, result in results.items() if result}})
    if report:
        _report(out)
    return 1 if failed else 0


def _run(to_do: list[Cell], out: str, jobs: int, quiet: bool, results: dict) -> dict[str, str]:
    """Runs the cells, fills in `results` and returns why which failed."""
    failed: dict[str, str] = {}
    bar = tqdm(total=len(to_do), desc="cells", unit="cell", disable=quiet or not to_do, dynamic_ncols=True)
    try:
        with bar, closing(run_cells(to_do, jobs)) as outcomes:
            for outcome in outcomes:
                name = outcome.cell.name
                _say(outcome)
                if outcome.error is None:
                    store(out, outcome.cell, outcome.result)
                    results[name] = outcome.result
                    bar.set_postfix_str(f"{name} {outcome.result['score']:.4f}", refresh=False)
                else:
                    failed[name] = outcome.error
                bar.update()
    except KeyboardInterrupt:
        done = sum(results[c.name] is not None for c in to_do)
        raise KeyboardInterrupt(f"{done} of {len(to_do)} cells are done and kept in {out}; the same command goes on"
                                ) from None
    return failed


def _once_more(cell: Cell, before: dict | None, out: str, json) -> int:
    """Runs one cell; where it has a result already, says whether it came out the same."""
    if before is not None:                          # from its first step, not from a checkpoint that it kept
        cell = replace(cell, config=replace(cell.config, out=None))
    with closing(run_cells([cell], 1)) as outcomes:
        outcome = next(outcomes)
    _say(outcome)
    if outcome.error is not None:
        return 1
    score = outcome.result["score"]
    if json:
        write_json(json, outcome.result)
    if before is None:
        store(out, cell, outcome.result)
        print(f"{cell.name}: score {score!r}, written to {Path(out) / cell.file}")
        return 0
    if score == before["score"]:
        print(f"{cell.name}: score {score!r}, equal to the stored one bit for bit")
        return 0
    print(f"{cell.name}: score {score!r} is not the stored one, {before['score']!r}{_moved(before, outcome.result)}")
    return 1


def _moved(before: dict, now: dict) -> str:
    """What changed between two runs of a cell, as far as their results tell."""
    changed = [name for name in ("source", "machine") if before.get(name) != now.get(name)]
    return f"; {' and '.join(changed)} changed in between" if changed else ""


def _list(cells: list[Cell], to_do: list[Cell], jobs: int, json) -> int:
    """What is done, what is to do, and about how long it takes."""
    seconds = estimate_seconds(to_do)
    print(table([{"cell": c.name, "state": "to do" if c.name in seconds else "done",
                  "time": _duration(seconds[c.name]) if c.name in seconds else "-"} for c in cells]))
    total = max(sum(seconds.values()) / jobs, max(seconds.values(), default=0.0))
    print(f"\n{len(cells)} cells, {len(cells) - len(to_do)} done, {len(to_do)} to do"
          + (f": about {_duration(total)}, {jobs} at a time, by a few steps of each row" if to_do else ""))
    if json:
        write_json(json, {"cells": [{"name": c.name, "done": c.name not in seconds, "seconds": seconds.get(c.name)}
                                    for c in cells], "jobs": jobs, "seconds": total})
    return 0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _make_folder(out: str) -> None:
    """Refuses a folder that cannot be written before the work, not after it."""
    Path(out).mkdir(parents=True, exist_ok=True)
    probe = Path(out) / ".writable"
    probe.write_text("", encoding="utf-8")
    probe.unlink()


def _report(out: str) -> int:
    if not Path(out).is_dir():
        raise ValueError(f"--out {out}: there is no such folder, so there are no results to report")
    from minimoe.study.report import write_report  # late: it may draw, and most runs report nothing

    for path in write_report(out):
        print(path)
    return 0


def _say(outcome) -> None:
    """A cell's warnings and its failure, above the progress bar."""
    for text in [*outcome.warnings, *([f"failed: {outcome.error}"] if outcome.error is not None else [])]:
        tqdm.write(f"minimoe: {outcome.cell.name}: {text}", file=sys.stderr)
