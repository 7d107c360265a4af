/* Products with a weight matrix [n_in][n_out], their gradients, and products of matrices in rows: one kernel, a tile of
 * a result to a block. How it reads its factors is a type: plain rows here, windows in conv.h.
 *
 * An element of the result is made by one thread: it starts at the bias, or at what is there, and adds its terms in the
 * order of the C kernels. */
#ifndef SNNCC_CUDA_PRODUCT_H
#define SNNCC_CUDA_PRODUCT_H

#include "device.h"

enum {
    SNNCC_SIDE = 16, /* threads along each side of a tile */
    SNNCC_GROUP = 4, /* numbers that are read at once */
    SNNCC_FEW_BLOCKS = 128 /* fewer tiles leave processors idle: smaller ones are taken */
};

struct alignas(16) snncc_group {
    snncc_real numbers[SNNCC_GROUP];
};

/* Where the factors of a term stand: element [row][term] of matrix k at
 * data[k * matrix_step + row * row_step + term * term_step]. */
struct snncc_factor {
    typedef ptrdiff_t Row;
    typedef ptrdiff_t Term;

    const snncc_real *data;
    int row_step, term_step;
    ptrdiff_t matrix_step;

    __device__ void select(unsigned matrix) { data += matrix * matrix_step; }

    /* Whether neighbouring terms, and not rows, are neighbouring numbers. */
    __device__ bool along_terms() const { return term_step == 1; }

    /* What all numbers of a row, and all of a term, have in common is found once for them; also of terms that are none. */
    __device__ Row row(int row) const { return (ptrdiff_t)row * row_step; }
    __device__ Term term(int term) const { return (ptrdiff_t)term * term_step; }
    __device__ snncc_real at(Row row, Term term) const { return data[row + term]; }
};

/* How many tiles cover n rows or outputs. */
SNNCC_INLINE unsigned snncc_tiles(int n, int tile)
{
    return (unsigned)(n + tile - 1) / (unsigned)tile;
}

/* What a block knows of a factor's rows, from `first` on; beyond the last one the last again, whose sums are not kept. */
template <int ROWS, class Factor>
static __device__ void snncc_find_rows(const Factor &factor, int first, int count, typename Factor::Row *rows)
{
    SNNCC_UNROLL(1)
    for (int k = (int)threadIdx.x; k < ROWS; k += SNNCC_THREADS)
        rows[k] = factor.row(first + k < count ? first + k : count - 1);
}

/* What it knows of the terms from `first` on. */
template <int DEPTH, class Factor>
static __device__ void snncc_find_terms(const Factor &factor, int first, typename Factor::Term *terms)
{
    if (threadIdx.x < DEPTH) terms[threadIdx.x] = factor.term(first + (int)threadIdx.x);
}

/* A thread's share of the tile [DEPTH terms][ROWS] of a factor: read from memory while the tile before is in use, then
 * written to shared memory, in rows of PITCH, which spreads them over its banks. Its k-th number is `rows_apart` and
 * `terms_apart` from the one before. */
template <int ROWS, int DEPTH, class Factor> struct snncc_share {
    enum { COUNT = ROWS * DEPTH / SNNCC_THREADS, PITCH = ROWS + SNNCC_GROUP, SIZE = DEPTH * PITCH };

    snncc_real numbers[COUNT];
    int row, term, rows_apart, terms_apart;

    __device__ explicit snncc_share(const Factor &factor)
    {
        const int thread = (int)threadIdx.x;
        const bool along = factor.along_terms(); /* neighbouring threads read neighbouring numbers */
        row = along ? thread / DEPTH : thread % ROWS, rows_apart = along ? SNNCC_THREADS / DEPTH : 0;
        term = along ? thread % DEPTH : thread / ROWS, terms_apart = along ? 0 : SNNCC_THREADS / ROWS;
    }

    /* So many terms; zeros beyond the last. */
    __device__ void read(const Factor &factor, const typename Factor::Row *rows, const typename Factor::Term *terms, int count)
    {
        SNNCC_UNROLL(8)
        for (int k = 0; k < COUNT; k++) {
            const int at = term + k * terms_apart;
            numbers[k] = at < count ? factor.at(rows[row + k * rows_apart], terms[at]) : (snncc_real)0;
        }
    }

    __device__ void write(snncc_real *tile) const
    {
        tile += term * PITCH + row;
        SNNCC_UNROLL(8)
        for (int k = 0; k < COUNT; k++) tile[k * (terms_apart * PITCH + rows_apart)] = numbers[k];
    }
};

