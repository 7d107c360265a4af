/* Products with a weight matrix [n_in][n_out], their gradients, and products of matrices in rows: one kernel, a tile of
 * a result to a block. How it reads its factors is a type: plain rows here, windows in conv.h.
 *
 * An element of the result is made by one thread: it starts at the bias, or at what is there, and adds its terms in the
 * order of the C kernels. */
#ifndef SNNCC_CUDA_PRODUCT_H
#define SNNCC_CUDA_PRODUCT_H

#include "device.h"

enum {
    SNNCC_DEPTH = 16, /* terms at a time, and threads along each side of a block's tile */
    SNNCC_FEW_BLOCKS = 256 /* tiles that leave processors idle: smaller ones follow */
};

/* Where the factors of a term stand: element [row][term] of matrix k at
 * data[k * matrix_step + row * row_step + term * term_step]. */
struct snncc_factor {
    const snncc_real *data;
    ptrdiff_t row_step, term_step, matrix_step;

    /* Terms of a part of a sum, or 0. */
    __device__ int part() const { return 0; }
    __device__ void select(unsigned matrix) { data += matrix * matrix_step; }

    /* Whether neighbouring terms, and not rows, are neighbouring numbers. */
    __device__ bool along_terms() const { return term_step == 1; }
    __device__ snncc_real at(int row, int term) const { return data[row * row_step + term * term_step]; }
};

/* How many tiles cover n rows or outputs. */
SNNCC_INLINE unsigned snncc_tiles(int n, int tile)
{
    return (unsigned)(n + tile - 1) / (unsigned)tile;
}

/* Elements [row][term] of a factor, from (first, term0) on, in shared memory: tile[term][row],
 * where a row of ROWS + 1 spreads over the banks of the memory. */
template <int ROWS, class Factor>
static __device__ void snncc_load_tile(const Factor &factor, int rows, int first, int terms, int term0, snncc_real *tile)
{
    const bool along = factor.along_terms(); /* neighbouring threads read neighbouring numbers */
    for (int k = (int)threadIdx.x; k < SNNCC_DEPTH * ROWS; k += SNNCC_THREADS) {
        const int t = along ? k % SNNCC_DEPTH : k / ROWS, r = along ? k / SNNCC_DEPTH : k % ROWS;
        const bool inside = first + r < rows && term0 + t < terms;
        tile[t * (ROWS + 1) + r] = inside ? factor.at(first + r, term0 + t) : (snncc_real)0;
    }
}

/* Of each matrix: y[r][o] = start + sum over the terms of a[r][term] * b[o][term]. start: bias[o], or y itself, or 0.
 * y: [matrices][rows][outputs]. A block makes a tile of SNNCC_DEPTH * TALL rows and SNNCC_DEPTH * WIDE outputs, a thread
 * TALL * WIDE elements of it. a.part(): 0, or after how many terms, a multiple of SNNCC_DEPTH, a sum is added to
 * the result and a new one begins. */
template <int TALL, int WIDE, class Left, class Right>
static __global__ void snncc_product_kernel(int rows, int outputs, int terms, Left a, Right b,
                                            const snncc_real *bias, int add, snncc_real *y)
{
    enum { ROWS = SNNCC_DEPTH * TALL, OUTPUTS = SNNCC_DEPTH * WIDE };
    SNNCC_SHARED(snncc_real, left, SNNCC_DEPTH * (ROWS + 1));
    SNNCC_SHARED(snncc_real, right, SNNCC_DEPTH * (OUTPUTS + 1));
    const unsigned lines = snncc_tiles(rows, ROWS), columns = snncc_tiles(outputs, OUTPUTS);
    const unsigned matrix = blockIdx.x / columns / lines;
    const int first_row = (int)(blockIdx.x / columns % lines) * ROWS, first_output = (int)(blockIdx.x % columns) * OUTPUTS;
    const int i0 = (int)threadIdx.x / SNNCC_DEPTH, j0 = (int)threadIdx.x % SNNCC_DEPTH, part = a.part();
    a.select(matrix), b.select(matrix), y += matrix * ((size_t)rows * outputs);
    snncc_real sum[TALL][WIDE], total[TALL][WIDE];
    for (int i = 0; i < TALL; i++)
        for (int j = 0; j < WIDE; j++) {
            const int row = first_row + i0 + i * SNNCC_DEPTH, output = first_output + j0 + j * SNNCC_DEPTH;
            const bool inside = row < rows && output < outputs;
            snncc_real start = 0;
            if (inside && add) start = y[(size_t)row * outputs + output];
            else if (inside && bias) start += bias[output];
            total[i][j] = start;
            sum[i][j] = part ? (snncc_real)0 : start;
        }
    for (int term0 = 0; term0 < terms; term0 += SNNCC_DEPTH) {
        snncc_load_tile<ROWS>(a, rows, first_row, terms, term0, left);
        snncc_load_tile<OUTPUTS>(b, outputs, first_output, terms, term0, right);
        __syncthreads();
        for (int term = 0; term < SNNCC_DEPTH; term++)
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    sum[i][j] += left[term * (ROWS + 1) + i0 + i * SNNCC_DEPTH]
                                 * right[term * (OUTPUTS + 1) + j0 + j * SNNCC_DEPTH];
        __syncthreads();
        if (part && (term0 + SNNCC_DEPTH) % part == 0)
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++) {
                    total[i][j] += sum[i][j];
                    sum[i][j] = 0;
                }
    }
    for (int i = 0; i < TALL; i++)
        for (int j = 0; j < WIDE; j++) {
            const int row = first_row + i0 + i * SNNCC_DEPTH, output = first_output + j0 + j * SNNCC_DEPTH;
            if (row < rows && output < outputs) y[(size_t)row * outputs + output] = part ? total[i][j] : sum[i][j];
        }
}

