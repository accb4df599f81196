// The exact budget: total[b] assignments shared among the real tokens of sample b in proportion to importance, each
// getting k_min .. k_max. A block per sample; the rule and its words are those of reference/allocation.py, and every
// number that decides is computed in the same order in double, so the counts are the same integers.
//   importance: (batch, length), of which only finite numbers above 0 count.  mask: bool (batch, length).
//   counts: int (batch, length).  Room to work in, for each sample: numbers, 3 rows of `length` doubles; places, 2 rows
//   of `length` ints. Ranks are found by counting who comes before: length^2 comparisons shared by the threads.

#define MINUS_INFINITY ((REAL)__int_as_float(0xff800000))      // NVRTC knows no INFINITY

// The sum over the threads of a block of whole warps. One word of `shared` per warp.
__device__ int block_sum(int value, int* shared)
{
    for (int step = 16; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
    for (int w = 0; w < blockDim.x / 32; w++) value += shared[w];
    __syncthreads();                                  // before the next call writes
    return value;
}

extern "C" __global__ void __launch_bounds__(1024, 1) budget_counts(
    const REAL* __restrict__ importance, const bool* __restrict__ mask, const long long* __restrict__ total, int length,
    int k_min, int k_max, double* __restrict__ numbers, int* __restrict__ places, int* __restrict__ counts)
{
    __shared__ int shared[32];
    int b = blockIdx.x, cap = k_max - k_min;
    importance += (size_t)b * length;
    mask += (size_t)b * length;
    counts += (size_t)b * length;
    double* weight = numbers + (size_t)b * 3 * length;        // of each place, 0 = the most important token
    double* tail = weight + length;
    double* other = tail + length;
    int* order = places + (size_t)b * 2 * length;             // the token of each place
    int* extra = order + length;                              // experts beyond k_min of each place

    int n = 0;
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
        bool sound = importance[i] > 0 && importance[i] < -MINUS_INFINITY;     // anything else counts as 0
        other[i] = !mask[i] ? -1.0 : sound ? importance[i] : (REAL)0;
        n += mask[i];
    }
    n = block_sum(n, shared);                         // its barrier: now all of `other` is there
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
        double mine = other[i];
        if (mine < 0) {                               // padding
            counts[i] = 0;
            continue;
        }
        int rank = 0;                                 // equal importance: the lower index first
        for (int j = 0; j < length; j++) rank += other[j] > mine || (other[j] == mine && j < i);
        order[rank] = i;
        weight[rank] = mine;
        tail[rank] = mine;
    }
    __syncthreads();
    for (int step = 1; step < n; step *= 2) {         // tail: the sum of importance from each place on
        for (int r = threadIdx.x; r < n; r += blockDim.x) other[r] = r + step < n ? tail[r] + tail[r + step] : tail[r];
        __syncthreads();
        double* swap = tail;
        tail = other;
        other = swap;
    }

    long long share = total[b] - (long long)n * k_min;        // to be given out beyond k_min
    int full = 0;                                     // places that would pass the cap: the best few, see the twin
    for (int r = threadIdx.x; r < n; r += blockDim.x)
        full += (share - (long long)cap * r) * weight[r] > cap * tail[r];
    full = block_sum(full, shared);
    double whole = full < n ? tail[full] : 0;
    bool equal = !(whole > 0);                        // no importance left: equal weights
    if (equal) whole = max(n - full, 1);

    double* fraction = other;
    int given = 0;
    for (int r = threadIdx.x; r < n; r += blockDim.x) {
        double exact = r < full ? cap : (share - (long long)cap * full) * (equal ? 1.0 : weight[r]) / whole;
        extra[r] = (int)floor(exact);
        fraction[r] = rint((exact - floor(exact)) * 1e9);     // fractions that agree to 1e-9 are equal
        given += extra[r];
    }
    long long rest = share - block_sum(given, shared);        // block_sum's barrier: now all fractions are there
    for (int r = threadIdx.x; r < n; r += blockDim.x) {
        int rank = 0;                                 // equal fractions: the better place first
        for (int s = 0; s < n; s++) rank += fraction[s] > fraction[r] || (fraction[s] == fraction[r] && s < r);
        counts[order[r]] = k_min + extra[r] + (rank < rest);
    }
}
