"""Marks that a model must beat before its score says anything: the best constant answer, and a bag of n-grams."""
from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from minimoe.data.dataset import Dataset
from minimoe.study.bag import Bag, labels_of
from minimoe.training.config import TrainConfig
from minimoe.training.metrics import best_constant, compute, score
from minimoe.training.task import carve, load_split

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
CARVED_WITH = (0, 1, 2)                             # seeds of three validation splits: one alone chooses by luck


def marks(task: str, data_dir: str | Path | None = None) -> dict:
    """Both marks of a built-in task, or with `data_dir` of a GLUE task, on the split that `minimoe train` scores on.

    constant: for each metric the best answer that is the same for every example. bag: logistic (for STS-B ridge)
    regression on counts of words and of pairs of neighbouring words. Its penalty, and whether the two texts of a pair
    are counted together or apart, are chosen by the task's score on validation splits carved from train; then it
    learns from all of train. The same numbers every time. `score` is the mean of the metrics, as in a result.
    """
    config = TrainConfig(task=task, data_dir=None if data_dir is None else str(data_dir))
    train = load_split(config, "train")
    test = {"": load_split(config, "test" if config.builtin else "dev")}
    if task == "mnli":
        test["_mismatched"] = load_split(config, "dev_mismatched")
    apart, penalty = choose(train)
    bag = Bag(train, apart).fit(penalty)
    constant, learnt = {}, {}
    for suffix, data in test.items():
        for metric in train.metrics:
            constant[metric + suffix] = best_constant(metric, labels_of(data), train.n_classes)
        learnt |= {metric + suffix: value for metric, value in _metrics(bag, data).items()}
    return {"task": task, "split": test[""].split, "examples": len(test[""]),
            "constant": {"score": score(constant), "metrics": constant},
            "bag": {"score": score(learnt), "metrics": learnt, "penalty": penalty, "texts_apart": apart,
                    "ngrams": len(bag.vocabulary)}}


def choose(train: Dataset) -> tuple[bool, float]:
    """(texts of a pair apart?, penalty): the best mean score on the validation splits; a tie goes to the simpler."""
    total: dict[tuple[bool, float], float] = defaultdict(float)
    for seed in CARVED_WITH:
        part, validation = carve(train, seed)
        for apart in (False, True) if train.examples[0].pair is not None else (False,):
            bag = Bag(part, apart)
            for penalty in PENALTIES:
                total[apart, penalty] += score(_metrics(bag.fit(penalty), validation))
    return max(total, key=total.get)


def _metrics(bag: Bag, data: Dataset) -> dict[str, float]:
    return compute(data.metrics, labels_of(data), bag.predict(data))
