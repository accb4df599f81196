"""Layers, encoder layers and whole models against PyTorch: same weights in, same values and gradients out.

MultiHeadAttention has a file of its own, test_attention_parity.py. torch lets padding positions read, ours do not, so
where a mask is given the losses here leave padding out; nothing real depends on it in either library.
"""
from collections import OrderedDict

import numpy as np
import pytest

from minimoe import Tensor, models, nn
from minimoe.models import EncoderConfig, EncoderLayer

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402  needs torch

LIMITS = {"float64": 1e-10, "float32": 1e-5}       # |ours - torch's| <= limit * (1 + |torch's|)
X = np.random.default_rng(0).standard_normal((2, 5, 8))
IDS = np.array([[3, 7, 5, 2, 9], [4, 6, 3, 0, 0], [8, 0, 0, 0, 0]])
SEGMENTS = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
CONFIG = EncoderConfig(vocab_size=12, n_classes=3, d_model=8, n_layers=3, n_heads=2, d_ff=6, n_experts=4, max_length=7,
                       dropout=0.0, moe_every=2)


def torch_feedforward(activation):
    phi = {"gelu": torch.nn.GELU(), "gelu_tanh": torch.nn.GELU("tanh"), "relu": torch.nn.ReLU()}[activation]
    return torch.nn.Sequential(OrderedDict(linear1=torch.nn.Linear(8, 6), phi=phi, linear2=torch.nn.Linear(6, 8)))


LAYERS = {
    "Linear": (lambda: nn.Linear(8, 3, rng=0), lambda: torch.nn.Linear(8, 3), X),
    "Linear without bias": (lambda: nn.Linear(8, 3, bias=False, rng=0), lambda: torch.nn.Linear(8, 3, bias=False), X),
    "Embedding": (lambda: nn.Embedding(12, 4, rng=0), lambda: torch.nn.Embedding(12, 4), IDS),
    "Embedding with padding": (lambda: nn.Embedding(12, 4, padding_idx=0, rng=0),
                               lambda: torch.nn.Embedding(12, 4, padding_idx=0), IDS),
    "LayerNorm": (lambda: nn.LayerNorm(8), lambda: torch.nn.LayerNorm(8), X),
    "LayerNorm with eps": (lambda: nn.LayerNorm((8,), eps=0.1), lambda: torch.nn.LayerNorm((8,), eps=0.1), X),
    "RMSNorm": (lambda: nn.RMSNorm(8), lambda: torch.nn.RMSNorm(8), X),
    "RMSNorm with eps": (lambda: nn.RMSNorm(8, eps=0.1), lambda: torch.nn.RMSNorm(8, eps=0.1), X),
    **{f"FeedForward {phi}": (lambda phi=phi: nn.FeedForward(8, 6, phi, rng=0), lambda phi=phi: torch_feedforward(phi),
                              X) for phi in ("gelu", "gelu_tanh", "relu")},
}


def lively(module, dtype):
    """The module in `dtype` with weights large enough that every gradient counts and attention is sharp."""
    random = np.random.default_rng(5)
    module.to(dtype=dtype)
    for parameter in module.parameters():
        parameter.data[...] += random.standard_normal(parameter.shape) * 0.4
    return module


def assert_close(ours, theirs, dtype, name=""):
    theirs = theirs.detach().numpy()
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=LIMITS[dtype], atol=LIMITS[dtype], err_msg=name)


def assert_gradients_equal(ours, theirs, dtype):
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert gradients.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        assert parameter.grad.any(), name
        assert_close(parameter.grad, gradients[name], dtype, name)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_gradients_equal_those_of_torch(name, dtype):
    make, make_torch, x = LAYERS[name]
    ours = lively(make(), dtype)
    theirs = torch_twin.carry_over(ours, make_torch())
    floats = x.dtype.kind == "f"
    x = x.astype(dtype) if floats else x
    x_ours, x_theirs = Tensor(x, requires_grad=floats), torch.tensor(x, requires_grad=floats)
    y, expected = ours(x_ours), theirs(x_theirs)
    assert_close(y.numpy(), expected, dtype)
    upstream = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    if floats:
        assert_close(x_ours.grad, x_theirs.grad, dtype)
    assert_gradients_equal(ours, theirs, dtype)


