"""attention.cu against its NumPy twin: the softmax with the largest weight of each row, its backward, and columns."""
import numpy as np
import pytest
from kernel_run import answer, compare, equals_twin

from minimoe import cudasim
from minimoe.kernels import cuda, reference

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = [(1, 1, 1, 1), (2, 1, 3, 31), (1, 2, 2, 33), (2, 2, 3, 64), (1, 1, 2, 1024), (1, 1, 2, 1025), (1, 1, 1, 2100),
          (0, 1, 2, 3), (1, 0, 2, 3), (2, 1, 0, 3), (1, 1, 3, 0)]
LIVE = {"all": lambda shape: None, "each": lambda shape: shape, "of every head": lambda s: (s[0], 1, *s[2:]),
        "keys of a sample": lambda s: (s[0], 1, 1, s[3]), "one row for all": lambda s: (1, 1, 1, s[3]),
        "whole rows": lambda s: (*s[:3], 1), "one for all": lambda s: (1, 1, 1, 1)}


def scores_and_live(shape, kind, dtype):
    random = np.random.default_rng(0)
    scores, of = (random.standard_normal(shape) * 3).astype(dtype), LIVE[kind](shape)
    return scores, None if of is None else random.random(of) < 0.6


@FLOATS
@pytest.mark.parametrize("kind", LIVE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masked_softmax_equals_its_twin(device, dtype, shape, kind):
    scores, live = scores_and_live(shape, kind, dtype)
    p, row_max = equals_twin("masked_softmax", (scores, live), device)
    assert np.array_equal(row_max, p.max(axis=-1, initial=0))


@FLOATS
@pytest.mark.parametrize("shape, of", [((3, 33), (3, 33)), ((3, 33), (1, 33)), ((2, 3, 5), (2, 1, 5)),
                                       ((2, 3, 2, 4, 5), (2, 1, 2, 1, 5)), ((2, 2, 1, 3, 4, 5), (1, 2, 1, 1, 4, 1))],
                         ids=str)
def test_masked_softmax_takes_any_number_of_axes(device, dtype, shape, of):
    random = np.random.default_rng(1)
    scores, live = random.standard_normal(shape).astype(dtype), random.random(of) < 0.5
    equals_twin("masked_softmax", (scores, live), device)


@FLOATS
@pytest.mark.parametrize("columns", [5, 33, 1030])
def test_a_row_without_a_live_key_is_zero_and_nan_stays_in_its_row(device, dtype, columns):
    scores, live = scores_and_live((1, 1, 7, columns), "each", dtype)
    live[..., 0], live[..., 1] = True, False
    live[0, 0, 0] = False                           # nothing to see
    scores[0, 0, 1] = -np.inf                       # nothing but -inf
    scores[0, 0, 2, 0] = np.nan                     # seen
    scores[0, 0, 3, 1] = np.nan                     # not seen
    scores[0, 0, 4, 0] = -np.inf                    # one weight of 0
    scores[0, 0, 5, 0] = np.inf                     # inf - inf
    scores[0, 0, 6, 0], live[0, 0, 6, 1:] = np.nan, False              # the only one seen
    with np.errstate(invalid="ignore"):
        p, row_max = equals_twin("masked_softmax", (scores, live), device)
    assert not p[0, 0, :2].any() and not row_max[0, 0, :2].any()
    assert np.isnan(p[0, 0, [2, 5, 6], 0]).all() and np.isnan(row_max[0, 0, [2, 5, 6]]).all()
    assert np.isfinite(p[0, 0, [3, 4]]).all() and p[0, 0, 4, 0] == 0


@FLOATS
def test_scores_that_exp_would_not_survive(device, dtype):
    scores = np.array([[3e4, 2e4, -3e4], [-3e4, -3e4, -3e4]], dtype)
    p, row_max = answer(cuda.masked_softmax, (scores, None), device)
    assert p[0].tolist() == [1, 0, 0] and row_max[0] == 1
    compare(p[1], np.full(3, 1 / 3, dtype))


@FLOATS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masked_softmax_backward_equals_its_twin(device, dtype, shape):
    scores, live = scores_and_live(shape, "each", dtype)
    p, _ = reference.masked_softmax(scores, live)
    gp = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    equals_twin("masked_softmax_backward", (p, gp), device)


COLUMNS = [(1, 1, 1), (2, 3, 31), (3, 2, 33), (1, 2, 70), (0, 2, 3), (2, 1, 0)]


@FLOATS
@pytest.mark.parametrize("heads", ["mean", "max"])
@pytest.mark.parametrize("measure", ["colmax", "colsum"])
@pytest.mark.parametrize("masked", ["no mask", "padding at the end", "padding anywhere", "nothing but padding"])
@pytest.mark.parametrize("batch, n_heads, length", COLUMNS)
def test_column_importance_equals_its_twin(device, dtype, batch, n_heads, length, masked, measure, heads):
    random = np.random.default_rng(3)
    p = random.random((batch, n_heads, length, length)).astype(dtype)
    mask = {"no mask": None, "padding at the end": np.arange(length) < random.integers(0, length + 1, (batch, 1)),
            "padding anywhere": random.random((batch, length)) < 0.6,
            "nothing but padding": np.zeros((batch, length), bool)}[masked]
    if mask is not None:
        p[~(mask[:, None, :, None] & mask[:, None, None, :]) & (random.random(p.shape) < 0.5)] = np.nan
    got = answer(cuda.column_importance, (p, mask, measure, heads), device)
    if p.size:
        compare(got, reference.column_importance(p, mask, measure, heads))
    assert got.shape == (batch, length) and np.isfinite(got).all()


@FLOATS
@pytest.mark.parametrize("heads", ["mean", "max"])
@pytest.mark.parametrize("measure", ["colmax", "colsum"])
def test_a_weight_that_is_nan_makes_its_column_nan_and_no_other(device, dtype, measure, heads):
    p = np.random.default_rng(4).random((1, 2, 40, 40)).astype(dtype)
    p[0, 1, 17, 35] = np.nan
    got = answer(cuda.column_importance, (p, None, measure, heads), device)
    assert np.flatnonzero(np.isnan(got[0])).tolist() == [35]


def test_views_are_read_as_they_are_seen(device):
    random = np.random.default_rng(5)
    wide, live = random.standard_normal((2, 33, 2, 10)), random.random((2, 1, 20, 33)) < 0.5

    def heads_first(a):                             # (B, S, H, S) -> (B, H, S, S), keys and queries transposed
        return a.transpose(0, 2, 3, 1)

    found = answer(lambda wide, live: cuda.masked_softmax(heads_first(wide), live[:, :, ::2]), (wide, live), device)
    p, row_max = reference.masked_softmax(heads_first(wide).copy(), live[:, :, ::2])
    compare(found, (p, row_max))
    found = answer(lambda p, wide: cuda.masked_softmax_backward(p, heads_first(wide)), (p, wide), device)
    compare(found, reference.masked_softmax_backward(p, heads_first(wide)))


def test_nothing_here_waits_for_the_device():
    scores, live = (cudasim.asarray(a) for a in scores_and_live((2, 2, 5, 5), "of every head", "float32"))
    before = cudasim.host_synchronisations()
    p, _ = cuda.masked_softmax(scores, live)
    cuda.masked_softmax_backward(p, p)
    cuda.column_importance(p, live[:, 0, 0], "colsum", "mean")
    assert cudasim.host_synchronisations() == before
