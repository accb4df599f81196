// One matrix per expert, on contiguous segments of rows: the products of the expert layer, in one launch for all experts.
// A rows, E experts; the rows offsets[e] .. offsets[e + 1] - 1 belong to expert e.  offsets: (E + 1), from 0 to A.
// x: (A, k).  weight, gw: (E, k, n); or, read transposed, (E, n, k).  y, gy: (A, n).
//
// A block of 16 x 16 threads computes a TILE x TILE part of one expert's result in steps of DEPTH: the block copies a
// strip of either factor to shared memory, and every thread multiplies 4 values of one by 4 of the other, so a value
// that was read once from global memory is used TILE times. One thread adds up each result, in the order of k or rows.

#define TILE 64
#define DEPTH 16
#define THREADS 256
#define PADDED (TILE + 4)                             // rows of a strip start on different banks, at multiples of 16 bytes

// The strips of both factors: left[s][i] is factor (row i, step s), right[s][j] is factor (step s, column j).
struct Strips {
    __align__(16) REAL left[DEPTH][PADDED];
    __align__(16) REAL right[DEPTH][PADDED];
};

// Copies rows first .. first + TILE - 1 of a matrix (rows, width), columns start .. start + DEPTH - 1, to strip[column]
// [row]; what lies beyond `rows` or `width` is 0. Neighbouring threads read along a row.
__device__ void copy_rows(const REAL* matrix, int rows, int width, int first, int start, REAL (*strip)[PADDED])
{
    for (int cell = threadIdx.x; cell < TILE * DEPTH; cell += THREADS) {
        int row = cell / DEPTH, column = cell % DEPTH;
        bool inside = first + row < rows && start + column < width;
        strip[column][row] = inside ? matrix[(size_t)(first + row) * width + start + column] : (REAL)0;
    }
}

// Copies rows start .. start + DEPTH - 1 of a matrix (rows, width), columns first .. first + TILE - 1, to strip[row]
// [column].
__device__ void copy_columns(const REAL* matrix, int rows, int width, int start, int first, REAL (*strip)[PADDED])
{
    for (int cell = threadIdx.x; cell < TILE * DEPTH; cell += THREADS) {
        int row = cell / TILE, column = cell % TILE;
        bool inside = start + row < rows && first + column < width;
        strip[row][column] = inside ? matrix[(size_t)(start + row) * width + first + column] : (REAL)0;
    }
}

// sum[i][j] += left[s][4 y + i] right[s][4 x + j] over the steps s, for thread (x, y) of the 16 x 16.
__device__ void add_products(const Strips* strips, REAL sum[4][4])
{
    int x = threadIdx.x % 16, y = threadIdx.x / 16;
    #pragma unroll 4                                  // in full it would need more registers than there are
    for (int s = 0; s < DEPTH; s++) {
        REAL left[4], right[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            left[i] = strips->left[s][4 * y + i];
            right[i] = strips->right[s][4 * x + i];
        }
        #pragma unroll
        for (int i = 0; i < 4; i++)
            #pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] += left[i] * right[j];
    }
}

// Writes the block's part of a result (rows, columns), which begins at (first_row, first_column).
__device__ void write_sums(const REAL sum[4][4], REAL* result, int rows, int columns, int first_row, int first_column)
{
    first_row += 4 * (threadIdx.x / 16);
    first_column += 4 * (threadIdx.x % 16);
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int j = 0; j < 4; j++)
            if (first_row + i < rows && first_column + j < columns)
                result[(size_t)(first_row + i) * columns + first_column + j] = sum[i][j];
}

// y = x W_e for the rows of every expert, or x W_e^T. Blocks count the row tiles of all experts in one row. That takes no
// list of tiles: expert e's begin at number offsets[e] / TILE + e. From there to the next expert's is room for all of
// its rows, because floor((o + c) / TILE) - floor(o / TILE) + 1 is at least c / TILE rounded up; a block for which no
// rows are left writes nothing. So A / TILE + E row tiles are enough, and the host need not know the offsets.
extern "C" __global__ void __launch_bounds__(THREADS) grouped_matmul(
    const REAL* __restrict__ x, const REAL* __restrict__ weight, int transposed, const int* __restrict__ offsets,
    int experts, int k, int n, REAL* __restrict__ y)
{
    __shared__ Strips strips;
    int column_tiles = (n + TILE - 1) / TILE;
    int tile = blockIdx.x / column_tiles, column = blockIdx.x % column_tiles * TILE;

    int e = 0, high = experts;                        // the last expert whose tiles begin at `tile` or before
    while (high - e > 1) {
        int middle = (e + high) / 2;
        if (offsets[middle] / TILE + middle <= tile) e = middle;
        else high = middle;
    }
    int begin = offsets[e], rows = offsets[e + 1] - begin;
    int row = (tile - begin / TILE - e) * TILE;
    if (row >= rows) return;                          // all threads of the block, so none waits at a barrier below
    x += (size_t)begin * k;
    y += (size_t)begin * n;
    weight += (size_t)e * k * n;

    REAL sum[4][4] = {};
    for (int start = 0; start < k; start += DEPTH) {
        copy_rows(x, rows, k, row, start, strips.left);
        if (transposed) copy_rows(weight, n, k, column, start, strips.right);
        else copy_columns(weight, k, n, start, column, strips.right);
        __syncthreads();
        add_products(&strips, sum);
        __syncthreads();                              // before the next strips are written
    }
    write_sums(sum, y, rows, n, row, column);
}

// gw_e = x_e^T gy_e; zeros where an expert has no row. A block walks over all rows of its expert.
extern "C" __global__ void __launch_bounds__(THREADS) grouped_weight_gradient(
    const REAL* __restrict__ x, const REAL* __restrict__ gy, const int* __restrict__ offsets, int k, int n,
    REAL* __restrict__ gw)
{
    __shared__ Strips strips;
    int row_tiles = (k + TILE - 1) / TILE, column_tiles = (n + TILE - 1) / TILE;
    int column = blockIdx.x % column_tiles * TILE, row = blockIdx.x / column_tiles % row_tiles * TILE;
    int e = blockIdx.x / column_tiles / row_tiles;
    int begin = offsets[e], rows = offsets[e + 1] - begin;
    x += (size_t)begin * k;
    gy += (size_t)begin * n;

    REAL sum[4][4] = {};
    for (int start = 0; start < rows; start += DEPTH) {
        copy_columns(x, rows, k, start, row, strips.left);
        copy_columns(gy, rows, n, start, column, strips.right);
        __syncthreads();
        add_products(&strips, sum);
        __syncthreads();                              // before the next strips are written
    }
    write_sums(sum, gw + (size_t)e * k * n, k, n, row, column);
}

// total_e = the sum of expert e's rows of gy; zeros where it has none. Block (32, 8) takes 32 columns of one expert:
// thread (x, y) walks down the rows y, y + 8, ... of column x, and row y = 0 joins the eight sums in their order.
extern "C" __global__ void grouped_sum(const REAL* __restrict__ gy, const int* __restrict__ offsets, int n,
                                       REAL* __restrict__ total)
{
    __shared__ REAL walk[8][32];
    int tiles = (n + 31) / 32, e = blockIdx.x / tiles;
    int column = blockIdx.x % tiles * 32 + threadIdx.x;
    REAL sum = 0;
    if (column < n)
        for (int row = offsets[e] + threadIdx.y; row < offsets[e + 1]; row += 8) sum += gy[(size_t)row * n + column];
    walk[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < n) {
        for (int w = 1; w < 8; w++) sum += walk[w][threadIdx.x];
        total[(size_t)e * n + column] = sum;
    }
}
