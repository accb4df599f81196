"""Public trouble at numerical edges: ties, branches not taken, norms far from zero, masks (G09 to G11, G13)."""
import math

import numpy as np
import pytest

from minimoe import Tensor, ops


def leaf(values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


both_floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


# G09: ties


@both_floats
@pytest.mark.parametrize("name", ["max", "min"])
def test_g09_equal_extremes_share_one_gradient_evenly(name, dtype):
    """G09 (apache/mxnet#18563): not the full gradient for each."""
    sign = 1 if name == "max" else -1
    x = Tensor(np.array([[3, 1, 3], [2, 2, 2]], dtype) * sign, requires_grad=True)
    ops.OPS[name](x, axis=1).backward(np.ones(2))
    np.testing.assert_allclose(x.grad, [[0.5, 0, 0.5], [1 / 3] * 3], rtol=1e-7)


@pytest.mark.parametrize(("axis", "share"), [(None, 1 / 12), ((0, 2), 1 / 4), (1, 1 / 3), (-1, 1 / 2), ((), 1)])
def test_g09_ties_over_any_axes_add_up_to_the_upstream_gradient(axis, share):
    """G09 (Theano/Theano#4568)."""
    x = leaf(np.full((2, 3, 2), 7.0))
    y = x.max(axis=axis)
    y.backward(np.full(y.shape, 5.0))
    np.testing.assert_allclose(x.grad, 5 * share)


@pytest.mark.parametrize("function", [ops.maximum, ops.minimum])
def test_g09_elementwise_ties_go_half_and_half(function):
    """G09 (HIPS/autograd#212)."""
    a, b = leaf([1.0, 1.0, 5.0]), leaf([1.0, 2.0, 2.0])
    function(a, b).backward(np.full(3, 4.0))
    larger = function is ops.maximum
    assert a.grad.tolist() == [2, 0 if larger else 4, 4 if larger else 0]
    assert (a.grad + b.grad).tolist() == [4, 4, 4]


def test_g09_the_same_value_twice():
    """G09 (HIPS/autograd#141): the largest of [x, x] has slope 1."""
    for function in (lambda x: ops.stack([x, x]).max(), lambda x: ops.maximum(x, x), lambda x: ops.stack([x, x]).min()):
        x = leaf(2.0)
        function(x).backward()
        assert x.grad == 1


def test_g09_kinks_have_the_documented_slope():
    """G09 (HIPS/autograd#212): the neighbours of ties: relu and |x| at 0, clip at its ends."""
    for function, slope in ((ops.relu, 0), (ops.abs, 0), (lambda x: ops.clip(x, 0, 1), 1),
                            (lambda x: ops.clip(x, -1, 0), 1)):
        x = leaf(0.0)
        function(x).backward()
        assert x.grad == slope


# G10: the branch not taken


def test_g10_square_root_chosen_where_it_exists():
    """G10 (HIPS/autograd#802): the two-step form, a safe argument first and the result second."""
    x = leaf([-2.25, -0.5, 6.25])
    safe = ops.where(x > 0, x, 1.0)
    loss = ops.where(x > 0, safe.sqrt(), x).sum()
    loss.backward()
    assert loss.item() == -0.25 and x.grad.tolist() == [1, 1, 0.2]


@pytest.mark.parametrize(("function", "slopes"), [
    (ops.sqrt, [0, 0.25]), (ops.log, [0, 0.25]), (lambda v: ops.pow(v, -1), [0, -1 / 16]),
    (lambda v: 1 / v, [0, -1 / 16]), (lambda v: ops.pow(v, 0.5), [0, 0.25])])
def test_g10_two_steps_give_exact_numbers_for_every_function_with_an_infinite_slope(function, slopes):
    """G10 (jax-ml/jax#5798)."""
    x = leaf([0.0, 4.0])
    ops.where(x > 0, function(ops.where(x > 0, x, 1.0)), 0.0).sum().backward()
    assert x.grad.tolist() == slopes


@both_floats
def test_g10_length_of_a_zero_vector_has_gradient_zero(dtype):
    """G10 (HIPS/autograd#151): also its square, written through the length."""
    for power in (1, 2):
        x = leaf([[0, 0], [3, 4]], dtype)
        length = (x * x).sum(axis=1).sqrt()
        (length ** power).sum().backward()
        expected = [[0, 0], [0.6, 0.8]] if power == 1 else [[0, 0], [6, 8]]
        np.testing.assert_allclose(x.grad, expected, rtol=1e-6)


def test_g10_standard_deviation_of_equal_values_has_gradient_zero():
    """G10 (pytorch/pytorch#187297)."""
    x = leaf([2.5, 2.5, 2.5])
    centred = x - x.mean()
    (centred * centred).mean().sqrt().backward()
    assert x.grad.tolist() == [0, 0, 0]


@both_floats
@pytest.mark.parametrize("function", [lambda x: ops.layer_norm(x, None, None), ops.rms_norm])
def test_g10_norms_of_zeros_are_zeros_with_finite_gradients(function, dtype):
    """G10 (HIPS/autograd#151)."""
    x = leaf(np.zeros((2, 4)), dtype)
    y = function(x)
    y.backward(np.arange(8.0).reshape(2, 4))
    assert (y.numpy() == 0).all() and np.isfinite(x.grad).all()


def test_g10_entries_of_minus_infinity_get_no_gradient():
    """G10 (jax-ml/jax#5798): masked softmax and logsumexp; a row of nothing else is -inf with gradient 0."""
    x = leaf([[1.0, -np.inf, 1.0], [-np.inf] * 3])
    y = ops.logsumexp(x)
    y.backward(np.array([1.0, 1.0]))
    np.testing.assert_allclose(y.numpy(), [1 + math.log(2), -np.inf])
    np.testing.assert_allclose(x.grad, [[0.5, 0, 0.5], [0, 0, 0]])
    for function in (ops.softmax, ops.log_softmax):
        row = leaf([1.0, -np.inf, 1.0])
        function(row)[::2].backward(np.array([1.0, 3.0]))
        assert np.isfinite(row.grad).all() and row.grad[1] == 0


def test_g10_a_row_left_out_of_the_loss_may_hold_anything():
    """G10 (pytorch/pytorch#187297): 0 times NaN must not reach the mean."""
    x = leaf([[1.0, 2.0], [np.nan, np.inf]])
    loss = ops.cross_entropy(x, np.array([0, -100]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.e))
    assert x.grad[1].tolist() == [0, 0] and np.isfinite(x.grad).all()


def test_g10_large_arguments_neither_overflow_nor_warn():
    """G10 (HIPS/autograd#802): softmax, logsumexp, sigmoid and the losses far from zero, with warnings as errors."""
    x = leaf([-1000.0, 0.0, 1000.0])
    assert ops.softmax(x).numpy().tolist() == [0, 0, 1] and ops.logsumexp(x).item() == 1000
    assert ops.log_softmax(x).numpy().tolist() == [-2000, -1000, 0] and ops.sigmoid(x).numpy().tolist() == [0, 0.5, 1]
    assert ops.cross_entropy(x, np.array(0)).item() == 2000 and ops.tanh(x).numpy().tolist() == [-1, 0, 1]
    assert ops.sigmoid(leaf([-700.0])).item() == pytest.approx(math.exp(-700), rel=1e-12)


# G11: layer normalisation far from zero


def test_g11_mean_of_8192_in_float32_keeps_its_digits():
    """G11 (microsoft/onnxruntime#28463): mean of squares minus square of the mean is 0 here."""
    x = leaf([8192, 8192.25, 8192.5, 8192.75], "float32")
    y = ops.layer_norm(x, None, None, eps=1e-5)
    y.backward(np.array([1.0, 0, 0, 0], "float32"))
    np.testing.assert_allclose(y.numpy(), [-1.341555, -0.447185, 0.447185, 1.341555], atol=1e-3)
    np.testing.assert_allclose(x.grad, [1.07345, -1.43092, -0.35782, 0.71529], atol=1e-3)


@both_floats
@pytest.mark.parametrize("value", [2019.5, 2019.1, -1e6 / 3, 1e-3, 12345.678])
@pytest.mark.parametrize("width", [1, 7, 200, 1000])
def test_g11_a_constant_row_gives_zero(value, width, dtype):
    """G11 (ml-explore/mlx#2238): a rounded mean must not become the signal."""
    x = Tensor(np.full((3, width), value, dtype))
    np.testing.assert_allclose(ops.layer_norm(x, None, None).numpy(), 0, atol=1e-6)


@both_floats
def test_g11_the_variance_divides_by_n(dtype):
    """G11 (pytorch/pytorch#51102): dividing by n - 1 gives -1.161892."""
    y = ops.layer_norm(leaf([1, 2, 3, 4], dtype), None, None)
    np.testing.assert_allclose(y.numpy(), [-1.341635, -0.447212, 0.447212, 1.341635], atol=1e-6)


@pytest.mark.parametrize("offset", [0, 100, 10_000, 1_000_000])
def test_g11_adding_a_constant_changes_nothing_that_float32_can_hold(offset):
    """G11 (tracel-ai/burn#5607)."""
    x = (np.random.default_rng(0).standard_normal((4, 96)) * 8).round(0).astype("float32")      # exact when shifted
    near, far = (ops.layer_norm(Tensor(x + np.float32(c)), None, None).numpy() for c in (0, offset))
    np.testing.assert_allclose(far, near, atol=1e-5)


# G13: masks of several types


def test_g13_a_boolean_choice_gives_the_weights_and_other_types_are_refused():
    """G13 (huggingface/transformers#41443): `~` on an integer mask is never 0."""
    scores, keep = leaf([2.0, 1.0, 3.0]), np.array([1, 1, 0])
    weights = ops.softmax(ops.where(keep.astype(bool), scores, -np.inf))
    weights[0].backward()
    np.testing.assert_allclose(weights.numpy(), [0.7310585786, 0.2689414214, 0], atol=1e-10)
    np.testing.assert_allclose(scores.grad, [0.1966119332, -0.1966119332, 0], atol=1e-10)
    for dtype in ("int64", "int32", "uint8", "float32", "float64"):
        with pytest.raises(TypeError, match=f"where: condition is {dtype}; it must be bool"):
            ops.where(keep.astype(dtype), scores, -np.inf)


def test_g13_an_additive_mask_is_an_addition():
    """G13 (lucidrains/halonet-pytorch#6): a boolean one must go through where, and is no additive mask by accident."""
    scores = leaf([2.0, 1.0, 3.0])
    weights = ops.softmax(scores + np.array([0.0, 0.0, -np.inf])).numpy()
    np.testing.assert_allclose(weights, [0.7310585786, 0.2689414214, 0], atol=1e-10)
