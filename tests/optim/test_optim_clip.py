"""clip_grad_norm_: one norm over everything."""
import math

import numpy as np
import pytest

from minimoe import Tensor
from minimoe.optim import clip_grad_norm_


def tensors(*gradients, dtype=np.float32):
    ps = [Tensor(np.zeros(np.shape(g), dtype), requires_grad=True) for g in gradients]
    for p, g in zip(ps, gradients, strict=True):
        p.grad = np.array(g, dtype)
    return ps


def test_the_norm_is_taken_over_all_gradients_together_and_they_shrink_by_one_factor():
    a, b = tensors([3.0, 0.0], [[4.0], [12.0]])
    arrays = a.grad, b.grad
    assert clip_grad_norm_(iter([a, b]), 6.5) == pytest.approx(13.0)
    np.testing.assert_allclose(a.grad, [1.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(b.grad, [[2.0], [6.0]], rtol=1e-6)
    assert (a.grad is arrays[0]) and (b.grad is arrays[1]) and a.grad.dtype == np.float32


def test_gradients_below_the_limit_stay_bit_for_bit():
    (a,) = tensors([0.1, 0.2, 0.3])
    before = a.grad.copy()
    for limit in (0.5, 1.0, math.inf):
        assert clip_grad_norm_([a], limit) == pytest.approx(math.sqrt(0.14))
        np.testing.assert_array_equal(a.grad, before)


def test_a_millionth_is_added_to_the_norm():
    (a,) = tensors([1e-6], dtype=np.float64)
    clip_grad_norm_([a], 1e-6)
    assert a.grad[0] == pytest.approx(0.5e-6)


def test_a_limit_of_zero_gives_zero_gradients():
    (a,) = tensors([3.0, 4.0])
    clip_grad_norm_([a], 0.0)
    np.testing.assert_array_equal(a.grad, 0)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_answered_and_the_gradients_stay_g18(poison):
    """Case G18 (pytorch/torchtitan#916): scaling by 1/inf would hide the poison from the optimiser."""
    a, b = tensors([3.0, 4.0], [poison])
    assert not math.isfinite(clip_grad_norm_([a, b], 1.0))
    np.testing.assert_array_equal(a.grad, [3.0, 4.0])


def test_finite_gradients_whose_squares_overflow_float32_are_clipped():
    (a,) = tensors([3e25, 4e25])
    assert clip_grad_norm_([a], 1.0) == pytest.approx(5e25, rel=1e-6)
    np.testing.assert_allclose(a.grad, [0.6, 0.8], rtol=1e-6)


def test_parameters_without_gradient_do_not_count():
    a, b = tensors([3.0, 4.0], [1.0])
    b.grad = None
    assert clip_grad_norm_([a, b], 10.0) == pytest.approx(5.0)
    assert clip_grad_norm_([b], 10.0) == 0.0
    assert b.grad is None


def test_one_tensor_and_numbers_of_no_axes_are_clipped_too():
    (a,) = tensors(4.0)
    a.grad = np.float32(4.0)
    assert clip_grad_norm_(a, np.float64(1.0)) == pytest.approx(4.0)
    assert a.grad == pytest.approx(1.0) and a.grad.dtype == np.float32


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_a_limit_that_is_no_norm_is_refused(limit):
    with pytest.raises(ValueError, match="clip_grad_norm_: max_norm"):
        clip_grad_norm_(tensors([1.0]), limit)
