"""Public trouble with shapes, indices, dtypes and views (G05 to G08, G35)."""
import math

import numpy as np
import pytest

from minimoe import Tensor, ops


def leaf(values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


def test_g05_a_number_against_a_row():
    """G05 (pytorch/pytorch#15223): the gradient comes back in the number's shape."""
    v = leaf(0.5)
    loss = (Tensor(np.array([2.0, -3.0, 4.0])) * v).sum()
    loss.backward()
    assert loss.item() == 1.5 and v.grad == 3 and v.grad.shape == ()


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_g05_an_axis_of_length_zero_is_summed_to_zeros(name):
    """G05 (chainer/chainer#1152): reducing only axes longer than one forgets this one."""
    a, b = leaf(np.zeros((2, 0, 3))), leaf([[[7.0]], [[8.0]]])
    y = ops.OPS[name](a, b)
    loss = y.sum()
    loss.backward()
    assert y.shape == (2, 0, 3) and loss.item() == 0
    assert a.grad.shape == (2, 0, 3) and b.grad.tolist() == [[[0]], [[0]]]


def test_g05_both_sides_stretch():
    """G05 (minitorch/Module-2#14)."""
    p, q = leaf([1.0, 2.0, 3.0]), leaf([[[4.0]], [[5.0]]])
    loss = (p * q).sum()
    loss.backward()
    assert loss.item() == 54 and p.grad.tolist() == [9, 9, 9] and q.grad.tolist() == [[[6]], [[6]]]


@pytest.mark.parametrize("a_shape", [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (1, 1, 1), (0, 1, 3), (0, 2, 1)])
@pytest.mark.parametrize("b_shape", [(2, 3), (1, 2, 3), (1, 2, 1), (0, 2, 3)])
def test_g05_gradients_have_the_inputs_shape_whatever_stretched(a_shape, b_shape):
    """G05 (raskr/rust-autograd#38): each element of a counts as often as it was used."""
    a, b = leaf(np.ones(a_shape)), leaf(np.ones(b_shape))
    y = a + b
    y.sum().backward()
    for t in (a, b):
        assert t.grad.shape == t.shape and (t.grad == (y.size / t.size if t.size else 0)).all()


def test_g05_sum_of_a_number_goes_back():
    """G05 (pytorch/pytorch#15223): axis None, and no axis at all."""
    x = leaf(2.0)
    (x.sum() + x.sum(axis=()) + x.mean() + x.max()).backward()
    assert x.grad == 4


def picked(values, index, upstream):
    x = leaf(values)
    x[index].backward(np.array(upstream, float))
    return x.grad.tolist()


def test_g06_contributions_to_one_element_add_up():
    """G06 (HIPS/autograd#39): `+=` through an index keeps the last one only."""
    assert picked([10, 20, 30], [0, 0, 2, -1], [1, 2, 4, 8]) == [3, 0, 12]
    assert picked([10, 20, 30], (np.array([0, 0, 2, -1]),), [1, 2, 4, 8]) == [3, 0, 12]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_g06_every_index_dtype_adds_up_ten_thousand_times(dtype):
    """G06 (numpy/numpy#23457): one NumPy release went wrong for index arrays that were not 64-bit."""
    upstream = np.ones(10000)
    upstream[-1] = 100
    assert picked([5.0], np.zeros(10000, dtype), upstream) == [10099]


def test_g06_pairs_of_indices():
    """G06 (numpy/numpy#24147)."""
    assert picked(np.zeros((2, 3)), ([1, 1], [0, 0]), [1, 10]) == [[0, 0, 0], [11, 0, 0]]
    columns = (slice(None), np.array([2, 2]))
    assert picked(np.zeros((2, 3)), columns, [[1, 10], [100, 1000]]) == [[0, 0, 11], [0, 0, 1100]]


def test_g06_masks_and_slices():
    """G06 (numpy/numpy#8866): reading backwards, by steps and by mask."""
    x = leaf([10, 20, 30])
    assert picked([10, 20, 30], x > 15, [1, 2]) == [0, 1, 2]
    assert picked([10, 20, 30], slice(None, None, -1), [1, 2, 3]) == [3, 2, 1]
    assert picked([10, 20, 30], slice(None, None, 2), [1, 2]) == [1, 0, 2]


def test_g06_an_index_may_be_an_integer_tensor():
    """G06 (HIPS/autograd#39)."""
    assert picked([10, 20, 30], Tensor(np.array([0, 0, 2])), [1, 2, 4]) == [3, 0, 4]
    assert picked(np.zeros((2, 2)), (Tensor(np.array([1, 1])), 0), [1, 2]) == [[0, 0], [3, 0]]


@pytest.mark.parametrize("zeros", [1, 3, 1000, 100000])
@pytest.mark.parametrize("padding", [0, -5])
def test_g07_the_padding_row_gets_nothing_for_short_and_long_inputs(zeros, padding):
    """G07 (pytorch/pytorch#28716): a second path for long inputs forgot it."""
    table = leaf(np.ones((5, 2)))
    ids = np.array([0] * zeros + [2, 2, 4])
    y = ops.embedding(ids, table, padding_idx=padding)
    y.backward(np.ones((zeros + 3, 2)))
    assert table.grad.tolist() == [[0, 0], [0, 0], [2, 2], [0, 0], [1, 1]]
    assert y.numpy()[0].tolist() == [1, 1]           # its values are read as they are


def test_g07_padding_in_the_middle_of_the_table():
    """G07 (pytorch/pytorch#3711)."""
    table = leaf(np.ones((5, 2)))
    ops.embedding(np.array([3, 1, 3, 3]), table, padding_idx=3).sum().backward()
    assert table.grad.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]


