"""What the table of operations does not reach: accuracy, sizes beyond one block, plain numbers, integers."""
import math

import numpy as np
import pytest
from scipy.special import erf

from minimoe import Tensor, gradcheck, ops
from minimoe.kernels.reference.dense import BLOCK
from minimoe.ops import losses
from minimoe.ops.activations import ACTIVATIONS, GATED, activate, through_slope

GRID = np.concatenate([np.linspace(-12, 12, 200_001), [0.0, -0.0, 1e-30, -1e-30, 1e4, -1e4]])


def exact_gelu(x):
    cdf = 0.5 * (1 + erf(x / math.sqrt(2)))
    return x * cdf, cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def test_float32_gelu_is_within_5e_7_of_the_exact_value_and_so_is_its_slope():
    x = GRID.astype("float32")
    y, slope = activate(x, "gelu")
    exact, exact_slope = exact_gelu(x.astype("float64"))
    assert y.dtype == slope.dtype == np.float32
    assert abs(y - exact).max() <= 5e-7 and abs(slope - exact_slope).max() <= 5e-7


def test_float64_gelu_is_exact_also_far_in_the_tail():
    y, _ = activate(GRID, "gelu")
    np.testing.assert_allclose(y, exact_gelu(GRID)[0], atol=1e-14)
    assert ops.gelu(Tensor(np.array(-20.0))).item() == pytest.approx(-20 * 2.7536241186062337e-89, rel=1e-9)


