"""One source, two notebooks: reads `source/NN_name.py` and makes the student and the solution version.

A source is a Python file cut into cells by lines that start with `# %%`:

    # %% [markdown]                   text, every line behind "# "
    # %%                              code
    # %% [setup]                      here stands source/setup.py; the first code cell of every lesson
    # %% [exercise] NAME              code that defines NAME, its answer between nbgrader's solution markers
    # %% [check] NAME points=2        code that tests NAME, and says in words what is wrong

Notebooks are plain dictionaries in the form of nbformat 4.5, without times, versions or random ids, so that the same
source always gives the same bytes.
"""
from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "source"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TAGS = ["exercise", "raises-exception"]
HEADER = re.compile(r"# %%(?: \[(?P<kind>markdown|setup|exercise|check)\])?(?: (?P<name>\w+))?"
                    r"(?: points=(?P<points>\d+))?")


@dataclass(frozen=True)
class Cell:
    kind: str               # "code", "markdown", "setup", "exercise" or "check"
    text: str
    name: str = ""          # what the exercise defines
    points: int = 0         # what the check is worth


def lessons() -> list[str]:
    """The names of all lessons, in order: 01_autodiff, ..."""
    return sorted(path.stem for path in SOURCES.glob("[0-9]*.py"))


def chosen(numbers: list[str]) -> list[str]:
    """The lessons of these numbers or names; all when there are none."""
    return [name for name in lessons() if not numbers or name in numbers or name[:2] in numbers]


def read_cells(path: Path) -> list[Cell]:
    """The cells of a source. Raises ValueError, naming file and line, for a header that means nothing."""
    cells, header, lines = [], None, []
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), None], 1):
        if line is not None and not line.startswith("# %%"):
            lines.append(line)
            continue
        if header is not None:
            cells.append(_cell(header, lines))
        elif any(lines):
            raise ValueError(f"{path.name}:1: text before the first cell; start with '# %% [markdown]'")
        if line is not None:
            header = HEADER.fullmatch(line)
            if header is None or (header["name"] is not None) != (header["kind"] in ("exercise", "check")):
                raise ValueError(f"{path.name}:{number}: {line!r} is not '# %%', '# %% [markdown]', '# %% [setup]', "
                                 "'# %% [exercise] NAME' or '# %% [check] NAME points=N'")
        lines = []
    return cells


def _cell(header: re.Match, lines: list[str]) -> Cell:
    kind = header["kind"] or "code"
    text = "\n".join(lines).strip("\n")
    if kind == "markdown":
        text = re.sub(r"(?m)^# ?", "", text)
    if kind == "setup":
        text = (SOURCES / "setup.py").read_text(encoding="utf-8").strip("\n")
    if kind == "check":
        name = header["name"]
        text = (f'assert "{name}" in globals(), (\n'
                f'    "{name} is not defined: run the cell above first; if that shows an error, mend it")\n{text}')
    return Cell(kind, text, header["name"] or "", int(header["points"] or 0))


def check_cells(name: str, cells: list[Cell]) -> None:
    """Raises ValueError where a lesson breaks the rules of this file."""
    code = [cell for cell in cells if cell.kind != "markdown"]
    if not code or code[0].kind != "setup":
        raise ValueError(f"{name}: the first code cell must be '# %% [setup]'")
    asked = [cell.name for cell in cells if cell.kind == "exercise"]
    tested = [cell.name for cell in cells if cell.kind == "check" and cell.points]
    if asked != tested or len(set(asked)) != len(asked):
        raise ValueError(f"{name}: exercises {asked} need one check with points each, in their order; found {tested}")
    for cell in cells:
        marks = [line.strip() for line in cell.text.splitlines() if line.strip() in (BEGIN, END)]
        if marks != [BEGIN, END] * (len(marks) // 2) or bool(marks) != (cell.kind == "exercise"):
            raise ValueError(f"{name}: {cell.kind} cell {cell.name}: '{BEGIN}' and '{END}' come in pairs, and only in "
                             "exercises")


def blank(cell: Cell) -> str:
    """The text of an exercise with a blank in place of every answer, as nbgrader would make it."""
    def stub(match: re.Match) -> str:
        indent = match["indent"]
        return (f"{indent}# YOUR CODE HERE\n"
                f'{indent}raise NotImplementedError("{cell.name} is still blank: put your answer in place of this")')

    return re.sub(rf"(?ms)^(?P<indent> *){BEGIN}\n.*?^ *{END}$", stub, cell.text)


def make_notebook(cells: list[Cell], student: bool) -> dict:
    """The notebook, without outputs. Exercises of the student version have blanks and may fail."""
    made, ids = [], set()
    for cell in cells:
        text = blank(cell) if student and cell.kind == "exercise" else cell.text
        tags = {"tags": TAGS} if student and cell.kind in ("exercise", "check") else {}
        part = {"id": _id(cell, ids), "metadata": _nbgrader(cell) | tags, "source": text.splitlines(keepends=True)}
        if cell.kind == "markdown":
            made.append(part | {"cell_type": "markdown"})
        else:
            made.append(part | {"cell_type": "code", "execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4, "nbformat_minor": 5}


def _id(cell: Cell, taken: set[str]) -> str:
    """Exercises by name, others by their text, so that a new cell changes no other cell's id."""
    first = name = f"{cell.kind}-{cell.name or hashlib.sha256(cell.text.encode()).hexdigest()[:12]}"
    while name in taken:
        name = f"{first}-{len(taken)}"
    taken.add(name)
    return name


def _nbgrader(cell: Cell) -> dict:
    """What nbgrader needs to know of exercises (answered by hand) and checks (graded, locked)."""
    if cell.kind not in ("exercise", "check"):
        return {}
    graded = cell.kind == "check"
    facts = {"schema_version": 3, "grade_id": f"{cell.kind}-{cell.name}", "grade": graded, "locked": graded,
             "solution": not graded, "task": False}
    return {"nbgrader": facts | ({"points": cell.points} if graded else {})}


def notebooks(name: str) -> dict[Path, dict]:
    """Where each version of a lesson lies, and the notebook that belongs there, without outputs."""
    cells = read_cells(SOURCES / f"{name}.py")
    check_cells(name, cells)
    return {HERE / f"{name}.ipynb": make_notebook(cells, student=True),
            HERE / "solutions" / f"{name}.ipynb": make_notebook(cells, student=False)}


def to_json(notebook: dict) -> str:
    """The text of a notebook file, laid out as Jupyter does."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class WrongAnswer:
    exercise: str           # the name it defines
    mistake: str            # in a few words
    says: str               # part of what the check must say
    text: str


def wrong_answers(name: str) -> list[WrongAnswer]:
    """The plausible wrong answers to a lesson's exercises, from source/wrong/NN_name.py:

        # %% NAME: the mistake in a few words
        # says: part of the sentence that the check must answer with
        def NAME(...): ...
    """
    path = SOURCES / "wrong" / f"{name}.py"
    form = re.compile(r"(?ms)^# %% (\w+): ([^\n]+)\n# says: ([^\n]+)\n(.*?)(?=^# %%|\Z)")
    text = path.read_text(encoding="utf-8")
    found = [WrongAnswer(m[1], m[2], m[3], m[4].strip("\n")) for m in form.finditer(text)]
    if len(found) != len(re.findall("(?m)^# %%", text)):
        raise ValueError(f"{path.name}: a cell is not '# %% NAME: the mistake', '# says: the sentence', then the code")
    return found