/* Which row of a tile is a thread's k-th of N: as many as are read at once lie side by side. */
template <int N> SNNCC_INLINE int snncc_row_of(int thread, int k)
{
    enum { TOGETHER = N < SNNCC_GROUP ? N : SNNCC_GROUP };
    return (k / TOGETHER * SNNCC_SIDE + thread) * TOGETHER + k % TOGETHER;
}

/* A thread's N numbers of a term. */
template <int N> static __device__ void snncc_factors(const snncc_real *term, int thread, snncc_real *numbers)
{
    for (int k = 0; k < N / SNNCC_GROUP; k++) {
        const snncc_group group = ((const snncc_group *)term)[k * SNNCC_SIDE + thread];
        for (int i = 0; i < SNNCC_GROUP; i++) numbers[k * SNNCC_GROUP + i] = group.numbers[i];
    }
    for (int k = N / SNNCC_GROUP * SNNCC_GROUP; k < N; k++) numbers[k] = term[snncc_row_of<N>(thread, k)];
}

/* Of each matrix: y[r][o] = start + sum over the terms of a[r][term] * b[o][term]. start: bias[o], or y itself, or 0.
 * y: [matrices][rows][outputs]. A block makes a tile of SNNCC_SIDE * TALL rows and SNNCC_SIDE * WIDE outputs, a thread
 * TALL * WIDE elements of it, DEPTH terms at a time. There are two tiles of each factor in turn: while one is used the
 * next is on its way from memory. */
template <int TALL, int WIDE, int DEPTH, class Left, class Right>
static __global__ void __launch_bounds__(SNNCC_THREADS, 64 / SNNCC_REAL_BITS) snncc_product_kernel(int rows, int outputs, int terms, Left a, Right b,
                                            const snncc_real *bias, int add, snncc_real *y)
{
    enum { ROWS = SNNCC_SIDE * TALL, OUTPUTS = SNNCC_SIDE * WIDE };
    typedef snncc_share<ROWS, DEPTH, Left> Lefts;
    typedef snncc_share<OUTPUTS, DEPTH, Right> Rights;
    SNNCC_SHARED(snncc_group, lefts, 2 * Lefts::SIZE / SNNCC_GROUP);
    SNNCC_SHARED(snncc_group, rights, 2 * Rights::SIZE / SNNCC_GROUP);
    SNNCC_SHARED(typename Left::Row, left_rows, ROWS);
    SNNCC_SHARED(typename Right::Row, right_rows, OUTPUTS);
    SNNCC_SHARED(typename Left::Term, left_terms, 2 * DEPTH);
    SNNCC_SHARED(typename Right::Term, right_terms, 2 * DEPTH);
    const unsigned lines = snncc_tiles(rows, ROWS), columns = snncc_tiles(outputs, OUTPUTS);
    const unsigned matrix = blockIdx.x / columns / lines;
    const int first_row = (int)(blockIdx.x / columns % lines) * ROWS, first_output = (int)(blockIdx.x % columns) * OUTPUTS;
    const int i0 = (int)threadIdx.x / SNNCC_SIDE, j0 = (int)threadIdx.x % SNNCC_SIDE;
    a.select(matrix), b.select(matrix), y += matrix * ((size_t)rows * outputs);
    snncc_find_rows<ROWS>(a, first_row, rows, left_rows);
    snncc_find_rows<OUTPUTS>(b, first_output, outputs, right_rows);
    for (int turn = 0; turn < 2; turn++) {
        snncc_find_terms<DEPTH>(a, turn * DEPTH, left_terms + turn * DEPTH);
        snncc_find_terms<DEPTH>(b, turn * DEPTH, right_terms + turn * DEPTH);
    }
    Lefts left(a);
    Rights right(b);
    snncc_real sum[TALL][WIDE];
    SNNCC_UNROLL(8)
    for (int i = 0; i < TALL; i++)
        SNNCC_UNROLL(8)
        for (int j = 0; j < WIDE; j++) {
            const int row = first_row + snncc_row_of<TALL>(i0, i), output = first_output + snncc_row_of<WIDE>(j0, j);
            const bool inside = row < rows && output < outputs;
            sum[i][j] = 0;
            if (inside && add) sum[i][j] = y[(size_t)row * outputs + output];
            else if (inside && bias) sum[i][j] += bias[output];
        }
    __syncthreads();
    left.read(a, left_rows, left_terms, terms), right.read(b, right_rows, right_terms, terms);
    for (int term0 = 0, turn = 0; term0 < terms; term0 += DEPTH, turn ^= 1) {
        snncc_real *const ours = lefts[0].numbers + turn * Lefts::SIZE, *const theirs = rights[0].numbers + turn * Rights::SIZE;
        left.write(ours), right.write(theirs);
        __syncthreads(); /* nobody is in the turn before any more: what was read there is written in the next */
        if (term0 + DEPTH < terms) {
            left.read(a, left_rows, left_terms + (turn ^ 1) * DEPTH, terms - term0 - DEPTH);
            right.read(b, right_rows, right_terms + (turn ^ 1) * DEPTH, terms - term0 - DEPTH);
            snncc_find_terms<DEPTH>(a, term0 + 2 * DEPTH, left_terms + turn * DEPTH);
            snncc_find_terms<DEPTH>(b, term0 + 2 * DEPTH, right_terms + turn * DEPTH);
        }
        for (int term = 0; term < DEPTH; term++) {
            snncc_real x[TALL], w[WIDE];
            snncc_factors<TALL>(ours + term * Lefts::PITCH, i0, x);
            snncc_factors<WIDE>(theirs + term * Rights::PITCH, j0, w);
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++) sum[i][j] += x[i] * w[j];
        }
    }
    SNNCC_UNROLL(8)
    for (int i = 0; i < TALL; i++)
        SNNCC_UNROLL(8)
        for (int j = 0; j < WIDE; j++) {
            const int row = first_row + snncc_row_of<TALL>(i0, i), output = first_output + snncc_row_of<WIDE>(j0, j);
            if (row < rows && output < outputs) y[(size_t)row * outputs + output] = sum[i][j];
        }
}

