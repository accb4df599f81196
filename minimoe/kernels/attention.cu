// The softmax of attention with the largest weight of every row, its backward, and what columns say of their tokens.
//   p_k = exp(s_k - max s) / l over the live keys k of a row, l = sum exp(s - max s), so that max p = 1 / l
//   gs = p (gp - sum over the row of gp p)
// scores, p, gp, gs: (rows, columns), where the rows are (batch, heads, queries) in C order and the columns keys.
// live: bool; entry (b, h, q, k) is at b live_b + h live_h + q live_q + k live_k, with step 0 where it is broadcast.
// A row with nothing live, or nothing but -inf, is 0; NaN among live scores makes its row NaN.

#define FULL 0xffffffffu                              // all 32 lanes of a warp
#define MINUS_INFINITY ((REAL)__int_as_float(0xff800000))      // NVRTC knows no INFINITY
#define HELD 32                                       // columns that a lane of a warp keeps in registers: 1024 in all

__device__ REAL larger(REAL a, REAL b)
{
    return a > b || a != a ? a : b;                   // unlike fmax, which drops NaN
}

__device__ REAL warp_max(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value = larger(value, __shfl_xor_sync(FULL, value, step));
    return value;
}

__device__ REAL warp_sum(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(FULL, value, step);
    return value;                                     // the same bits in every lane: a + b is b + a
}

// Sum, or maximum, over the threads of a block of whole warps. One word of `shared` per warp.
__device__ REAL block_reduce(REAL value, bool maximum, REAL* shared)
{
    value = maximum ? warp_max(value) : warp_sum(value);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    value = shared[0];
    for (int w = 1; w < blockDim.x / 32; w++) value = maximum ? larger(value, shared[w]) : value + shared[w];
    __syncthreads();                                  // before the next call writes
    return value;
}

__device__ const bool* live_row(const bool* live, int row, int heads, int queries, long long live_b, long long live_h,
                                long long live_q)
{
    int q = row % queries, h = row / queries % heads, b = row / queries / heads;
    return live + b * live_b + h * live_h + q * live_q;
}

// A warp per row of at most 32 HELD columns: every score is read once and every weight written once, in place.
extern "C" __global__ void __launch_bounds__(128) masked_softmax_warp(
    REAL* __restrict__ scores, const bool* __restrict__ live, int rows, int columns, int heads, int queries,
    long long live_b, long long live_h, long long live_q, long long live_k, REAL* __restrict__ row_max)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= rows) return;                          // whole warps leave; there is no block barrier below
    scores += (size_t)row * columns;
    live = live_row(live, row, heads, queries, live_b, live_h, live_q);

    REAL held[HELD], top = MINUS_INFINITY;
    #pragma unroll
    for (int i = 0; i < HELD; i++) {                  // unrolled, because registers cannot be indexed
        int k = i * 32 + lane;
        held[i] = k < columns && live[k * live_k] ? scores[k] : MINUS_INFINITY;
        top = larger(top, held[i]);
    }
    top = warp_max(top);
    bool dead = top == MINUS_INFINITY;

    REAL sum = 0;
    #pragma unroll
    for (int i = 0; i < HELD; i++) {
        if (i * 32 < columns && !dead) {              // a short row pays for its own columns only
            held[i] = exp(held[i] - top);
            sum += held[i];
        }
    }
    sum = warp_sum(sum);
    #pragma unroll
    for (int i = 0; i < HELD; i++) {
        int k = i * 32 + lane;
        if (k < columns) scores[k] = dead ? (REAL)0 : held[i] / sum;
    }
    if (lane == 0) row_max[row] = dead ? (REAL)0 : 1 / sum;
}

