"""allocation.cu against its NumPy twin: the same integers, whatever ties and whoever is full."""
import numpy as np
import pytest
from kernel_run import answer, equals_twin

from minimoe import cudasim
from minimoe.kernels import cuda

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
IMPORTANCE = {"even": lambda r, shape: r.random(shape), "peaked": lambda r, shape: r.random(shape) ** 8,
              "three values": lambda r, shape: r.integers(0, 3, shape) / 2, "nothing": lambda r, shape: np.zeros(shape),
              "all alike": lambda r, shape: np.full(shape, 0.1), "one holds all": lambda r, shape: np.eye(*shape)}


def batch(kind, shape, limits, dtype, seed=0):
    """importance, mask and a total that can be reached, for each sample."""
    random = np.random.default_rng(seed)
    importance, mask = IMPORTANCE[kind](random, shape).astype(dtype), random.random(shape) < 0.8
    mask[1:2] = False                               # a sample of padding
    n = mask.sum(axis=1)
    return importance, mask, random.integers(n * limits[0], n * limits[1] + 1)


@FLOATS
@pytest.mark.parametrize("limits", [(0, 4), (1, 8), (2, 2)], ids=str)
@pytest.mark.parametrize("kind", IMPORTANCE)
@pytest.mark.parametrize("shape", [(1, 1), (5, 31), (3, 33), (3, 64), (0, 3), (2, 0)], ids=str)
def test_budget_counts_are_the_integers_of_its_twin_and_sum_to_the_total(device, dtype, shape, kind, limits):
    importance, mask, total = batch(kind, shape, limits, dtype)
    k = equals_twin("budget_counts", (importance, mask, total, *limits), device)
    assert k.dtype == np.int32
    np.testing.assert_array_equal(k.sum(axis=1), total)
    assert not k[~mask].any() and ((limits[0] <= k[mask]) & (k[mask] <= limits[1])).all()


def test_a_sample_longer_than_a_block_has_threads(device):
    importance, mask, total = batch("peaked", (1, 1100), (1, 8), "float32")
    equals_twin("budget_counts", (importance, mask, total, 1, 8), device, schedules=("forward", 1))


@FLOATS
def test_what_is_left_goes_to_the_larger_fraction_then_to_the_more_important_then_to_the_lower_index(device, dtype):
    for importance, total, expected in (([.1, .3, .3, .3], 3, [0, 1, 1, 1]), ([.25] * 4, 2, [1, 1, 0, 0]),
                                        ([.2, .4, .4], 4, [1, 2, 1]), ([.5, .3, .2], 1, [1, 0, 0])):
        mask = np.ones((1, len(importance)), bool)
        k = answer(cuda.budget_counts, (np.array([importance], dtype), mask, np.array([total]), 0, 4), device)
        assert k.tolist() == [expected]


@FLOATS
def test_what_is_no_positive_number_counts_as_zero(device, dtype):
    importance = np.array([[np.nan, .5, -1, np.inf, .5, 9], [np.nan] * 6], dtype)
    mask, total = np.array([[True] * 5 + [False]] * 2), np.array([9, 7])
    k = equals_twin("budget_counts", (importance, mask, total, 1, 4), device)
    assert k.tolist() == [[1, 3, 1, 1, 3, 0], [2, 2, 1, 1, 1, 0]]


def test_fractions_that_differ_by_less_than_a_billionth_are_equal_and_the_more_important_token_wins(device):
    """Shares of 2.5 - d, 1.5 and 1 + d: one assignment is left for the first two."""
    for d, expected in ((1e-11, [3, 1, 1]), (1e-8, [2, 2, 1])):
        importance, mask = np.array([[2.5 - d, 1.5, 1 + d]]), np.ones((1, 3), bool)
        k = equals_twin("budget_counts", (importance, mask, np.array([5]), 0, 4), device)
        assert k.tolist() == [expected]


@pytest.mark.parametrize("seed", range(6))
def test_random_samples(device, seed):
    random = np.random.default_rng(seed)
    kind = list(IMPORTANCE)[seed % len(IMPORTANCE)]
    limits = (int(random.integers(0, 3)), int(random.integers(3, 20)))
    importance, mask, total = batch(kind, (8, int(random.integers(1, 40))), limits, "float64", seed)
    equals_twin("budget_counts", (importance, mask, total, *limits), device)


def test_nothing_here_waits_for_the_device():
    importance, mask, total = (cudasim.asarray(a) for a in batch("even", (3, 33), (1, 8), "float32"))
    before = cudasim.host_synchronisations()
    cuda.budget_counts(importance, mask, total, 1, 8)
    assert cudasim.host_synchronisations() == before