template <int TALL, int WIDE> static inline unsigned snncc_product_blocks(int matrices, int rows, int outputs)
{
    return (unsigned)matrices * snncc_tiles(rows, SNNCC_SIDE * TALL) * snncc_tiles(outputs, SNNCC_SIDE * WIDE);
}

template <int TALL, int WIDE, int DEPTH, class Left, class Right>
static void snncc_multiply_tiled(cudaStream_t stream, int matrices, int rows, int outputs, int terms, Left a, Right b,
                                 const snncc_real *bias, int add, snncc_real *y)
{
    SNNCC_LAUNCH((snncc_product_kernel<TALL, WIDE, DEPTH, Left, Right>),
                 (snncc_product_blocks<TALL, WIDE>(matrices, rows, outputs)), SNNCC_THREADS, 0, stream, rows, outputs,
                 terms, a, b, bias, add, y);
}

/* Starts the kernel in tiles that fit: narrow ones for few outputs, small ones where larger ones would be few. A small
 * tile's sums wait for memory more than for each other: it reads many terms ahead. */
template <class Left, class Right>
static void snncc_multiply(cudaStream_t stream, int matrices, int rows, int outputs, int terms, Left a, Right b,
                           const snncc_real *bias, int add, snncc_real *y)
{
    const auto enough = [](unsigned blocks) { return blocks >= SNNCC_FEW_BLOCKS; };
    if (outputs > SNNCC_SIDE && enough(snncc_product_blocks<8, 4>(matrices, rows, outputs)))
        snncc_multiply_tiled<8, 4, 8>(stream, matrices, rows, outputs, terms, a, b, bias, add, y);
    else if (outputs > SNNCC_SIDE && enough(snncc_product_blocks<4, 4>(matrices, rows, outputs)))
        snncc_multiply_tiled<4, 4, 16>(stream, matrices, rows, outputs, terms, a, b, bias, add, y);
    else if (enough(snncc_product_blocks<4, 1>(matrices, rows, outputs)))
        snncc_multiply_tiled<4, 1, 16>(stream, matrices, rows, outputs, terms, a, b, bias, add, y);
    else
        snncc_multiply_tiled<1, 1, 64>(stream, matrices, rows, outputs, terms, a, b, bias, add, y);
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

/* Element `at` of y. */
static inline __device__ void snncc_matmul_element(size_t at, int n, int k, int m, int a_turned, int b_turned,
                                                   const snncc_real *a, const snncc_real *b, snncc_real *y)
{
    const size_t row = at / (size_t)m, matrix = row / (size_t)n;
    a += matrix * (size_t)n * (size_t)k + row % (size_t)n * (size_t)(a_turned ? 1 : k);
    b += matrix * (size_t)k * (size_t)m + at % (size_t)m * (size_t)(b_turned ? k : 1);
    snncc_real sum = 0;
    for (int term = 0; term < k; term++) sum += a[(size_t)term * (size_t)(a_turned ? n : 1)] * b[(size_t)term * (size_t)(b_turned ? 1 : m)];
    y[at] = sum;
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
    const snncc_factor a = {x + last * n_in, 1, -n_in, 0}, b = {d_y + last * n_out, 1, -n_out, 0};
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
