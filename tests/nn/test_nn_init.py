"""The rule that weights start by."""
import math

import numpy as np
import pytest

from minimoe import nn
from minimoe.nn.init import generator, truncated_normal


def test_draws_are_float32_cut_at_two_sigma_and_spread_as_a_truncated_normal():
    sigma = math.sqrt(0.1 / 40)
    w = truncated_normal(np.random.default_rng(0), (500, 400), fan_in=40) / sigma
    assert w.shape == (500, 400) and w.dtype == np.float32
    assert 1.99 < np.abs(w).max() <= 2 + 1e-6
    assert w.mean() == pytest.approx(0, abs=0.01)
    # variance of N(0,1) cut at +-2: 1 - 2*2*phi(2) / (2*Phi(2) - 1) = 0.7737
    phi, inside = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(2 / math.sqrt(2))
    assert w.var() == pytest.approx(1 - 4 * phi / inside, rel=0.01)


def test_values_beyond_two_sigma_are_drawn_again_not_clipped():
    w = truncated_normal(np.random.default_rng(0), (100_000,), fan_in=1) / math.sqrt(0.1)
    at_the_edge = (np.abs(w) > 1.99).mean()         # density there is 0.056: clipping would put 4.6 % at 2
    assert at_the_edge < 0.003


def test_the_same_generator_state_gives_the_same_bits_and_the_next_draw_others():
    a = truncated_normal(np.random.default_rng(5), (50, 50), fan_in=3)
    random = np.random.default_rng(5)
    np.testing.assert_array_equal(truncated_normal(random, (50, 50), fan_in=3), a)
    assert not np.array_equal(truncated_normal(random, (50, 50), fan_in=3), a)


@pytest.mark.parametrize("make", [
    lambda **k: nn.Linear(3, 4, **k), lambda **k: nn.Embedding(3, 4, **k), lambda **k: nn.FeedForward(3, 4, **k),
    lambda **k: nn.MultiHeadAttention(4, 2, **k),
])
def test_layers_with_weights_ask_for_rng_and_take_a_seed_or_a_generator(make):
    with pytest.raises(TypeError, match="rng"):
        make()
    with pytest.raises(TypeError, match="rng is NoneType; give a numpy.random.Generator or an integer seed"):
        make(rng=None)
    from_seed, from_generator = make(rng=3).state_dict(), make(rng=np.random.default_rng(3)).state_dict()
    for name, value in from_seed.items():
        np.testing.assert_array_equal(from_generator[name], value)
        assert value.dtype == np.float32


def test_two_layers_from_one_generator_differ():
    random = np.random.default_rng(0)
    one, two = nn.Linear(3, 4, rng=random), nn.Linear(3, 4, rng=random)
    assert not np.array_equal(one.weight.data, two.weight.data)
    both = nn.FeedForward(4, 4, rng=0)
    assert not np.array_equal(both.linear1.weight.data, both.linear2.weight.data)


def test_a_generator_is_used_as_it_is():
    random = np.random.default_rng(0)
    assert generator(random, "x") is random
