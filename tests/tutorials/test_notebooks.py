"""Every notebook, student and solution version, runs alone in an empty folder, and holds what a lesson must hold."""
import json
import re

import execution
import lesson
import pytest
from conftest import TUTORIALS

NOTEBOOKS = sorted([*TUTORIALS.glob("[0-9]*.ipynb"), *TUTORIALS.glob("solutions/[0-9]*.ipynb")])
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(TUTORIALS).as_posix())


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def test_every_lesson_has_both_versions():
    assert len(NOTEBOOKS) == 2 * len(lesson.lessons()) > 0


@pytest.mark.slow
@every
def test_it_runs_alone_in_an_empty_folder(path):
    done, seconds = execution.run(read(path))
    failed = [cell["id"] for cell in code_cells(done) for output in cell["outputs"] if output["output_type"] == "error"]
    assert seconds < 240 and all(name.startswith(("exercise-", "check-")) for name in failed)
    if path.parent.name == "solutions":
        assert failed == []
    else:
        checks = [cell["id"] for cell in code_cells(done) if cell["id"].startswith("check-")]
        assert [name for name in failed if name.startswith("check-")] == checks


@every
def test_it_shows_a_picture_and_claims_three_things_and_is_small(path):
    notebook = read(path)
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    claims = [line for cell in code_cells(notebook) if not cell["id"].startswith(("setup-", "check-", "exercise-"))
              for line in cell["source"] if line.startswith("assert ")]
    assert pictures and len(claims) >= 3 and path.stat().st_size <= 300_000


@every
def test_its_outputs_are_free_of_warnings_and_of_this_machine(path):
    for output in outputs(read(path)):
        assert output.get("name") != "stderr", output
        text = "".join("".join(part) for kind, part in output.get("data", {}).items() if kind.startswith("text/"))
        text += "".join(output.get("text", []))
        assert not re.search(r"/tmp/|/home/|/root/|/Users/|[A-Z]:\\|\bat 0x[0-9a-f]{6}", text), text


@every
def test_only_exercises_and_checks_of_the_student_version_may_fail(path):
    for cell in read(path)["cells"]:
        exercise = cell["id"].startswith(("exercise-", "check-")) and path.parent.name != "solutions"
        assert cell["metadata"].get("tags", []) == (["exercise", "raises-exception"] if exercise else [])
