"""Where minimoe and PyTorch differ on purpose, one test each; everything else is equal (the other files here).

Without a test: ids, targets and axes out of range are ValueErrors with the argument's name instead of torch's
IndexErrors and RuntimeErrors; negative ids are refused by both; the mean of no elements is refused, where torch
answers NaN; `split` takes a number of parts or the places to cut, as numpy.split and torch.tensor_split do, where
torch.split takes a size; masks are bool with True for real tokens, where torch's key_padding_mask has True for
padding.
"""
import numpy as np
import pytest

from minimoe import Tensor, nn, ops, optim

torch = pytest.importorskip("torch")
F = torch.nn.functional


def leaves(values, dtype="float64"):
    """The same array as a tensor of ours and as one of torch's."""
    values = np.array(values, dtype)
    return Tensor(values.copy(), requires_grad=True), torch.tensor(values, requires_grad=True)


def test_cross_entropy_of_ignored_targets_only_is_0_here_and_nan_in_torch():
    ours, theirs = leaves([[2, 0, -1], [0.5, 0.5, 3]])
    ignored = np.array([-100, -100])
    loss, expected = ops.cross_entropy(ours, ignored), F.cross_entropy(theirs, torch.tensor(ignored))
    loss.backward()
    expected.backward()
    assert loss.item() == 0 and torch.isnan(expected)
    assert not ours.grad.any() and not theirs.grad.any()            # the gradients agree


def test_mse_loss_of_no_elements_is_0_here_and_nan_in_torch():
    assert ops.mse_loss(Tensor(np.zeros(0)), Tensor(np.zeros(0))).item() == 0
    assert torch.isnan(F.mse_loss(torch.zeros(0), torch.zeros(0)))


def test_mse_loss_refuses_shapes_that_torch_broadcasts_with_a_warning():
    with pytest.warns(UserWarning, match="broadcast"):
        assert F.mse_loss(torch.zeros(3, 1), torch.ones(3)).item() == 1
    with pytest.raises(ValueError, match="mse_loss"):
        ops.mse_loss(Tensor(np.zeros((3, 1))), Tensor(np.ones(3)))


def test_the_slope_of_sqrt_at_0_is_0_here_and_infinite_in_torch():
    ours, theirs = leaves([0.0, 4.0])
    ops.sqrt(ours).sum().backward()
    torch.sqrt(theirs).sum().backward()
    assert ours.grad.tolist() == [0, 0.25]
    assert theirs.grad.tolist() == [np.inf, 0.25]


def test_logsumexp_of_nothing_but_minus_infinity_has_gradient_0_here_and_nan_in_torch():
    ours, theirs = leaves([-np.inf, -np.inf])
    y, expected = ops.logsumexp(ours), torch.logsumexp(theirs, -1)
    y.backward()
    expected.backward()
    assert y.item() == expected.item() == -np.inf
    assert ours.grad.tolist() == [0, 0] and torch.isnan(theirs.grad).all()


def test_a_tie_at_a_maximum_over_one_axis_is_shared_here_and_goes_to_one_element_in_torch():
    ours, theirs = leaves([[3.0, 1.0, 3.0]])
    ops.max(ours, axis=1).sum().backward()
    torch.max(theirs, dim=1).values.sum().backward()                # torch.amax shares, as ours does
    assert ours.grad.tolist() == [[0.5, 0, 0.5]]
    assert sorted(theirs.grad[0].tolist()) == [0, 0, 1]


def test_float32_layer_norm_far_from_zero_is_that_of_torch_in_float64():
    """Where torch's own float32 has lost four digits (2e-4 here), because the mean is rounded once."""
    x = (1000 + np.random.default_rng(0).standard_normal((64, 6))).astype("float32")
    exact = F.layer_norm(torch.tensor(x.astype("float64")), (6,)).numpy()
    np.testing.assert_allclose(ops.layer_norm(Tensor(x), None, None).numpy(), exact, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name, dtype", [("div", "int64"), ("add", "bool"), ("mul", "bool")])
def test_integer_division_and_bool_arithmetic_are_refused_here(name, dtype):
    """torch makes float32 of the first and bool of the others."""
    a = np.ones(2, dtype)
    getattr(torch, name)(torch.tensor(a), torch.tensor(a))
    with pytest.raises(TypeError, match=name):
        ops.OPS[name](a, a)


def test_attention_of_a_sample_without_real_tokens_is_the_bias_here_and_nan_in_torch():
    layer = nn.MultiHeadAttention(4, 2, rng=0)
    layer.out_proj.bias.data[...] = [1, 2, 3, 4]
    theirs = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    x = np.random.default_rng(1).standard_normal((1, 3, 4)).astype("float32")
    output, attention = layer(Tensor(x), np.zeros((1, 3), bool))
    expected, _ = theirs(*[torch.tensor(x)] * 3, key_padding_mask=torch.ones(1, 3, dtype=torch.bool))
    assert not attention.data.any()
    assert (output.data == [1, 2, 3, 4]).all()
    assert torch.isnan(expected).all()


def test_a_gradient_that_is_not_finite_is_left_alone_by_clipping_and_refused_by_the_step_here():
    """torch's clipping makes every gradient NaN or 0, and its step writes that into the parameters."""
    ours, theirs = leaves([1.0, 2.0])
    for leaf, grad in ((ours, np.array([np.nan, 1.0])), (theirs, torch.tensor([np.nan, 1.0], dtype=torch.float64))):
        leaf.grad = grad
    assert np.isnan(optim.clip_grad_norm_([ours], 1.0))
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    assert ours.grad[1] == 1 and torch.isnan(theirs.grad).all()
    with pytest.raises(FloatingPointError, match="nothing was updated"):
        optim.SGD([ours], lr=0.1).step()
    torch.optim.SGD([theirs], lr=0.1).step()
    assert ours.data.tolist() == [1, 2] and torch.isnan(theirs).all()