def check_encoder_layer(ours, theirs, dtype, run_theirs):
    """run_theirs(x, real) -> (y, attention or None, auxiliary loss)."""
    random = np.random.default_rng(3)
    real = np.arange(6) < np.array([[6], [4], [1]])
    x, upstream = (random.standard_normal((3, 6, 8)).astype(dtype) * real[:, :, None] for _ in range(2))
    x_ours, x_theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, attention, routing = ours(x_ours, real, [])
    expected, weights, aux = run_theirs(x_theirs, torch.tensor(real))
    assert_close(y.numpy()[real], expected[torch.tensor(real)], dtype)
    if weights is not None:
        rows = np.broadcast_to(real[:, None, :], attention.shape[:3])
        assert_close(attention.numpy()[rows], weights[torch.tensor(rows)], dtype)
    loss, torch_loss = (y * Tensor(upstream)).sum(), (expected * torch.tensor(upstream)).sum() + aux
    if routing is not None:
        loss = loss + routing.aux_loss
        assert_close(routing.aux_loss.numpy(), aux, dtype)
    loss.backward()
    torch_loss.backward()
    assert_close(x_ours.grad, x_theirs.grad, dtype)
    return routing


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_dense_encoder_layer_equals_torchs_own(activation, dtype):
    config = EncoderConfig(vocab_size=1, d_model=8, n_heads=2, d_ff=6, dropout=0.0, activation=activation)
    ours = lively(EncoderLayer(config, False, rng=0, dropout_rng=0), dtype)
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 6, 0.0, activation, batch_first=True, norm_first=True)
    names = {name: name.replace("self_attn", "attention").replace("linear", "feedforward.linear")
             for name, _ in theirs.named_parameters()}
    values = ours.state_dict()
    assert sorted(names.values()) == sorted(values)
    theirs.to(getattr(torch, dtype)).load_state_dict({a: torch.tensor(values[b]) for a, b in names.items()})
    check_encoder_layer(ours, theirs, dtype, lambda x, real: (theirs(x, src_key_padding_mask=~real), None, 0.0))
    gradients = {b: p.grad for (a, p), b in zip(theirs.named_parameters(), names.values(), strict=True)}
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, gradients[name], dtype, name)


ROUTED = {"top-1": ("switch", {}, 1), "top-2": ("topk", {"k": 2}, 2), "DA-MoE": ("da", {}, "da")}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("router", ROUTED)
def test_an_encoder_layer_with_experts_equals_a_loop_over_experts_in_torch(router, dtype):
    name, options, k = ROUTED[router]
    config = EncoderConfig(vocab_size=1, d_model=8, n_heads=2, d_ff=6, n_experts=4, dropout=0.0, router=name,
                           router_options=options)
    ours = lively(EncoderLayer(config, True, rng=0, dropout_rng=0), dtype)
    theirs = torch_twin.carry_over(ours, torch_twin.Layer(config, k))
    routing = check_encoder_layer(ours, theirs, dtype, theirs)
    assert_gradients_equal(ours, theirs, dtype)
    if k == "da":
        assert len(set(routing.k.tolist())) > 3                     # 0 at padding, and at least three other counts


LABELS = {"SequenceClassifier": np.array([2, 0, 1]), "regression": np.array([0.5, -1.0, 3.0]),
          "MaskedLanguageModel": np.where(IDS % 3 == 2, IDS, -100)}


@pytest.mark.parametrize("router", ["dense", *ROUTED])
@pytest.mark.parametrize("task", LABELS)
def test_the_loss_of_a_model_and_all_its_gradients_equal_those_of_its_twin(task, router):
    name, options, k = ROUTED.get(router, ("da", {}, None))
    changes = {"n_experts": 0} if router == "dense" else {"router": name, "router_options": options}
    config = EncoderConfig.from_dict(CONFIG.to_dict() | changes | ({"n_classes": 1} if task == "regression" else {}))
    make, make_torch = ((models.MaskedLanguageModel, torch_twin.LanguageModel) if task == "MaskedLanguageModel" else
                        (models.SequenceClassifier, torch_twin.Classifier))
    ours = lively(make(config), "float64")
    theirs = torch_twin.carry_over(ours, make_torch(config, k))
    loss = ours.loss(IDS, LABELS[task], segments=SEGMENTS)
    expected = theirs.loss(*(torch.tensor(a) for a in (IDS, LABELS[task], SEGMENTS)))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    expected.backward()
    assert_gradients_equal(ours, theirs, "float64")
