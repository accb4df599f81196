"""Means, spreads, intervals and verdicts, against scipy, statistics and brute force."""
import statistics as stdlib
from itertools import product

import numpy as np
import pytest
import scipy.stats

from minimoe.study.statistics import (
    bootstrap_interval,
    mean_sd,
    paired_difference,
    sign,
    student_interval,
    verdict,
)

VALUES = [0.31, 0.52, 0.44, 0.93, 0.05]


def test_mean_and_sd_are_those_of_a_sample():
    assert mean_sd(VALUES) == pytest.approx((stdlib.mean(VALUES), stdlib.stdev(VALUES)), rel=1e-12)
    assert mean_sd([0.25]) == (0.25, None)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_students_interval_is_scipys(level):
    scale = scipy.stats.sem(VALUES)
    expected = scipy.stats.t.interval(level, len(VALUES) - 1, loc=np.mean(VALUES), scale=scale)
    assert student_interval(VALUES, level) == pytest.approx(expected, rel=1e-12)


def test_students_interval_leaves_out_zero_exactly_where_the_paired_t_test_finds_a_difference():
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        a, b = random.normal(0.0, 1.0, 5), random.normal(0.8, 1.0, 5)
        p = scipy.stats.ttest_rel(b, a).pvalue
        found.append(p < 0.05)
        assert (sign(student_interval(b - a)) != 0) == (p < 0.05)
    assert 20 < sum(found) < 180


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3], [0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6], [0.0, 0.0]])
def test_without_a_spread_there_is_no_students_interval(values):
    assert student_interval(values) is None


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_bootstrap_is_the_quantiles_of_all_possible_resamples(level):
    """Four values have 256 resamples, all equally likely: no chance in the expected interval."""
    values = [0.1, 0.25, 0.7, 0.4]
    means = [np.mean(sample) for sample in product(values, repeat=4)]
    expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    assert bootstrap_interval(values, level) == pytest.approx(expected, abs=0.02)


def test_the_bootstrap_draws_10000_times_and_gives_the_same_numbers_every_time(monkeypatch):
    assert bootstrap_interval(VALUES) == bootstrap_interval(VALUES)
    drawn = []
    monkeypatch.setattr(np, "quantile", lambda means, q: drawn.append(means.shape) or (0.0, 0.0))
    bootstrap_interval(VALUES)
    assert drawn == [(10_000,)]


def test_of_five_values_students_interval_holds_the_truth_as_often_as_it_says_and_the_bootstrap_less_often():
    """The figure in bootstrap_interval's docstring: 84 in 100."""
    samples = np.random.default_rng(1).standard_normal((400, 5))
    inside = {make: np.mean([low <= 0 <= high for low, high in map(make, samples)])
              for make in (bootstrap_interval, student_interval)}
    assert abs(inside[student_interval] - 0.95) < 0.03 and abs(inside[bootstrap_interval] - 0.84) < 0.05


def test_differences_are_taken_seed_by_seed_and_only_where_both_have_one():
    found = paired_difference({0: 0.9, 2: 0.6, 1: 0.8, 5: 0.1}, {1: 0.7, 0: 0.85, 2: 0.7, 9: 0.3})
    assert found.seeds == (0, 1, 2) and found.values == pytest.approx((0.05, 0.1, -0.1))
    assert found.mean == pytest.approx(0.05 / 3) and found.sd == pytest.approx(stdlib.stdev([0.05, 0.1, -0.1]))
    assert found.student == student_interval(found.values) and found.bootstrap == bootstrap_interval(found.values)
    assert paired_difference({0: 0.9}, {1: 0.9}) is None


def test_where_lower_is_better_a_lower_candidate_is_positive():
    assert paired_difference({0: 5.0, 1: 5.5}, {0: 6.0, 1: 6.0}, lower_is_better=True).values == (1.0, 0.5)


def test_pairing_takes_out_what_the_seed_moves_in_both():
    base = np.random.default_rng(0).normal(0, 1, 6)
    noise = np.random.default_rng(1).normal(0, 0.01, 6)
    found = paired_difference(dict(enumerate(base + 0.1 + noise)), dict(enumerate(base)))
    assert verdict(found.student).startswith("better") and found.sd < 0.05 < np.std(base, ddof=1)


@pytest.mark.parametrize("interval, expected, direction", [
    ((0.0123, 0.04), "better by 0.0123..0.0400", 1), ((-0.04, -0.0123), "worse by 0.0123..0.0400", -1),
    ((-0.01, 0.02), "within noise", 0), ((0.0, 0.02), "within noise", 0), ((-0.02, 0.0), "within noise", 0),
    (None, "no spread to judge by", 0)])
def test_the_verdict_follows_from_where_zero_lies(interval, expected, direction):
    assert verdict(interval) == expected and sign(interval) == direction
