"""CUDA features that work: every kernel runs unchecked and checked, forward and under a seed, and agrees with NumPy."""
import numpy as np
import pytest

import minimoe.cudasim as cs

CODE = """
#define FULL 0xffffffffu
__constant__ float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
struct Pair { float value; int index; };
template <typename T> struct Sum { T total; __device__ void add(T v) { total += v; } };

extern "C" __global__ void constants(float* y) { y[threadIdx.x] = table[threadIdx.x % 4]; }

extern "C" __global__ void indices(int* y, int width)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    y[row * width + x] = 1000 * row + x + 100000 * gridDim.y;
}

extern "C" __global__ void aligned(float4* y)
{
    __shared__ __align__(16) float s[128];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x < 32) y[threadIdx.x] = reinterpret_cast<float4*>(s)[threadIdx.x];
}

extern "C" __global__ void vectors(const float2* a, int4* b, double2* c)
{
    float4 v = make_float4(a[0].x, a[0].y, a[1].x, a[1].y);
    b[0] = make_int4(v.x, v.y, v.z, v.w);
    c[0] = make_double2(v.x + v.z, v.y + v.w);
}

extern "C" __global__ void structs(Pair p, Pair* out)
{
    __shared__ Pair s[32];
    s[threadIdx.x] = Pair{p.value + threadIdx.x, p.index};
    __syncthreads();
    Sum<float> sum{0.0f};
    for (int i = 0; i <= threadIdx.x; i++) sum.add(s[i].value);
    out[threadIdx.x] = Pair{sum.total, s[0].index};
}

extern "C" __global__ void __launch_bounds__(256) scan(const int* x, int* y)
{
    extern __shared__ int s[];                        /* one word
                                                         per thread */
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int d = 1; d < blockDim.x; d *= 2) {
        int before = t >= d ? s[t - d] : 0;
        __syncthreads();
        s[t] += before;
        __syncthreads();
    }
    y[t] = s[t];
}

extern "C" __global__ void lambdas(int* y)
{
    auto square = [](int v) { return v * v; };
    y[threadIdx.x] = square(threadIdx.x);
}

template <typename T, int N> __global__ void reverse(T* x)
{
    __shared__ T s[N];
    s[threadIdx.x] = x[blockIdx.x * N + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * N + threadIdx.x] = s[N - 1 - threadIdx.x];
}

extern "C" __global__ void votes(const int* x, unsigned* y)
{
    int t = threadIdx.x, v = x[t];
    y[t] = __ballot_sync(FULL, v > 0);
    y[t + 32] = __any_sync(FULL, v > 1) * 10 + __all_sync(FULL, v >= 0);
    y[t + 64] = __match_any_sync(FULL, v);
    y[t + 96] = __syncthreads_count(v > 0);
    y[t + 128] = __syncthreads_or(v > 2) * 10 + __syncthreads_and(v < 3);
}

extern "C" __global__ void reductions(const int* x, int* y, unsigned* z)
{
    int t = threadIdx.x;
    y[t] = __reduce_add_sync(FULL, x[t]);
    y[t + 32] = __reduce_min_sync(FULL, x[t]);
    y[t + 64] = __reduce_max_sync(FULL, x[t]);
    z[t] = __reduce_xor_sync(FULL, unsigned(x[t]));
}

template <typename T> __device__ void all_shuffles(const T* x, T* y)
{
    int t = threadIdx.x;
    y[t] = __shfl_sync(FULL, x[t], (t + 5) % 32);
    y[t + 32] = __shfl_up_sync(FULL, x[t], 3);
    y[t + 64] = __shfl_down_sync(FULL, x[t], 3, 8);
    y[t + 96] = __shfl_xor_sync(FULL, x[t], 9);
}
extern "C" __global__ void shuffles(const int* a, int* ya, const unsigned* b, unsigned* yb, const float* c, float* yc,
                                    const double* d, double* yd)
{
    all_shuffles(a, ya); all_shuffles(b, yb); all_shuffles(c, yc); all_shuffles(d, yd);
}

extern "C" __global__ void half_warps(int* y)
{
    __shared__ int s[32];
    int t = threadIdx.x, half = t / 16;
    unsigned mask = 0xffffu << 16 * half;
    s[t] = t;
    __syncwarp(mask);
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += s[16 * half + i];
    __syncwarp(mask);
    s[t] = sum;
    if (half) __syncwarp(mask);                       // now the halves have passed different numbers of them
    __syncwarp();
    y[t] = s[31 - t] + __shfl_sync(mask, t, 16 * half);
}

extern "C" __global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f, double* d)
{
    int t = threadIdx.x;
    atomicAdd(&i[0], t); atomicSub(&i[1], t); atomicMax(&i[2], t - 40); atomicMin(&i[3], -t);
    atomicAnd(&u[0], ~(1u << t)); atomicOr(&u[1], 1u << t); atomicXor(&u[2], 1u << t / 2); atomicAdd(&u[3], 1);
    atomicAdd(&l[0], 1ull << 40); atomicMax(&l[1], 1ull << t);
    atomicAdd(&f[0], 0.5f); atomicAdd(&d[0], 0.25);
    if (t == 0) { f[1] = atomicExch(&f[2], 7.0f); u[4] = atomicCAS(&u[5], 3u, 4u) * 10 + atomicCAS(&u[6], 4u, 5u); }
}

extern "C" __global__ void largest_float(const float* x, float* m)
{
    int* bits = (int*)m;
    int seen = atomicAdd(bits, 0), assumed;
    do {
        assumed = seen;
        seen = atomicCAS(bits, assumed, __float_as_int(fmaxf(x[threadIdx.x], __int_as_float(assumed))));
    } while (assumed != seen);
}

extern "C" __global__ void print_one(int v) { if (threadIdx.x == 0) printf("value %d\\n", v); }
"""
MODULE = cs.RawModule(code=CODE, name_expressions=("reverse<float, 64>", "reverse<int, 96>"))
LANE = np.arange(32)


