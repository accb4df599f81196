"""Running thresholds: how they start, move, hold the mean, and what they refuse."""
from __future__ import annotations

import numpy as np
import pytest

from minimoe.moe.allocation import allocate_experts
from minimoe.moe.thresholds import RunningThresholds


def test_running_thresholds_start_at_the_first_batch_and_then_move_by_one_percent():
    running = RunningThresholds([0.5, 1.0])
    mask = np.array([[True, True, True, False]])
    running.update(np.array([[1.0, 2.0, 3.0, 99.0]]), mask)
    np.testing.assert_allclose(running.values, [2, 3])
    running.update(np.array([[4.0, 4.0, 4.0, -99.0]]), mask)
    np.testing.assert_allclose(running.values, [0.99 * 2 + 0.04, 0.99 * 3 + 0.04])
    running.update(np.ones((1, 4)), np.zeros((1, 4), bool))
    np.testing.assert_allclose(running.values, [2.02, 3.01])


def test_running_thresholds_hold_the_expected_mean():
    r, running = np.random.default_rng(0), RunningThresholds([0.5, 0.75])
    for _ in range(400):                                          # 0.99^400 = 0.02: the first batch is forgotten
        running.update(r.random((8, 64)))
    k = allocate_experts(r.random((100, 100)), None, 8, "threshold", thresholds=running.values)
    assert abs(k.mean() - 1.75) < 0.03


def test_running_thresholds_refuse_bad_shares_nan_and_use_before_the_first_update():
    for shares, decay in (([1.5], 0.9), ([0.5], 2.0), (0.5, 0.9)):
        with pytest.raises(ValueError, match="RunningThresholds: shares and decay must lie in 0..1"):
            RunningThresholds(shares, decay)
    running = RunningThresholds([0.5])
    with pytest.raises(ValueError, match="NaN or infinite at 1 tokens"):
        running.update(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="after its first update"):
        allocate_experts(np.ones((1, 2)), allocation="threshold", thresholds=running.values)
