"""What a launch refuses: arguments that CUDA would misread, sizes beyond its limits, modules that are none."""
import numpy as np
import pytest

import minimoe.cudasim as cs

CODE = """extern "C" __global__ void scale(const float* x, float* y, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * factor;
}
extern "C" __global__ void flags(const bool* a, unsigned char* b, const unsigned* c, const unsigned long long* d) {}
extern "C" __global__ void one_block(int* y) { extern __shared__ int s[]; if (y) y[threadIdx.x] = blockDim.y; }
extern "C" __global__ void many(double a, bool b, unsigned char c, long long d, unsigned e, double* y)
{
    y[0] = a; y[1] = b; y[2] = c; y[3] = d; y[4] = e;
}
"""
MODULE = cs.RawModule(code=CODE)
SCALE = MODULE.get_function("scale")
X = cs.asarray(np.arange(6, dtype=np.float32))
Y = cs.zeros(6, np.float32)
F, N = np.float32(2), np.int32(6)


def launch(*args, grid=(1,), block=(32,), **kwargs):
    SCALE(grid, block, args, **kwargs)


@pytest.mark.parametrize("args, error, says", [
    ((X, Y, F), ValueError, "scale: takes 4 arguments, 3 given"),
    ((X, Y, F, N, N), ValueError, "scale: takes 4 arguments, 5 given"),
    ((np.zeros(6, np.float32), Y, F, N), TypeError, "scale: argument 0 is a NumPy array; move it with asarray"),
    ((cs.zeros(6, np.float64), Y, F, N), TypeError, "argument 0 is an array of float64; the kernel wants float32"),
    ((X, cs.zeros(6, np.int32), F, N), TypeError, "argument 1 is an array of int32; the kernel wants float32"),
    ((cs.zeros((2, 6), np.float32).T, Y, F, N), ValueError, "argument 0 is not C-contiguous"),
    ((X[::2], Y, F, N), ValueError, "argument 0 is not C-contiguous"),
    ((np.float32(1), Y, F, N), TypeError, "argument 0 is a float32; the kernel wants a pointer"),
    ((X, Y, 2.0, N), TypeError, "argument 2 is a Python float; give np.dtype.'float32'..type.value."),
    ((X, Y, F, 6), TypeError, "argument 3 is a Python int"),
    ((X, Y, np.float64(2), N), TypeError, "argument 2 is a float64 scalar; the kernel wants float32"),
    ((X, Y, F, np.int64(6)), TypeError, "argument 3 is a int64 scalar; the kernel wants int32"),
    ((X, Y, F, np.uint32(6)), TypeError, "argument 3 is a uint32 scalar; the kernel wants int32"),
    ((X, Y, cs.asarray(F), N), TypeError, "argument 2 is a device array; the kernel wants a float32 scalar"),
    ((X, Y, np.array(F), N), TypeError, "argument 2 is a ndarray; the kernel wants a NumPy scalar of float32"),
])
def test_arguments_that_cuda_would_misread_are_refused(args, error, says):
    with pytest.raises(error, match=says):
        launch(*args)


def test_args_must_be_a_tuple():
    with pytest.raises(TypeError, match="args is a ndarray; give a tuple"):
        SCALE((1,), (32,), X)


@pytest.mark.parametrize("grid, block, says", [
    ((0,), (32,), r"grid is \(0, 1, 1\); an empty grid still runs one block under CuPy, so return early"),
    ((1,), (0,), "block is .0, 1, 1.; each size must be at least 1"),
    ((1,), (1025,), "block is .1025, 1, 1.; at most 1024 threads"),
    ((1,), (32, 33), "at most 1024 threads"),
    ((1,), (1, 1, 65), "64 along z"),
    ((2**31,), (1,), "grid is"),
    ((1, 65536), (1,), "grid is"),
    ((1, 1, 65536), (1,), "grid is"),
])
def test_sizes_beyond_the_limits_of_cuda_are_refused(grid, block, says):
    with pytest.raises(ValueError, match=f"scale: {says}" if says.startswith("grid") else says):
        launch(X, Y, F, N, grid=grid, block=block)


