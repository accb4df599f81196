"""Operations that PyTorch has too: same arguments in, same values and gradients out, in float64."""
import numpy as np
import pytest

from minimoe import Tensor, ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

LABELS, IDS = np.array([3, 0, -100, 4, 1, -100, 2]), np.array([[1, 1, 0], [2, 1, 3]])
KEEP = np.array([True, False, True])


def normal(*shape):
    return np.random.default_rng(len(shape) * 10 + sum(shape)).standard_normal(shape)


def ties(*shape):
    """Small whole numbers: many are equal, and several are 0."""
    return np.round(normal(*shape))


ROWS = {
    "matmul, vectors": (ops.matmul, torch.matmul, [normal(3), normal(3)]),
    "matmul, batches": (ops.matmul, torch.matmul, [normal(2, 1, 3, 4), normal(5, 4, 2)]),
    "linear": (ops.linear, F.linear, [normal(2, 3, 4), normal(5, 4), normal(5)]),
    "gelu": (ops.gelu, F.gelu, [normal(50) * 3]),
    "gelu, tanh": (lambda x: ops.gelu(x, approximate="tanh"), lambda x: F.gelu(x, approximate="tanh"), [normal(50)]),
    "relu at 0": (ops.relu, F.relu, [ties(30)]),
    "sigmoid": (ops.sigmoid, torch.sigmoid, [normal(30) * 10]),
    "softmax": (lambda x: ops.softmax(x, 1), lambda x: F.softmax(x, 1), [normal(2, 5, 3)]),
    "softmax of -inf": (lambda x: ops.softmax(ops.where(KEEP, x, -np.inf)),
                        lambda x: F.softmax(torch.where(torch.tensor(KEEP), x, -torch.inf), -1), [normal(2, 3)]),
    "log_softmax": (ops.log_softmax, lambda x: F.log_softmax(x, -1), [normal(4, 5)]),
    "logsumexp": (lambda x: ops.logsumexp(x, (0, 2)), lambda x: torch.logsumexp(x, (0, 2)), [normal(3, 4, 5)]),
    "max with ties": (lambda x: ops.max(x, (0, 2)), lambda x: torch.amax(x, (0, 2)), [ties(3, 4, 5)]),
    "min with ties": (lambda x: ops.min(x, 1), lambda x: torch.amin(x, 1), [ties(3, 9)]),
    "maximum with ties": (ops.maximum, torch.maximum, [ties(40), ties(4, 1)[:, :1] * np.ones((4, 40))]),
    "abs at 0": (ops.abs, torch.abs, [ties(30)]),
    "clip at its ends": (lambda x: ops.clip(x, -1, 1), lambda x: torch.clamp(x, -1, 1), [ties(30)]),
    "pow": (lambda x: ops.pow(x, 1.5), lambda x: torch.pow(x, 1.5), [np.append(np.abs(normal(9)), 0.0)]),
    "layer_norm": (ops.layer_norm, lambda x, w, b: F.layer_norm(x, (6,), w, b),
                   [normal(2, 3, 6), normal(6), normal(6)]),
    "rms_norm": (ops.rms_norm, lambda x, w: F.rms_norm(x, (6,), w), [normal(2, 3, 6), normal(6)]),
    "rms_norm of zeros": (ops.rms_norm, lambda x: F.rms_norm(x, (6,)), [np.zeros((2, 6))]),
    "embedding": (lambda w: ops.embedding(IDS, w, padding_idx=-2),
                  lambda w: F.embedding(torch.tensor(IDS), w, padding_idx=-2), [normal(4, 3)]),
    "mse_loss": (ops.mse_loss, F.mse_loss, [normal(3, 4), normal(3, 4) * 2]),
    **{f"cross_entropy, smoothing {s}": (
        lambda x, s=s: ops.cross_entropy(x, LABELS, label_smoothing=s),
        lambda x, s=s: F.cross_entropy(x, torch.tensor(LABELS), label_smoothing=s), [normal(7, 5)])
       for s in (0.0, 0.1, 1.0)},
}


@pytest.mark.parametrize("row", ROWS)
def test_values_and_gradients_equal_those_of_torch(row):
    ours, theirs, arrays = ROWS[row]
    a = [Tensor(x.copy(), requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, expected = ours(*a), theirs(*b)
    upstream = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    for t, u in zip(a, b, strict=True):
        np.testing.assert_allclose(t.grad, u.grad.numpy(), rtol=1e-12, atol=1e-13)
