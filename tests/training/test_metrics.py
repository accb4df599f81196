"""The metrics against scikit-learn and scipy, and where these warn or divide by zero."""
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoe.training.metrics import accuracy, compute, f1, matthews, pearson, score, spearman

PAIRS = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2))
BINARY = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 1), min_size=n, max_size=n)] * 2))


@given(PAIRS)
def test_accuracy_equals_scikit_learns(pair):
    assert accuracy(*pair) == pytest.approx(sklearn.metrics.accuracy_score(*pair), abs=1e-12)


@given(BINARY)
def test_f1_equals_scikit_learns(pair):
    assert f1(*pair) == pytest.approx(sklearn.metrics.f1_score(*pair, zero_division=0.0), abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_matthews_equals_scikit_learns_for_any_number_of_classes(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # scikit-learn warns of a single class
        expected = sklearn.metrics.matthews_corrcoef(*pair)
    assert matthews(*pair) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(-50, 50, width=32)), min_size=3, max_size=30))
def test_correlations_equal_scipys_with_ties(rows):
    x, y = [a / 4 for a, _ in rows], [b for _, b in rows]
    if np.std(x) < 1e-3 or np.std(y) < 1e-3:        # (nearly) constant: see below
        return
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-9)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)


def test_g29_one_class_only_gives_0_without_a_warning():
    """Case G29 (scikit-learn/scikit-learn#16924): an untrained model says the same thing every time."""
    labels = [1, 1, 0, 1, 0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matthews(labels, [1] * 6) == 0.0 and matthews([1] * 6, labels) == 0.0 and matthews([0], [0]) == 0.0
        assert matthews(labels, [1, 0, 0, 1, 1, 1]) == pytest.approx(0.25, abs=1e-12)
        assert f1([1, 0, 1], [0, 0, 0]) == 0.0 and f1([0, 0], [0, 0]) == 0.0


def test_g29_large_counts_do_not_overflow():
    """Case G29 (dotnet/machinelearning#4664): the product of the four sums is 1.1e21, beyond 64-bit integers."""
    labels = np.repeat([1, 0, 0, 1], [150_000, 150_000, 32_000, 32_000])
    predictions = np.repeat([1, 0, 1, 0], [150_000, 150_000, 32_000, 32_000])
    assert matthews(labels, predictions) == pytest.approx(118 / 182, abs=1e-9)
    assert matthews(labels.astype(np.int8), predictions.astype(np.int8)) == pytest.approx(118 / 182, abs=1e-9)


def test_g30_f1_and_accuracy_of_the_whole_set_are_not_means_over_batches():
    """Case G30 (apache/mxnet#9830)."""
    labels, predictions = [1, 0, 1, 1, 0, 0, 1], [1, 1, 0, 1, 0, 0, 1]
    assert f1(labels, predictions) == pytest.approx(0.75) and accuracy(labels, predictions) == pytest.approx(5 / 7)
    batches = [slice(i, i + 2) for i in range(0, 7, 2)]
    assert np.mean([f1(labels[b], predictions[b]) for b in batches]) == pytest.approx(7 / 12)


def test_the_positive_class_of_f1_is_1():
    assert f1([1, 0, 0, 0], [1, 0, 0, 1]) == pytest.approx(2 / 3)
    assert f1([0, 1, 1, 1], [0, 1, 1, 0]) == pytest.approx(0.8)


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize("labels, predictions", [([1, 2, 3], [0.1, 0.1, 0.1]), ([0.3, 0.3], [1, 2]), ([1], [2])])
def test_a_constant_side_has_correlation_0_and_a_warning(metric, labels, predictions):
    with pytest.warns(RuntimeWarning, match=f"{metric.__name__}: .* counts as 0"):
        assert metric(labels, predictions) == 0.0


@pytest.mark.parametrize("factor", [1e300, 1.7e308 / 3, 1e-300])
def test_correlations_of_huge_and_tiny_numbers_neither_overflow_nor_vanish(factor):
    x = np.array([1.0, 2.0, 3.0, -3.0])
    y = np.array([2.0, 1.0, 3.0, -1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pearson(x * factor, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
        assert spearman(x * factor, y * factor) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


def test_correlation_stays_within_1():
    """Rounding makes these 1.0000000000000002 at first."""
    assert pearson([5, 6], [43, 51]) == 1.0 and pearson([5, 6], [-43, -51]) == -1.0


@pytest.mark.parametrize("metric", [accuracy, f1, matthews, pearson, spearman])
@pytest.mark.parametrize("labels, predictions, message", [
    ([None, None], [0, 1], "labels are None .* use the dev split"), ([1, None], [0, 1], "labels are None"),
    (None, [0, 1], "labels are None"),
    ([0, 1], [0, 1, 1], r"labels are \(2,\) and predictions \(3,\)"), ([], [], "1 or more"),
    ([[0], [1]], [[0], [1]], r"labels are \(2, 1\)")])
def test_sets_that_cannot_be_scored_are_refused(metric, labels, predictions, message):
    with pytest.raises(ValueError, match=f"{metric.__name__}: .*{message}"):
        metric(labels, predictions)


@pytest.mark.parametrize("metric", [accuracy, f1, matthews])
def test_a_placeholder_of_minus_1_is_never_a_class(metric):
    """Case G28 (huggingface/datasets#183)."""
    with pytest.raises(ValueError, match=f"{metric.__name__}: labels contain -1"):
        metric([-1, -1], [-1, 1])
    with pytest.raises(ValueError, match="predictions contain -1"):
        metric([0, 1], [-1, 1])


@pytest.mark.parametrize("metric", [accuracy, f1, matthews])
def test_classes_must_be_integers(metric):
    with pytest.raises(TypeError, match=f"{metric.__name__}: predictions are float64; needed integers"):
        metric([0, 1], [0.2, 0.9])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="spearman: 1 of the predictions are NaN or infinite"):
        spearman([1, 2, 3], [1, wrong, 2])


def test_compute_names_every_value_and_score_is_their_mean():
    values = compute(("accuracy", "f1"), [1, 0, 0, 0], [1, 0, 0, 1])
    assert values == {"accuracy": 0.75, "f1": pytest.approx(2 / 3)}
    assert score(values) == pytest.approx((0.75 + 2 / 3) / 2)
    assert all(type(value) is float for value in values.values())


def test_unknown_metrics_and_no_metrics_are_refused():
    with pytest.raises(ValueError, match="'mcc' is no metric; needed some of accuracy f1 matthews pearson spearman"):
        compute(("mcc",), [0], [0])
    with pytest.raises(ValueError, match=r"metrics\.score: no values"):
        score({})
