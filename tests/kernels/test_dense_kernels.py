"""norm.cu, activation.cu and adamw.cu against their twins."""
import numpy as np
import pytest
from kernel_run import answer, compare, equals_twin

from minimoe.backend import get_backend, to_backend
from minimoe.kernels import cuda, reference
from minimoe.kernels.cuda.dense import BIAS_ROWS, CHUNK_ROWS, MOST_CHUNKS, THREADS
from minimoe.kernels.launch import launch_count

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = pytest.mark.parametrize("rows, d", [(0, 5), (1, 1), (1, 31), (31, 33), (33, 32), (CHUNK_ROWS + 3, 67)])
COUNTS = {"no row": [0, 0], "one row": [1], "an expert with none": [5, 0, 3], "all on the last": [0, 0, 17],
          "all on the first": [33, 0, 0, 0], "a block of rows each": [BIAS_ROWS] * 3, "one each": [1] * 9,
          "uneven": [BIAS_ROWS - 1, 1, 0, BIAS_ROWS + 1, 31]}
EVERY_COUNT = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
PHIS = pytest.mark.parametrize("phi", ["relu", "gelu", "gelu_tanh"])


def normal(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def offsets_of(counts):
    return np.cumsum([0, *counts]).astype(np.int32)


def activation_equals_twin(inputs, device):
    """As equals_twin; the slope of relu, which is bool on NumPy and 0 or 1 on a device, as a number."""
    expected = reference.bias_activation(*(a.copy() if isinstance(a, np.ndarray) else a for a in inputs))
    found = answer(cuda.bias_activation, inputs, device)
    compare(found, (expected[0], expected[1].astype(inputs[0].dtype)))
    return found


@FLOATS
@SHAPES
@pytest.mark.parametrize("with_weight, with_bias", [(True, True), (True, False), (False, True), (False, False)])
def test_layer_norm(rows, d, with_weight, with_bias, dtype, device):
    weight, bias = (normal(d, dtype, seed) if given else None for seed, given in ((1, with_weight), (2, with_bias)))
    equals_twin("layer_norm", (normal((rows, d), dtype), weight, bias, 1e-3), device)


@FLOATS
@SHAPES
@pytest.mark.parametrize("with_weight", [True, False])
def test_layer_norm_backward(rows, d, with_weight, dtype, device):
    weight = normal(d, dtype, 1) if with_weight else None
    inverse = 1 + np.random.default_rng(2).random((rows, 1)).astype(dtype)
    equals_twin("layer_norm_backward", (normal((rows, d), dtype), normal((rows, d), dtype, 3), inverse, weight), device)


def test_weight_gradients_of_more_rows_than_there_are_chunks_of(device):
    rows = CHUNK_ROWS * MOST_CHUNKS + 5
    inputs = normal((rows, 2)), normal((rows, 2), seed=1), np.ones((rows, 1)), None
    equals_twin("layer_norm_backward", inputs, device, ("forward",))


def test_float32_layer_norm_far_from_zero_and_of_equal_numbers(device):
    x = np.float32(1e6) + np.array([[-1, 0, 1, 2, 3], [0, 0, 0, 0, 0]], "float32")
    y, _, _ = equals_twin("layer_norm", (x, None, None, 1e-5), device)
    assert abs(y[0].astype("float64").var() - 1) < 1e-5 and (y[1] == 0).all()


def test_layer_norm_of_strided_rows(device):
    x, w, g = normal((10, 12)), normal(12, seed=1), normal((6, 10), seed=2)
    found = answer(lambda x, w: cuda.layer_norm(x[::2, ::2], w[::2], w[1::2], 0.1), (x, w), device)
    expected = reference.layer_norm(x[::2, ::2], w[::2], w[1::2], 0.1)
    compare(found, expected)
    compare(answer(lambda g, xhat, i, w: cuda.layer_norm_backward(g.T[::2], xhat, i, w[::2]),
                   (g, *expected[1:], w), device), reference.layer_norm_backward(g.T[::2], *expected[1:], w[::2]))


@FLOATS
@EVERY_COUNT
@pytest.mark.parametrize("f", [0, 1, 33])
def test_add_bias(counts, f, dtype, device):
    equals_twin("add_bias", (normal((sum(counts), f), dtype), normal((len(counts), f), dtype, 1), offsets_of(counts)),
                device)


def test_add_bias_writes_into_its_argument_also_into_a_view(device):
    y, bias, offsets = (to_backend(a, device) for a in (normal((5, 6)), normal((2, 3), seed=1), offsets_of([2, 3])))
    answered = cuda.add_bias(y[:, ::2], bias, offsets)
    expected = normal((5, 6))
    reference.add_bias(expected[:, ::2], normal((2, 3), seed=1), offsets_of([2, 3]))
    compare((y.get(), answered.get()), (expected, expected[:, ::2]))


@FLOATS
@PHIS
@EVERY_COUNT
@pytest.mark.parametrize("gated", [False, True])
def test_bias_of_each_expert_and_activation(counts, gated, phi, dtype, device):
    width = 34 if gated else 33
    h, bias = 2 * normal((sum(counts), width), dtype), normal((len(counts), width), dtype, 1)
    activation_equals_twin((h, bias, offsets_of(counts), phi, gated), device)


@FLOATS
@PHIS
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("rows, f", [(0, 4), (1, 2), (BIAS_ROWS + 1, THREADS + 2), (2, 2 * THREADS + 2), (31, 2)])
def test_one_bias_for_all_rows_and_none(rows, f, gated, phi, dtype, device):
    h = 2 * normal((rows, f), dtype)
    activation_equals_twin((h, normal(f, dtype, 1), None, phi, gated), device)
    activation_equals_twin((h, None, None, phi, gated), device)


@PHIS
@pytest.mark.parametrize("shape", [(), (0,), (THREADS + 1,), (2, 0, 3), (2, 3, 5)])
def test_activation_of_any_shape(shape, phi, device):
    activation_equals_twin((np.asarray(normal(shape)), None, None, phi), device)


@PHIS
def test_activation_of_strided_arrays(phi, device):
    h = normal((9, 14))
    found = answer(lambda h: cuda.bias_activation(h.T[::2], None, None, phi), (h,), device)
    y, slope = reference.bias_activation(h.T[::2], None, None, phi)
    compare(found, (y, slope.astype(h.dtype)))


@FLOATS
@PHIS
def test_activation_at_zero_far_out_and_of_nan(phi, dtype, device):
    y, slope = answer(cuda.bias_activation, (np.array([0, 60, -60, np.nan], dtype), None, None, phi), device)
    np.testing.assert_allclose(y, [0, 60, 0, np.nan], atol=1e-30)
    np.testing.assert_allclose(slope, [0 if phi == "relu" else 0.5, 1, 0, 0 if phi == "relu" else np.nan], atol=1e-30)


def test_float64_gelu_keeps_its_digits_in_the_lower_tail(device):
    """cdf(-20), from the continued fraction of its tail; 1 + erf would have lost it."""
    y, _ = answer(cuda.bias_activation, (np.array([-20.0]), None, None, "gelu"), device)
    assert y[0] == pytest.approx(-20 * 2.7536241186062337e-89, rel=1e-9)


def test_a_device_leaves_the_input_of_an_activation_alone(device):
    h, bias = to_backend(normal((3, 4)), device), to_backend(normal(4), device)
    cuda.bias_activation(h, bias, None, "gelu")
    np.testing.assert_array_equal(h.get(), normal((3, 4)))


def a_step(size, dtype, weight_decay=0.0, l2=0.0):
    """Arguments of adamw_update: theta, g, m, v and the options of the third step."""
    arrays = [normal(size, dtype, seed) for seed in range(3)] + [normal(size, dtype, 3) ** 2]
    return (*arrays, 3, 0.03, 0.7, 0.95, 1e-3, weight_decay, l2)


@FLOATS
@pytest.mark.parametrize("size", [0, 1, 31, 33, THREADS + 1, (5, 7)])
@pytest.mark.parametrize("decays", [(0, 0), (0.2, 0), (0, 0.2)], ids=["plain", "weight_decay", "l2"])
def test_adamw_update(size, decays, dtype, device):
    equals_twin("adamw_update", a_step(size, dtype, *decays), device)


def test_adamw_update_of_more_numbers_than_threads(device, monkeypatch):
    monkeypatch.setattr("minimoe.kernels.cuda.dense.MOST_BLOCKS", 2)
    equals_twin("adamw_update", a_step(2 * THREADS * 2 + 3, "float64", 0.2), device)


def test_adamw_update_of_strided_arrays_writes_into_them(device):
    base = [normal((4, 6), seed=seed) for seed in range(3)] + [normal((4, 6), seed=3) ** 2]
    ours, twins = [to_backend(a, device) for a in base], [a.copy() for a in base]
    for package, arrays in ((cuda, ours), (reference, twins)):
        package.adamw_update(*(a.T[::2] for a in arrays), 1, 0.1, 0.9, 0.999, 1e-8, l2=0.1)
    for found, expected, before in zip(ours, twins, base, strict=True):
        compare(found.get(), expected)
        np.testing.assert_array_equal(found.get()[:, 1::2], before[:, 1::2])


def test_where_there_is_nothing_to_write_no_kernel_is_started(device):
    xp, before = get_backend(device), launch_count()
    nothing = xp.empty((0, 4), "float32")
    cuda.layer_norm(nothing, None, None, 1e-5)
    cuda.add_bias(nothing, xp.zeros(4, "float32"), None)
    cuda.bias_activation(nothing, None, None, "gelu")
    cuda.adamw_update(nothing, nothing, nothing, nothing, 1, 0.1, 0.9, 0.99, 1e-8)
    assert launch_count() == before
