"""The launch layer hands a kernel exactly what it declares, or refuses and says why."""
import numpy as np
import pytest
from kernel_run import answer

from minimoe import cudasim
from minimoe.backend import get_backend, to_backend, to_host
from minimoe.kernels import cuda
from minimoe.kernels import launch as launch_layer
from minimoe.kernels.launch import ceil_div, contiguous, indices, launch, launch_count

AFFINE = """
// y = a x + b, n of them; a comment, with a comma and (brackets) */
extern "C" __global__ void __launch_bounds__(256) affine(REAL a, const REAL* __restrict__ x, /* the slope */ REAL b,
                                                         int n, REAL* __restrict__ y)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + b;
}
extern "C" __global__ void count_up(int* values, unsigned char step, long long start, bool on)
{
    values[threadIdx.x] = on ? (int)(start + step * threadIdx.x) : -1;
}
"""


@pytest.fixture(autouse=True)
def own_kernels(monkeypatch):
    """launch() finds the text above as "own.cu"."""
    real = launch_layer.source
    monkeypatch.setattr(launch_layer, "source", lambda file: AFFINE if file == "own.cu" else real(file))


def affine(x, a, b, n, dtype="float32"):
    y = x * 0
    launch("own.cu", "affine", dtype, 1, 32, (a, x, b, n, y))
    return y


def five(device="cudasim", dtype="float32"):
    return get_backend(device).arange(5, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scalar", [lambda v, xp: v, lambda v, xp: np.float64(v), lambda v, xp: np.float32(v),
                                    lambda v, xp: np.float16(v), lambda v, xp: np.array(v), lambda v, xp: xp.asarray(v),
                                    lambda v, xp: xp.asarray([v])],
                         ids=["Python", "float64", "float32", "float16", "0-d host", "0-d device", "of size 1"])
def test_scalars_arrive_as_the_kernel_declares_them_whatever_they_were(scalar, dtype, device):
    """Case G34: a Python float is passed as a double and half of it read as a float, by a raw kernel."""
    xp = get_backend(device)
    y = affine(five(device, dtype), scalar(2.5, xp), scalar(-0.5, xp), 5, dtype)
    assert to_host(y).tolist() == [-0.5, 2, 4.5, 7, 9.5] and y.dtype == dtype


@pytest.mark.parametrize("five_of", [int, np.int64, np.int16, np.uint8, float, np.float32, np.array],
                         ids=lambda kind: kind.__name__)
def test_whole_numbers_of_every_type_serve_as_an_int(five_of, device):
    assert to_host(affine(five(device), 2.5, -0.5, five_of(5))).tolist() == [-0.5, 2, 4.5, 7, 9.5]


def test_the_other_integer_types_and_bool_arrive_too(device):
    values = get_backend(device).empty(3, "int32")
    launch("own.cu", "count_up", "float32", 1, 3, (values, np.int64(200), -2**31, True))
    assert to_host(values).tolist() == [-2**31, -2**31 + 200, -2**31 + 400]
    launch("own.cu", "count_up", "float32", 1, 3, (values, 1, 0, np.bool_(False)))
    assert to_host(values).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("args, error, message", [
    ((2.5, "float64", 0, 5), TypeError, "affine: x is float64; the kernel needs float32"),
    ((2.5, "float16", 0, 5), TypeError, "affine: x is float16; the kernel needs float32"),
    ((2.5, "int32", 0, 5), TypeError, "affine: x is int32; the kernel needs float32"),
    ((2.5, 3.0, 0, 5), TypeError, "affine: x is a float; the kernel needs an array of float32"),
    ((2.5, [1.0], 0, 5), TypeError, "affine: x is a list; the kernel needs an array of float32"),
    ((2.5, None, 0, 5), TypeError, "affine: x is a NoneType; the kernel needs an array of float32"),
    (("2.5", "float32", 0, 5), TypeError, "affine: a is a str; the kernel needs one float32"),
    ((None, "float32", 0, 5), TypeError, "affine: a is a NoneType; the kernel needs one float32"),
    ((1j, "float32", 0, 5), TypeError, "affine: a is a complex; the kernel needs one float32"),
    ((np.ones(2), "float32", 0, 5), ValueError, r"affine: a is an array of shape \(2,\); the kernel needs one float32"),
    ((2.5, "float32", 0, 2.5), ValueError, "affine: n is 2.5; the kernel needs a whole number that fits in int32"),
    ((2.5, "float32", 0, 2**31), ValueError, "affine: n is 2147483648; .* fits in int32"),
    ((2.5, "float32", 0, -2**31 - 1), ValueError, "affine: n is -2147483649; .* fits in int32"),
    ((2.5, "float32", 0, float("nan")), ValueError, "affine: n is nan; .* fits in int32"),
    ((2.5, "float32", 0, np.float32("inf")), ValueError, "affine: n is inf; .* fits in int32"),
], ids=str)
def test_what_a_kernel_would_misread_is_refused(args, error, message):
    a, x, b, n = args
    x = cudasim.arange(5, dtype=x) if isinstance(x, str) else x
    with pytest.raises(error, match=message):
        launch("own.cu", "affine", "float32", 1, 32, (a, x, b, n, five()))