def test_tanh_gelu_is_near_the_exact_one_but_is_another_function():
    y, _ = activate(GRID.astype("float32"), "gelu_tanh")
    assert 1e-4 < abs(y - exact_gelu(GRID)[0]).max() < 1e-3


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - set(GATED)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, *(BLOCK + i for i in (-1, 0, 1)), 2 * BLOCK + 3])
def test_activations_give_the_same_in_every_block(name, dtype, size):
    x = np.resize(np.linspace(-3, 3, 1001), size).astype(dtype)
    for all_blocks, period in zip(activate(x, name), activate(x[:1001], name), strict=True):
        np.testing.assert_allclose(all_blocks, np.resize(period, size), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_for_other_operations_read_only_and_answer_with_fresh_arrays(name):
    x = np.linspace(-2, 2, 12, dtype="float32").reshape(4, 3).T
    x.setflags(write=False)
    y, slope = activate(x, name)
    gx = through_slope(np.ones((3, 2 if name in GATED else 4), "float32"), slope)
    assert y.shape == (3, 2 if name in GATED else 4) and gx.shape == x.shape and y.dtype == gx.dtype == np.float32
    assert not any(np.shares_memory(a, b) for a, b in ((y, x), (slope, x), (gx, y), (gx, slope)))


@pytest.mark.parametrize(("rows", "classes"),
                         [(losses.BLOCK // 3 + 5, 3), (2, losses.BLOCK + 1), (5, losses.BLOCK // 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_gives_the_same_in_every_block(rows, classes, smoothing):
    random = np.random.default_rng(0)
    logits, target = random.standard_normal((rows, classes)), random.integers(0, classes, rows)
    target[1::3] = -100
    x = Tensor(logits, requires_grad=True)
    loss = ops.cross_entropy(x, target, label_smoothing=smoothing)
    loss.backward(np.array(2.0))
    live = target != -100
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = (1 - smoothing) * (np.arange(classes) == target[:, None]) + smoothing / classes
    assert loss.item() == pytest.approx(-(wanted * logp)[live].sum() / live.sum(), rel=1e-12)
    expected = 2 * (np.exp(logp) - wanted) * live[:, None] / live.sum()
    np.testing.assert_allclose(x.grad, expected, atol=1e-15)


def test_label_smoothing_of_one_asks_for_the_uniform_distribution():
    loss = ops.cross_entropy(Tensor(np.zeros((2, 4))), np.array([0, 3]), label_smoothing=1.0)
    assert loss.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("number", [2, 2.5, True])
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "gelu", "mean", "logsumexp"])
def test_plain_numbers_are_float32(name, number):
    options = {"axis": None} if name in ("mean", "logsumexp") else {}
    y = ops.OPS[name](number, **options)
    assert isinstance(y, Tensor) and y.dtype == np.float32 and y.shape == ()


def test_integers_stay_integers_where_no_gradient_is_needed():
    x = Tensor(np.array([[1, -2], [3, 4]], "int32"))
    results = [x + x, x * 2, x - 1, -x, abs(x), ops.maximum(x, 0), x.T, x.reshape(4), x[0], ops.stack([x, x]),
               ops.concatenate([x, x]), ops.split(x, 2)[0], ops.broadcast_to(x, (3, 2, 2)),
               ops.where(x > 0, x, 0), x.max(), x.min(axis=0)]
    assert all(y.dtype == np.int32 for y in results)
    assert x.sum().item() == 6 and x.sum().dtype.kind == "i"


def test_split_counts_parts_like_numpy_and_takes_places_as_a_tuple_too():
    x = Tensor(np.arange(6.0))
    assert [part.numpy().tolist() for part in ops.split(x, 3)] == [[0, 1], [2, 3], [4, 5]]
    assert [part.size for part in ops.split(x, (1, 4))] == [1, 3, 2]
    assert [part.size for part in ops.split(x, [])] == [6]


def test_stack_and_concatenate_take_tuples_and_plain_arrays():
    x, plain = Tensor(np.ones(2), requires_grad=True), np.zeros(2)
    (ops.stack((plain, x)) + ops.concatenate((x, plain)).reshape(2, 2)).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_sum_over_nothing_is_zero_and_logsumexp_minus_infinity():
    assert ops.sum(np.zeros((2, 0)), axis=1).numpy().tolist() == [0, 0]
    x = Tensor(np.zeros((2, 0)), requires_grad=True)
    y = ops.logsumexp(x)
    y.backward(np.ones(2))
    assert y.numpy().tolist() == [-np.inf, -np.inf] and x.grad.shape == (2, 0)


@pytest.mark.parametrize("name", ["max", "min"])
def test_an_extreme_that_is_nan_is_nan(name):
    x = Tensor(np.array([1.0, np.nan, 3.0]), requires_grad=True)
    y = ops.OPS[name](x)
    y.backward()
    assert np.isnan(y.item()) and x.grad.tolist() == [0, 0, 0]


def test_norm_of_large_values_in_float32_has_unit_variance():
    x = Tensor(np.array([[1e15, 2e15, 3e15, 4e15]], "float32"))
    assert ops.layer_norm(x, None, None).numpy().std() == pytest.approx(1, rel=1e-5)
    assert (ops.rms_norm(x).numpy() ** 2).mean() == pytest.approx(1, rel=1e-5)


def test_rms_norm_has_the_machine_epsilon_of_its_dtype_by_default():
    for dtype in ("float32", "float64"):
        eps = np.finfo(dtype).eps
        x = np.full((1, 4), math.sqrt(eps), dtype)
        np.testing.assert_allclose(ops.rms_norm(Tensor(x)).numpy(), 1 / math.sqrt(2), rtol=1e-6)


def test_a_product_with_one_matrix_is_one_large_product():
    """(2, 3, 4) @ (4, 5) walks back to a (4, 5) gradient without a (2, 4, 5) one in between."""
    a, b = Tensor(np.ones((2, 3, 4)), requires_grad=True), Tensor(np.ones((4, 5)), requires_grad=True)
    y = a @ b
    ga, gb = y._node.backward(np.ones((2, 3, 5)))
    assert ga.shape == (2, 3, 4) and gb.shape == (4, 5)


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -2, 1, 4, 0])
def test_powers_of_positive_numbers(exponent):
    x = np.array([0.5, 1.5, 2.0])
    assert gradcheck(lambda t: t ** exponent, [x]) <= 1e-6
    np.testing.assert_allclose(ops.pow(x, exponent).numpy(), [math.pow(v, exponent) for v in x], rtol=1e-14)
