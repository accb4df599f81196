"""The mathematics of kernels: the functions that CUDA has, for float and for double, and the bit functions."""
import numpy as np
import pytest
from scipy import special

import minimoe.cudasim as cs

ONE = {"exp": np.exp, "log": np.log, "log2": np.log2, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt,
       "rsqrt": lambda x: 1 / np.sqrt(x), "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "erf": special.erf,
       "fabs": np.abs, "floor": np.floor, "ceil": np.ceil, "rint": np.rint, "trunc": np.trunc}
TWO = {"fmax": np.fmax, "fmin": np.fmin, "max": np.fmax, "min": np.fmin, "pow": np.power, "copysign": np.copysign}
FLOAT_ONLY = {"expf": np.exp, "logf": np.log, "sqrtf": np.sqrt, "rsqrtf": lambda x: 1 / np.sqrt(x), "tanhf": np.tanh,
              "erff": special.erf, "fabsf": np.abs, "floorf": np.floor, "__expf": np.exp, "__logf": np.log}
TESTS = {"isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}
HEAD = 'extern "C" __global__ void '
CODE = "".join(
    [f"{HEAD}{f}_test(const REAL* x, REAL* y) {{ y[threadIdx.x] = {f}(x[threadIdx.x]); }}\n" for f in (*ONE, *TESTS)]
    + [f"{HEAD}{f}_test(const REAL* x, REAL* y) {{ y[threadIdx.x] = {f}(x[threadIdx.x], x[63 - threadIdx.x]); }}\n"
       for f in TWO])
FLOAT_CODE = "".join(f"{HEAD}{f}_test(const float* x, float* y) {{ y[threadIdx.x] = {f}(x[threadIdx.x]); }}\n"
                     for f in FLOAT_ONLY)
MODULES = {"f4": cs.RawModule(code=CODE, options=("-DREAL=float",)),
           "f8": cs.RawModule(code=CODE, options=("-DREAL=double",)),
           "float": cs.RawModule(code=FLOAT_CODE)}
TOLERANCE = {"f4": 3e-7, "f8": 6e-16}


def compute(module, name, x):
    y = cs.zeros(len(x), x.dtype)
    MODULES[module].get_function(f"{name}_test")((1,), (len(x),), (cs.asarray(x), y))
    return y.get()


def values(dtype):
    return (np.random.default_rng(0).random(64) * 3 + 0.1).astype(dtype)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name, dtype):
    x = values(dtype)
    np.testing.assert_allclose(compute(dtype, name, x), ONE[name](x.astype("f8")), TOLERANCE[dtype], TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(name, dtype):
    x = values(dtype)
    np.testing.assert_allclose(compute(dtype, name, x), TWO[name](x.astype("f8"), x[::-1]), 2 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", FLOAT_ONLY)
def test_functions_of_a_float(name):
    x = values("f4")
    np.testing.assert_allclose(compute("float", name, x), FLOAT_ONLY[name](x.astype("f8")), 3e-7, 3e-7)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sqrt", "pow"])
def test_a_function_of_floats_is_computed_in_float(name):
    """sizeof: were it computed in double and rounded, kernels would look more precise here than on a GPU."""
    call = f"{name}(x, x)" if name == "pow" else f"{name}(x)"
    y = cs.zeros(1, "i4")
    cs.RawKernel(f"{HEAD}f(int* y, float x) {{ y[0] = sizeof({call}); }}", "f")((1,), (1,), (y, np.float32(1)))
    assert int(y[0]) == 4


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", TESTS)
def test_tests_of_numbers(name, dtype):
    x = np.array([0, 1, -np.inf, np.inf, np.nan, 1e-40], dtype)
    np.testing.assert_array_equal(compute(dtype, name, x) != 0, TESTS[name](x))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["max", "min", "fmax", "fmin"])
def test_of_a_nan_and_a_number_the_number_wins(name, dtype):
    x = np.full(64, np.nan, dtype)
    x[:32] = np.arange(32)                          # each number meets a NaN, on either side
    np.testing.assert_array_equal(compute(dtype, name, x), np.r_[x[:32], x[31::-1]])


def test_a_product_and_a_sum_are_rounded_apart():
    code = f"{HEAD}f(float* y, float a, float b, float c) {{ y[0] = a * b + c; y[1] = __fmaf_rn(a, b, c); }}"
    y, a = cs.zeros(2, "f4"), np.float32(1 + 2**-12)
    cs.RawKernel(code, "f")((1,), (1,), (y, a, a, np.float32(-1 - 2**-11)))
    assert y.get().tolist() == [0, 2**-24]


def test_bits():
    code = f"""{HEAD}f(int* y, long long* z, float* f, double* d) {{
        y[0] = __popc(0xf0f0u); y[1] = __clz(1); y[2] = __clz(0); y[3] = __ffs(8); y[4] = __ffs(0);
        y[5] = __popcll(~0ull); y[6] = __clzll(1); y[7] = __ffsll(1ll << 40); y[8] = __brev(1u) == 1u << 31;
        y[9] = __float_as_int(1.0f); y[10] = __float_as_uint(-0.0f) == 1u << 31; y[11] = max(3, 7) + min(2u, 5u);
        y[12] = __ldg(y);
        z[0] = __double_as_longlong(1.0);
        f[0] = __int_as_float(0xff800000); f[1] = __uint_as_float(0x3f800000u); d[0] = __longlong_as_double(1ll << 62);
    }}"""
    y, z, f, d = cs.zeros(13, "i4"), cs.zeros(1, "i8"), cs.zeros(2, "f4"), cs.zeros(1, "f8")
    with cs.settings(check=True):
        cs.RawKernel(code, "f")((1,), (1,), (y, z, f, d))
    assert y.get().tolist() == [8, 31, 32, 4, 0, 64, 63, 41, 1, 0x3F800000, 1, 9, 8]
    assert z.get().tolist() == [0x3FF << 52] and f.get().tolist() == [-np.inf, 1] and d.get().tolist() == [2]