def test_arrays_of_two_backends_are_refused():
    with pytest.raises(TypeError, match="affine: y is a numpy array among cudasim arrays; move it with to_backend"):
        launch("own.cu", "affine", "float32", 1, 32, (1, five(), 0, 5, np.ones(5, np.float32)))


def test_a_call_without_any_array_is_refused():
    with pytest.raises(TypeError, match="affine: x is a int; the kernel needs an array of float32"):
        launch("own.cu", "affine", "float32", 1, 32, (1, 2, 0, 5, 3))


@pytest.mark.parametrize("args, message", [((), "takes 5 arguments, 0 given"), ((1,) * 6, "takes 5 .*, 6 given")])
def test_a_wrong_number_of_arguments_is_refused(args, message):
    with pytest.raises(ValueError, match=f"affine: {message}"):
        launch("own.cu", "affine", "float32", 1, 32, args)


@pytest.mark.parametrize("view", [lambda x: x[::-1], lambda x: x[::2], lambda x: cudasim.broadcast_to(x[:1], (5,))])
def test_a_view_that_is_not_packed_is_refused(view):
    """Case G35: a kernel sees the address only and would read on from there."""
    with pytest.raises(ValueError, match="affine: x is not C-contiguous; use launch.contiguous"):
        launch("own.cu", "affine", "float32", 1, 32, (1, view(five()), 0, 3, five()))


@pytest.mark.parametrize("real", ["float16", "int32", "bool"])
def test_there_are_kernels_for_float32_and_float64_only(real):
    with pytest.raises(TypeError, match=f"affine: there are kernels for float32 and float64, not for {real}"):
        launch("own.cu", "affine", real, 1, 32, (1, five(), 0, 5, five()))


def test_numpy_arrays_are_sent_to_the_twin():
    x = np.ones(5, np.float32)
    with pytest.raises(TypeError, match="affine: got NumPy arrays; move them with minimoe.backend.to_backend"):
        launch("own.cu", "affine", "float32", 1, 32, (1, x, 0, 5, x))


@pytest.mark.parametrize("grid", [0, (0,), (3, 0)])
def test_an_empty_grid_starts_nothing(grid):
    """A GPU would run one block."""
    y, before = five() + 7, launch_count()
    launch("own.cu", "affine", "float32", grid, 32, (2, five(), 0, 5, y))
    assert launch_count() == before and y.tolist() == [7, 8, 9, 10, 11]


def test_launches_are_counted():
    before = launch_count()
    affine(five(), 1, 0, 5)
    affine(five(), 1, 0, 5)
    assert launch_count() == before + 2


def test_a_launch_that_is_refused_does_not_count():
    before = launch_count()
    with pytest.raises(ValueError):
        launch("own.cu", "affine", "float32", 1, 32, (1,))
    assert launch_count() == before


def test_dynamic_shared_memory_is_passed_on():
    with pytest.raises(ValueError, match="affine: shared_mem is 1000000"):
        launch("own.cu", "affine", "float32", 1, 32, (1, five(), 0, 5, five()), shared_mem=1000000)


