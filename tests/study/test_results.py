"""Result files: found again, never those of another configuration, and free of anybody's folders."""
import json
from dataclasses import replace

import pytest
from grids import cells

from minimoe.study.grid import grid_cells
from minimoe.study.results import recorded, row_means, store, stored
from minimoe.training import PretrainConfig, TrainConfig

[CELL] = cells(1)
RESULT = {"score": 0.75, "metric": "accuracy", "mean_experts_per_token": 1.0,
          "config": recorded(CELL.config.resolved())}


def test_a_stored_result_is_found_again_and_another_cells_is_not(tmp_path):
    assert stored(tmp_path, CELL) is None
    store(tmp_path, CELL, RESULT)
    assert stored(tmp_path, CELL) == RESULT and stored(tmp_path, replace(CELL, seed=1)) is None


def test_another_configuration_is_refused_with_the_cell_the_key_and_what_to_do(tmp_path):
    store(tmp_path, CELL, RESULT)
    other = replace(CELL, config=replace(CELL.config, lr=0.5))
    with pytest.raises(ValueError, match=r"sentiment/switch/0 is there already with lr 0.001, the grid has 0.5; give "
                                         r"another --out or remove .*sentiment--switch--0.json"):
        stored(tmp_path, other)


@pytest.mark.parametrize("key, value", [("router_options", {"jitter": 0.1}), ("threads", 2), ("backend", "cudasim")])
def test_what_moves_a_result_makes_another_configuration(tmp_path, key, value):
    store(tmp_path, CELL, RESULT)
    with pytest.raises(ValueError, match=f"already with {key}"):
        stored(tmp_path, replace(CELL, config=replace(CELL.config, **{key: value})))


def test_a_default_that_is_written_out_and_a_folder_make_no_other_configuration(tmp_path):
    store(tmp_path, CELL, RESULT)
    same = replace(CELL.config, lr=0.001, epochs=8, out="elsewhere", save_every=7)
    assert stored(tmp_path, replace(CELL, config=same)) == RESULT


def test_a_key_that_came_later_means_its_default(tmp_path):
    older = {key: value for key, value in RESULT["config"].items() if key not in ("label_smoothing", "router_options")}
    store(tmp_path, CELL, RESULT | {"config": older})
    assert stored(tmp_path, CELL)["score"] == 0.75
    with pytest.raises(ValueError, match="label_smoothing 0.0, the grid has 0.1"):
        stored(tmp_path, replace(CELL, config=replace(CELL.config, label_smoothing=0.1)))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"score": "high", "config": {}}', '{"score": 0.5}'])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    (tmp_path / CELL.file).write_text(text)
    with pytest.raises(ValueError, match="sentiment/switch/0: its file is not a result of minimoe; give another --out"):
        stored(tmp_path, CELL)


def test_of_paths_only_the_last_part_is_kept():
    found = recorded(TrainConfig(task="sst2", data_dir="/home/me/glue/", router="/home/me/mine.py:Mine",
                                 init_from="C:\\models\\big", out="/tmp/x"))
    assert (found["data_dir"], found["router"], found["init_from"]) == ("glue", "mine.py:Mine", "big")
    assert "out" not in found
    assert recorded(PretrainConfig(text=("/a/b.txt", "c.txt")))["text"] == ["b.txt", "c.txt"]


def test_a_recorded_configuration_survives_json():
    found = recorded(PretrainConfig(text=("b.txt",), router_options={"levels": (1, 2)}))
    assert json.loads(json.dumps(found)) == found


def test_rows_are_averaged_over_the_seeds_that_are_there():
    both = grid_cells({"seeds": [0, 1, 2], "tasks": ["sentiment"], "rows": {"a": {}, "b": {}, "c": {}}})
    scores = {"sentiment/a/0": 0.5, "sentiment/a/1": 0.7, "sentiment/b/0": 0.25}
    results = {c.name: RESULT | {"score": scores[c.name]} if c.name in scores else None for c in both}
    found = {line["row"]: (line["seeds"], line["score"], line["sd"]) for line in row_means(both, results)}
    assert found == {"a": ("2/3", "0.6000", "0.1414"), "b": ("1/3", "0.2500", "-"), "c": ("0/3", "-", "-")}
