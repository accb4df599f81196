"""Public trouble with labels to leave out and with dropout (G15, G33)."""
import math

import numpy as np
import pytest

from minimoe import Tensor, ops


def leaf(values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


both_floats = pytest.mark.parametrize("dtype", ["float32", "float64"])

# G15: labels to leave out

LOGITS = [[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]]


@pytest.mark.parametrize("ignore", [-100, 255, 7, -1])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8"])
def test_g15_ignored_labels_do_not_count(ignore, dtype):
    """G15 (pytorch/pytorch#116349): whatever the ignored value is; dividing by two gives 0.0849230."""
    if ignore < 0 and dtype == "uint8":
        ignore += 256
    logits = leaf(LOGITS)
    loss = ops.cross_entropy(logits, np.array([0, ignore], dtype), ignore_index=ignore)
    loss.backward()
    assert loss.item() == pytest.approx(0.1698460196, abs=1e-9)
    np.testing.assert_allclose(logits.grad, [[-0.1562052655, 0.1141951994, 0.0420100661], [0, 0, 0]], atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@both_floats
def test_g15_when_no_label_counts_loss_and_gradient_are_zero(dtype, smoothing):
    """G15 (pytorch/pytorch#70348): not 0/0. An empty batch is the same."""
    logits = leaf(LOGITS, dtype)
    loss = ops.cross_entropy(logits, np.array([-100, -100]), label_smoothing=smoothing)
    loss.backward()
    assert loss.item() == 0 and loss.dtype == dtype and logits.grad.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert ops.cross_entropy(leaf(np.zeros((0, 3)), dtype), np.zeros(0, int)).item() == 0


@pytest.mark.parametrize("label", [3, 7, -1, -4, 2**31, -101])
def test_g15_other_labels_out_of_range_are_errors(label):
    """G15 (pytorch/pytorch#12670): they were read from memory beyond the row."""
    with pytest.raises(ValueError, match=rf"cross_entropy: targets go from .*{label}.*3 classes are 0 to 2.*= -100"):
        ops.cross_entropy(leaf(LOGITS), np.array([0, label]))


def test_g15_an_ignored_value_inside_the_range_is_left_out():
    """G15 (chainer/chainer#2715): class 1 itself may be the one to leave out."""
    loss = ops.cross_entropy(leaf(LOGITS), np.array([0, 1]), ignore_index=1)
    assert loss.item() == pytest.approx(0.1698460196, abs=1e-9)


# G33: dropout at its ends


@both_floats
@pytest.mark.parametrize("options", [{"p": 0}, {"p": 0.0, "rng": 1}, {"p": 0.5, "training": False},
                                     {"p": 1, "training": False}])
def test_g33_without_dropout_the_output_is_the_input_bit_for_bit(options, dtype):
    """G33 (pytorch/pytorch#1833): NaN and -0.0 included, and no random number is drawn."""
    values = np.array([1.1, -0.0, np.nan, np.inf, 1e-40], dtype)
    x = Tensor(values, requires_grad=True)
    y = ops.dropout(x, **options)
    y.backward(values)
    assert y.data.tobytes() == values.tobytes() and x.grad.tobytes() == values.tobytes()


def test_g33_everything_dropped_is_zero_and_not_nan():
    """G33 (elixir-nx/axon#367): 1/(1 - p) is infinite."""
    x = leaf([1.0, -2.0, 3.0])
    y = ops.dropout(x, 1.0, rng=np.random.default_rng(0))
    y.sum().backward()
    assert y.numpy().tolist() == [0, 0, 0] and x.grad.tolist() == [0, 0, 0]


@both_floats
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.001])
def test_g33_values_are_scaled_by_the_share_that_stays(p, dtype):
    """G33 (lmjohns3/theanets#123): by 1/(1 - p), not 1/p; and the gradient has the same mask."""
    x = Tensor(np.ones(100_003, dtype), requires_grad=True)
    y = ops.dropout(x, p, rng=np.random.default_rng(5))
    y.sum().backward()
    kept = np.dtype(dtype).type(1 / (1 - p))
    assert y.dtype == dtype and set(np.unique(y.numpy())) == {0, kept}
    spread = math.sqrt(p / (1 - p) / x.size)                         # of the mean
    assert abs(y.numpy().mean(dtype="float64") - 1) < 4 * spread
    assert x.grad.tobytes() == y.data.tobytes()


def test_g33_a_generator_moves_on_and_a_seed_does_not():
    """G33 (elixir-nx/axon#367)."""
    x, generator = Tensor(np.ones(64)), np.random.default_rng(3)
    first, second = (ops.dropout(x, 0.5, rng=generator).numpy().tolist() for _ in range(2))
    again, and_again = (ops.dropout(x, 0.5, rng=3).numpy().tolist() for _ in range(2))
    assert first != second and again == and_again == first


def test_g33_neighbours_are_dropped_independently():
    """G33 (lmjohns3/theanets#123): four elements come from one 64-bit draw."""
    kept = ops.dropout(Tensor(np.ones((50_000, 4))), 0.5, rng=1).numpy() > 0
    correlation = np.corrcoef(kept.T)
    assert abs(correlation - np.eye(4)).max() < 4 / math.sqrt(50_000)
    assert abs(np.corrcoef(kept[1:, 0], kept[:-1, 3])[0, 1]) < 4 / math.sqrt(50_000)


def test_g33_the_mask_is_the_same_in_both_float_types_and_any_shape():
    """G33 (pytorch/pytorch#1833)."""
    flat = ops.dropout(Tensor(np.ones(30, "float32")), 0.3, rng=2).numpy() > 0
    shaped = ops.dropout(Tensor(np.ones((5, 6), "float64")), 0.3, rng=2).numpy() > 0
    assert flat.tolist() == shaped.ravel().tolist()


@pytest.mark.parametrize("p", [-0.1, 1.5])
@pytest.mark.parametrize("training", [True, False])
def test_g33_a_share_outside_zero_to_one_is_an_error(p, training):
    """G33 (elixir-nx/axon#367): also when it would not be used."""
    with pytest.raises(ValueError, match="must be a probability, from 0 to 1"):
        ops.dropout(leaf([1.0]), p, training=training, rng=0)
