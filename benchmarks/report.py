"""Writes the tables of README.md, between its two marks, from the files that the benchmarks wrote with --json.

    python benchmarks/report.py                 # from benchmarks/results/cpu/*.json
    python benchmarks/report.py --check         # status 1 where README.md says anything else than the files

A file is named after its script, as in ops.json, or ops-2.json for a second run.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fair import columns, ratios
from marked import replaced

from minimoe.cli import Parser
from minimoe.files import write_text

HERE = Path(__file__).parent
BEGIN, END = "<!-- written by report.py: begin -->", "<!-- written by report.py: end -->"
SCRIPTS = ("moe_layer", "encoder_step", "ops", "against_floor", "scaling", "memory", "training_cost")
FIGURES = {"scaling": ("more_experts", "more_tokens", "more_experts_per_token"), "memory": ("memory",)}


def section(folder: Path, figures: Path) -> str:
    """Everything between the marks. Raises ValueError for a file that is not a whole benchmark's."""
    files = sorted(folder.glob("*.json"), key=lambda file: (SCRIPTS.index(script_of(file)), file.stem))
    parts, before = [], None
    for file in files:
        found = read(file)
        parts.append(f"### {file.stem}")
        if found["machine"] != before:
            before = found["machine"]
            parts.append("On " + ", ".join(f"{key} {value}" for key, value in before.items()) + ".")
        parts += tables(found["results"])
        parts += [f"![{name.replace('_', ' ')}](figures/{name}.svg)" for name in FIGURES.get(file.stem, ())
                  if (figures / f"{name}.svg").is_file()]
    return "\n\n".join(parts or ["Nothing was measured yet."])


def script_of(file: Path) -> str:
    name = file.stem.partition("-")[0]
    if name not in SCRIPTS:
        raise ValueError(f"{file}: there is no benchmark of this name; they are {', '.join(SCRIPTS)}")
    return name


def read(file: Path) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found["results"], found["machine"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file}: this is not what a benchmark writes with --json; measure again") from error
    if found["tiny"]:
        raise ValueError(f"{file}: written with --tiny, whose times mean nothing; measure again without")
    return found


def tables(results: dict[str, list[dict]]) -> list[str]:
    """Markdown tables. Neighbours that are one line each, with the same columns, become one table."""
    found: list[tuple[str, list[dict]]] = []
    for title, rows in results.items():
        if list(rows[0]) == ["side", "step", "MiB"]:            # a curve: it is drawn, not written
            continue
        lines = [beside(rows)] if "side" in rows[0] and "ratio" in rows[0] else [columns(row) for row in rows]
        if len(lines) > 1:
            found.append((title, lines))
            continue
        line = {"work": title, **lines[0]}
        if found and list(found[-1][1][0]) == list(line):
            found[-1][1].append(line)
        else:
            found.append(("", [line]))
    return [text for title, lines in found for text in ([f"**{title}**"] if title else []) + [markdown(lines)]]


def beside(rows: list[dict]) -> dict[str, str]:
    """The sides of one comparison on one line: medians with quartiles, and our time over that of each other side."""
    times = {row["side"]: row for row in rows}
    line = {f"{side}, ms": f"{1e3 * t['seconds']:.2f} ({1e3 * t['p25']:.2f} to {1e3 * t['p75']:.2f})"
            for side, t in times.items()}
    for peer in list(times)[1:]:
        ours = ratios(times, peer)[0]
        line[f"over {peer}"] = f"{ours['ratio']:.2f}"
        line[f"lower quartiles, over {peer}"] = f"{ours['ratio_p25']:.2f}"
    return line


def markdown(lines: list[dict[str, str]]) -> str:
    head = list(lines[0])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in
                     (head, ["---"] * len(head), *([line[key] for key in head] for line in lines)))


def main(arguments=None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "cpu", help="folder with the JSON files")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    parser.add_argument("--check", action="store_true", help="write nothing: only say whether it is up to date")
    try:
        options = parser.parse_args(arguments)
        text = options.readme.read_text(encoding="utf-8")
        wanted = replaced(text, BEGIN, END, section(options.results, options.readme.parent / "figures"))
    except (ValueError, OSError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    if options.check and wanted != text:
        print(f"report.py: {options.readme} is not what {options.results} says; run report.py", file=sys.stderr)
        return 1
    if wanted != text:
        write_text(options.readme, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
