// Bias and activation in one pass: z = h + bias, y = phi(z), and the slope phi'(z) that backward multiplies with.
// h, y, slope: (rows, columns).  bias: (groups, columns); the rows offsets[e]:offsets[e+1] get bias[e].  offsets:
// (groups + 1), from 0 to rows; not read for one group.  groups 0: no bias.
// phi: 0 relu, 1 gelu with the exact error function, 2 gelu with tanh.
// A block takes `block_rows` rows and as many columns as it has threads. A thread walks down its column and changes
// its bias where the rows of the next expert begin.

__device__ REAL activate(int phi, REAL z, REAL* slope)
{
    if (phi == 0) {                                   // slope 0 at 0; a NaN stays one
        *slope = z > 0 ? (REAL)1 : (REAL)0;
        return z <= 0 ? (REAL)0 : z;
    }
    if (phi == 1) {
        REAL cdf = (REAL)0.5 * erfc(z * (REAL)-0.70710678118654752);      // erfc: the lower tail keeps its digits
        *slope = cdf + z * exp((REAL)-0.5 * z * z) * (REAL)0.39894228040143268;
        return z * cdf;
    }
    REAL scale = (REAL)0.79788456080286536, cubic = (REAL)0.044715, square = z * z;      // sqrt(2 / pi)
    REAL t = tanh(scale * z * (1 + cubic * square));
    *slope = (REAL)0.5 * (1 + t) + (REAL)0.5 * z * (1 - t * t) * scale * (1 + 3 * cubic * square);
    return (REAL)0.5 * z * (1 + t);
}

// The group of a row: the last e with offsets[e] <= row. It has rows, whatever empty groups lie around it.
__device__ int group_of(const int* offsets, int groups, int row)
{
    int low = 0, high = groups;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (offsets[middle] <= row) low = middle;
        else high = middle;
    }
    return low;
}

// Where a block works: column of this thread, first row, end of the rows.
__device__ size_t place(int rows, int columns, int block_rows, int* first, int* end)
{
    unsigned tiles = (columns + blockDim.x - 1) / blockDim.x;
    *first = blockIdx.x / tiles * block_rows;
    *end = min(rows, *first + block_rows);
    return (size_t)(blockIdx.x % tiles) * blockDim.x + threadIdx.x;
}

extern "C" __global__ void add_bias(const REAL* __restrict__ bias, const int* __restrict__ offsets, int groups, int rows,
                                    int columns, int block_rows, REAL* __restrict__ y)
{
    int first, end;
    size_t column = place(rows, columns, block_rows, &first, &end);
    if (column >= columns) return;
    int e = group_of(offsets, groups, first);
    for (int row = first; row < end; row++) {
        while (e + 1 < groups && row >= offsets[e + 1]) e++;
        y[(size_t)row * columns + column] += bias[(size_t)e * columns + column];
    }
}

extern "C" __global__ void bias_activation(const REAL* __restrict__ h, const REAL* __restrict__ bias,
                                           const int* __restrict__ offsets, int groups, int phi, int rows,
                                           int columns, int block_rows, REAL* __restrict__ y,
                                           REAL* __restrict__ slope)
{
    int first, end;
    size_t column = place(rows, columns, block_rows, &first, &end);
    if (column >= columns) return;
    int e = group_of(offsets, groups, first);
    for (int row = first; row < end; row++) {
        while (e + 1 < groups && row >= offsets[e + 1]) e++;
        size_t at = (size_t)row * columns + column;
        REAL b = groups ? bias[(size_t)e * columns + column] : (REAL)0, derivative;
        y[at] = activate(phi, h[at] + b, &derivative);
        slope[at] = derivative;
    }
}

// Gated: h, slope and bias have two columns for each of y's, first all gates g, then all values v.
// y = phi(g) v; slope holds dy/dg = phi'(g) v and dy/dv = phi(g).
extern "C" __global__ void bias_gated_activation(const REAL* __restrict__ h, const REAL* __restrict__ bias,
                                                 const int* __restrict__ offsets, int groups, int phi, int rows,
                                                 int columns, int block_rows, REAL* __restrict__ y,
                                                 REAL* __restrict__ slope)
{
    int first, end;
    size_t column = place(rows, columns, block_rows, &first, &end);
    if (column >= columns) return;
    int e = group_of(offsets, groups, first);
    for (int row = first; row < end; row++) {
        while (e + 1 < groups && row >= offsets[e + 1]) e++;
        size_t gate = (size_t)row * 2 * columns + column, value = gate + columns;
        const REAL* b = bias + (size_t)e * 2 * columns + column;
        REAL v = h[value] + (groups ? b[columns] : (REAL)0), derivative;
        REAL open = activate(phi, h[gate] + (groups ? b[0] : (REAL)0), &derivative);
        y[(size_t)row * columns + column] = open * v;
        slope[gate] = derivative * v;
        slope[value] = open;
    }
}
