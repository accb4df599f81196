"""A bag of n-grams: a linear model on counts of words and of pairs of neighbouring words, blind to all other order."""
from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack

from minimoe.data.dataset import Dataset, Example
from minimoe.data.tokenizer import split_words

MOST_STEPS, TOLERANCE = 300, 1e-7                   # of the optimiser; relative, near enough for predictions


class Bag:
    """Knows the n-grams of `data`; `fit` learns their weights from it. apart: the n-grams of an example's first and
    second text are different ones."""

    def __init__(self, data: Dataset, apart: bool):
        self.apart, self.n_classes, self.labels = apart, data.n_classes, labels_of(data)
        grams = [ngrams(example, apart) for example in data.examples]
        self.vocabulary = {gram: i for i, gram in enumerate(sorted({gram for row in grams for gram in row}))}
        self.counts = self._count(grams)
        self.weights = np.zeros((self.counts.shape[1], max(self.n_classes - 1, 1)))

    def fit(self, penalty: float) -> Bag:
        """Minimises the summed loss + penalty/2 · Σ w², the constant's weights left out, from the weights it has.

        Loss: cross-entropy where class 0 has the logit 0; half the squared error for regression.
        """
        x, backwards, shape = self.counts, self.counts.T.tocsr(), self.weights.shape
        penalties = np.full((shape[0], 1), penalty)
        penalties[-1] = 0
        loss_of = _squared if self.n_classes == 1 else _cross_entropy

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w = flat.reshape(shape)
            value, slope = loss_of(x @ w, self.labels)
            return value + (penalties * w * w).sum() / 2, (backwards @ slope + penalties * w).ravel()

        self.weights = minimize(loss, self.weights.ravel(), jac=True, method="L-BFGS-B",
                                options={"maxiter": MOST_STEPS, "ftol": TOLERANCE}).x.reshape(shape)
        return self

    def predict(self, data: Dataset) -> np.ndarray:
        """Classes, or numbers for regression, in the data's order."""
        outputs = self._count([ngrams(example, self.apart) for example in data.examples]) @ self.weights
        return outputs[:, 0] if self.n_classes == 1 else _logits(outputs).argmax(axis=1)

    def _count(self, grams: list[list[tuple]]) -> csr_array:
        """(n, n-grams + 1): how often each one occurs in each example; the last column is the constant 1."""
        columns = [[self.vocabulary[gram] for gram in row if gram in self.vocabulary] for row in grams]
        flat = np.array([column for row in columns for column in row], np.int64)
        starts = np.cumsum([0, *map(len, columns)])
        counts = csr_array((np.ones(len(flat)), flat, starts), shape=(len(grams), len(self.vocabulary)))
        return hstack([counts, np.ones((len(grams), 1))], format="csr")


def ngrams(example: Example, apart: bool = False) -> list[tuple]:
    """Every word as (side, word) and every two neighbours as (side, word, next) of an example; side is 0, or 1 in the
    second text if apart."""
    found: list[tuple] = []
    for place, text in enumerate(text for text in (example.text, example.pair) if text is not None):
        side, words = place * apart, split_words(text)
        found += [(side, word) for word in words]
        found += [(side, *two) for two in zip(words, words[1:], strict=False)]
    return found


def labels_of(data: Dataset) -> np.ndarray:
    """(n,): integers, or floats for regression."""
    return np.array([example.label for example in data.examples])


def _logits(outputs: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(outputs), 1)), outputs], axis=1)       # (n, classes)


def _cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum over examples, and its slope with respect to `outputs`."""
    z = _logits(outputs)
    z -= z.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(z).sum(axis=1, keepdims=True))
    slope = np.exp(z - log_total)
    each = np.arange(len(labels)), labels
    slope[each] -= 1
    return float(log_total.sum() - z[each].sum()), slope[:, 1:]


def _squared(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    slope = outputs - labels[:, None]
    return float((slope * slope).sum()) / 2, slope