/* Starts the kernel in tiles that fit: narrow ones for few outputs, small ones where larger ones would be few. */
template <class Left, class Right>
static void snncc_multiply(cudaStream_t stream, int matrices, int rows, int outputs, int terms, Left a, Right b,
                           const snncc_real *bias, int add, snncc_real *y)
{
    enum { SMALL = SNNCC_DEPTH, LARGE = 4 * SNNCC_DEPTH };
    const unsigned all = (unsigned)matrices, large = all * snncc_tiles(rows, LARGE) * snncc_tiles(outputs, LARGE);
    const unsigned narrow = all * snncc_tiles(rows, LARGE) * snncc_tiles(outputs, SMALL);
    const unsigned small = all * snncc_tiles(rows, SMALL) * snncc_tiles(outputs, SMALL);
    if (outputs > SMALL && large >= SNNCC_FEW_BLOCKS)
        SNNCC_LAUNCH((snncc_product_kernel<4, 4, Left, Right>), large, SNNCC_THREADS, 0, stream, rows, outputs, terms,
                     a, b, bias, add, y);
    else if (narrow >= SNNCC_FEW_BLOCKS)
        SNNCC_LAUNCH((snncc_product_kernel<4, 1, Left, Right>), narrow, SNNCC_THREADS, 0, stream, rows, outputs, terms,
                     a, b, bias, add, y);
    else
        SNNCC_LAUNCH((snncc_product_kernel<1, 1, Left, Right>), small, SNNCC_THREADS, 0, stream, rows, outputs, terms,
                     a, b, bias, add, y);
}

/* y = a b, `matrices` products in each row. a: [n][k], or [k][n] if a_turned; b: [k][m], or [m][k] if b_turned. */
static inline void snncc_matmul(cudaStream_t stream, int rows, int matrices, int n, int k, int m, int a_turned,
                                int b_turned, const snncc_real *a, const snncc_real *b, snncc_real *y)
{
    const ptrdiff_t a_size = (ptrdiff_t)n * k, b_size = (ptrdiff_t)k * m;
    const snncc_factor left = {a, a_turned ? 1 : k, a_turned ? n : 1, a_size};
    const snncc_factor right = {b, b_turned ? k : 1, b_turned ? 1 : m, b_size};
    snncc_multiply(stream, rows * matrices, n, m, k, left, right, NULL, 0, y);
}

/* y = bias + x w. x: [rows][n_in], w: [n_in][n_out], y: [rows][n_out]; bias may be NULL. */
static inline void snncc_product(cudaStream_t stream, int rows, int n_in, int n_out, const snncc_real *x,
                                 const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const snncc_factor a = {x, n_in, 1, 0}, b = {w, 1, n_out, 0};
    snncc_multiply(stream, 1, rows, n_out, n_in, a, b, bias, 0, y);
}

/* d_x = d_y w', over the outputs in ascending order. d_y: [rows][n_out], d_x: [rows][n_in]. */
static inline void snncc_input_gradient(cudaStream_t stream, int rows, int n_out, int n_in, const snncc_real *d_y,
                                        const snncc_real *w, snncc_real *d_x)
{
    const snncc_factor a = {d_y, n_out, 1, 0}, b = {w, n_out, 1, 0};
    snncc_multiply(stream, 1, rows, n_in, n_out, a, b, NULL, 0, d_x);
}

/* d_w += x' d_y, over the rows from the last to the first; where `add` is 0, d_w = x' d_y. */
static inline void snncc_weight_gradient(cudaStream_t stream, int add, int rows, int n_in, int n_out, const snncc_real *x,
                                         const snncc_real *d_y, snncc_real *d_w)
{
    const ptrdiff_t last = (ptrdiff_t)rows - 1;
    const snncc_factor a = {x + last * n_in, 1, -(ptrdiff_t)n_in, 0}, b = {d_y + last * n_out, 1, -(ptrdiff_t)n_out, 0};
    snncc_multiply(stream, 1, n_in, n_out, rows, a, b, NULL, add, d_w);
}

/* w' of w [n_in][n_out]: [n_out][n_in]. */
static __global__ void snncc_transpose_kernel(int n_out, int n_in, const snncc_real *w, snncc_real *turned)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)n_out * n_in) return;
    turned[at] = w[at % (size_t)n_in * (size_t)n_out + at / (size_t)n_in];
}

static inline void snncc_transpose_weights(cudaStream_t stream, int n_out, int n_in, const snncc_real *w, snncc_real *turned)
{
    SNNCC_EACH(snncc_transpose_kernel, (size_t)n_out * n_in, stream, n_out, n_in, w, turned);
}

#endif
