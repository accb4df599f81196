"""A grid file becomes cells, each with one checked configuration; what is wrong is one line, before anything runs."""
import pytest
from grids import TINY, toml

from minimoe.study.grid import find_cell, grid_cells, read_grid
from minimoe.training import PretrainConfig, TrainConfig

GRID = """
seeds = [0, 1]
tasks = ["sentiment", "acceptability"]
[common]
epochs = 3
batch-size = 16
[common.router_options]
jitter = 0.01
[tasks_options.acceptability]
epochs = 4
lr = 0.01
[rows.switch]
router = "switch"
[rows.budget]
allocation = "budget"
mean_experts = 2
lr = 0.02
[rows.budget.router_options]
gates = "renorm"
[rows.once]
router = "topk"
router_options = {k = 2}
seeds = [7]
tasks = ["sentiment"]
"""


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "g.toml").write_text(GRID, encoding="utf-8")
    return tmp_path / "g.toml"


def test_seeds_are_outermost_and_rows_innermost(grid):
    assert [c.name for c in read_grid(grid)] == [
        "sentiment/switch/0", "sentiment/budget/0", "acceptability/switch/0", "acceptability/budget/0",
        "sentiment/switch/1", "sentiment/budget/1", "acceptability/switch/1", "acceptability/budget/1",
        "sentiment/once/7"]


def test_a_cell_is_common_then_task_then_row(grid):
    found = {c.name: c.config for c in read_grid(grid)}
    assert found["sentiment/switch/1"] == TrainConfig(
        task="sentiment", seed=1, router="switch", epochs=3, batch_size=16, threads=1, router_options={"jitter": 0.01})
    assert (found["acceptability/switch/0"].epochs, found["acceptability/switch/0"].lr) == (4, 0.01)
    assert (found["acceptability/budget/0"].epochs, found["acceptability/budget/0"].lr) == (4, 0.02)
    assert found["sentiment/budget/0"].router_options == {"jitter": 0.01, "gates": "renorm"}


def test_a_task_may_have_seeds_of_its_own_and_those_of_a_row_or_of_the_command_line_win(grid):
    with grid.open("a", encoding="utf-8") as file:
        file.write("[tasks_options.sentiment]\nseeds = [3]\n")
    assert [c.name for c in read_grid(grid)] == [
        "acceptability/switch/0", "acceptability/budget/0", "acceptability/switch/1", "acceptability/budget/1",
        "sentiment/switch/3", "sentiment/budget/3", "sentiment/once/7"]
    assert {c.seed for c in read_grid(grid, seed=5)} == {5}


def test_the_file_of_a_cell_is_named_after_it(grid):
    assert read_grid(grid)[0].file == "sentiment--switch--0.json"


def test_options_win_over_common_but_not_over_a_row_and_one_seed_stands_for_all(grid):
    found = {c.name: c.config for c in read_grid(grid, {"lr": 0.5, "threads": 2}, seed=5)}
    assert {c.seed for c in found.values()} == {5} and len(found) == 5
    assert (found["sentiment/switch/5"].lr, found["sentiment/budget/5"].lr) == (0.5, 0.02)
    assert {c.threads for c in found.values()} == {2}


ROW = {"rows": {"a": {}}, "tasks": ["sentiment"]}
EVERY = {"a": {"max_steps": 3, "router_options": {"jitter": 0.1}},
         "b": {"max_steps": 4, "router_options": {"jitter": 0}}}
USELESS = {
    "a key of every row": ({"rows": EVERY}, {"max-steps": 5}, "--set max_steps"),
    "a key of every task": ({"tasks_options": {"sentiment": {"lr": 0.1}}}, {"lr": 0.2}, "--set lr"),
    "a key of the rows or the task": ({"rows": {"a": {"lr": 0.1}, "b": {"tasks": ["acceptability"]}},
                                       "tasks_options": {"acceptability": {"lr": 0.3}}}, {"lr": 0.2}, "--set lr"),
    "a router option of every row": ({"rows": EVERY}, {"router_options": {"jitter": 0.2}}, "--set router_options"),
    "threads of every row": ({"rows": {"a": {"threads": 1}}}, {"threads": 2}, "--threads"),
}


@pytest.mark.parametrize("values, options, name", USELESS.values(), ids=USELESS.keys())
def test_an_option_that_every_row_overrides_is_refused(values, options, name):
    with pytest.raises(ValueError, match=f"^{name}: every row sets it itself, so that this changes nothing; leave it"):
        grid_cells(ROW | values, options)


def test_an_option_that_reaches_some_row_is_none_to_refuse():
    some = ROW | {"rows": EVERY | {"c": {}}}
    assert [c.config.max_steps for c in grid_cells(some, {"max_steps": 5})] == [3, 4, 5]
    found = grid_cells(ROW | {"rows": EVERY}, {"router_options": {"jitter": 0.2, "gates": "renorm"}})
    assert [c.config.router_options for c in found] == [{"jitter": 0.1, "gates": "renorm"},
                                                        {"jitter": 0, "gates": "renorm"}]


def test_router_options_on_the_command_line_are_a_table():
    with pytest.raises(ValueError, match="^--set: router_options: 3 is not a table of KEY = VALUE"):
        grid_cells(ROW, {"router_options": 3})


def test_a_pretrain_grid_has_the_masked_language_model_for_a_task(tmp_path):
    (tmp_path / "g.toml").write_text(toml('[rows.dense]\nexperts = 0\ntext = ["a.txt"]', "pretrain", "[3]"))
    [cell] = read_grid(tmp_path / "g.toml")
    assert cell.name == "mlm/dense/3"
    assert cell.config == PretrainConfig(**TINY | dict(experts=0, seed=3, threads=1, text=("a.txt",)))


