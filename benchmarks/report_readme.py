"""Everything that is published of the grids, from their result files: one command for every table and figure.

    python benchmarks/report_readme.py              # from benchmarks/results/GRID/*.json
    python benchmarks/report_readme.py --check      # status 1 where README.md says anything else than the files

Writes a report into the folder of every grid, the section of README.md between its two marks, and the rows that ship
with the package, which `minimoe.study.published.load_results` reads.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marked import replaced

from minimoe.files import write_text
from minimoe.study.comparisons import compare_rows
from minimoe.study.report import row_records, write_report
from minimoe.study.report_text import decisive_table, scores_overview
from minimoe.study.rows import Row, groups, read_rows
from minimoe.study.tables import csv_text
from minimoe.study.verdicts import decisive_of, evidence, overall, read_marks

ROOT = Path(__file__).parents[1]
PLANNED = ("builtin", "words", "glue")              # what was to be measured was fixed before anything was
MEAN = 2                                            # experts per word of the rows whose scores README.md lists
BEGIN, END = "<!-- results:start -->", "<!-- results:end -->"


def section(rows: list[Row], measured: dict) -> str:
    """What README.md says between its marks: the planned grids in tables, of the others what they say together."""
    planned, further = ([row for row in rows if (row.grid in PLANNED) == wanted] for wanted in (True, False))
    parts = []
    if planned:
        decisive = decisive_of(planned, compare_rows(planned), measured)
        parts += [overall(decisive), *([decisive_table(decisive)] if decisive else []),
                  "Scores, mean ± sample standard deviation over seeds (budgets of other means are in the reports):",
                  scores_overview([row for row in planned if row.config["mean_experts"] in (None, MEAN)], measured),
                  "\n".join(f"- {group[0].group}: {evidence(group, measured)}" for group in groups(planned))]
    if further:
        parts += [f"Further rows and attempts to do better ({', '.join(grids_of(further))}). "
                  + overall(decisive_of(further, compare_rows(further), measured))]
    reports = ", ".join(f"[{grid}](benchmarks/results/{grid}/report.md)" for grid in grids_of(rows))
    return "\n\n".join([*parts, f"All tables, intervals and figures: {reports}."])


def grids_of(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.grid for row in rows))


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Reports, README section and shipped rows from the result files.")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--shipped", type=Path, default=ROOT / "minimoe" / "assets" / "results" / "rows.csv")
    parser.add_argument("--check", action="store_true", help="write nothing, compare README.md with the files")
    options = parser.parse_args(arguments)
    try:
        text = options.readme.read_text(encoding="utf-8")
        rows = read_rows(options.results)
        if not rows:
            raise ValueError(f"{options.results}: there are no results here; run minimoe compare first")
        measured = read_marks(options.results)
        wanted = replaced(text, BEGIN, END, section(rows, measured))
        if options.check:
            print(f"{options.readme}: {'as the results say' if text == wanted else 'is not what the results say'}")
            return int(text != wanted)
        written = [path for grid in grids_of(rows) for path in write_report(options.results / grid)]
        options.shipped.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.shipped, csv_text(row_records(rows, measured)))
        write_text(options.readme, wanted)
    except (OSError, ValueError, ImportError) as error:
        print(f"report_readme.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in [*written, options.shipped, options.readme]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
