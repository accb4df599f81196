"""MultiHeadAttention against loops over samples, heads, queries and keys, and the cases of real trouble."""
import math

import numpy as np
import pytest

from minimoe import Tensor, gradcheck
from minimoe.nn import MultiHeadAttention


def by_loops(x, state, n_heads, mask):
    """Output and attention, one query, head and key at a time, in Python floats."""
    batch, length, d = x.shape
    width = d // n_heads
    w, b = state["in_proj_weight"], state["in_proj_bias"]
    attention = np.zeros((batch, n_heads, length, length))
    joined = np.zeros((batch, length, d))
    for s in range(batch):
        q, k, v = (np.array([w[part * d:(part + 1) * d] @ token + b[part * d:(part + 1) * d] for token in x[s]])
                   for part in range(3))
        for h in range(n_heads):
            mine = slice(h * width, (h + 1) * width)
            for i in range(length):
                keys = [j for j in range(length) if mask is None or (mask[s, i] and mask[s, j])]
                scores = [math.exp(float(q[i, mine] @ k[j, mine]) / math.sqrt(width)) for j in keys]
                for j, score in zip(keys, scores, strict=True):
                    attention[s, h, i, j] = score / sum(scores)
                    joined[s, i, mine] += score / sum(scores) * v[j, mine]
    return joined @ state["out_proj.weight"].T + state["out_proj.bias"], attention


def layer_with_biases(d, heads, **options):
    """A float64 layer whose weights are about 1 and whose biases are not 0."""
    random = np.random.default_rng(0)
    layer = MultiHeadAttention(d, heads, rng=0, **options).to(dtype="float64")
    layer.load_state_dict({n: random.standard_normal(v.shape) / 2 for n, v in layer.state_dict().items()})
    return layer


MASK = np.array([[True, True, True, False], [True, False, True, True], [False] * 4])


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all real", "padded"])
def test_output_and_attention_equal_the_loops(heads, mask):
    layer = layer_with_biases(6, heads)
    x = np.random.default_rng(1).standard_normal((3, 4, 6))
    output, attention = layer(Tensor(x), mask)
    expected_output, expected_attention = by_loops(x, layer.state_dict(), heads, mask)
    np.testing.assert_allclose(output.data, expected_output, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(attention.data, expected_attention, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all real", "padded"])
def test_gradients_of_input_and_parameters_through_both_outputs_equal_central_differences(mask):
    layer = layer_with_biases(4, 2)
    x = np.random.default_rng(1).standard_normal((3, 4, 4))

    def run(x, w, b, w_out, b_out):
        layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias = w, b, w_out, b_out
        return layer(x, mask)

    gradcheck(run, [x, *layer.parameters()])


def the_small_layer():
    """Case G14's complete layer, written there as y = x W + b."""
    wq = [[-0.2, -0.9, -0.4, 0.8], [-0.6, -0.1, 0.9, -1.0], [0.2, 0.9, -0.5, 0.1], [0.8, -0.7, 0.0, 0.5]]
    wk = [[0.3, -0.1, -0.6, 0.0], [-0.3, 0.0, -0.3, 0.7], [0.5, -0.4, 0.1, -0.4], [-0.1, -0.3, 0.3, -0.3]]
    wv = [[-0.1, 0.4, -0.2, 0.8], [-0.6, 0.5, -0.2, -0.1], [0.3, 0.0, -0.2, -1.0], [-0.8, 0.4, 0.0, 0.4]]
    wo = [[0.9, 0.4, -0.9, -0.4], [0.2, -0.5, 0.9, 0.9], [0.7, -0.1, 0.7, -0.7], [-0.4, -0.1, 0.5, 0.0]]
    layer = MultiHeadAttention(4, 2, rng=0).to(dtype="float64")
    layer.load_state_dict({
        "in_proj_weight": np.concatenate([wq, wk, wv], axis=1).T,
        "in_proj_bias": np.array([-0.4, -0.2, -0.2, -0.2, -0.3, -0.1, -0.1, 0.3, 0.3, 0.0, 0.0, 0.3]),
        "out_proj.weight": np.array(wo).T,
        "out_proj.bias": np.array([0.4, 0.2, 0.3, 0.4]),
    })
    return layer, Tensor(np.array([[[-0.8, 0.6, -0.1, 0.4], [1.0, 0.1, 0.0, -0.9], [-0.5, 0.0, 0.4, 0.6]]]))


def test_the_small_layer_gives_the_numbers_of_g14():
    """Case G14 (jsbaan/transformer-from-scratch#6): heads joined without swapping axes mix time steps."""
    layer, x = the_small_layer()
    np.testing.assert_allclose(layer(x)[0].data[0], [
        [0.5727318971, 0.2184071963, 0.2147346685, 0.4296653917],
        [0.2810922118, 0.1386774702, 0.4403172973, 0.5401105566],
        [0.5166248467, 0.2324345434, 0.218007543, 0.4336965644]], atol=1e-9)


def test_the_small_layer_with_a_padded_key_gives_the_numbers_of_g14_at_real_tokens():
    """Case G14 (reczoo/FuxiCTR#30). Here a padding query reads nothing, so the third row is out_proj.bias."""
    layer, x = the_small_layer()
    np.testing.assert_allclose(layer(x, np.array([[True, True, False]]))[0].data[0], [
        [0.5278860974, 0.2146597231, 0.2669121922, 0.4449595301],
        [0.1991541553, 0.1137889691, 0.5211565958, 0.5868432838],
        [0.4, 0.2, 0.3, 0.4]], atol=1e-9)


def test_padding_tokens_and_samples_give_zero_attention_and_finite_zero_gradients_g12():
    """Case G12 (pytorch/pytorch#103963): the third sample has no real token at all."""
    layer = layer_with_biases(4, 2)
    x = Tensor(np.random.default_rng(1).standard_normal((3, 4, 4)), requires_grad=True)
    output, attention = layer(x, MASK)
    np.testing.assert_array_equal(attention.data[2], 0)
    np.testing.assert_array_equal(attention.data[0, :, 3], 0)
    np.testing.assert_array_equal(output.data[~MASK], np.broadcast_to(layer.out_proj.bias.data, (6, 4)))
    (output * output).sum().backward()
    np.testing.assert_array_equal(x.grad[~MASK], 0)
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())
    assert (x.grad[MASK] != 0).all()


def test_changing_padding_by_any_amount_changes_nothing_g12():
    """Case G12 (pytorch/pytorch#131060): a large negative number instead of an exclusion leaks masked values."""
    layer = layer_with_biases(4, 2)
    x = np.random.default_rng(1).standard_normal((3, 4, 4))
    changed = x.copy()
    changed[~MASK] = 1e6
    for one, two in zip(layer(Tensor(x), MASK), layer(Tensor(changed), MASK), strict=True):
        np.testing.assert_array_equal(one.data, two.data)


def test_dropout_acts_in_training_only_and_never_on_the_attention_that_is_answered():
    layer = layer_with_biases(4, 2, dropout=0.5)
    x = Tensor(np.random.default_rng(1).standard_normal((2, 5, 4)))
    output, attention = layer(x)
    again, _ = layer(x)
    quiet, clean = layer.eval()(x)
    np.testing.assert_array_equal(attention.data, clean.data)
    assert not np.allclose(output.data, quiet.data) and not np.allclose(output.data, again.data)
    np.testing.assert_array_equal(layer(x)[0].data, quiet.data)


def test_dropout_masks_come_from_the_generator_that_was_passed():
    random = np.random.default_rng(4)
    layer = layer_with_biases(4, 2, dropout=0.5, dropout_rng=random)
    assert layer.dropout_rng is random
    seeded = layer_with_biases(4, 2, dropout=0.5, dropout_rng=4)
    x = Tensor(np.random.default_rng(1).standard_normal((2, 5, 4)))
    np.testing.assert_array_equal(layer(x)[0].data, seeded(x)[0].data)


def test_parameters_have_torchs_names_and_shapes_and_follow_the_rule():
    state = MultiHeadAttention(64, 4, rng=0).state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "in_proj_weight": (192, 64), "in_proj_bias": (192,), "out_proj.weight": (64, 64), "out_proj.bias": (64,)}
    assert 1.9 < np.abs(state["in_proj_weight"]).max() / math.sqrt(0.1 / 64) <= 2.001
    np.testing.assert_array_equal(state["in_proj_bias"], 0)
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}


