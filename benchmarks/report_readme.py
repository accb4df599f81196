"""Everything that is published of the grids, from their result files: one command for every table and figure.

    python benchmarks/report_readme.py              # from benchmarks/results/GRID/*.json
    python benchmarks/report_readme.py --check      # status 1 where README.md says anything else than the files

Writes the report beside the results, the section of README.md between its two marks, and the rows that ship with the
package, which `minimoe.study.published.load_results` reads.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marked import replaced

from minimoe.files import write_text
from minimoe.study.comparisons import compare_rows
from minimoe.study.report import write_report
from minimoe.study.report_text import decisive_table, scores_overview
from minimoe.study.rows import groups, read_rows
from minimoe.study.verdicts import decisive_of, evidence, overall, read_marks

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results:start -->", "<!-- results:end -->"


def section(results: Path) -> str:
    """What README.md says between its marks."""
    rows = read_rows(results)
    if not rows:
        raise ValueError(f"{results}: there are no results here; run minimoe compare first")
    measured = read_marks(results)
    decisive = decisive_of(rows, compare_rows(rows), measured)
    return "\n\n".join([
        overall(decisive), *([decisive_table(decisive)] if decisive else []),
        "Scores, mean ± sample standard deviation over seeds:", scores_overview(rows),
        "\n".join(f"- {group[0].group}: {evidence(group, measured)}" for group in groups(rows))])


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="Reports, README section and shipped rows from the result files.")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--shipped", type=Path, default=ROOT / "minimoe" / "assets" / "results" / "rows.csv")
    parser.add_argument("--check", action="store_true", help="write nothing, compare README.md with the files")
    options = parser.parse_args(arguments)
    try:
        text = options.readme.read_text(encoding="utf-8")
        wanted = replaced(text, BEGIN, END, section(options.results))
        if options.check:
            print(f"{options.readme}: {'as the results say' if text == wanted else 'is not what the results say'}")
            return int(text != wanted)
        written = write_report(options.results)
        options.shipped.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.shipped, (options.results / "rows.csv").read_text(encoding="utf-8"))
        write_text(options.readme, wanted)
    except (OSError, ValueError, ImportError) as error:
        print(f"report_readme.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in [*written, options.shipped, options.readme]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
