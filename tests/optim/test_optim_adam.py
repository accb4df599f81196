"""Adam and AdamW: hand-computed updates, decay, dtypes and refusals. Parity with PyTorch is in tests/parity."""
import math

import numpy as np
import pytest

from minimoe import Tensor
from minimoe.kernels.reference.dense import BLOCK, adamw_update
from minimoe.optim import Adam, AdamW


def parameter(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def run(optimiser, p, gradients):
    """The values of p after each of the gradients."""
    seen = []
    for g in gradients:
        p.grad = np.full(p.shape, g, p.dtype)
        optimiser.step()
        seen.append(p.data.copy())
    return np.array(seen)


def by_formula(p, gradients, lr, beta1, beta2, eps, decay):
    """AdamW written element by element with Python floats, both corrections where the formula has them."""
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * ((m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + eps) + decay * p)
    return p


def test_decoupled_decay_with_a_zero_gradient_shrinks_the_parameter_alone_g17():
    """Case G17 (pytorch/pytorch#4429): 2 (1 - 0.01 * 0.1) = 1.998; decay inside the gradient would give 1.99."""
    p = parameter(2.0)
    run(AdamW([p], lr=0.01, weight_decay=0.1), p, [0.0])
    assert p.data[0] == pytest.approx(1.998, abs=1e-12)


def test_decoupled_decay_over_three_gradients_g17():
    """Case G17 (google-deepmind/optax#292)."""
    p = parameter(2.0)
    seen = run(AdamW([p], lr=0.01, weight_decay=0.1), p, [0.5, -1.0, 0.25])
    np.testing.assert_allclose(seen[:, 0], [1.9880000002, 1.989673035424, 1.989050268998], rtol=0, atol=1e-11)


def test_coupled_decay_of_adam_passes_through_the_moments_g17():
    """Case G17 (pytorch/pytorch#41676): the other form, under its own name."""
    p = parameter(2.0)
    seen = run(Adam([p], lr=0.01, weight_decay=0.1), p, [0.5, -1.0, 0.25])
    np.testing.assert_allclose(seen[:, 0], [1.990000000143, 1.991196454919, 1.989562206395], rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_without_decay_a_zero_gradient_leaves_the_parameter_bit_for_bit_g17_g18(kind):
    """Cases G17 and G18 (google-deepmind/optax#1754): no 0/0 from an epsilon that vanishes."""
    p = parameter(0.75, -3.0, 2.0, dtype=np.float32)
    run(kind([p], weight_decay=0.0), p, [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(p.data, np.array([0.75, -3.0, 2.0], np.float32))


def test_the_update_equals_the_written_formula_with_unusual_options():
    random = np.random.default_rng(1)
    gradients = random.standard_normal(20)
    p = parameter(1.5)
    run(AdamW([p], lr=0.03, betas=(0.7, 0.95), eps=1e-3, weight_decay=0.2), p, gradients)
    expected = by_formula(1.5, gradients, 0.03, 0.7, 0.95, 1e-3, 0.2)
    assert p.data[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", [0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_every_element_is_updated_once_whatever_the_number_of_blocks(size):
    random = np.random.default_rng(size)
    theta, g = random.standard_normal((2, size))
    m, v = np.zeros(size), np.zeros(size)
    expected = theta - 0.1 * (g / (np.abs(g) + 1e-8) + 0.5 * theta)         # step 1: m/c1 = g, v/c2 = g^2
    adamw_update(theta, g, m, v, 1, 0.1, 0.9, 0.999, 1e-8, weight_decay=0.5)
    np.testing.assert_allclose(theta, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(m, 0.1 * g)
    np.testing.assert_allclose(v, 0.001 * g * g)


def test_parameters_and_gradients_that_are_not_contiguous_are_updated_like_copies():
    random = np.random.default_rng(0)
    values, g = random.standard_normal((2, 5, 3))
    packed, strided = Tensor(values.T.copy(), requires_grad=True), Tensor(values.T, requires_grad=True)
    for p, gradient in ((packed, g.T.copy()), (strided, g.T)):
        p.grad = gradient
        AdamW([p]).step()
    np.testing.assert_array_equal(strided.data, packed.data)
    assert np.shares_memory(strided.data, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_and_parameter_keep_their_dtype_even_with_numpy_scalars_as_options_g08(dtype):
    """Case G08 (HIPS/autograd#671): one float64 scalar must not turn the state into float64."""
    p = parameter(1.0, 2.0, dtype=dtype)
    optimiser = AdamW([p], lr=np.float64(0.1), betas=(np.float64(0.9), np.float64(0.99)), weight_decay=np.float64(0.1))
    optimiser.lr = np.float64(0.05)
    run(optimiser, p, [0.5, 0.25])
    assert p.dtype == dtype
    assert {a.dtype for name, a in optimiser.state_dict().items() if name[:2] in ("m.", "v.")} == {np.dtype(dtype)}


def test_a_zero_row_with_a_zero_gradient_stays_zero_under_decay_g07():
    """Case G07 (pytorch/pytorch#26302): ten steps, weight decay included, leave the padding row as it is."""
    for kind in (Adam, AdamW):
        table = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
        table.data[0] = 0
        optimiser = kind([table], weight_decay=0.5)
        for _ in range(10):
            table.grad = np.ones((3, 2), np.float32)
            table.grad[0] = 0
            optimiser.step()
        np.testing.assert_array_equal(table.data[0], 0)
        assert (table.data[1:] < 1).all()


@pytest.mark.parametrize("options, match", [
    ({"lr": math.inf}, "lr is inf"), ({"lr": -1e-3}, "lr is -0.001"), ({"lr": math.nan}, "lr is nan"),
    ({"weight_decay": -0.1}, "weight_decay"),
    ({"betas": (0.9,)}, "two numbers"), ({"betas": (0.9, 1.0)}, "betas"),
    ({"betas": (-0.1, 0.9)}, "betas"), ({"eps": 0.0}, "eps"), ({"eps": 1e-50}, "eps"),
])
def test_options_outside_their_range_are_refused(options, match):
    with pytest.raises(ValueError, match=f"AdamW: .*{match}"):
        AdamW([parameter(1.0, dtype=np.float32)], **options)


def test_betas_of_zero_and_the_smallest_normal_eps_are_legal():
    """Without memory a step is lr g / (|g| + eps)."""
    p = parameter(1.0, dtype=np.float32)
    optimiser = AdamW([p], lr=0.25, betas=(0.0, 0.0), eps=float(np.finfo(np.float32).tiny), weight_decay=0.0)
    p.grad = np.full(p.shape, -3.0, np.float32)
    optimiser.step()
    np.testing.assert_allclose(p.data, 1.25, rtol=1e-6)