@pytest.fixture(params=[(False, "forward"), (True, "reversed"), (True, 11)], ids=str)
def run(request):
    """Launches on NumPy arrays and answers with all of them afterwards."""
    def launch(name, grid, block, *args, shared_mem=0):
        moved = tuple(cs.asarray(a) if isinstance(a, np.ndarray) else a for a in args)
        with cs.settings(check=request.param[0], schedule=request.param[1]):
            MODULE.get_function(name)(grid, block, moved, shared_mem=shared_mem)
        return [a.get() for a in moved if isinstance(a, cs.ndarray)]
    return launch


def zeros(n, dtype=np.int32):
    return np.zeros(n, dtype)


def test_constant_tables(run):
    assert run("constants", (1,), (8,), zeros(8, "f4"))[0].tolist() == [1, 2, 3, 4] * 2


def test_grids_and_blocks_of_two_dimensions(run):
    y, = run("indices", (2, 3), (4, 2), zeros(48), np.int32(8))
    np.testing.assert_array_equal(y.reshape(6, 8), 300000 + 1000 * np.arange(6)[:, None] + np.arange(8))


def test_aligned_shared_memory_is_read_four_floats_at_a_time(run):
    assert run("aligned", (1,), (128,), zeros(128, "f4"))[0].tolist() == list(range(128))


def test_vector_types_have_cudas_layout(run):
    _, b, c = run("vectors", (1,), (1,), np.arange(1, 5, dtype="f4"), zeros(4), zeros(2, "f8"))
    assert b.tolist() == [1, 2, 3, 4] and c.tolist() == [4, 6]


def test_structs_are_passed_by_value_and_shared(run):
    pair = np.dtype([("value", "f4"), ("index", "i4")])
    out, = run("structs", (1,), (32,), np.array([(1.5, 7)], pair)[0], np.zeros((32, 2), "f4"))
    out = out.view(pair)[:, 0]
    np.testing.assert_array_equal(out["value"], np.cumsum(1.5 + LANE))
    assert (out["index"] == 7).all()


def test_dynamic_shared_memory_and_barriers_in_a_loop(run):
    x = np.random.default_rng(0).integers(0, 9, 256, dtype=np.int32)
    _, y = run("scan", (1,), (256,), x, zeros(256), shared_mem=1024)
    np.testing.assert_array_equal(y, np.cumsum(x))


def test_lambdas(run):
    assert run("lambdas", (1,), (8,), zeros(8))[0].tolist() == [0, 1, 4, 9, 16, 25, 36, 49]


@pytest.mark.parametrize("name, dtype, n", [("reverse<float, 64>", "f4", 64), ("reverse<int, 96>", "i4", 96)])
def test_instances_of_templates_each_with_shared_memory_of_its_own(run, name, dtype, n):
    x = np.arange(3 * n, dtype=dtype)
    np.testing.assert_array_equal(run(name, (3,), (n,), x)[0].reshape(3, n), x.reshape(3, n)[:, ::-1])


