"""The tutorials' README names what there is."""
import re

import lesson
from conftest import TUTORIALS

TEXT = (TUTORIALS / "README.md").read_text(encoding="utf-8")


def test_it_links_every_lesson_and_nothing_that_is_missing():
    linked = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert {f"{name}.ipynb" for name in lesson.lessons()} <= set(linked)
    assert all("://" in link or (TUTORIALS / link).exists() for link in linked)


def test_its_sections_and_their_titles_are_those_of_the_lessons():
    named = dict(re.findall(r"^\| (\d\.\d+) ([^|]+?) \| \d+ \|$", TEXT, re.M))
    for name in lesson.lessons():
        for cell in lesson.read_cells(lesson.SOURCES / f"{name}.py"):
            for number, title in re.findall(r"^## (\d\.\d+) (.+)$", cell.text, re.M) if cell.kind == "markdown" else []:
                assert named.pop(number) == title.replace("`", "").replace("|", ""), number
    assert not named


def test_minutes_of_the_sections_add_up_to_those_of_the_lesson():
    for name in lesson.lessons():
        number = name[1]
        sections = [int(minutes) for minutes in re.findall(rf"^\| {number}\.\d+ [^|]+ \| (\d+) \|$", TEXT, re.M)]
        told = int(re.search(r"About (\d+) minutes", (lesson.SOURCES / f"{name}.py").read_text(encoding="utf-8"))[1])
        assert sum(sections) == told == int(re.search(rf"^\| \[{number} [^\n]*\| (\d+) \|$", TEXT, re.M)[1]), name
