// Bias and activation in one pass: z = h + bias, y = phi(z), and the slope phi'(z) that backward multiplies with.
// h, y, slope: (rows, columns).  bias: (groups, columns); the rows offsets[e]:offsets[e+1] get bias[e].  offsets:
// (groups + 1), from 0 to rows.  groups 0: no bias, and neither bias nor offsets is read.
// phi: 0 relu, 1 gelu with the exact error function, 2 gelu with tanh.
// A block takes ROWS rows of 256 columns, a thread one column: it walks down and changes its bias with the expert.

#define ROWS 8

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

// The group of a row: the last e with offsets[e] <= row, which has rows, whatever empty groups lie around it.
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

extern "C" __global__ void bias_activation(const REAL* __restrict__ h, const REAL* __restrict__ bias,
                                           const int* __restrict__ offsets, int groups, int phi, int rows,
                                           long long columns, REAL* __restrict__ y, REAL* __restrict__ slope)
{
    long long tiles = (columns + blockDim.x - 1) / blockDim.x, column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    int first = (int)(blockIdx.x / tiles) * ROWS, end = min(rows, first + ROWS);
    if (column >= columns) return;
    int e = groups ? group_of(offsets, groups, first) : 0;
    REAL b = groups ? bias[(size_t)e * columns + column] : (REAL)0;
    for (int row = first; row < end; row++) {
        if (groups && row >= offsets[e + 1]) {
            e = group_of(offsets, groups, row);
            b = bias[(size_t)e * columns + column];
        }
        size_t at = (size_t)row * columns + column;
        REAL derivative;
        y[at] = activate(phi, h[at] + b, &derivative);
        slope[at] = derivative;
    }
}

// Gated: h, slope and bias have 2 columns per column of y, first the gates g and then the values v.
// y = phi(g) v; slope holds dy/dg = phi'(g) v and dy/dv = phi(g).
extern "C" __global__ void bias_gated_activation(const REAL* __restrict__ h, const REAL* __restrict__ bias,
                                                 const int* __restrict__ offsets, int groups, int phi, int rows,
                                                 long long columns, REAL* __restrict__ y, REAL* __restrict__ slope)
{
    long long tiles = (columns + blockDim.x - 1) / blockDim.x, column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    int first = (int)(blockIdx.x / tiles) * ROWS, end = min(rows, first + ROWS);
    if (column >= columns) return;
    int e = groups ? group_of(offsets, groups, first) : 0;
    REAL b_gate = groups ? bias[(size_t)e * 2 * columns + column] : (REAL)0;
    REAL b_value = groups ? bias[((size_t)e * 2 + 1) * columns + column] : (REAL)0;
    for (int row = first; row < end; row++) {
        if (groups && row >= offsets[e + 1]) {
            e = group_of(offsets, groups, row);
            b_gate = bias[(size_t)e * 2 * columns + column];
            b_value = bias[((size_t)e * 2 + 1) * columns + column];
        }
        size_t gate = (size_t)row * 2 * columns + column, value = gate + columns;
        REAL v = h[value] + b_value, derivative;
        REAL open = activate(phi, h[gate] + b_gate, &derivative);
        y[(size_t)row * columns + column] = open * v;
        slope[gate] = derivative * v;
        slope[value] = open;
    }
}