def test_votes_matches_and_counting_barriers(run):
    x = np.array([0, 1, 2, 1] * 8, np.int32)
    y = run("votes", (1,), (32,), x, zeros(160, "u4"))[1].reshape(5, 32)
    bits = 1 << LANE.astype(np.uint64)
    assert (y[0] == bits[x > 0].sum()).all()
    assert (y[1] == 11).all()
    assert y[2].tolist() == [bits[x == v].sum() for v in x]
    assert (y[3] == 24).all()
    assert (y[4] == 1).all()


def test_reductions_of_a_warp(run):
    x = np.random.default_rng(1).integers(-99, 99, 32, dtype=np.int32)
    _, y, z = run("reductions", (1,), (32,), x, zeros(96), zeros(32, "u4"))
    assert y.reshape(3, 32).tolist() == [[x.sum()] * 32, [x.min()] * 32, [x.max()] * 32]
    assert (z == np.bitwise_xor.reduce(x.view("u4"))).all()


def test_shuffles_of_four_types_and_of_narrow_segments(run):
    values = [np.random.default_rng(2).integers(0, 2**31, 32).astype(kind) for kind in ("i4", "u4", "f4", "f8")]
    values[3] *= np.pi                              # needs all 8 bytes
    args = [a for v in values for a in (v, np.zeros(128, v.dtype))]
    results = run("shuffles", (1,), (32,), *args)[1::2]
    for x, y in zip(values, results, strict=True):
        up, down = np.where(LANE < 3, LANE, LANE - 3), np.where(LANE % 8 >= 5, LANE, LANE + 3)
        np.testing.assert_array_equal(y.reshape(4, 32), [x[(LANE + 5) % 32], x[up], x[down], x[LANE ^ 9]])


def test_halves_of_a_warp_that_synchronise_apart_and_then_together(run):
    low, high = sum(range(16)), sum(range(16, 32))
    assert run("half_warps", (1,), (32,), zeros(32))[0].tolist() == [high] * 16 + [low + 16] * 16


def test_atomics(run):
    before = np.array([2**32 - 1, 0, 0, 0, 0, 3, 3], "u4")
    i, u, long, f, d = run("atomics", (1,), (32,), zeros(4), before, zeros(2, "u8"), np.array([0, 0, 9], "f4"),
                           zeros(1, "f8"))
    assert i.tolist() == [496, -496, 0, -31]        # the third was 0 and stays the largest
    assert u.tolist() == [0, 2**32 - 1, 0, 32, 33, 4, 3]
    assert long.tolist() == [32 << 40, 1 << 31]
    assert f.tolist() == [16, 9, 7] and d.tolist() == [8]


def test_a_maximum_of_floats_by_compare_and_swap(run):
    x = np.random.default_rng(3).standard_normal(100).astype("f4")
    assert run("largest_float", (1,), (100,), x, np.full(1, -np.inf, "f4"))[1][0] == x.max()


def test_printf(run, capfd):
    run("print_one", (1,), (32,), np.int32(42))
    cs.RawKernel('extern "C" __global__ void flush() { fflush(stdout); }', "flush")((1,), (1,), ())
    assert capfd.readouterr().out == "value 42\n"


def test_defines_are_followed_and_other_options_are_not():
    code = 'extern "C" __global__ void f(REAL* y) { y[0] = sizeof(REAL) + ONE; }'
    for real, dtype, size in (("float", "f4", 4), ("double", "f8", 8)):
        y = cs.zeros(1, dtype)
        options = ("-std=c++11", "--use_fast_math", f"-DREAL={real}", "--define-macro=ONE=1")
        cs.RawKernel(code, "f", options)((1,), (1,), (y,))
        assert float(y[0]) == size + 1


def test_arrays_from_empty_hold_the_same_poison_as_shared_memory():
    y = cs.zeros(1, np.uint32)
    code = 'extern "C" __global__ void f(unsigned* y) { __shared__ unsigned s[1]; y[0] = *(volatile unsigned*)s; }'
    cs.RawKernel(code, "f")((1,), (1,), (y,))
    assert int(y[0]) == 0xCBCBCBCB == int(cs.empty(1, np.uint32)[0])
