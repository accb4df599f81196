"""Builds the notebooks from their sources, runs them and stores what they printed and drew.

    python tutorials/build.py                 all lessons
    python tutorials/build.py 01 03           some of them
    python tutorials/build.py --check         only tells whether the stored notebooks are current; runs nothing
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import execution
import lesson

KILOBYTES = 300                                     # the most that a notebook may take
SECONDS = 60                                        # the longest that a notebook may run


def build(name: str) -> list[str]:
    """Writes both versions of a lesson; answers with what is too large or too slow."""
    complaints = []
    for path, notebook in lesson.notebooks(name).items():
        done, seconds = execution.run(notebook)
        text = lesson.to_json(done)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        size = len(text.encode()) / 1000
        print(f"{_short(path)}: {seconds:.1f} s, {size:.0f} kB", flush=True)
        if seconds > SECONDS:
            complaints.append(f"{_short(path)} takes {seconds:.0f} s; at most {SECONDS}")
        if size > KILOBYTES:
            complaints.append(f"{_short(path)} has {size:.0f} kB; at most {KILOBYTES}")
    return complaints


def stale(name: str) -> list[str]:
    """What is wrong with the stored notebooks of a lesson: missing, not what the source gives, or never run."""
    complaints = []
    for path, wanted in lesson.notebooks(name).items():
        if not path.exists():
            complaints.append(f"{_short(path)} is missing")
            continue
        stored = json.loads(path.read_text(encoding="utf-8"))
        code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
        counts = [cell["execution_count"] for cell in code]
        for cell in code:
            cell.update(outputs=[], execution_count=None)
        if stored != wanted:
            complaints.append(f"{_short(path)} is not what {name}.py gives")
        elif counts != list(range(1, len(counts) + 1)):
            complaints.append(f"{_short(path)} was not run from top to bottom")
    return complaints


def orphans() -> list[str]:
    """Notebooks without a source."""
    stored = [*lesson.HERE.glob("*.ipynb"), *lesson.HERE.glob("solutions/*.ipynb")]
    return [f"{_short(path)} has no source" for path in sorted(stored) if path.stem not in lesson.lessons()]


def _short(path: Path) -> str:
    return path.relative_to(lesson.HERE).as_posix()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="numbers or names; default all")
    parser.add_argument("--check", action="store_true", help="tell whether the stored notebooks are current")
    options = parser.parse_args()
    names = lesson.chosen(options.lessons)
    if not names:
        parser.error(f"there is no lesson {' '.join(options.lessons)}; there are {', '.join(lesson.lessons())}")
    complaints = [line for name in names for line in (stale if options.check else build)(name)]
    if not options.lessons:
        complaints += orphans()
    for line in complaints:
        print(line, file=sys.stderr)
    if options.check and complaints:
        print("build them again: python tutorials/build.py", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