// A block per row, for rows of any length: three walks, each thread over its own columns.
extern "C" __global__ void __launch_bounds__(256) masked_softmax_block(
    REAL* __restrict__ scores, const bool* __restrict__ live, int rows, int columns, int heads, int queries,
    long long live_b, long long live_h, long long live_q, long long live_k, REAL* __restrict__ row_max)
{
    __shared__ REAL shared[8];
    int row = blockIdx.x;
    scores += (size_t)row * columns;
    live = live_row(live, row, heads, queries, live_b, live_h, live_q);

    REAL top = MINUS_INFINITY;
    for (int k = threadIdx.x; k < columns; k += blockDim.x)
        if (live[k * live_k]) top = larger(top, scores[k]);
    top = block_reduce(top, true, shared);
    bool dead = top == MINUS_INFINITY;

    REAL sum = 0;
    for (int k = threadIdx.x; k < columns; k += blockDim.x) {
        REAL e = dead || !live[k * live_k] ? (REAL)0 : exp(scores[k] - top);
        scores[k] = e;
        sum += e;
    }
    sum = block_reduce(sum, false, shared);
    if (!dead)
        for (int k = threadIdx.x; k < columns; k += blockDim.x) scores[k] /= sum;
    if (threadIdx.x == 0) row_max[row] = dead ? (REAL)0 : 1 / sum;
}

// A warp per row of any length; the second walk finds the row in the cache.
extern "C" __global__ void masked_softmax_backward(const REAL* __restrict__ p, const REAL* __restrict__ gp, int rows,
                                                   int columns, REAL* __restrict__ gs)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= rows) return;
    p += (size_t)row * columns;
    gp += (size_t)row * columns;
    gs += (size_t)row * columns;

    REAL sum = 0;
    for (int k = lane; k < columns; k += 32) sum += p[k] * gp[k];
    sum = warp_sum(sum);
    for (int k = lane; k < columns; k += 32) gs[k] = p[k] * (gp[k] - sum);
}

// importance[b, i]: the mean (or largest) over heads of the sum over queries P[h, q, i] / n (or of the largest one).
// p: (batch, heads, n_keys, n_keys); real: bool (batch, n_keys) with step real_step, 0 when one True stands for all;
// n: the real tokens of sample b. Block (32, 8) takes 32 columns of one sample: thread (x, y) walks down the queries
// y, y + 8, ... of column x, a warp reads 32 neighbours at once, and row y = 0 joins the eight walks in their order.
extern "C" __global__ void column_importance(const REAL* __restrict__ p, const bool* __restrict__ real, int real_step,
                                             int heads, int n_keys, int largest_query, int largest_head,
                                             REAL* __restrict__ importance)
{
    __shared__ REAL walk[8][32];
    __shared__ int count[8][32];
    int tiles = (n_keys + 31) / 32, b = blockIdx.x / tiles;
    int x = threadIdx.x, y = threadIdx.y, column = blockIdx.x % tiles * 32 + x;
    real += (size_t)b * n_keys * real_step;
    bool mine = column < n_keys && real[(size_t)column * real_step];

    REAL joined = largest_head ? MINUS_INFINITY : (REAL)0;
    for (int h = 0; h < heads; h++) {
        REAL value = 0;                               // a weight is never below 0
        int seen = 0;
        for (int q = y; q < n_keys; q += 8)
            if (real[(size_t)q * real_step]) {
                REAL weight = mine ? p[(((size_t)b * heads + h) * n_keys + q) * n_keys + column] : (REAL)0;
                value = largest_query ? larger(value, weight) : value + weight;
                seen++;
            }
        walk[y][x] = value;
        count[y][x] = seen;
        __syncthreads();
        if (y == 0) {
            for (int w = 1; w < 8; w++) {
                value = largest_query ? larger(value, walk[w][x]) : value + walk[w][x];
                seen += count[w][x];
            }
            if (!largest_query) value /= max(seen, 1);
            joined = largest_head ? larger(joined, value) : joined + value;
        }
        __syncthreads();                              // before the next head writes
    }
    if (y == 0 && column < n_keys)
        importance[(size_t)b * n_keys + column] = largest_head ? joined : joined / heads;      // 0 at padding
}