def test_packed_arrays_are_handed_on_and_views_copied(device):
    x = get_backend(device).arange(12).reshape(3, 4)
    same, packed = contiguous(x, x.T)
    assert same is x and packed.flags.c_contiguous and to_host(packed).tolist() == to_host(x).T.tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint32", "int32"])
def test_indices_of_every_width_become_int32(dtype, device):
    index = get_backend(device).asarray(np.array([3, 0, 2, 1], dtype))
    whole, view = indices(index, index[::-2])
    assert (whole.dtype, view.dtype) == ("int32", "int32") and view.flags.c_contiguous
    assert (to_host(whole).tolist(), to_host(view).tolist()) == ([3, 0, 2, 1], [1, 0])
    assert (whole is index) == (dtype == "int32")


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool"])
def test_indices_that_are_no_integers_are_refused(dtype):
    with pytest.raises(TypeError, match=f"an index array is {dtype}; it must hold integers"):
        indices(cudasim.ones(3, dtype))
    with pytest.raises(TypeError, match=f"an index array is {dtype}; it must hold integers"):
        cuda.gather_rows(cudasim.ones((3, 3)), cudasim.ones(3, dtype))


def test_ceil_div():
    assert [ceil_div(a, 4) for a in (0, 1, 4, 5)] == [0, 1, 1, 2]


@pytest.mark.parametrize("call", [
    lambda xp, x, i: cuda.gather_rows(x, i), lambda xp, x, i: cuda.combine_rows(x, None, i, i),
    lambda xp, x, i: cuda.combine_rows_backward(x, x, x[:, 0], i, i), lambda xp, x, i: cuda.grouped_sum(x, i),
    lambda xp, x, i: cuda.grouped_matmul(x, x[None], i), lambda xp, x, i: cuda.grouped_weight_gradient(x, x, i),
    lambda xp, x, i: cuda.embedding_gradient(i, x, 3)], ids=range(7))
def test_half_precision_is_refused_not_reinterpreted(call):
    """Case G34 through each kernel here."""
    with pytest.raises(TypeError, match="there are kernels for float32 and float64, not for float16"):
        call(cudasim, cudasim.ones((3, 3), "float16"), cudasim.arange(3, dtype="int32"))


@pytest.mark.parametrize("call", [
    lambda x, half, i: cuda.combine_rows(x, half[:, 0], i, i),
    lambda x, half, i: cuda.combine_rows_backward(x, half, x[:, 0], i, i),
    lambda x, half, i: cuda.grouped_matmul(x, half[None], i),
    lambda x, half, i: cuda.grouped_weight_gradient(half, x, i)], ids=range(4))
def test_two_float_types_in_one_call_are_refused(call):
    with pytest.raises(TypeError, match="is float32; the kernel needs float64|is float64; the kernel needs float32"):
        call(cudasim.ones((3, 3)), cudasim.ones((3, 3), "float32"), cudasim.arange(3, dtype="int32"))


@pytest.mark.parametrize("view, expected", [
    (lambda x, xp: x[:, 1:], [[1, 2, 3], [5, 6, 7], [9, 10, 11]]),
    (lambda x, xp: x.T, [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
    (lambda x, xp: x[::-1], [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]),
    (lambda x, xp: x[:, ::2], [[0, 2], [4, 6], [8, 10]])], ids=["columns", "transposed", "reversed", "every second"])
def test_views_are_copied_by_a_kernel_as_they_are_seen(view, expected, device):
    """Case G35."""
    xp, x = get_backend(device), np.arange(12.0).reshape(3, 4)
    found = answer(lambda x: cuda.gather_rows(view(x, xp), xp.arange(len(expected))), (x,), device)
    assert found.tolist() == expected


def test_one_number_broadcast_to_640_sums_to_1600(device):
    xp = get_backend(device)
    seen = xp.broadcast_to(xp.asarray(2.5), (640, 1))
    assert to_host(cuda.grouped_sum(seen, to_backend(np.array([0, 640]), device))).tolist() == [[1600]]
