"""A damaged result file is refused in one line, before any cell runs and before anything is reported."""
import json
import re

import pytest
from grids import cells
from made_results import MACHINE, result, write

from minimoe.study.report import write_report
from minimoe.study.result_file import read_result
from minimoe.study.results import recorded, stored
from minimoe.study.rows import read_rows

[CELL] = cells(1)
NAN = float("nan")
KNOWN = {"score": 0.5, "metric": "accuracy", "mean_experts_per_token": 1.0,
         "config": recorded(CELL.config.resolved())}
DEEP = "[" * 100_000
CONFIG = result("budget", 0, 0.5)["config"]
WORDS = {"first_rank": 1, "share": 0.1, "importance": 1.0}
BAD = {                                             # key -> values that a report cannot use
    "task": (["x"], None, "a\nb", "\ud800"), "row": (3,), "seed": (True, -1, 0.5, "0"), "kind": ("test", ["train"]),
    "metric": (None,), "score": ("high", True, NAN, float("inf"), 10**400),
    "metrics": (3, {}, {"accuracy": None}, {"accuracy": NAN}), "mean_experts_per_token": (None, "1"),
    "k_per_layer": (None, [3], [[0.5]], [[-1]]), "load_cv": (None, [None], [NAN]), "dropped": (None,),
    "flops_per_token": ("x",), "tokens_per_second": ("x",), "parameters": (None,),
    "majority": (None, {}, {"accuracy": "x"}), "deciding": (None, {"routed": 3}, {"routed": {"deciding": 1.0}}),
    "by_frequency": (None, [3], [WORDS]), "example": ("x", {"tokens": ["a"]}, {"tokens": [], "experts": []},
                                                      {"tokens": ["a"], "experts": [1.0, 2.0]}),
    "commit": (3,), "source": (None,), "minimoe": (1,),
    "machine": ("x", MACHINE | {"cores": "2"}),
    "config": ("x", [], CONFIG | {"router": None}, CONFIG | {"experts": "4"}, CONFIG | {"d_ff": 0},
               CONFIG | {"importance": 3}, CONFIG | {"router_options": 3}, CONFIG | {"router_options": {"measure": 3}}),
}


@pytest.mark.parametrize("key", BAD)
def test_a_value_that_no_report_can_use_is_named_with_its_file(tmp_path, key):
    for value in BAD[key]:
        path = tmp_path / "sentiment--budget--0.json"
        path.write_text(json.dumps(result("budget", 0, 0.5) | {key: value}))
        with pytest.raises(ValueError) as error:
            write_report(tmp_path)
        assert re.fullmatch(rf"{re.escape(str(path))}: {key}[.\w]* is .+, not .+; remove it and run the cell again",
                            str(error.value)), value
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where, key", [*(("", key) for key in result("budget", 0, 0.5) if key not in KNOWN),
                                        *(("config", key) for key in ("router", "experts", "d_ff", "importance",
                                                                      "allocation", "router_options")),
                                        *(("machine", key) for key in MACHINE if key != "blas")])
def test_a_report_says_which_key_it_misses(tmp_path, where, key):
    found = json.loads(json.dumps(result("budget", 0, 0.5)))
    del (found[where] if where else found)[key]
    (tmp_path / "sentiment--budget--0.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=rf"--0\.json: it has no {where}\.?{key}, another minimoe wrote it; remove it"):
        read_rows(tmp_path)


def test_a_language_models_result_needs_its_own_mark(tmp_path):
    found = result("budget", 0, 5.5, task="mlm", kind="pretrain")
    write(tmp_path, found | {"unigram": NAN})
    with pytest.raises(ValueError, match="unigram is nan, not a finite number"):
        read_rows(tmp_path)
    del found["unigram"]
    write(tmp_path, found)
    with pytest.raises(ValueError, match="it has no unigram"):
        read_rows(tmp_path)


@pytest.mark.parametrize("key, value, message", [
    ("metric", "f1", "metrics are not those of other results of its task"),
    ("metrics", {"f1": 0.5}, "metrics are not those of other results of its task"),
    ("k_per_layer", [[0, 100]], "layers are not those of other results of its row")])
def test_results_that_fit_in_no_table_together_are_refused(tmp_path, key, value, message):
    write(tmp_path, result("budget", 0, 0.5), result("budget", 1, 0.5) | {key: value})
    with pytest.raises(ValueError, match=f"sentiment--budget--1.json: its {message}; remove what is wrong"):
        read_rows(tmp_path)


DAMAGED = {
    "a configuration that is a list": (KNOWN | {"config": []}, r"config is \[\], not a table"),
    "a configuration that is a text": (KNOWN | {"config": "x"}, "config is 'x', not a table"),
    "no mean of experts": ({key: KNOWN[key] for key in ("score", "metric", "config")}, "this is not a result"),
    "a mean that is a text": (KNOWN | {"mean_experts_per_token": "1"}, "mean_experts_per_token is '1', not a finite"),
    "no number": (KNOWN | {"score": NAN}, "score is nan, not a finite number"),
    "a key of the report": (KNOWN | {"metrics": 3}, "metrics is 3, not a table of finite numbers"),
}


@pytest.mark.parametrize("found, message", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_grid_does_not_go_on_from_a_damaged_result(tmp_path, found, message):
    (tmp_path / CELL.file).write_text(json.dumps(found))
    with pytest.raises(ValueError, match="^sentiment/switch/0: its file is not a result of minimoe; give another --out "
                                         rf"or remove .*sentiment--switch--0\.json \({message}"):
        stored(tmp_path, CELL)


def test_brackets_without_end_are_no_result(tmp_path):
    (tmp_path / CELL.file).write_text(DEEP)
    with pytest.raises(ValueError, match="sentiment/switch/0: its file is not a result"):
        stored(tmp_path, CELL)
    with pytest.raises(ValueError, match="sentiment--switch--0.json: this is not a result of minimoe compare; remove"):
        read_rows(tmp_path)


def test_a_folder_in_the_place_of_a_result_is_refused(tmp_path):
    (tmp_path / CELL.file).mkdir()
    with pytest.raises(ValueError, match=r"sentiment/switch/0: .* remove .*--0.json \(this is not a file\)"):
        stored(tmp_path, CELL)
    with pytest.raises(ValueError, match="sentiment--switch--0.json: this is not a file; remove it and run the cell"):
        read_rows(tmp_path)


def test_null_stands_where_a_run_knows_no_value(tmp_path):
    found = result("dense", 0, 0.5) | {"tokens_per_second": None, "commit": None}
    path = write(tmp_path, found) / "sentiment--dense--0.json"
    assert read_result(path, whole=True) == found
