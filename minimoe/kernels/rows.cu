// Rows gathered, and summed back: dispatch, combine and their backwards.
// N tokens, A assignments, S sorted rows (assignments that were kept), d numbers a row, R rows to copy.
// x: (N, d).  rows, g_rows: (S, d).  y, gy: (N, d); in gather_rows y is (R, d).  gates, g_gates, inv, token: (A).
// perm: (S).  row_ptr: (N + 1).  The assignments of token i are row_ptr[i] .. row_ptr[i + 1] - 1; token leads back.
// Sorted row s holds assignment perm[s]; assignment a has row inv[a], or none when inv[a] < 0.

__device__ REAL warp_sum(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;                                     // the same bits in every lane: a + b is b + a
}

// y[r] = x[index[r]]. A warp copies a row: 16 bytes a lane and turn where every row starts at a multiple of 16 bytes,
// else number by number.
extern "C" __global__ void gather_rows(const REAL* __restrict__ x, const int* __restrict__ index, int count, int d,
                                       REAL* __restrict__ y)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= count) return;                         // whole warps leave; there is no block barrier in this file
    x += (size_t)index[row] * d;
    y += (size_t)row * d;
    if (d * sizeof(REAL) % 16 == 0 && ((size_t)x | (size_t)y) % 16 == 0) {
        const float4* from = (const float4*)x;        // a copy does not care what the bytes mean
        float4* to = (float4*)y;
        for (int j = lane; j < d * sizeof(REAL) / 16; j += 32) to[j] = from[j];
    } else {
        for (int j = lane; j < d; j += 32) y[j] = x[j];
    }
}

// y_i = sum over token i's assignments a of gates[a] rows[inv[a]], in their order; without gates each counts once.
// A block takes as many columns of one token as it has threads, and a thread one sum.
extern "C" __global__ void combine_rows(const REAL* __restrict__ rows, const REAL* __restrict__ gates, int has_gates,
                                        const int* __restrict__ inv, const int* __restrict__ row_ptr, int d,
                                        REAL* __restrict__ y)
{
    int tiles = (d + blockDim.x - 1) / blockDim.x, token = blockIdx.x / tiles;
    int column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    if (column >= d) return;
    REAL sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++) {
        int row = inv[a];
        if (row < 0) continue;                        // dropped
        sum += (has_gates ? gates[a] : (REAL)1) * rows[(size_t)row * d + column];
    }
    y[(size_t)token * d + column] = sum;
}

// g_rows[s] = gates[a] gy[token[a]] and g_gates[a] = <gy[token[a]], rows[s]>, with a = perm[s]. A warp takes a row.
extern "C" __global__ void combine_rows_backward(const REAL* __restrict__ gy, const REAL* __restrict__ rows,
                                                 const REAL* __restrict__ gates, const int* __restrict__ perm,
                                                 const int* __restrict__ token, int kept, int d,
                                                 REAL* __restrict__ g_rows, REAL* __restrict__ g_gates)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= kept) return;
    int a = perm[row];
    REAL gate = gates[a];
    gy += (size_t)token[a] * d;
    rows += (size_t)row * d;
    g_rows += (size_t)row * d;

    REAL along = 0;
    for (int j = lane; j < d; j += 32) {
        along += gy[j] * rows[j];
        g_rows[j] = gate * gy[j];
    }
    along = warp_sum(along);
    if (lane == 0) g_gates[a] = along;
}