def test_g07_without_padding_every_row_learns():
    """G07 (pytorch/pytorch#26302): row 0 is no padding unless it was said."""
    table = leaf(np.ones((3, 1)))
    ops.embedding(np.array([[0, 0], [0, 2]]), table).sum().backward()
    assert table.grad.tolist() == [[3], [0], [1]]


@pytest.mark.parametrize("root", [np.sqrt(64), math.sqrt(64), np.float32(8), np.int64(8), 8, np.array(8.0),
                                  np.array(8)], ids=lambda r: f"{type(r).__name__}-{getattr(r, 'dtype', '')}")
def test_g08_one_wider_number_does_not_widen_the_model(root):
    """G08 (HIPS/autograd#671): float32 / np.sqrt(64) is float64 in plain NumPy."""
    x = leaf([[1, 2, 3], [4, 6, 5]], "float32")
    tops = x.max(axis=1).retain_grad()
    scaled = (tops / root).retain_grad()
    loss = scaled.sum()
    loss.backward()
    assert loss.item() == 1.125 and x.grad.tolist() == [[0, 0, 0.125], [0, 0.125, 0]]
    for t in (tops, scaled, x):
        assert t.dtype == np.float32 and t.grad.dtype == np.float32
    assert loss.dtype == np.float32


NUMBER_ARGUMENTS = {
    "pow": lambda x: ops.pow(x, np.float64(2)), "clip": lambda x: ops.clip(x, np.float64(-1), np.float64(1)),
    "where": lambda x: ops.where(x > 0, x, np.float64(0)), "maximum": lambda x: ops.maximum(x, np.float64(0)),
    "mean over a count": lambda x: x.sum() / np.arange(3).size, "count array": lambda x: x / np.array([1, 2, 3]),
    "mask": lambda x: x * np.array([True, False, True]), "dropout": lambda x: ops.dropout(x, np.float64(0.5), rng=0),
    "layer_norm": lambda x: ops.layer_norm(x, None, None, eps=np.float64(1e-5)),
    "rms_norm": lambda x: ops.rms_norm(x, eps=np.float64(1e-5)),
    "smoothed loss": lambda x: ops.cross_entropy(x, np.array(1), label_smoothing=np.float64(0.1))}


@pytest.mark.parametrize("name", NUMBER_ARGUMENTS)
def test_g08_options_given_as_float64_do_not_widen(name):
    """G08 (HIPS/autograd#163)."""
    x = leaf([0.5, -2.0, 3.0], "float32")
    y = NUMBER_ARGUMENTS[name](x)
    y.sum().backward()
    assert y.dtype == np.float32 and x.grad.dtype == np.float32


BASE = np.arange(12.0).reshape(3, 4)
VIEWS = {"last three columns": (lambda x: x[:, 1:], [[1, 2, 3], [5, 6, 7], [9, 10, 11]]),
         "transpose": (lambda x: x.T, [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
         "rows reversed": (lambda x: x[::-1], [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]),
         "every second column": (lambda x: x[:, ::2], [[0, 2], [4, 6], [8, 10]])}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("copy", [lambda x: x * 1, lambda x: ops.concatenate([x]), lambda x: x @ np.eye(x.shape[1]),
                                  lambda x: ops.embedding(np.arange(x.shape[0]), x),
                                  lambda x: ops.linear(x, np.eye(x.shape[1])),
                                  lambda x: x.reshape(-1).reshape(x.shape)])
def test_g35_views_are_read_by_their_strides_and_gradients_go_home(name, copy):
    """G35 (cupy/cupy#7267): a kernel that sees only the pointer reads them as if they were packed."""
    view, expected = VIEWS[name]
    for x in (leaf(BASE), Tensor(np.asfortranarray(BASE), requires_grad=True)):
        y = copy(view(x))
        assert y.numpy().tolist() == expected
        y.backward(np.array(expected))
        taken = np.isin(BASE, expected)
        assert x.grad.tolist() == np.where(taken, BASE, 0).tolist()


@pytest.mark.parametrize("total", [lambda x: x.sum(), lambda x: x @ np.ones(640), lambda x: (x * 1).sum(),
                                   lambda x: ops.linear(x, np.ones((1, 640)))])
def test_g35_a_broadcast_view_counts_every_element_and_is_never_written(total):
    """G35 (cupy/cupy#9275): 2.5 broadcast to 640 sums to 1600."""
    x = leaf(2.5)
    y = total(ops.broadcast_to(x, (640,)))
    y.backward(np.ones(y.shape))
    assert y.item() == 1600 and x.grad == 640 and x.item() == 2.5
