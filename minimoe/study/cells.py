"""One cell of a grid: the run, and everything a report wants to know of it as plain numbers."""
from __future__ import annotations

from pathlib import Path

import numpy as np

import minimoe
from minimoe.backend import blas_threads
from minimoe.study.grid import Cell
from minimoe.study.machine import commit, machine, source
from minimoe.study.results import recorded
from minimoe.study.words import word_figures
from minimoe.training import Pretrainer, Trainer
from minimoe.training.metrics import best_constant
from minimoe.training.task import Task, load_split

TRAINERS = {"train": Trainer, "pretrain": Pretrainer}


def run_cell(cell: Cell) -> dict:
    """Trains as `minimoe train` or `pretrain` would and returns the content of the cell's result file.

    A cell whose configuration has `out` goes on from the checkpoint there.
    """
    with blas_threads(cell.config.threads):
        trainer = TRAINERS[cell.kind](cell.config, progress=False)
        if cell.config.out:
            trainer.restore()
        figures = trainer.train()
        more = classifier_figures if cell.kind == "train" else language_figures
        figures |= more(trainer, figures) | word_figures(trainer, cell.kind)
        return figures | layer_figures(figures["layers"]) | {
            "task": cell.task, "row": cell.row, "seed": cell.seed, "kind": cell.kind,
            "config": recorded(trainer.config), "train_seconds": figures["seconds"],
            "router": trainer.config.router.rpartition(":")[2] if trainer.config.experts else "dense",
            "commit": commit(), "source": source(), "machine": machine(), "minimoe": minimoe.__version__}


def classifier_figures(trainer: Trainer, figures: dict) -> dict:
    """The mark to beat, and where the experts went, as routed, on the words that decide and on the others."""
    routed = [{"deciding": a, "others": b} for a, b in trainer.evaluation.routed]
    deciding = figures["deciding"]
    if routed:                                      # every layer sees the same words, so a mean of means will do
        mean = {role: float(np.mean([layer[role] for layer in routed])) for role in ("deciding", "others")}
        deciding = deciding | {"routed": mean | {"layers": routed}}
    return {"majority": majority(trainer.task), "deciding": deciding}


def majority(task: Task) -> dict[str, float]:
    """Metric -> what the best constant answer gets on the split that the score comes from."""
    splits = {"": task.test} | ({"_mismatched": task.second_test} if task.second_test is not None else {})
    return {f"{metric}{suffix}": best_constant(metric, split.labels, task.n_classes)
            for suffix, split in splits.items() for metric in task.metrics}


def language_figures(trainer: Pretrainer, figures: dict) -> dict:
    """The loss in nats as the score, lower is better, and that of guessing by frequency as the mark to beat."""
    loss = -trainer.best_score
    columns = {name: [sum(column) for column in zip(*(s[key] for s in figures["layers"]), strict=True)]
               for name, key in (("k_histogram", "k_hist"), ("expert_load", "expert_load"))}
    return columns | {"metric": "loss", "score": loss, "metrics": {"loss": loss} | figures["metrics"],
                      "perplexity": figures["metrics"]["perplexity"], "unigram": trainer.unigram, "deciding": {}}


def layer_figures(layers: list[dict]) -> dict:
    """Per expert layer the histogram of K and the load's coefficient of variation; over all, the share of wanted
    assignments that a capacity dropped."""
    wanted = sum(stats["assignments"] for stats in layers)
    return {"k_per_layer": [stats["k_hist"] for stats in layers],
            "load_cv": [float(np.std(stats["expert_load"]) / max(np.mean(stats["expert_load"]), 1e-12))
                        for stats in layers],
            "dropped": sum(stats["dropped"] for stats in layers) / max(wanted, 1)}


def check_data(cells: list[Cell]) -> None:
    """Reads every split of the tasks and looks for every text, so that what is missing shows before the first cell.
    Raises OSError or ValueError."""
    seen = set()
    for cell in cells:
        config = cell.config
        if cell.kind == "train" and (cell.task, config.data_dir) not in seen and not config.builtin:
            seen.add((cell.task, config.data_dir))
            for split in ("train", "dev", *(["dev_mismatched"] if cell.task == "mnli" else [])):
                load_split(config, split)
        for path in (*config.text, *config.held_out) if cell.kind == "pretrain" else ():
            if not Path(path).is_file():
                raise ValueError(f"{cell.name}: text: there is no file {path}")
