"""The layer in one file is the library's encoder layer: outputs, K, losses and every gradient, in float64."""
import ast
import re
import subprocess
import sys

import numpy as np
import one_file
import pytest
from conftest import TUTORIALS

from minimoe import Tensor
from minimoe.models import EncoderConfig
from minimoe.models.encoder import EncoderLayer

PATH = TUTORIALS / "one_file.py"
D, HEADS, F = 12, 3, 20


def library_layer(params, n_experts):
    """The library's layer with these parameters."""
    config = EncoderConfig(vocab_size=2, d_model=D, n_heads=HEADS, d_ff=F, n_experts=n_experts, dropout=0.0)
    layer = EncoderLayer(config, experts=True, rng=0, dropout_rng=1).to(dtype="float64")
    layer.load_state_dict(params)
    return layer


def parameters(random, n_experts):
    """Random parameters whose attention is sharp for some tokens and flat for others."""
    params = one_file.new_parameters(random, D, F, n_experts)
    params["attention.in_proj_weight"] *= 2
    return params


def assert_same(params, x, mask, gy):
    """The file's layer and the library's agree on everything. Returns K (B, S)."""
    y, k, loss, saved = one_file.layer(x, mask, params, HEADS)
    gx, grads = one_file.layer_backward(gy, saved)

    layer, leaf = library_layer(params, len(params["moe.router.weight"])), Tensor(x, requires_grad=True)
    theirs, _, routing = layer(leaf, mask, [])
    ((theirs * Tensor(gy)).sum() + routing.aux_loss).backward()

    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_array_equal(k.ravel(), routing.k)
    np.testing.assert_allclose(y, theirs.numpy(), **close)
    np.testing.assert_allclose(loss, routing.aux_loss.item(), **close)
    np.testing.assert_allclose(gx, leaf.grad, **close)
    assert set(grads) == {name for name, _ in layer.named_parameters()} == set(params)
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad, err_msg=name, **close)
    return k


@pytest.mark.parametrize(("lengths", "n_experts"), [
    ([7, 7], 4), ([7, 3], 8), ([1, 7], 5), ([6, 0], 4), ([0, 0], 3), ([4], 1), ([16, 9, 12], 8),
], ids=["full", "padding", "one token", "an empty sentence", "nothing but padding", "one expert", "longer"])
@pytest.mark.parametrize("seed", [0, 1])
def test_outputs_and_all_gradients_are_the_librarys(lengths, n_experts, seed):
    random = np.random.default_rng(seed)
    mask = np.arange(max(max(lengths), 2)) < np.array(lengths)[:, None]
    x, gy = random.standard_normal((2, *mask.shape, D))
    k = assert_same(parameters(random, n_experts), x, mask, gy)
    if max(lengths) == 16:
        assert len(set(k[mask].tolist())) >= 3              # tokens with different numbers of experts


def test_flat_attention_gives_one_expert_and_equal_logits_the_lowest():
    random = np.random.default_rng(0)
    params = parameters(random, 8)
    params["attention.in_proj_weight"][:] = params["moe.router.weight"][:] = 0.0
    x, gy = random.standard_normal((2, 1, 8, D))
    mask = np.ones((1, 8), bool)
    assert (assert_same(params, x, mask, gy) == 1).all()
    chosen = one_file.layer(x, mask, params, HEADS)[3][3][4]
    assert chosen[:, 0].all() and not chosen[:, 1:].any()


def test_rounding_noise_lifts_nobody_to_a_second_expert():
    importance = np.array([0.125, 0.125 + 1e-7, 0.125 + 1e-5])
    assert one_file.experts_per_token(importance, np.ones(3, bool), 8).tolist() == [1, 1, 2]


def test_it_is_at_most_250_lines_of_numpy_alone():
    text = PATH.read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)]
    imported = {alias.name for node in imports for alias in node.names}
    assert len(text.splitlines()) <= 250 and imported == {"math", "numpy"}


def test_as_a_script_it_shows_gradients_that_finite_differences_confirm():
    shown = subprocess.run([sys.executable, str(PATH)], capture_output=True, text=True, check=True).stdout
    pairs = re.findall(r"backward +(\S+) +finite difference +(\S+)", shown)
    assert len(pairs) == 14 and all(abs(float(a) - float(b)) < 1e-6 for a, b in pairs)
