"""MultiHeadAttention and PyTorch's: same parameters in, same numbers and gradients out."""
import numpy as np
import pytest

from minimoe import Tensor
from minimoe.nn import MultiHeadAttention

torch = pytest.importorskip("torch")

B, S, D, H = 3, 7, 12, 4
MASK = np.arange(S) < np.array([[7], [4], [1]])


def pair():
    ours = MultiHeadAttention(D, H, rng=0).to(dtype="float64")
    random = np.random.default_rng(1)
    for p in ours.parameters():
        p.data[...] = random.standard_normal(p.shape) / 2
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    return ours, theirs, random.standard_normal((B, S, D)), random.standard_normal((B, S, D))


@pytest.mark.parametrize("mask", [None, MASK], ids=["all real", "padded"])
def test_outputs_attention_and_gradients_equal_those_of_torch_at_real_tokens(mask):
    ours, theirs, x, upstream = pair()
    real = np.ones((B, S), bool) if mask is None else mask
    upstream = upstream * real[:, :, None]          # torch lets padding queries read, so the loss leaves them out
    x_ours, x_theirs = Tensor(x.copy(), requires_grad=True), torch.tensor(x, requires_grad=True)

    output, attention = ours(x_ours, mask)
    (output * Tensor(upstream)).sum().backward()
    padding = None if mask is None else torch.from_numpy(~mask)                     # torch marks what to leave out
    expected, weights = theirs(x_theirs, x_theirs, x_theirs, key_padding_mask=padding, average_attn_weights=False)
    (expected * torch.from_numpy(upstream)).sum().backward()

    np.testing.assert_allclose(output.data[real], expected.detach().numpy()[real], rtol=1e-10, atol=1e-12)
    rows = np.broadcast_to(real[:, None, :], (B, H, S))
    np.testing.assert_allclose(attention.data[rows], weights.detach().numpy()[rows], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(x_ours.grad, x_theirs.grad.numpy(), rtol=1e-9, atol=1e-11)
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, gradients[name].grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


def test_parameters_travel_both_ways():
    ours, theirs, _, _ = pair()
    before = ours.state_dict()
    fresh = MultiHeadAttention(D, H, rng=9).to(dtype="float64")
    fresh.load_state_dict(theirs.state_dict())
    for name, value in fresh.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
