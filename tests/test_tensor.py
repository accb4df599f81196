"""The Tensor itself: what it holds, how it is made, and its operators."""
import operator

import numpy as np
import pytest

from minimoe import Tensor, no_grad, ops


@pytest.mark.parametrize(("data", "dtype"), [
    (1.5, "float32"), ([1.0, 2.0], "float32"), ([[1, 2]], np.array(0).dtype.name), (True, "bool"),
    (np.zeros(2), "float64"), (np.zeros(2, "float32"), "float32"), (np.float64(1), "float64"), (np.arange(2), "int64"),
    (np.zeros(2, "uint8"), "uint8"), ([], "float32")])
def test_python_floats_become_float32_and_arrays_keep_their_dtype(data, dtype):
    if isinstance(data, np.ndarray) and data.dtype.kind == "i":
        dtype = data.dtype.name                     # NumPy's own integer differs between platforms
    assert Tensor(data).dtype == dtype


def test_dtype_argument_wins():
    assert Tensor([1, 2], dtype="float64").dtype == np.float64
    assert Tensor(np.zeros(2), dtype="float32", requires_grad=True).dtype == np.float32


def test_an_array_is_wrapped_not_copied():
    array = np.zeros(2)
    assert Tensor(array).data is array


def test_a_tensor_of_a_tensor_holds_the_same_array_outside_the_graph():
    x = Tensor([1.0], requires_grad=True)
    y = Tensor(x * 2)
    assert not y.requires_grad and y.item() == 2


@pytest.mark.parametrize("dtype", ["float16", "complex64", "U1", "object", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="is not supported; use float32, float64"):
        Tensor(np.zeros(2, dtype))


@pytest.mark.parametrize("data", [[1, 2], True, np.zeros(2, "int32")])
def test_only_floats_have_gradients(data):
    with pytest.raises(TypeError, match="cannot have a gradient; use dtype='float32'"):
        Tensor(data, requires_grad=True)


def test_unknown_and_unusable_backends_are_named():
    with pytest.raises(ValueError, match="'torch' is not one of numpy, cupy, cudasim"):
        Tensor([1.0], backend="torch")
    with pytest.raises(ValueError, match="'torch' is not one of"):
        Tensor([1.0]).to("torch")


def test_facts():
    x = Tensor(np.zeros((2, 3)))
    assert (x.shape, x.ndim, x.size, len(x), x.backend) == ((2, 3), 2, 6, 2, "numpy")
    assert x.T.shape == (3, 2)


def test_item_and_conversions_need_one_element():
    assert (Tensor([[2.5]]).item(), float(Tensor(2.5)), int(Tensor(2)), bool(Tensor([0.0]))) == (2.5, 2.5, 2, False)
    assert isinstance(Tensor(2.5).item(), float)
    for convert in (Tensor.item, float, int, bool):
        with pytest.raises(ValueError, match=r"item: the tensor has shape \(2,\)"):
            convert(Tensor([1.0, 2.0]))


def test_len_and_iteration_of_a_number_are_errors():
    with pytest.raises(TypeError, match=r"len\(\) of a tensor of shape \(\)"):
        len(Tensor(1.0))
    with pytest.raises(TypeError, match="iteration"):
        iter(Tensor(1.0))


def test_iteration_gives_rows_that_are_in_the_graph():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * 2 + second).sum().backward()
    assert x.grad.tolist() == [[2, 2], [1, 1]]


def test_repr_tells_values_shape_dtype_and_origin():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], shape=(2,), dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], shape=(2,), dtype=float32, made by mul)"
    assert len(repr(Tensor(np.zeros(10**6)))) < 200


def test_numpy_sees_the_values():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert np.asarray(x).tolist() == [1, 2] and np.asarray(x, dtype="int64").dtype == np.int64
    assert np.shares_memory(x.numpy(), x.data)
    assert not np.shares_memory(np.array(x), x.data)


BINARY = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.parametrize("function", BINARY)
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2), np.array([2.0, 4.0], "float32"), Tensor([2.0, 4.0])])
def test_operators_work_from_both_sides_and_stay_tensors(function, other):
    x = Tensor([3.0, 5.0], requires_grad=True)
    values = getattr(other, "data", other) if isinstance(other, Tensor) else other
    for result, expected in ((function(x, other), function(x.data, values)),
                             (function(other, x), function(values, x.data))):
        assert isinstance(result, Tensor) and result.requires_grad and result.dtype == np.float32
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


def test_matrix_product_works_from_both_sides():
    a, x = np.arange(4.0).reshape(2, 2), Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert (x @ a).numpy().tolist() == (x.data @ a).tolist() and (a @ x).numpy().tolist() == (a @ x.data).tolist()


