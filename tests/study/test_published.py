"""The rows that ship with the package: written, read back, and small."""
from importlib import resources

import numpy as np
import pytest
from made_results import ROWS, write_rows

from minimoe.study import published
from minimoe.study.published import load_results
from minimoe.study.report import write_report
from minimoe.study.statistics import student_interval
from minimoe.study.tables import read_rows_csv


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Rows in place of the package's own."""
    write_rows(tmp_path / "grid", {row: [0.1 + i / 7, 0.2 + i / 9] for i, row in enumerate(ROWS)})
    write_rows(tmp_path / "words", {"budget": [5.9]}, task="mlm", kind="pretrain")
    write_report(tmp_path)
    monkeypatch.setattr(published.resources, "files", lambda package: tmp_path)
    monkeypatch.setattr(published, "FILE", "rows.csv")
    return {(found["task"], found["row"]): found for found in load_results()}


def test_rows_come_back_as_they_were_written(shipped):
    assert len(shipped) == len(ROWS) + 1
    for i, row in enumerate(ROWS):
        found = shipped["sentiment", row]
        assert found["scores"] == {0: 0.1 + i / 7, 1: 0.2 + i / 9}          # in full, for paired differences
        scores = list(found["scores"].values())
        assert found["mean"] == pytest.approx(np.mean(scores), rel=1e-5)
        assert (found["low"], found["high"]) == pytest.approx(student_interval(scores), rel=1e-4)
        assert found["mean_k_per_seed"] == {0: ROWS[row][1], 1: ROWS[row][1]} and found["seeds"] == 2


def test_texts_are_texts_and_numbers_numbers_and_what_is_not_there_none(shipped):
    budget, words, dense = shipped["sentiment", "budget"], shipped["mlm", "budget"], shipped["sentiment", "dense"]
    assert (budget["role"], budget["better"], budget["grid"]) == ("importance", "higher", "grid")
    assert (budget["deciding_k"], budget["other_k"], budget["constant"], budget["bag"]) == (2.25, 1.75, 0.5, None)
    assert (words["better"], words["sd"], words["low"], words["unigram"]) == ("lower", None, None, 6.5)
    assert (dense["load_cv"], dense["deciding_k"]) == (None, None) and words["beats_marks"] == 1


def test_the_docstring_names_every_column(shipped):
    for key in shipped["mlm", "budget"]:
        assert key in load_results.__doc__, key


def test_without_shipped_rows_the_list_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(published.resources, "files", lambda package: tmp_path)
    assert load_results() == []


def test_what_the_package_ships_is_small_and_loads():
    file = resources.files("minimoe") / published.FILE
    rows = load_results()
    assert len(rows) == (len(read_rows_csv(file.read_text(encoding="utf-8"))) if file.is_file() else 0)
    assert not file.is_file() or len(file.read_bytes()) < 200_000
