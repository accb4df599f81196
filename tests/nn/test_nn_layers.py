"""Linear, Embedding, the norms, Dropout and FeedForward."""
import math

import numpy as np
import pytest

from minimoe import Tensor, gradcheck, ops
from minimoe.moe import MoELayer
from minimoe.nn import Dropout, Embedding, FeedForward, LayerNorm, Linear, Parameter, RMSNorm
from minimoe.optim import AdamW


def check_gradients(layer, x):
    """Central differences through `layer`, for x and for every parameter."""
    layer.to(dtype="float64")
    places = [(module, name) for module in layer.modules() for name, value in vars(module).items()
              if isinstance(value, Parameter)]

    def run(x, *values):
        for (module, name), value in zip(places, values, strict=True):
            setattr(module, name, value)
        return layer(x)

    gradcheck(run, [x, *(getattr(module, name) for module, name in places)])


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("make", [
    lambda: Linear(3, 4, rng=0), lambda: Linear(3, 4, bias=False, rng=0), lambda: LayerNorm(3), lambda: RMSNorm(3),
    lambda: RMSNorm(3, eps=0.1), lambda: FeedForward(3, 5, rng=0), lambda: FeedForward(3, 5, "gelu_tanh", rng=0),
    lambda: FeedForward(3, 5, "relu", rng=0),
])
def test_gradients_of_input_and_parameters_equal_central_differences(make):
    check_gradients(make(), floats(2, 4, 3))


def test_gradients_of_an_embedding_equal_central_differences():
    check_gradients(Embedding(5, 3, rng=0), np.array([[0, 4, 4], [2, 0, 1]]))


@pytest.mark.parametrize("layer, x", [
    (Linear(3, 4, rng=0), floats(2, 3)), (LayerNorm(3), floats(2, 3)), (RMSNorm(3), floats(2, 3)),
    (FeedForward(3, 4, rng=0), floats(2, 3)), (Dropout(0.1), floats(2, 3)), (Embedding(9, 3, rng=0), np.arange(4)),
])
def test_float32_in_gives_float32_out_and_float32_gradients_g08(layer, x):
    """Case G08 (HIPS/autograd#671), for layers."""
    y = layer(Tensor(x.astype(np.float32)) if x.dtype.kind == "f" else x)
    assert y.dtype == np.float32
    if list(layer.parameters()):
        y.sum().backward()
    assert all(p.grad.dtype == np.float32 for p in layer.parameters())


def test_linear_multiplies_by_the_transposed_weight_and_adds_the_bias():
    layer = Linear(2, 3, rng=0)
    layer.load_state_dict({"weight": np.array([[1.0, 2], [3, 4], [5, 6]]), "bias": np.array([10.0, 20, 30])})
    np.testing.assert_array_equal(layer(Tensor([[1.0, 10.0]])).data, [[31, 63, 95]])
    assert Linear(2, 3, bias=False, rng=0).bias is None
    assert list(Linear(2, 3, bias=False, rng=0).state_dict()) == ["weight"]


def test_linear_weights_follow_the_rule_with_fan_in_and_the_bias_starts_at_zero():
    layer = Linear(1000, 20, rng=0)
    assert 1.9 < np.abs(layer.weight.data).max() / math.sqrt(0.1 / 1000) <= 2.001
    np.testing.assert_array_equal(layer.bias.data, 0)


def test_embedding_picks_rows():
    layer = Embedding(5, 2, rng=0)
    ids = np.array([[4, 0], [0, 1]])
    np.testing.assert_array_equal(layer(ids).data, layer.weight.data[ids])


def test_embedding_weights_follow_the_rule_with_the_width_as_fan_in():
    weight = Embedding(1000, 40, rng=0).weight.data
    assert 1.9 < np.abs(weight).max() / math.sqrt(0.1 / 40) <= 2.001


@pytest.mark.parametrize("padding, ids, expected", [
    (0, [0] * 1000 + [2, 2, 4], [[0, 0], [0, 0], [2, 2], [0, 0], [1, 1]]),
    (3, [3, 1, 3, 3], [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]),
    (-2, [3, 1, 3, 3], [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]),
])
def test_the_padding_row_has_no_gradient_for_short_and_long_inputs_g07(padding, ids, expected):
    """Case G07 (pytorch/pytorch#28716)."""
    layer = Embedding(5, 2, padding_idx=padding, rng=0)
    layer(np.array(ids)).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, expected)


def test_the_padding_row_stays_zero_over_ten_steps_with_decay_g07():
    """Case G07 (pytorch/pytorch#26302): the other rows do move."""
    layer = Embedding(5, 2, padding_idx=3, rng=0)
    before = layer.weight.data.copy()
    optimiser = AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(10):
        optimiser.zero_grad()
        layer(np.array([3, 1, 3, 3, 0, 2, 4])).sum().backward()
        optimiser.step()
    np.testing.assert_array_equal(layer.weight.data[3], 0)
    assert (layer.weight.data[[0, 1, 2, 4]] != before[[0, 1, 2, 4]]).all()


def test_layer_norm_of_small_numbers_divides_by_n():
    y = LayerNorm((4,))(Tensor([1.0, 2.0, 3.0, 4.0])).data
    np.testing.assert_allclose(y, [-1.341635, -0.447212, 0.447212, 1.341635], atol=1e-6)


def test_rms_norm_divides_by_the_root_of_the_mean_square():
    layer = RMSNorm(2)
    layer.weight.data[:] = [1, 10]
    np.testing.assert_allclose(layer(Tensor([3.0, 4.0])).data, [3 / math.sqrt(12.5), 40 / math.sqrt(12.5)], rtol=1e-6)


