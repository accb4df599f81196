"""The official scores of the GLUE tasks, for a whole split at once: means over batches are something else.

Every function takes (labels, predictions) as scikit-learn does, two sequences of equal length. ValueError if they are
empty, of unequal lengths or not one-dimensional, if a label is None (published test sets hide theirs), or if a value
is no class number (0, 1, ...) or no finite number, whichever the metric needs; TypeError for classes that are floats.
"""
from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np


def accuracy(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """The share of equal pairs."""
    labels, predictions = _classes("accuracy", labels, predictions)
    return int((labels == predictions).sum()) / len(labels)


def f1(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """2·TP / (2·TP + FP + FN) for class 1; 0 if class 1 is neither predicted nor there."""
    labels, predictions = _classes("f1", labels, predictions)
    hits = int(((labels == 1) & (predictions == 1)).sum())
    either = int((labels == 1).sum()) + int((predictions == 1).sum())
    return 2 * hits / either if either else 0.0


def matthews(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Matthews' correlation of two classifications, any number of classes; 0 if either knows only one class.

    With n pairs of which c are equal, t_k labels and p_k predictions of class k (Gorodkin 2004):
    (c·n − Σ t_k·p_k) / sqrt((n² − Σ t_k²)(n² − Σ p_k²)). In Python's integers, which do not overflow.
    """
    labels, predictions = _classes("matthews", labels, predictions)
    n_classes = int(max(labels.max(), predictions.max())) + 1
    t = np.bincount(labels, minlength=n_classes).tolist()
    p = np.bincount(predictions, minlength=n_classes).tolist()
    n, equal = len(labels), int((labels == predictions).sum())
    spread = (n * n - sum(k * k for k in t)) * (n * n - sum(k * k for k in p))
    return (equal * n - sum(a * b for a, b in zip(t, p, strict=True))) / math.sqrt(spread) if spread else 0.0


def pearson(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Linear correlation; 0 with a warning if either side is constant."""
    return _correlation("pearson", *_numbers("pearson", labels, predictions))


def spearman(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Pearson correlation of the ranks, equal values sharing their mean rank; 0 with a warning as in `pearson`."""
    labels, predictions = _numbers("spearman", labels, predictions)
    return _correlation("spearman", _ranks(labels), _ranks(predictions))


METRICS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman,
}


def compute(names: Iterable[str], labels: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """name -> value for every metric named (accuracy, f1, matthews, pearson, spearman)."""
    names = list(names)
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metrics.compute: {name!r} is no metric; needed some of {' '.join(METRICS)}")
    return {name: METRICS[name](labels, predictions) for name in names}


def score(values: Mapping[str, float]) -> float:
    """The task's score: the mean of its metrics, as the GLUE table has it."""
    if not values:
        raise ValueError("metrics.score: no values; needed one metric or more")
    return math.fsum(values.values()) / len(values)


def best_constant(metric: str, labels: np.ndarray, n_classes: int) -> float:
    """What the best answer that is the same for every example gets."""
    if n_classes == 1:
        return 0.0                                  # a constant correlates with nothing
    return max(METRICS[metric](labels, np.full(len(labels), label)) for label in range(n_classes))


def _pair(metric: str, labels, predictions) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.dtype == object and (labels.ndim == 0 or any(label is None for label in labels)):
        raise ValueError(f"{metric}: some labels are None (published test sets hide theirs); use the dev split")
    if labels.ndim != 1 or labels.shape != predictions.shape or len(labels) == 0:
        raise ValueError(f"{metric}: labels are {labels.shape} and predictions {predictions.shape}; needed two"
                         " sequences of the same length, 1 or more")
    return labels, predictions


def _classes(metric: str, labels, predictions) -> tuple[np.ndarray, np.ndarray]:
    """Both as int64."""
    labels, predictions = _pair(metric, labels, predictions)
    for name, array in (("labels", labels), ("predictions", predictions)):
        if array.dtype.kind not in "iub":
            raise TypeError(f"{metric}: {name} are {array.dtype}; needed integers, the numbers of the classes")
        if array.min() < 0:
            raise ValueError(f"{metric}: {name} contain {array.min()}; classes start at 0 and -1 marks a hidden label,"
                             " which cannot be scored. Use the dev split")
    return labels.astype(np.int64), predictions.astype(np.int64)


def _numbers(metric: str, labels, predictions) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64."""
    labels, predictions = _pair(metric, labels, predictions)
    for name, array in (("labels", labels), ("predictions", predictions)):
        if array.dtype.kind not in "iufb":
            raise TypeError(f"{metric}: {name} are {array.dtype}; needed numbers")
        if not np.isfinite(array).all():
            raise ValueError(f"{metric}: {(~np.isfinite(array)).sum()} of the {name} are NaN or infinite")
    return labels.astype(np.float64), predictions.astype(np.float64)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean rank of every value, from 1: float64 of the same length."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _correlation(metric: str, x: np.ndarray, y: np.ndarray) -> float:
    centred = []
    for values in (x, y):
        if values.min() == values.max():
            warnings.warn(f"{metric}: all labels or all predictions are equal; the correlation counts as 0",
                          RuntimeWarning, stacklevel=3)
            return 0.0
        values = values / np.abs(values).max()      # so that neither sums nor squares overflow
        values = values - values.mean()
        centred.append(values / np.abs(values).max())
    x, y = centred
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))
