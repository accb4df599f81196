"""Sources become notebooks: cells, blanks, tags, and what is refused."""
import json
import subprocess
import sys

import lesson
import pytest
from conftest import TUTORIALS

SOURCE = '''\
# %% [markdown]
# # Title
#
# Text

# %% [setup]

# %% [exercise] double
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    y = x + x
    return y
    ### END SOLUTION

# %% [check] double points=3
assert double(2) == 4, "not twice"
'''


def read(tmp_path, text):
    path = tmp_path / "99_test.py"
    path.write_text(text, encoding="utf-8")
    cells = lesson.read_cells(path)
    lesson.check_cells("99_test", cells)
    return cells


def joined(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def test_markdown_loses_its_comment_signs(tmp_path):
    assert joined(lesson.make_notebook(read(tmp_path, SOURCE), student=True))[0] == "# Title\n\nText"


def test_the_setup_cell_is_the_shared_one(tmp_path):
    shared = (TUTORIALS / "source" / "setup.py").read_text(encoding="utf-8").strip()
    assert joined(lesson.make_notebook(read(tmp_path, SOURCE), student=True))[1] == shared


def test_the_student_gets_a_blank_and_the_teacher_the_answer(tmp_path):
    student, solution = (lesson.make_notebook(read(tmp_path, SOURCE), student=s) for s in (True, False))
    text = joined(student)[2]
    assert "x + x" not in json.dumps(student) and text.startswith('def double(x):\n    """Twice x."""\n    # YOUR CODE')
    assert text.endswith('raise NotImplementedError("double is still blank: put your answer in place of this")')
    assert "    y = x + x\n    return y\n" in joined(solution)[2]


def test_a_check_first_asks_whether_there_is_an_answer(tmp_path):
    text = joined(lesson.make_notebook(read(tmp_path, SOURCE), student=True))[3]
    with pytest.raises(AssertionError, match="double is not defined: run the cell above"):
        exec(text, {})


def test_only_exercises_and_checks_of_the_student_version_are_tagged(tmp_path):
    student, solution = (lesson.make_notebook(read(tmp_path, SOURCE), student=s) for s in (True, False))
    tags = ["exercise", "raises-exception"]
    assert [cell["metadata"].get("tags", []) for cell in student["cells"]] == [[], [], tags, tags]
    assert [cell["metadata"].get("tags", []) for cell in solution["cells"]] == [[], [], [], []]


def test_nbgrader_finds_the_answer_and_the_points(tmp_path):
    exercise, check = (cell["metadata"]["nbgrader"]
                       for cell in lesson.make_notebook(read(tmp_path, SOURCE), student=False)["cells"][2:])
    assert exercise["solution"] and not exercise["grade"] and "points" not in exercise
    assert check["grade"] and check["locked"] and check["points"] == 3 and check["grade_id"] != exercise["grade_id"]


def test_a_new_cell_changes_no_other_cells_id(tmp_path):
    before, after = (lesson.make_notebook(read(tmp_path, text), student=True)
                     for text in (SOURCE, SOURCE.replace("# %% [exercise]", "# %%\nx = 1\n\n# %% [exercise]")))
    ids = [[cell["id"] for cell in notebook["cells"]] for notebook in (before, after)]
    assert ids[0] == ids[1][:2] + ids[1][3:] and len(set(ids[1])) == 5


@pytest.mark.parametrize(("old", "new", "message"), [
    ("# %% [setup]\n", "", "first code cell must be"),
    ("[check]", "[chek]", "99_test.py:16: '# %% \\[chek\\] double points=3' is not"),
    (" points=3", "", "one check with points each"),
    ("# %% [check] double", "# %% [check] halve", "one check with points each"),
    ("    ### END SOLUTION\n", "", "come in pairs"),
    ("# %% [markdown]", "x = 1\n# %% [markdown]", "text before the first cell"),
])
def test_a_source_that_breaks_the_rules_is_refused(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, SOURCE.replace(old, new, 1))


def test_the_stored_notebooks_are_what_the_sources_give():
    answer = subprocess.run([sys.executable, str(TUTORIALS / "build.py"), "--check"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_there_are_lessons():
    assert lesson.lessons()


@pytest.mark.parametrize("name", lesson.lessons())
def test_every_exercise_has_three_wrong_answers_and_every_lesson_three_exercises(name):
    asked = [cell.name for cell in lesson.read_cells(TUTORIALS / "source" / f"{name}.py") if cell.kind == "exercise"]
    wrong = [answer.exercise for answer in lesson.wrong_answers(name)]
    assert len(asked) >= 3 and set(wrong) == set(asked) and all(wrong.count(exercise) >= 3 for exercise in asked)


@pytest.mark.parametrize("name", lesson.lessons())
def test_checks_draw_fresh_inputs(name):
    """A generator without a seed: an answer cannot be fitted to the numbers of the check."""
    for cell in lesson.read_cells(TUTORIALS / "source" / f"{name}.py"):
        assert cell.kind != "check" or "default_rng()" in cell.text, cell.name