def test_folders_may_name_task_row_and_seed():
    values = {"kind": "pretrain", "seeds": [0, 1], "common": {"out": "kept/{task}-{row}-{seed}"}, "rows": {"a": {}}}
    assert [c.config.out for c in grid_cells(values)] == ["kept/mlm-a-0", "kept/mlm-a-1"]
    values["common"]["out"] = "kept/{row}"
    with pytest.raises(ValueError, match=r"out: kept/a would hold mlm/a/0 and mlm/a/1; put \{task\}, \{row\} and"):
        grid_cells(values)


def test_a_cell_is_found_by_its_name(grid):
    cells = read_grid(grid)
    assert find_cell(cells, "sentiment/budget/1") is cells[5]
    with pytest.raises(ValueError, match="--cell sentiment: the grid has no such cell; a cell is TASK/ROW/SEED"):
        find_cell(cells, "sentiment")


WRONG = {
    "no rows": ({"tasks": ["sentiment"]}, "there are no rows"),
    "no tasks": ({"rows": {"a": {}}}, "tasks: there are none"),
    "an unknown key of the grid": (ROW | {"epochs": 3}, "no key 'epochs' here; a grid has kind, seeds"),
    "an unknown key of a run": (ROW | {"common": {"speed": 3}}, "sentiment/a/0: speed: there is no such key"),
    "an unknown router": (ROW | {"rows": {"b": {"router": "best"}}}, "sentiment/b/0: .*router 'best' is not one of"),
    "an unknown router option": (ROW | {"rows": {"a": {"router_options": {"speed": 1}}}}, "sentiment/a/0: router da"),
    "an impossible router": (ROW | {"rows": {"a": {"allocation": "budget"}}}, "sentiment/a/0: .*mean_experts"),
    "an unknown kind": (ROW | {"kind": "test"}, "kind: 'test' is not train or pretrain"),
    "a kind that is a list": (ROW | {"kind": ["train"]}, r"kind: \['train'\] is not train or pretrain"),
    "an unknown task": (ROW | {"tasks": ["poetry"]}, "poetry/a/0: task: 'poetry' is not a built-in task"),
    "a task that is a number": (ROW | {"tasks": [1]}, r"tasks: \[1\] is not a list of names of tasks"),
    "tasks for a language model": (ROW | {"kind": "pretrain"}, "tasks: a pretrain grid has none"),
    "options of no task": (ROW | {"tasks_options": {"sst2": {}}}, r"\[tasks_options.sst2\]: no row has the task"),
    "seeds that are no list": (ROW | {"seeds": 3}, "seeds: 3 is not a list of integers"),
    "seeds that are switches": (ROW | {"seeds": [True]}, "seeds: .* is not a list of integers"),
    "no seeds": (ROW | {"seeds": []}, "seeds: there are none"),
    "a negative seed": (ROW | {"seeds": [-1]}, "seed: -1 is not an integer of at least 0"),
    "a seed twice": (ROW | {"seeds": [0, 0]}, "seeds: 0 is there twice"),
    "a task twice": (ROW | {"tasks": ["sentiment"] * 2}, "tasks: 'sentiment' is there twice"),
    "a task's seed twice": (ROW | {"tasks_options": {"sentiment": {"seeds": [1, 1]}}},
                            r"\[tasks_options.sentiment\] seeds: 1 is there twice"),
    "a row's seed twice": (ROW | {"rows": {"a": {"seeds": [1, 1]}}}, r"\[rows.a\] seeds: 1 is there twice"),
    "rows that differ in case": (ROW | {"rows": {"A": {}, "a": {}}}, r"\[rows.a\]: there is 'A' already"),
    "a row with a slash": (ROW | {"rows": {"a/b": {}}}, r"\[rows.a/b\]: a row's name is part of a file's name"),
    "a row with two dashes": (ROW | {"rows": {"a--b": {}}}, "a row's name is part of a file's name"),
    "a row that is no table": (ROW | {"rows": {"a": 1}}, "rows: these are tables"),
    "a seed in common": (ROW | {"common": {"seed": 1}}, r"\[common\] seed: the grid sets it"),
    "a task in a row": (ROW | {"rows": {"a": {"task": "x"}}}, r"\[rows.a\] task: the grid sets it"),
    "router options that are a number": (ROW | {"common": {"router_options": 3}, "rows": {"a": {"router_options": {}}}},
                                         r"\[common\]: router_options: 3 is not a table of KEY = VALUE"),
    "a key of common twice": (ROW | {"common": {"batch-size": 4, "batch_size": 8}},
                              r"\[common\]: batch-size and batch_size are the same key; leave one of them out"),
    "a row's key twice": (ROW | {"rows": {"a": {"batch_size": 4, "batch-size": 8}}},
                          r"\[rows.a\]: batch_size and batch-size are the same key"),
    "a checkpoint that is missing": (ROW | {"common": {"init_from": "no/such"}}, "sentiment/a/0: no/such: there is no"),
    "an unusable backend": (ROW | {"common": {"backend": "abacus"}}, "sentiment/a/0: backend: 'abacus' is not one of"),
}


@pytest.mark.parametrize("values, message", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        grid_cells(values)


def test_the_file_is_named_with_the_mistake(tmp_path):
    for text, message in (("rows = = 3", "TOML"), ("[rows.a]\n[rows.a]", "TOML"), ("", "there are no rows"),
                          ("[tasks_options]\n[tasks-options]", "tasks_options and tasks-options are the same key")):
        (tmp_path / "g.toml").write_text(text)
        with pytest.raises(ValueError, match=rf"g\.toml: .*{message}"):
            read_grid(tmp_path / "g.toml")
    (tmp_path / "g.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="g.toml: not a UTF-8 text file"):
        read_grid(tmp_path / "g.toml")
