"""Normalisers and controls on importance written by hand."""
from __future__ import annotations

import numpy as np
import pytest

from minimoe.moe.controls import reverse_importance, shuffle_importance, split_controls
from minimoe.moe.normalise import normalise_importance

LIVE = np.array([[True, True, False, True], [False, True, False, False], [False] * 4])
TIED = np.array([[.4, .6, 9, .4], [9, .3, 9, 9], [9, 9, 9, 9]])


@pytest.mark.parametrize("normalise, expected", [
    ("none", [[.4, .6, 0, .4], [0, .3, 0, 0]]), ("mean1", [[6 / 7, 9 / 7, 0, 6 / 7], [0, 1, 0, 0]]),
    ("minmax", [[0, 1, 0, 0], [0, .5, 0, 0]]), ("rank", [[0, 1, 0, .5], [0, 1, 0, 0]])])
def test_normaliser_over_the_live_tokens_of_each_sample(normalise, expected):
    np.testing.assert_allclose(normalise_importance(TIED, LIVE, normalise), [*expected, [0] * 4], rtol=1e-12)


@pytest.mark.parametrize("normalise, expected", [("mean1", 1), ("minmax", .5)])
def test_a_sample_of_zeros_is_flat(normalise, expected):
    np.testing.assert_array_equal(normalise_importance(0 * TIED, LIVE, normalise), expected * LIVE)


@pytest.mark.parametrize("normalise", ["none", "mean1", "minmax", "rank"])
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_tokens_give_an_empty_answer(normalise, shape):
    assert normalise_importance(np.zeros(shape), np.zeros(shape, bool), normalise).shape == shape


def test_rank_spreads_any_sample_evenly_and_keeps_its_order():
    r = np.random.default_rng(0)
    importance, live = r.random((6, 20)), r.random((6, 20)) < .6
    for values, rank, real in zip(importance, normalise_importance(importance, live, "rank"), live, strict=True):
        np.testing.assert_allclose(rank[real][np.argsort(values[real])], np.linspace(0, 1, real.sum()))


def test_equal_importance_is_ranked_in_order_of_position():
    """Case G23 (pytorch/pytorch#88227): an unstable sort shuffles equal values."""
    rank = normalise_importance(np.tile([2.0, 1.0], 100)[None], np.ones((1, 200), bool), "rank")[0]
    np.testing.assert_allclose(rank[1::2], np.arange(100) / 199)
    np.testing.assert_allclose(rank[::2], np.arange(100, 200) / 199)


def test_reversed_swaps_the_ends_of_the_live_tokens():
    np.testing.assert_allclose(reverse_importance(TIED, LIVE), [[.6, .4, 0, .6], [0, .3, 0, 0], [0] * 4])


def test_shuffle_makes_every_order_of_the_live_tokens_equally_often():
    importance, live = np.tile([3.0, 0, 1, 2], (6000, 1)), np.tile([True, False, True, True], (6000, 1))
    shuffled = shuffle_importance(importance, live, np.random.default_rng(0))
    orders, counts = np.unique(shuffled, axis=0, return_counts=True)
    assert len(orders) == 6 and (orders[:, 1] == 0).all()
    assert (abs(counts - 1000) < 150).all()                                     # 150 is 5 standard deviations


def test_controls_are_peeled_from_the_outside():
    assert split_controls("shuffled(reversed(cls))") == (["reversed", "shuffled"], "cls")
    assert split_controls("rowmax") == ([], "rowmax") and split_controls("shuffled(cls") == ([], "shuffled(cls")
