"""Every picture of the lessons as SVG, for slides.

    python tutorials/export.py slides               all lessons, into the folder slides
    python tutorials/export.py slides 02 04         some of them

The lessons run once, as solutions; 02_attention-03.svg is the third picture of lesson 2.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import execution
import lesson

AS_SVG = "from matplotlib_inline.backend_inline import set_matplotlib_formats\n\nset_matplotlib_formats('svg')\n"


def pictures(name: str) -> dict[str, str]:
    """File name -> SVG text of every picture of a lesson, in order."""
    cells = lesson.read_cells(lesson.SOURCES / f"{name}.py")
    notebook = lesson.make_notebook([lesson.Cell("code", AS_SVG), *cells], student=False)
    done, _ = execution.run(notebook)
    drawn = [output["data"]["image/svg+xml"] for cell in done["cells"] for output in cell.get("outputs", [])
             if "image/svg+xml" in output.get("data", {})]
    return {f"{name}-{number:02d}.svg": "".join(svg) for number, svg in enumerate(drawn, 1)}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("lessons", nargs="*", help="numbers or names; default all")
    options = parser.parse_args(arguments)
    names = lesson.chosen(options.lessons)
    if not names:
        parser.error(f"there is no lesson {' '.join(options.lessons)}; there are {', '.join(lesson.lessons())}")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        files = pictures(name)
        for file, svg in files.items():
            (options.folder / file).write_text(svg, encoding="utf-8")
        print(f"{name}: {len(files)} pictures", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
