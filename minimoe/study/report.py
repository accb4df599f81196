"""The report on one or several grids: tables, figures and a verdict, all made from the result files alone."""
from __future__ import annotations

from pathlib import Path

from minimoe.files import write_text
from minimoe.study.comparisons import compare_rows
from minimoe.study.report_figures import captions, write_figures
from minimoe.study.report_text import report_text
from minimoe.study.rows import Row, groups, read_rows
from minimoe.study.tables import csv_text, difference_record, row_record
from minimoe.study.verdicts import read_marks


def write_report(folder) -> list[Path]:
    """Writes report.md, rows.csv, differences.csv and figures/*.svg into `folder`, from the result files in it and in
    the folders in it, each of which counts as a grid of its own. marks.json there or one folder up gives the marks.

    Returns what was written; the same results give the same bytes. Raises ValueError when there are no results or one
    is damaged, and ImportError, after the tables are written, when matplotlib is missing.
    """
    folder = Path(folder)
    rows = read_rows(folder)
    if not rows:
        raise ValueError(f"{folder}: there are no results here; run minimoe compare GRID.toml --out {folder}")
    measured, comparisons = read_marks(folder), compare_rows(rows)
    texts = {"rows.csv": csv_text(row_records(rows, measured))}
    if comparisons:
        texts["differences.csv"] = csv_text([difference_record(one) for one in comparisons])
    texts["report.md"] = report_text(rows, comparisons, measured, captions(rows, comparisons))
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts] + write_figures(folder, rows, comparisons, measured)


def row_records(rows: list[Row], measured: dict) -> list[dict]:
    """What rows.csv holds."""
    return [row_record(row, group, measured) for group in groups(rows) for row in group]
