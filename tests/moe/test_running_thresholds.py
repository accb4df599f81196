"""Thresholds that follow training: when they move, what they hold, how they are saved."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import D, E, batch

from minimoe import Tensor
from minimoe.moe import make_router
from minimoe.moe.thresholds import RunningThresholds

X, IMPORTANCE, MASK = batch(lengths=(6, 4))


# ---- running thresholds

def shares_router(shares=(0.5, 0.75), **options):
    return make_router("da", D, E, allocation="threshold", threshold_shares=list(shares), **options)


def pass_through(router, importance):
    x = Tensor(np.ones((*importance.shape, D), np.float32))
    return router(x, importance.astype(np.float32)).k


def test_running_thresholds_move_in_training_and_are_frozen_in_evaluation():
    router, random = shares_router(), np.random.default_rng(0)
    values = [router.thresholds.values.data.copy()]
    for _ in range(2):
        pass_through(router, random.random((2, 50)))
        values.append(router.thresholds.values.data.copy())
    assert np.isnan(values[0]).all() and not np.isnan(values[1]).any() and not np.array_equal(values[1], values[2])
    pass_through(router.eval(), random.random((2, 50)))
    np.testing.assert_array_equal(router.thresholds.values.data, values[2])


def test_running_thresholds_hold_the_mean_that_their_shares_promise():
    router, random = shares_router(), np.random.default_rng(0)
    for _ in range(5):
        pass_through(router, random.random((50, 100)))
    assert abs(pass_through(router.eval(), random.random((50, 50))).mean() - 1.75) < 0.05


def test_padding_does_not_move_running_thresholds():
    one, other = shares_router(), shares_router()
    importance, mask = np.array([[.1, .5, .9, 0]], np.float32), np.array([[True, True, True, False]])
    x = Tensor(np.ones((1, 4, D), np.float32))
    one(x, importance, mask)
    other(Tensor(x.data[:, :3]), importance[:, :3])
    np.testing.assert_array_equal(one.thresholds.values.data, other.thresholds.values.data)
    np.testing.assert_allclose(one.thresholds.values.data, [.5, .7], rtol=1e-6)


def test_running_thresholds_are_saved_with_the_weights_and_get_no_gradient():
    router = shares_router()
    routing = router(Tensor(X.astype(np.float32)), IMPORTANCE.astype(np.float32), MASK)
    routing.aux_loss.backward()
    state = router.state_dict()
    assert set(state) == {"weight", "thresholds.values"} and router.thresholds.values.grad is None
    fresh = shares_router()
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(fresh.thresholds.values.data, router.thresholds.values.data)
    assert pass_through(router.eval(), IMPORTANCE).tolist() == pass_through(fresh.eval(), IMPORTANCE).tolist()


def test_before_training_running_thresholds_are_the_quantiles_of_the_batch():
    router = shares_router(shares=[0.5]).eval()
    assert pass_through(router, np.array([[.1, .2, .3, .4]])).tolist() == [1, 1, 2, 2]
    assert np.isnan(router.thresholds.values.data).all()
    assert pass_through(router, np.zeros((0, 4))).size == 0


def test_fixed_thresholds_have_no_state():
    assert set(make_router("da", D, E, allocation="threshold", thresholds=[.5]).state_dict()) == {"weight"}


@pytest.mark.parametrize("shares, decay", [([0.0], 0.5), ([1.0], 0.5), ([0.5], 0.0), ([0.5], 1.0)])
def test_shares_and_decays_at_both_ends_are_legal(shares, decay):
    running, first, second = RunningThresholds(shares, decay), np.array([[1.0, 3.0]]), np.array([[5.0, 9.0]])
    running.update(first)
    running.update(second)
    a, b = np.quantile(first, shares), np.quantile(second, shares)
    np.testing.assert_allclose(running.values.data, decay * a + (1 - decay) * b)
