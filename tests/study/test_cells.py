"""One cell: the run of `minimoe train` or `pretrain`, to the same bits, with every figure that a report needs."""
import json
from dataclasses import replace

import grids
import numpy as np
import pytest

from minimoe.study.cells import check_data, layer_figures, majority, run_cell
from minimoe.study.estimate import estimate_seconds
from minimoe.study.grid import grid_cells
from minimoe.study.results import recorded
from minimoe.training import Pretrainer, Trainer
from minimoe.training.task import prepare_task

ROWS = {"switch": {"router": "switch"},
        "budget": {"allocation": "budget", "mean_experts": 2},
        "tight": {"router": "topk", "router_options": {"k": 2, "capacity": 0.5}},
        "wide": {"router": "topk", "router_options": {"k": 2}, "d_ff": 12},
        "dense": {"experts": 0, "d_ff": 8}}


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    return str(grids.write_glue(tmp_path_factory.mktemp("glue")))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return str(grids.write_text(tmp_path_factory.mktemp("text") / "a.txt"))


def classifiers(glue, **more):
    common = grids.TINY | {"data_dir": glue} | more
    found = grid_cells({"tasks": ["sst2"], "common": common, "rows": ROWS})
    return {cell.row: cell for cell in found}


def language_models(text, **more):
    common = grids.TINY | {"text": [text], "max_steps": 4, "vocab_size": 60} | more
    found = grid_cells({"kind": "pretrain", "common": common, "rows": ROWS})
    return {cell.row: cell for cell in found}


def without_times(result):
    """What must be equal; somebody may edit or commit while the tests run."""
    moving = ("seconds", "train_seconds", "tokens_per_second", "machine", "source", "commit")
    return {key: value for key, value in result.items() if key not in moving}


@pytest.fixture(scope="module")
def results(glue):
    return {row: run_cell(cell) for row, cell in classifiers(glue).items()}


def test_a_cell_has_the_figures_of_a_training_run(glue, results):
    cell = classifiers(glue)["budget"]
    trainer = Trainer(cell.config, progress=False)
    figures = trainer.train()
    found = results["budget"]
    for key in figures.keys() - {"seconds", "tokens_per_second", "deciding"}:
        assert found[key] == figures[key], key
    assert found["config"] == recorded(trainer.config)


def test_a_cell_says_what_it_is_and_where_it_comes_from(results):
    found = results["tight"]
    assert (found["task"], found["row"], found["seed"], found["kind"]) == ("sst2", "tight", 0, "train")
    assert found["train_seconds"] == found["seconds"] > 0 and found["minimoe"]
    assert set(found["machine"]) == {"processor", "cores", "platform", "python", "numpy", "blas"}
    assert results["dense"]["router"] == "dense" and found["router"] == "topk"
    json.dumps(results, allow_nan=False)


def test_experts_are_counted_per_layer_and_drops_as_a_share(results):
    found = results["tight"]
    assert found["k_per_layer"] == [layer["k_hist"] for layer in found["layers"]] and len(found["k_per_layer"]) == 2
    tokens = found["layers"][0]["tokens"]
    assert results["budget"]["mean_experts_per_token"] == pytest.approx(2, abs=0.02)
    assert found["k_per_layer"][0] == [0, 0, tokens, 0, 0] and results["budget"]["dropped"] == 0.0
    kept = sum(layer["kept"] for layer in found["layers"])
    assert found["dropped"] == pytest.approx(1 - kept / (4 * tokens)) and 0.4 < found["dropped"] < 0.7
    assert results["dense"]["k_per_layer"] == results["dense"]["load_cv"] == [] and results["dense"]["dropped"] == 0.0


def test_the_loads_variation_is_that_of_the_formula():
    stats = {"k_hist": [0, 4], "expert_load": [3, 1, 0, 0], "assignments": 4, "dropped": 1}
    found = layer_figures([stats])
    assert found["load_cv"] == [pytest.approx(np.sqrt(1.5) / 1)] and found["dropped"] == 0.25


def test_the_mark_is_the_best_constant_answer_for_each_metric(glue):
    task = prepare_task(classifiers(glue)["switch"].config)
    assert majority(replace(task, metrics=("accuracy", "f1", "matthews"))) == {
        "accuracy": 0.6, "f1": pytest.approx(0.75), "matthews": 0.0}      # 24 of 40 are positive
    mostly_no = replace(task, test=replace(task.test, labels=1 - task.test.labels), metrics=("accuracy", "f1"))
    assert majority(mostly_no) == {"accuracy": 0.6, "f1": pytest.approx(2 * 16 / (16 + 40))}
    assert majority(replace(task, n_classes=1, metrics=("pearson",), second_test=task.test)) == {
        "pearson": 0.0, "pearson_mismatched": 0.0}


