"""What does a model have to beat? The best constant answer and a bag of n-grams, for every task there is data for.

    python benchmarks/marks.py --data-dir glue          # built-in tasks and the GLUE tasks in the folder
    python benchmarks/marks.py --task sentiment         # one of them

Adds to benchmarks/results/marks.json; about a minute for a small task, several for SST-2 and QQP.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from minimoe.data.builtin import BUILTIN
from minimoe.data.glue import TASKS
from minimoe.files import write_json
from minimoe.study.marks import marks

RESULTS = Path(__file__).parent / "results" / "marks.json"


def tasks_in(data_dir: str | None) -> list[str]:
    """The built-in tasks, and those of GLUE whose files are in the folder."""
    found = list(BUILTIN)
    for task, facts in TASKS.items() if data_dir else ():
        dev = "dev_matched" if task == "mnli" else "dev"
        if all((Path(data_dir) / facts.folder / f"{split}.tsv").is_file() for split in ("train", dev)):
            found.append(task)
    return found


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description="The marks of every task.")
    parser.add_argument("--data-dir", help="folder with the GLUE files, as published")
    parser.add_argument("--task", action="append", help="only this one; repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    try:
        found = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        for task in options.task or tasks_in(options.data_dir):
            found[task] = marks(task, None if task in BUILTIN else options.data_dir)
            write_json(options.out, dict(sorted(found.items())))
            for name in ("constant", "bag"):
                values = ", ".join(f"{metric} {value:.3f}" for metric, value in found[task][name]["metrics"].items())
                print(f"{task:14} {name:9} {values}", flush=True)
    except (OSError, ValueError) as error:
        print(f"marks.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
