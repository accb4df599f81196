// One kernel per CUDA feature that the simulator has: the kernels of test_features.py.
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

extern "C" __global__ void passed_on(int* y)
{
    __shared__ int s[1];
    int t = threadIdx.x;
    if (t == 0) s[0] = 5;
    if (t <= 1) __syncwarp(0x3u);                     // lane 1 learns what lane 0 did
    if (t == 1 || t == 2) __syncwarp(0x6u);           // and tells lane 2, which never meets lane 0
    if (t == 2) y[0] = s[0];
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

extern "C" __global__ void copies(const int* x, int* y)
{
    __shared__ int s[32];
    int t = threadIdx.x, v;
    if (t == 0) memset(s, 255, 16 * sizeof(int));
    else if (t == 1) memcpy(s + 16, x, 16 * sizeof(int));
    __syncthreads();
    memcpy(&v, s + t, sizeof v);
    y[t] = v;
}

extern "C" __global__ void print_one(int v) { if (threadIdx.x == 0) printf("value %d\n", v); }