@pytest.mark.parametrize("row", ROWS)
def test_a_cell_run_again_is_the_same_bit_for_bit(glue, results, row):
    assert without_times(run_cell(classifiers(glue)[row])) == without_times(results[row])


def test_deciding_words_are_counted_as_routed_for_every_layer():
    common = grids.TINY | {"max_steps": 1, "allocation": "quantile", "mean_experts": 2,
                           "router_options": {"levels": [1, 4]}}
    rows = {"a": {"importance": "shuffled(rowmax)"}, "b": {"importance": "cls"}}
    for cell in grid_cells({"tasks": ["sentiment"], "common": common, "rows": rows}):
        found = run_cell(cell)["deciding"]
        assert set(found) == {"routed", "rowmax", "colmax"}
        layers = found["routed"]["layers"]
        assert len(layers) == 2 and layers[0] != layers[1]
        for role in ("deciding", "others"):
            assert found["routed"][role] == pytest.approx((layers[0][role] + layers[1][role]) / 2)
            assert found["routed"][role] != found["rowmax"][role]


def test_a_language_models_score_is_its_loss_beside_the_unigrams(text):
    cells = language_models(text)
    found = {row: run_cell(cells[row]) for row in ("budget", "dense")}
    for result in found.values():
        assert (result["task"], result["kind"], result["metric"], result["deciding"]) == ("mlm", "pretrain", "loss", {})
        assert result["perplexity"] == pytest.approx(np.exp(result["score"]))
        assert result["metrics"]["unigram_perplexity"] == pytest.approx(np.exp(result["unigram"]))
    trainer = Pretrainer(cells["budget"].config, progress=False)
    trainer.train()
    assert found["budget"]["score"] == -trainer.best_score and found["dense"]["router"] == "dense"
    assert len(found["budget"]["k_histogram"]) == 5 and found["dense"]["k_histogram"] == []
    assert sum(found["budget"]["expert_load"]) == sum(layer["assignments"] for layer in found["budget"]["layers"])


def test_a_cell_that_keeps_its_model_goes_on_where_it_was_stopped(text, tmp_path, monkeypatch):
    kept = language_models(text, out=f"{tmp_path}/{{row}}", save_every=1)["switch"]
    whole = run_cell(replace(kept, config=replace(kept.config, out=None)))
    steps, step = [], Pretrainer._step
    monkeypatch.setattr(Pretrainer, "_step", lambda self, *args: (steps.append(self.step), step(self, *args))[1])
    trainer = Pretrainer(kept.config, progress=False)
    trainer.stopping = True                         # as Ctrl-C would
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert run_cell(kept)["score"] == whole["score"] and steps == [0, 1, 2, 3]


def test_a_train_grid_starts_from_the_models_that_a_pretrain_grid_kept(text, glue, tmp_path):
    run_cell(language_models(text, out=f"{tmp_path}/{{row}}")["budget"])
    row = {"allocation": "budget", "mean_experts": 2}
    [cell] = grid_cells({"tasks": ["sst2"], "rows": {"budget": row}, "common": {
        "data_dir": glue, "init_from": f"{tmp_path}/{{row}}", "epochs": 1}})
    found = run_cell(cell)
    assert (found["config"]["d_model"], found["config"]["init_from"]) == (8, "budget")


def test_missing_data_shows_before_any_run(glue, tmp_path):
    check_data(list(classifiers(glue).values()))
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "train.tsv").write_text("sentence\tlabel\na\t1\n")
    with pytest.raises(FileNotFoundError, match="dev.tsv"):
        check_data(list(classifiers(str(tmp_path)).values()))
    with pytest.raises(ValueError, match="mlm/switch/0: text: there is no file no.txt"):
        check_data(list(language_models("no.txt").values()))


def test_estimates_grow_with_the_steps_and_leave_nothing_behind(glue, text, tmp_path):
    short, long = (list(classifiers(glue, epochs=n, out=f"{tmp_path}/{{row}}").values()) for n in (1, 10**5))
    quick, slow = (estimate_seconds(cells) for cells in (short, long))
    assert quick.keys() == slow.keys() == {f"sst2/{row}/0" for row in ROWS}
    assert all(1 < quick[name] < 20 < slow[name] for name in quick) and list(tmp_path.iterdir()) == []
    assert all(seconds > 1 for seconds in estimate_seconds(list(language_models(text).values())).values())


def test_each_kind_of_cell_is_measured_once(glue, monkeypatch):
    runs, run = [], Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self: (runs.append(self.config.router), run(self))[1])
    rows = {"a": {"router": "switch"}, "b": {"router": "topk"}}
    common = grids.TINY | {"data_dir": glue}
    found = estimate_seconds(grid_cells({"seeds": [0, 1, 2], "tasks": ["sst2"], "common": common, "rows": rows}))
    assert len(found) == 6 and runs == ["switch", "topk"]
