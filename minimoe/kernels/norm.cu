// Layer norm over rows of d columns, and its backward.
//   xhat = (x - mean) * inverse,  inverse = 1 / sqrt(variance + eps),  y = xhat * weight + bias
//   gx = inverse * (g - mean(g) - xhat * mean(g * xhat)),  g = gy * weight
//   gw_j = sum over rows of gy * xhat,  gb_j = sum over rows of gy
// x, y, gy, gx, xhat: (rows, d).  weight, bias: (d), or not read when has_weight, has_bias is 0.  inverse: (rows).
// A warp takes a row: lane l owns the columns l, l + 32, ... The rows come from the cache after the first pass.

__device__ REAL warp_sum(REAL value)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;                                     // the same bits in every lane: a + b is b + a
}

extern "C" __global__ void layer_norm(const REAL* __restrict__ x, const REAL* __restrict__ weight, int has_weight,
                                      const REAL* __restrict__ bias, int has_bias, REAL eps, int rows, int d,
                                      REAL* __restrict__ y, REAL* __restrict__ xhat, REAL* __restrict__ inverse)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= rows) return;                          // whole warps leave; there is no block barrier below
    x += (size_t)row * d;
    y += (size_t)row * d;
    xhat += (size_t)row * d;

    REAL sum = 0;
    for (int j = lane; j < d; j += 32) sum += x[j];
    REAL mean = warp_sum(sum) / d;

    sum = 0;                                          // again: far from zero the first mean is rounded
    for (int j = lane; j < d; j += 32) sum += x[j] - mean;
    REAL rest = warp_sum(sum) / d;

    sum = 0;                                          // squares of centred values: mean(x^2) - mean^2 loses every digit
    for (int j = lane; j < d; j += 32) {
        REAL centred = x[j] - mean - rest;
        sum += centred * centred;
    }
    REAL scale = 1 / sqrt(warp_sum(sum) / d + eps);

    for (int j = lane; j < d; j += 32) {
        REAL normal = (x[j] - mean - rest) * scale;
        xhat[j] = normal;
        y[j] = normal * (has_weight ? weight[j] : (REAL)1) + (has_bias ? bias[j] : (REAL)0);
    }
    if (lane == 0) inverse[row] = scale;
}

extern "C" __global__ void layer_norm_input_gradient(const REAL* __restrict__ gy, const REAL* __restrict__ xhat,
                                                     const REAL* __restrict__ inverse, const REAL* __restrict__ weight,
                                                     int has_weight, int rows, int d, REAL* __restrict__ gx)
{
    int row = (int)(((size_t)blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = threadIdx.x % 32;
    if (row >= rows) return;
    gy += (size_t)row * d;
    xhat += (size_t)row * d;
    gx += (size_t)row * d;

    REAL sum = 0, along = 0;
    for (int j = lane; j < d; j += 32) {
        REAL g = gy[j] * (has_weight ? weight[j] : (REAL)1);
        sum += g;
        along += g * xhat[j];
    }
    REAL mean = warp_sum(sum) / d;
    REAL mean_along = warp_sum(along) / d;
    REAL scale = inverse[row];
    for (int j = lane; j < d; j += 32) {
        REAL g = gy[j] * (has_weight ? weight[j] : (REAL)1);
        gx[j] = (g - mean - xhat[j] * mean_along) * scale;
    }
}

// Sums over rows in two passes, without atomics: the order of additions depends on the shapes only.
// Pass 1: block (32, 8) takes 32 columns of the rows chunk * chunk_rows ... and writes one partial sum per column.
// gw_part, gb_part: (chunks, d).
extern "C" __global__ void layer_norm_weight_partials(const REAL* __restrict__ gy, const REAL* __restrict__ xhat, int rows,
                                                      int d, int chunk_rows, REAL* __restrict__ gw_part,
                                                      REAL* __restrict__ gb_part)
{
    __shared__ REAL gw_sum[8][32], gb_sum[8][32];
    int tiles = (d + 31) / 32;
    int column = blockIdx.x % tiles * 32 + threadIdx.x, chunk = blockIdx.x / tiles;
    int end = min(rows, (chunk + 1) * chunk_rows);
    REAL gw = 0, gb = 0;
    if (column < d)
        for (int row = chunk * chunk_rows + threadIdx.y; row < end; row += 8) {
            REAL g = gy[(size_t)row * d + column];
            gw += g * xhat[(size_t)row * d + column];
            gb += g;
        }
    gw_sum[threadIdx.y][threadIdx.x] = gw;
    gb_sum[threadIdx.y][threadIdx.x] = gb;
    __syncthreads();
    if (threadIdx.y == 0 && column < d) {
        for (int k = 1; k < 8; k++) {
            gw += gw_sum[k][threadIdx.x];
            gb += gb_sum[k][threadIdx.x];
        }
        gw_part[(size_t)chunk * d + column] = gw;
        gb_part[(size_t)chunk * d + column] = gb;
    }
}

// Pass 2: a thread per column adds the partial sums in order.
extern "C" __global__ void layer_norm_weight_sums(const REAL* __restrict__ gw_part, const REAL* __restrict__ gb_part,
                                                  int chunks, int d, REAL* __restrict__ gw, REAL* __restrict__ gb)
{
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= d) return;
    REAL gw_total = 0, gb_total = 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        gw_total += gw_part[(size_t)chunk * d + column];
        gb_total += gb_part[(size_t)chunk * d + column];
    }
    gw[column] = gw_total;
    gb[column] = gb_total;
}
