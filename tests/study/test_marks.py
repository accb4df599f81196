"""The marks: a bag of n-grams against scikit-learn, constant answers against trying them all."""
from dataclasses import replace

import numpy as np
import pytest
from grids import write_glue
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score

from minimoe.data import load_builtin, load_glue
from minimoe.data.dataset import Dataset, Example
from minimoe.study import bag
from minimoe.study import marks as module
from minimoe.study.bag import Bag, labels_of, ngrams
from minimoe.study.marks import best_constant, choose, marks
from minimoe.training.task import carve

PAIRS = [("a b c", "c d", 0), ("b b", "a", 1), ("d a b", "b c a", 1), ("c", "a b", 0), ("a d", "d a", 2), ("b", "c", 2)]


def dataset(n_classes: int, pairs=PAIRS, metrics=("accuracy",)) -> Dataset:
    """n_classes 1: numbers as labels."""
    kept = [(a, b, float(y) / 2 if n_classes == 1 else y) for a, b, y in pairs if n_classes == 1 or y < n_classes]
    return Dataset("mine", "train", tuple(Example(a, b, y) for a, b, y in kept), n_classes, metrics, ("x",))


def test_ngrams_are_words_and_neighbours_within_one_text():
    example = Example("The cat, the", "cat sat")
    assert sorted(ngrams(example)) == sorted([
        (0, "the"), (0, "cat"), (0, ","), (0, "the"), (0, "the", "cat"), (0, "cat", ","), (0, ",", "the"),
        (0, "cat"), (0, "sat"), (0, "cat", "sat")])
    assert sorted(ngrams(example, apart=True))[-3:] == [(1, "cat"), (1, "cat", "sat"), (1, "sat")]
    assert sum(side == 0 for side, *_ in ngrams(example, apart=True)) == 7


def sklearn_counts(data: Dataset, others: Dataset):
    """The same n-grams by another hand: each text apart, so that no neighbours cross from one to the other."""
    counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    counter.fit(list(data.texts()))
    return [sum(counter.transform([text(e) for e in part.examples]) for text in (lambda e: e.text, lambda e: e.pair))
            for part in (data, others)]


@pytest.mark.parametrize("penalty", [0.3, 3.0])
def test_the_bag_is_scikit_learns_logistic_regression(penalty, monkeypatch):
    data, others = load_builtin("paraphrase", "train"), load_builtin("paraphrase", "dev")
    data, others = replace(data, examples=data.examples[:400]), replace(others, examples=others.examples[:200])
    x, seen = sklearn_counts(data, others)
    theirs = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-8).fit(x, labels_of(data))
    mine = Bag(data, apart=False).fit(penalty)
    assert len(mine.vocabulary) == x.shape[1]
    assert np.mean(mine.predict(others) == theirs.predict(seen)) > 0.98
    monkeypatch.setattr(bag, "TOLERANCE", 1e-13)
    monkeypatch.setattr(bag, "MOST_STEPS", 5000)
    mine.fit(penalty)
    assert (mine.predict(others) == theirs.predict(seen)).all()
    assert mine.weights[-1, 0] == pytest.approx(theirs.intercept_[0], abs=0.02)
    assert np.sort(mine.weights[:-1, 0]) == pytest.approx(np.sort(theirs.coef_[0]), abs=0.02)


def test_for_numbers_the_bag_is_ridge_regression():
    data = dataset(1)
    x, _ = sklearn_counts(data, data)
    theirs = Ridge(alpha=0.5).fit(x, labels_of(data))
    assert Bag(data, apart=False).fit(0.5).predict(data) == pytest.approx(theirs.predict(x), abs=1e-3)


def test_three_classes_are_learnt_where_nothing_holds_the_weights_back():
    data = dataset(3)
    assert (Bag(data, apart=True).fit(1e-4).predict(data) == labels_of(data)).all()


def test_a_strong_penalty_leaves_the_most_frequent_class_alone():
    data = dataset(2, [("a b", "c", 1), ("b c", "c", 1), ("d", "a", 1), ("a", "b", 0)])
    learnt = Bag(data, apart=False).fit(1e6)
    assert abs(learnt.weights[:-1]).max() < 1e-3 and learnt.weights[-1, 0] == pytest.approx(np.log(3), abs=1e-2)
    assert learnt.predict(data).tolist() == [1, 1, 1, 1]