def test_float32_stays_float32_g08():
    """Case G08 (HIPS/autograd#199): the scale 1/sqrt(d_h) is the usual leak."""
    layer = MultiHeadAttention(6, 2, dropout=0.1, rng=0)
    x = Tensor(np.ones((2, 3, 6), np.float32), requires_grad=True)
    output, attention = layer(x, np.ones((2, 3), bool))
    output.sum().backward()
    assert output.dtype == attention.dtype == x.grad.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in layer.parameters())


def test_empty_batches_and_sequences_pass():
    layer = MultiHeadAttention(4, 2, rng=0)
    for shape in ((0, 3, 4), (2, 0, 4)):
        output, attention = layer(Tensor(np.zeros(shape, np.float32)))
        assert output.shape == shape and attention.shape == (shape[0], 2, shape[1], shape[1])


@pytest.mark.parametrize("make, error, match", [
    (lambda: MultiHeadAttention(6, 4, rng=0), ValueError, "MultiHeadAttention: 4 heads cannot share a width of 6"),
    (lambda: MultiHeadAttention(6, 0, rng=0), ValueError, "n_heads is 0"),
    (lambda: MultiHeadAttention(6, 2, 1.5, rng=0), ValueError, "MultiHeadAttention: p is 1.5"),
    (lambda: MultiHeadAttention(6, 2, rng=0, dropout_rng="0"), TypeError, "MultiHeadAttention: rng is str"),
    (lambda: MultiHeadAttention(4, 2, rng=0)(Tensor(np.ones((3, 4)))), ValueError, r"x is \(3, 4\); .*\(B, S, 4\)"),
    (lambda: MultiHeadAttention(4, 2, rng=0)(Tensor(np.ones((1, 3, 5)))), ValueError, r"x is \(1, 3, 5\)"),
    (lambda: MultiHeadAttention(4, 2, rng=0)(Tensor(np.ones((1, 3, 4), np.float32)), np.ones((1, 3), int)),
     TypeError, "mask"),
])
def test_sizes_inputs_and_masks_that_do_not_fit_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_layers_of_different_seeds_draw_different_dropout_masks():
    x = Tensor(np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32))
    one, two = (MultiHeadAttention(4, 2, 0.5, rng=seed) for seed in (0, 1))
    two.load_state_dict(one.state_dict())
    assert not np.array_equal(one(x)[0].data, two(x)[0].data)
