"""Importance and experts by word frequency, and on the example sentences."""
from types import SimpleNamespace

import grids
import numpy as np
import pytest

from minimoe.data.builtin import BUILTIN, load_builtin
from minimoe.study.cells import run_cell
from minimoe.study.grid import grid_cells
from minimoe.study.words import EXAMPLES, by_frequency

SPECIAL = SimpleNamespace(special_ids=(0, 1, 2, 3, 4), vocab_size=20)


def test_words_are_gathered_by_their_rank_and_importance_is_in_units_of_the_sample():
    # word 5: 8 times, 6 and 7: 4, 8: 2 (rank 4), 9: never in the training text; specials do not count
    train = np.array([2] * 9 + [3] * 9 + [5] * 8 + [6] * 4 + [7] * 4 + [8] * 2)
    ids = np.array([[2, 5, 8, 3, 0], [2, 9, 5, 6, 3]])
    mask = np.array([[True, True, True, True, False], [True] * 5])
    importance = np.array([[1, 3, 5, 3, 70], [1, 9, 2, 4, 4]], float)        # averages of real tokens 3 and 4
    k = np.array([[1, 2, 4, 1, 0], [1, 8, 3, 1, 1]])
    one, two = (SimpleNamespace(importance=i.ravel(), k=k.ravel()) for i in (importance, 2 * importance))
    assert by_frequency([(ids, mask, [one, two])], train, SPECIAL) == [
        {"first_rank": 1, "share": pytest.approx(16 / 3 / 18), "importance": pytest.approx((1 + 0.5 + 1) / 3),
         "experts": pytest.approx((2 + 3 + 1) / 3)},
        {"first_rank": 4, "share": pytest.approx(2 / 18), "importance": pytest.approx(5 / 3), "experts": 4.0}]
    assert by_frequency([(ids, mask, [SimpleNamespace(importance=None, k=k.ravel())])], train, SPECIAL) == []


@pytest.mark.parametrize("kind", ["train", "pretrain"])
def test_a_cell_keeps_them(kind, tmp_path):
    common = grids.TINY | {"max_steps": 2, "epochs": 1}
    common |= {} if kind == "train" else {"text": [str(grids.write_text(tmp_path / "a.txt"))], "vocab_size": 60}
    rows = {"da": {"allocation": "budget", "mean_experts": 2}, "switch": {"router": "switch"}, "dense": {"experts": 0}}
    grid = {"kind": kind, "common": common, "rows": rows} | ({"tasks": ["paraphrase"]} if kind == "train" else {})
    da, switch, dense = (run_cell(cell) for cell in grid_cells(grid))
    assert dense["by_frequency"] == switch["by_frequency"] == [] and dense["example"] is None
    assert set(switch["example"]["experts"]) == {1.0}
    classes = da["by_frequency"]
    assert [c["first_rank"] for c in classes] == [1, 4, 11, 31, 101][:len(classes)] and len(classes) > 2
    assert all(0 < b["share"] < a["share"] for a, b in zip(classes, classes[1:], strict=False))
    assert all(0.2 < c["importance"] < 5 and 1 <= c["experts"] <= 4 for c in classes)
    tokens, experts = da["example"].values()
    assert tokens[0] == "[CLS]" and len(tokens) == len(experts) and sum(experts) == pytest.approx(2 * len(tokens))


@pytest.mark.parametrize("task", BUILTIN)
def test_the_examples_of_the_builtin_tasks_are_in_their_words(task):
    known = {word for text in load_builtin(task, "train").texts() for word in text.split()}
    assert set(" ".join(filter(None, EXAMPLES[task])).split()) <= known
