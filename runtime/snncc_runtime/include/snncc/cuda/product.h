/* Products with a weight matrix [n_in][n_out], their gradients, and products of matrices in rows: one kernel, a tile of
 * a result to a block.
 *
 * An element of the result is made by one thread: it starts at the bias, or at what is there, and adds its terms in the
 * order of the C kernels. */
#ifndef SNNCC_CUDA_PRODUCT_H
#define SNNCC_CUDA_PRODUCT_H

#include "device.h"

enum { SNNCC_TILE = 64, SNNCC_DEPTH = 16, SNNCC_EDGE = 4 }; /* a block's part of the result, its terms at a time, a thread's part */

/* Where the factors of a term stand: element [row][term] of matrix k of a at
 * a[k * matrix_step + row * row_step + term * term_step]. */
typedef struct {
    const snncc_real *data;
    ptrdiff_t row_step, term_step, matrix_step;
} snncc_factor;

/* How many tiles cover so many rows or outputs. */
SNNCC_INLINE unsigned snncc_tiles(int n)
{
    return (unsigned)(n + SNNCC_TILE - 1) / SNNCC_TILE;
}

/* Of each matrix: y[r][o] = start + sum over the terms of a[r][term] * b[o][term]. start: bias[o], or y itself, or 0.
 * y: [matrices][rows][outputs]. */
static __global__ void snncc_product_kernel(int rows, int outputs, int terms, snncc_factor a, snncc_factor b,
                                            const snncc_real *bias, int add, snncc_real *y)
{
    SNNCC_SHARED(snncc_real, left, SNNCC_DEPTH * SNNCC_TILE);
    SNNCC_SHARED(snncc_real, right, SNNCC_DEPTH * SNNCC_TILE);
    const unsigned lines = snncc_tiles(rows), columns = snncc_tiles(outputs), matrix = blockIdx.x / (lines * columns);
    const int first_row = (int)(blockIdx.x / columns % lines) * SNNCC_TILE, thread = (int)threadIdx.x;
    const int first_output = (int)(blockIdx.x % columns) * SNNCC_TILE;
    const int i0 = thread / SNNCC_DEPTH * SNNCC_EDGE, j0 = thread % SNNCC_DEPTH * SNNCC_EDGE;
    a.data += matrix * a.matrix_step, b.data += matrix * b.matrix_step, y += matrix * ((size_t)rows * outputs);
    snncc_real sum[SNNCC_EDGE][SNNCC_EDGE];
    for (int i = 0; i < SNNCC_EDGE; i++)
        for (int j = 0; j < SNNCC_EDGE; j++) {
            const int row = first_row + i0 + i, output = first_output + j0 + j;
            const int inside = row < rows && output < outputs;
            sum[i][j] = 0;
            if (inside && add) sum[i][j] = y[(size_t)row * outputs + output];
            else if (inside && bias) sum[i][j] += bias[output];
        }
    for (int term0 = 0; term0 < terms; term0 += SNNCC_DEPTH) {
        for (int k = thread; k < SNNCC_DEPTH * SNNCC_TILE; k += SNNCC_THREADS) {
            /* Neighbouring threads read neighbouring numbers. */
            const int of_row = a.term_step == 1, of_output = b.term_step == 1;
            const int ta = of_row ? k % SNNCC_DEPTH : k / SNNCC_TILE, ra = of_row ? k / SNNCC_DEPTH : k % SNNCC_TILE;
            const int tb = of_output ? k % SNNCC_DEPTH : k / SNNCC_TILE, rb = of_output ? k / SNNCC_DEPTH : k % SNNCC_TILE;
            const int row = first_row + ra, output = first_output + rb;
            left[ta * SNNCC_TILE + ra] = row < rows && term0 + ta < terms
                                             ? a.data[row * a.row_step + (term0 + ta) * a.term_step] : (snncc_real)0;
            right[tb * SNNCC_TILE + rb] = output < outputs && term0 + tb < terms
                                              ? b.data[output * b.row_step + (term0 + tb) * b.term_step] : (snncc_real)0;
        }
        __syncthreads();
        for (int term = 0; term < SNNCC_DEPTH; term++)
            for (int i = 0; i < SNNCC_EDGE; i++)
                for (int j = 0; j < SNNCC_EDGE; j++)
                    sum[i][j] += left[term * SNNCC_TILE + i0 + i] * right[term * SNNCC_TILE + j0 + j];
        __syncthreads();
    }
    for (int i = 0; i < SNNCC_EDGE; i++)
        for (int j = 0; j < SNNCC_EDGE; j++) {
            const int row = first_row + i0 + i, output = first_output + j0 + j;
            if (row < rows && output < outputs) y[(size_t)row * outputs + output] = sum[i][j];
        }
}

static inline void snncc_multiply(cudaStream_t stream, int matrices, int rows, int outputs, int terms, snncc_factor a,
                                  snncc_factor b, const snncc_real *bias, int add, snncc_real *y)
{
    const unsigned blocks = (unsigned)matrices * snncc_tiles(rows) * snncc_tiles(outputs);
    SNNCC_LAUNCH(snncc_product_kernel, blocks, SNNCC_THREADS, 0, stream, rows, outputs, terms, a, b, bias, add, y);
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

/* d_w += x' d_y, over the rows from the last to the first. */
static inline void snncc_weight_gradient(cudaStream_t stream, int rows, int n_in, int n_out, const snncc_real *x,
                                         const snncc_real *d_y, snncc_real *d_w)
{
    const ptrdiff_t last = (ptrdiff_t)rows - 1;
    const snncc_factor a = {x + last * n_in, 1, -(ptrdiff_t)n_in, 0}, b = {d_y + last * n_out, 1, -(ptrdiff_t)n_out, 0};
    snncc_multiply(stream, 1, n_in, n_out, rows, a, b, NULL, 1, d_w);
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