def test_the_largest_block_runs():
    y = cs.zeros(1024, np.int32)
    MODULE.get_function("one_block")((1,), (1024,), (y,))
    assert (y.get() == 1).all()


@pytest.mark.parametrize("grid", [1, [1], (1, 1, 1, 1), ()])
def test_grid_and_block_must_be_tuples_of_one_to_three(grid):
    with pytest.raises(TypeError, match="grid is .*; CuPy needs a tuple of one to three ints"):
        launch(X, Y, F, N, grid=grid)


def test_48_kib_of_dynamic_shared_memory_unless_more_is_asked_for():
    kernel = MODULE.get_function("one_block")
    assert kernel.max_dynamic_shared_size_bytes == 48 * 1024
    kernel((1,), (32,), (None,), shared_mem=48 * 1024)
    with pytest.raises(ValueError, match="shared_mem is 49153; from 0 to 49152 bytes, or raise max_dynamic"):
        kernel((1,), (32,), (None,), shared_mem=48 * 1024 + 1)
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel((1,), (32,), (None,), shared_mem=100_000)
    with pytest.raises(ValueError, match="at most 232448"):
        kernel.max_dynamic_shared_size_bytes = 232449


def test_bool_arrays_are_for_bool_and_uint8_for_unsigned_char():
    flags = MODULE.get_function("flags")
    a, b, c, d = (cs.zeros(1, kind) for kind in ("bool", "uint8", "uint32", "uint64"))
    flags((1,), (1,), (a, b, c, d))
    for wrong in ((b, b, c, d), (a, a, c, d), (a, b, d, d), (a, b, cs.zeros(1, "int32"), d)):
        with pytest.raises(TypeError, match="the kernel wants (bool|uint8|uint32)$"):
            flags((1,), (1,), wrong)


@pytest.mark.parametrize("check", [False, True])
def test_scalars_of_every_size_arrive(check):
    y = cs.zeros(5, np.float64)
    args = (np.float64(0.1), np.bool_(True), np.uint8(200), np.int64(-2**40), np.uint32(2**32 - 1), y)
    with cs.settings(check=check):
        MODULE.get_function("many")((1,), (1,), args)
    assert y.get().tolist() == [0.1, 1, 200, -2.0**40, 2.0**32 - 1]


def test_nothing_is_written_by_a_refused_launch():
    y = cs.zeros(6, np.float32)
    with pytest.raises(TypeError):
        launch(X, y, F, 6)
    assert (y.get() == 0).all()


def test_a_kernel_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="sale: no kernel of that name; there are scale, flags, one_block, many"):
        MODULE.get_function("sale")((1,), (1,), ())


def test_a_kernel_that_does_not_compile_is_refused_with_its_line():
    with pytest.raises(cs.SimulationError, match="kernel.cu:2:.*undeclared_name"):
        cs.RawModule(code='extern "C" __global__ void f(int* y) {\n    y[0] = undeclared_name;\n}').compile()


@pytest.mark.parametrize("body, says", [
    ("y[0] = INFINITY;", "INFINITY"),               # NVRTC has none
    ("y[0] = __activemask();", "not simulated"),
    ("atomicMax(y, 1.0f);", "CUDA has no atomicMax"),
    ("\n#include <vector>\n", "a kernel file includes nothing"),
    ("extern __shared__ float a[3];", "must be declared as: extern __shared__ TYPE NAME"),
])
def test_what_cuda_or_nvrtc_refuses_does_not_compile(body, says):
    with pytest.raises(cs.SimulationError, match=says):
        cs.RawModule(code=f'extern "C" __global__ void f(float* y) {{ {body} }}').compile()


@pytest.mark.parametrize("kwargs, says", [({"code": b"x"}, "code is a bytes"),
                                          ({"code": "", "options": "-DREAL=float"}, "options is a str; give a tuple")])
def test_a_module_is_made_of_text_and_a_tuple_of_options(kwargs, says):
    with pytest.raises(TypeError, match=says):
        cs.RawModule(**kwargs)