@pytest.mark.parametrize("layer, eps", [(LayerNorm(2), 1e-5), (LayerNorm(2, eps=0.5), 0.5), (RMSNorm(2, eps=0.5), 0.5),
                                        (RMSNorm(2), float(np.finfo(np.float32).eps))])
def test_the_norms_add_their_eps_under_the_root(layer, eps):
    size = math.sqrt(eps)                           # as large as eps, so that the output is 1/sqrt(2)
    y = layer(Tensor(np.array([size, -size], np.float32))).data
    np.testing.assert_allclose(y, [math.sqrt(0.5), -math.sqrt(0.5)], rtol=1e-5)


@pytest.mark.parametrize("make, match", [
    (lambda: LayerNorm((2, 3)), r"LayerNorm: normalized_shape is \(2, 3\)"),
    (lambda: RMSNorm((2, 3)), r"RMSNorm: normalized_shape is \(2, 3\)"),
    (lambda: LayerNorm(0), "LayerNorm: normalized_shape is 0"),
    (lambda: LayerNorm(3, eps=-1.0), "LayerNorm: eps is -1.0"),
    (lambda: RMSNorm(3, eps=math.nan), "RMSNorm: eps is nan"),
    (lambda: MoELayer(4, 0, 2, rng=0), "Experts: d_ff is 0"),
    (lambda: Linear(0, 3, rng=0), "Linear: in_features is 0"),
    (lambda: Linear(3, 2.5, rng=0), "Linear: out_features is 2.5"),
    (lambda: Embedding(0, 3, rng=0), "Embedding: num_embeddings is 0"),
    (lambda: Embedding(5, 2, padding_idx=5, rng=0), "Embedding: padding_idx is 5; the table has 5 rows"),
    (lambda: Embedding(5, 2, padding_idx=-6, rng=0), "padding_idx is -6"),
    (lambda: FeedForward(3, 4, "swish", rng=0), "FeedForward: activation 'swish' is not one of gelu"),
    (lambda: Dropout(-0.1), "Dropout: p is -0.1"),
    (lambda: Dropout(1.5), "Dropout: p is 1.5"),
    (lambda: Dropout(math.nan), "Dropout: p is nan"),
])
def test_sizes_and_names_that_make_no_layer_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_dropout_of_zero_or_in_evaluation_is_the_input_bit_for_bit_g33():
    """Case G33 (elixir-nx/axon#367)."""
    x = Tensor(floats(100))
    np.testing.assert_array_equal(Dropout(0)(x).data, x.data)
    np.testing.assert_array_equal(Dropout(0.7).eval()(x).data, x.data)


def test_dropout_of_one_gives_zero_and_a_zero_gradient_g33():
    """Case G33 (pytorch/pytorch#1833): no division by zero."""
    x = Tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = Dropout(1.0)(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, 0)
    np.testing.assert_array_equal(x.grad, 0)


def test_dropout_of_a_tenth_keeps_the_mean_and_uses_one_mask_both_ways_g33():
    """Case G33 (lmjohns3/theanets#123): kept values are scaled by 1/(1-p)."""
    x = Tensor(np.ones(100_000, np.float32), requires_grad=True)
    y = Dropout(0.1)(x)
    y.sum().backward()
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.unique(y.data), [0, 1 / 0.9], rtol=1e-6)
    assert 0.99 < y.data.mean() < 1.01 and 0.89 < (y.data > 0).mean() < 0.91
    np.testing.assert_array_equal(x.grad, y.data)


def test_dropout_draws_a_new_mask_each_time_and_the_same_masks_from_the_same_seed():
    x = Tensor(np.ones(64, np.float32))
    one, two = Dropout(0.5, rng=7), Dropout(0.5, rng=7)
    first = one(x).data
    np.testing.assert_array_equal(two(x).data, first)
    assert not np.array_equal(one(x).data, first)


def test_dropout_layers_given_one_generator_share_it():
    random = np.random.default_rng(0)
    one, two = Dropout(0.5, rng=random), Dropout(0.5, rng=random)
    assert one.rng is two.rng is random


def test_feedforward_is_two_linears_with_the_activation_between():
    layer = FeedForward(2, 3, "relu", rng=0)
    x = floats(5, 2).astype(np.float32)
    s = layer.state_dict()
    hidden = np.maximum(x @ s["linear1.weight"].T + s["linear1.bias"], 0)
    np.testing.assert_allclose(layer(Tensor(x)).data, hidden @ s["linear2.weight"].T + s["linear2.bias"], rtol=1e-5)
    assert list(s) == ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]


@pytest.mark.parametrize("activation, at_one", [("gelu", 0.8413447), ("gelu_tanh", 0.8411920), ("relu", 1.0)])
def test_feedforward_applies_the_activation_it_was_given(activation, at_one):
    layer = FeedForward(1, 1, activation, rng=0)
    layer.load_state_dict({"linear1.weight": [[1.0]], "linear1.bias": [0.0], "linear2.weight": [[1.0]],
                           "linear2.bias": [0.0]})
    assert layer(Tensor([[1.0]])).item() == pytest.approx(at_one, abs=1e-6)


@pytest.mark.parametrize("activation, phi", [("geglu", ops.gelu), ("reglu", ops.relu)])
def test_a_gated_feed_forward_multiplies_the_halves_of_its_hidden_layer(activation, phi):
    layer = FeedForward(3, 4, activation, rng=0)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    h = x @ layer.linear1.weight.data.T + layer.linear1.bias.data
    expected = (phi(Tensor(h[:, :4])).data * h[:, 4:]) @ layer.linear2.weight.data.T + layer.linear2.bias.data
    np.testing.assert_allclose(layer(Tensor(x)).data, expected, rtol=1e-5, atol=1e-7)