def test_words_that_training_did_not_see_count_for_nothing():
    data = dataset(2)
    known = Bag(data, apart=False)
    seen = dataset(2, [("a b", "c", 0)])
    more = dataset(2, [("a b zebra", "c", 0)])
    assert (known._count([ngrams(seen.examples[0])]) != known._count([ngrams(more.examples[0])])).nnz == 0


def test_fitting_goes_on_from_weaker_or_stronger_to_the_same_weights():
    data = dataset(2)
    one, path = Bag(data, apart=False).fit(1.0), Bag(data, apart=False)
    path.fit(100.0).fit(1.0)
    assert path.weights == pytest.approx(one.weights, abs=5e-3)


@pytest.mark.parametrize("labels", [[0, 1, 1, 1], [0, 0, 0, 1], [1, 0]])
def test_the_best_constant_is_the_best_of_all_constants(labels):
    labels = np.array(labels)
    assert best_constant("accuracy", labels, 2) == max(np.mean(labels), 1 - np.mean(labels))
    assert best_constant("f1", labels, 2) == pytest.approx(f1_score(labels, np.ones(len(labels))))
    assert best_constant("matthews", labels, 2) == 0.0


def test_a_constant_answer_does_not_correlate():
    assert best_constant("pearson", np.array([0.5, 2.0]), 1) == 0.0


def test_marks_of_a_glue_folder_are_scored_on_its_development_split_and_learnt_from_all_of_train(tmp_path):
    folder = write_glue(tmp_path)
    found = marks("sst2", folder)
    dev, train = load_glue("sst2", folder, "dev"), load_glue("sst2", folder, "train")
    learnt = Bag(train, found["bag"]["texts_apart"]).fit(found["bag"]["penalty"])
    assert found["bag"]["metrics"] == {"accuracy": np.mean(learnt.predict(dev) == labels_of(dev))}
    assert found["constant"] == {"score": 0.6, "metrics": {"accuracy": 0.6}}
    assert (found["task"], found["split"], found["examples"]) == ("sst2", "dev", 40)
    assert found["bag"]["score"] > 0.9              # its labels are in its words
    assert marks("sst2", folder) == found


def test_a_built_in_task_is_scored_on_its_test_split(monkeypatch):
    asked, learnt = [], []
    monkeypatch.setattr(module, "Bag", lambda data, apart: learnt.append(len(data)) or Bag(data, apart))

    def small(config, split):
        asked.append(split)
        data = load_builtin(config.task, split)
        return replace(data, examples=data.examples[:60])

    monkeypatch.setattr(module, "load_split", small)
    found = marks("acceptability")
    assert asked == ["train", "test"] and (found["split"], found["examples"]) == ("test", 60)
    assert learnt == [54, 54, 54, 60]               # carved to choose, whole in the end


def test_settings_are_chosen_by_validation_splits_alone(monkeypatch):
    """A stand-in that is right only with one setting, on data that is never the whole of train."""
    seen = []

    class Stub:
        vocabulary = ()

        def __init__(self, data, apart):
            seen.append(len(data))
            self.apart = apart

        def fit(self, penalty):
            self.penalty = penalty
            return self

        def predict(self, data):
            right = self.apart and self.penalty == 3.0
            return labels_of(data) if right else 1 - labels_of(data)

    seeds = []
    monkeypatch.setattr(module, "Bag", Stub)
    monkeypatch.setattr(module, "carve", lambda data, seed: seeds.append(seed) or carve(data, seed))
    data = load_builtin("paraphrase", "dev")
    assert choose(data) == (True, 3.0) and seeds == [0, 1, 2]
    assert set(seen) == {len(carve(data, 0)[0])} and len(seen) == 6      # three splits, together and apart


def test_a_tie_goes_to_texts_together_and_the_strongest_penalty(monkeypatch):
    monkeypatch.setattr(module, "_metrics", lambda bag, data: {"accuracy": 0.5})
    assert choose(dataset(2)) == (False, max(module.PENALTIES))


def test_mnli_has_marks_on_both_development_splits(monkeypatch):
    splits = {"train": dataset(3, PAIRS * 4), "dev": dataset(3), "dev_mismatched": dataset(3, PAIRS[:4])}
    monkeypatch.setattr(module, "load_split", lambda config, split: splits[split])
    found = marks("mnli", "somewhere")
    assert found["constant"]["metrics"] == {"accuracy": pytest.approx(1 / 3), "accuracy_mismatched": 0.5}
    assert found["bag"]["metrics"].keys() == found["constant"]["metrics"].keys()
    assert found["constant"]["score"] == pytest.approx((1 / 3 + 0.5) / 2)
