"""The pictures of the lessons as SVG, by one command."""
import json
import re

import export
import lesson
import pytest
from conftest import TUTORIALS


@pytest.mark.slow
def test_every_picture_of_a_lesson_becomes_an_svg_file(tmp_path):
    assert export.main([str(tmp_path / "slides"), "01"]) == 0
    stored = json.loads((TUTORIALS / "solutions" / "01_autodiff.ipynb").read_text(encoding="utf-8"))
    shown = [output for cell in stored["cells"] for output in cell.get("outputs", [])
             if "image/png" in output.get("data", {})]
    files = sorted((tmp_path / "slides").iterdir())
    assert len(files) == len(shown) > 1
    assert all(re.search(r"<svg[^>]*>.*</svg>", file.read_text(encoding="utf-8"), re.S) for file in files)
    assert [file.name for file in files][:2] == ["01_autodiff-01.svg", "01_autodiff-02.svg"]


def test_a_lesson_that_does_not_exist_is_refused_with_the_list(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        export.main([str(tmp_path), "99"])
    assert end.value.code == 2 and ", ".join(lesson.lessons()) in capsys.readouterr().err