def test_unary_operators_and_powers():
    x = Tensor([-2.0, 3.0])
    assert [(-x).numpy().tolist(), abs(x).numpy().tolist(), (x ** 2).numpy().tolist()] == [[2, -3], [2, 3], [4, 9]]


def test_comparisons_answer_with_plain_arrays():
    x, y = Tensor([1.0, 2.0, 3.0]), Tensor([2.0, 2.0, 2.0])
    for other in (2, y, y.data):
        results = [x < other, x <= other, x > other, x >= other]
        assert all(type(r) is np.ndarray and r.dtype == bool for r in results)
        assert [r.tolist() for r in results] == [[True, False, False], [True, True, False], [False, False, True],
                                                 [False, True, True]]


METHODS = {"sum": (0, True), "mean": (1,), "max": (0,), "min": (0,), "logsumexp": (0, True), "softmax": (0,),
           "log_softmax": (0,), "exp": (), "log": (), "sqrt": (), "tanh": (), "sigmoid": (), "relu": (), "abs": (),
           "pow": (3,), "clip": (1.0, 2.0), "broadcast_to": ((2, 2, 2),), "reshape": ((4,),), "transpose": ((1, 0),)}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_operations_of_that_name(name):
    x = Tensor([[1.0, 2.5], [3.0, 4.0]])
    method, function = getattr(x, name)(*METHODS[name]), ops.OPS[name](x, *METHODS[name])
    assert method.numpy().tolist() == function.numpy().tolist() and method.shape == function.shape


def test_reshape_and_transpose_take_sizes_with_and_without_brackets():
    x = Tensor(np.zeros((2, 3)))
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == x.reshape([3, 2]).shape == (3, 2)
    assert x.transpose(1, 0).shape == x.transpose((1, 0)).shape == x.transpose().shape == (3, 2)
    assert x.matmul(x.T).shape == (2, 2)


def test_a_leaf_can_be_written_inside_no_grad():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with no_grad():
        x[0] = Tensor(7.0)
        x[1:] = 8
    assert x.numpy().tolist() == [7, 8] and x.requires_grad


def test_detach_shares_memory_and_astype_does_not():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert np.shares_memory(x.detach().data, x.data) and not x.detach().requires_grad
    wide = x.astype("float64")
    assert wide.dtype == np.float64 and not wide.requires_grad


def test_to_the_same_backend_is_the_tensor_itself():
    x = Tensor([1.0], requires_grad=True)
    assert x.to("numpy") is x


INT, FLOAT32, FLOAT64, BOOL = np.arange(3), np.ones(3, "float32"), np.ones(3), np.ones(3, bool)


@pytest.mark.parametrize(("a", "b", "dtype"), [
    (FLOAT32, INT, "float32"), (INT, FLOAT32, "float32"), (FLOAT32, BOOL, "float32"), (FLOAT64, INT, "float64"),
    (FLOAT32, FLOAT64, "float64"), (FLOAT32, np.array(2.0), "float32"), (np.array(2.0), FLOAT32, "float32"),
    (FLOAT64, np.array(2.0, "float32"), "float64"), (FLOAT32, 0.1, "float32"), (FLOAT64, 0.1, "float64"),
    (INT, 0.5, "float32"), (0.5, INT, "float32"), (INT, 2, INT.dtype.name), (BOOL, 2, INT.dtype.name),
    (INT.astype("int8"), 2, "int8"), (INT.astype("int8"), INT.astype("int32"), "int32"), (FLOAT32, True, "float32"),
    (np.array(1.0, "float32"), np.array(2.0), "float64"), (np.array(1.0, "float32"), 0.1, "float32"),
    (0.5, 0.25, "float32"), (FLOAT64, FLOAT32, "float64"), (INT.astype("int32"), INT.astype("int8"), "int32"),
    (INT.astype("uint8"), INT.astype("int8"), "int16"), (np.array(2.0), np.array(1.0, "float32"), "float64")])
@pytest.mark.parametrize("name", ["add", "mul", "maximum"])
def test_dtype_of_two_inputs(name, a, b, dtype):
    """An integer or a single number never widens a float; of two arrays the wider wins (ops.checks.together)."""
    assert ops.OPS[name](a, b).dtype == dtype


def test_a_list_with_a_dtype_never_passes_through_float32():
    assert Tensor([0.1], dtype="float64").data[0] == 0.1 and Tensor(0.1, dtype="float64").item() == 0.1


def test_equality_compares_elements_and_tensors_stay_hashable():
    x = Tensor([0.0, 1.0])
    assert (x == 0).tolist() == [True, False] and (x != Tensor([0.0, 2.0])).tolist() == [False, True]
    assert len({x, x, Tensor([0.0, 1.0])}) == 2
