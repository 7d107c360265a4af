/* Loops over time in one kernel: all blocks are there for all steps, and meet where one reads what another wrote.
 *
 * A block has the same tiles of samples and features at each step, for all values of a width, and a thread the same
 * elements of them. So what a thread made of an element it reads again without waiting, and a block's columns of the
 * weights stay in its shared memory. Only what reads other elements (products, moves) comes behind a barrier.
 * Pointers are not SNNCC_RESTRICT here: what another block wrote may not be read past the caches. */
#ifndef SNNCC_CUDA_LOOP_H
#define SNNCC_CUDA_LOOP_H

#include "product.h"

enum {
    SNNCC_TALL = 2, /* elements of a thread in a tile, SNNCC_SIDE rows apart */
    SNNCC_LINES = SNNCC_SIDE * SNNCC_TALL, /* rows of a tile; it has SNNCC_SIDE features */
    SNNCC_CHUNK = 128, /* terms of a product at a time */
    SNNCC_QUAD = 4, /* terms that are read at once */
    SNNCC_CHUNK_ROW = SNNCC_CHUNK + SNNCC_QUAD, /* 16 rows side by side use all banks of shared memory */
    SNNCC_LEFT = SNNCC_LINES * SNNCC_CHUNK_ROW, /* reals of shared memory for rows, */
    SNNCC_RIGHT = SNNCC_SIDE * SNNCC_CHUNK_ROW /* and for weights that do not stay there */
};

/* Of a loop's kernel: registers of so few that a multiprocessor holds two blocks. */
#define SNNCC_RESIDENT __launch_bounds__(SNNCC_THREADS, 2)

struct alignas(16) snncc_quad {
    snncc_real term[SNNCC_QUAD];
};

/* The tiles of a block, one after the other: of its column all its lines, then of its next column. Values are
 * [samples][pixels][n]; what is no image is one pixel. */
struct snncc_tile {
    size_t rows; /* samples times pixels */
    int pixels, n;
    int line, column; /* of the tile, in tiles */
    int first_line, line_step, column_step, lines, columns;

    __device__ snncc_tile(int samples, int pixels, int n) : rows((size_t)samples * (size_t)pixels), pixels(pixels), n(n)
    {
        lines = (int)((rows + SNNCC_LINES - 1) / SNNCC_LINES), columns = (int)snncc_tiles(n, SNNCC_SIDE);
        column_step = columns < (int)gridDim.x ? columns : (int)gridDim.x;
        line_step = (int)gridDim.x / column_step;
        column = (int)blockIdx.x % column_step;
        line = first_line = (int)blockIdx.x / column_step;
        if (line >= line_step) line = lines, column = columns; /* more blocks than columns times lines */
    }

    /* Whether there is a tile; alike for all threads. */
    __device__ bool some() const { return line < lines && column < columns; }

    __device__ void next()
    {
        line += line_step;
        if (line >= lines) line = first_line, column += column_step;
    }

    __device__ size_t first_row() const { return (size_t)line * SNNCC_LINES; }
    __device__ size_t row(int i) const { return first_row() + (size_t)(i * SNNCC_SIDE + (int)threadIdx.x / SNNCC_SIDE); }
    __device__ int output() const { return column * SNNCC_SIDE + (int)threadIdx.x % SNNCC_SIDE; }

    /* Of the thread's element i, if it is one: its sample, and which of that one's features it is. */
    __device__ bool has(int i) const { return row(i) < rows && output() < n; }
    __device__ size_t at(int i) const { return row(i) * (size_t)n + (size_t)output(); }
    __device__ int sample(int i) const { return (int)(row(i) / (size_t)pixels); }
    __device__ int feature(int i) const { return (int)(row(i) % (size_t)pixels) * n + output(); }

    /* Whether the block has no tile but this one, so that registers of one step are those of the next. */
    __device__ bool alone() const { return column_step == columns && line_step >= lines; }
};

/* For each element i of a thread in a tile. */
#define SNNCC_OF_TILE(i, tile) \
    SNNCC_UNROLL(SNNCC_TALL) \
    for (int i = 0; i < SNNCC_TALL; i++) \
        if (tile.has(i))

/* The thread's elements of x: [rows][n]. */
static inline __device__ void snncc_tile_read(const snncc_tile &tile, const snncc_real *x, snncc_real *elements)
{
    for (int i = 0; i < SNNCC_TALL; i++) elements[i] = tile.has(i) ? x[tile.at(i)] : (snncc_real)0;
}

/* A state before a step: read, unless it is still there from the step before. */
static inline __device__ void snncc_tile_keep(const snncc_tile &tile, bool first, const snncc_real *x, snncc_real *state)
{
    if (first || !tile.alone()) snncc_tile_read(tile, x, state);
}

/* The terms of a sum: `each` at every place, of which there is one but in windows of images. The weight of term k at place p
 * for output o is at w[first + p * place_step + k * step + o]. */
struct snncc_terms {
    int places, each;
    ptrdiff_t first, place_step, step;

    /* Terms of a place, and of all, as they are read: zeros fill up the last. */
    __device__ int padded() const { return (each + SNNCC_QUAD - 1) / SNNCC_QUAD * SNNCC_QUAD; }
    __device__ int count() const { return places * padded(); }
};

/* Distance between two columns of weights in shared memory: as SNNCC_CHUNK_ROW, of so many terms. */
SNNCC_INLINE size_t snncc_slice_row(int terms)
{
    return (size_t)((terms + 31) / 32 * 32 + SNNCC_QUAD);
}

/* Reals of shared memory that a block's columns take. */
SNNCC_INLINE size_t snncc_slice(int terms)
{
    return SNNCC_SIDE * snncc_slice_row(terms);
}

/* Weights of n_out outputs, and the block's columns of them as rows, if they stay in shared memory. */
struct snncc_weights {
    const snncc_real *w;
    snncc_terms terms;
    int n_out;
    const snncc_real *slice;

    __device__ snncc_real at(int number, int output) const
    {
        const int place = terms.places == 1 ? 0 : number / terms.padded(), k = number - place * terms.padded();
        const bool inside = place < terms.places && k < terms.each && output < n_out;
        return inside ? w[terms.first + place * terms.place_step + k * terms.step + output] : (snncc_real)0;
    }
};

/* Terms from term0 on of the columns from `first` on, as rows, `row` apart; the rest of `count` terms is 0. */
static inline __device__ void snncc_turn(const snncc_weights &weights, int first, int term0, int count, size_t row,
                                         snncc_real *slice)
{
    for (int k = (int)threadIdx.x; k < SNNCC_SIDE * count; k += SNNCC_THREADS) {
        const int term = k / SNNCC_SIDE, j = k % SNNCC_SIDE;
        slice[(size_t)j * row + (size_t)term] = weights.at(term0 + term, first + j);
    }
}

/* The weights, with the block's columns in `slice` if that is not NULL: then a block has tiles of one column. */
static inline __device__ snncc_weights snncc_keep(const snncc_real *w, snncc_terms terms, int n_out, snncc_real *slice)
{
    const snncc_tile tile(1, 1, n_out);
    const snncc_weights weights = {w, terms, n_out, slice};
    const size_t row = snncc_slice_row(terms.count());
    if (slice) snncc_turn(weights, (int)blockIdx.x % tile.column_step * SNNCC_SIDE, 0, (int)row, row, slice);
    return weights;
}

/* Of a matrix [n_in][n_out]. */
static inline __device__ snncc_terms snncc_terms_of(int n_in, int n_out)
{
    return {1, n_in, 0, 0, n_out};
}

/* The rows [rows][n] whose numbers are a product's left factors. Of other kinds of rows: see loop_conv.h. */
struct snncc_left_rows {
    enum { BY_PLACE = 0 }; /* whether the terms of a place are added up before their sum is added */

    const snncc_real *x;
    int n;

    /* Where a term of a row is in x; -1 of one that is 0. Those of a quad are neighbours if n is a multiple of it. */
    __device__ ptrdiff_t at(size_t row, int term) const { return term < n ? (ptrdiff_t)(row * (size_t)n) + term : -1; }
    __device__ snncc_real start(const snncc_real *bias, int output) const { return bias ? bias[output] : (snncc_real)0; }
};

/* Terms from term0 on of a tile's rows, in shared memory; what is not there is 0. Four at a time where they lie so that
 * the few loads of a thread wait together. */
template <class Rows>
static inline __device__ void snncc_stage(const snncc_tile &tile, const Rows &rows, int each, int term0, int terms,
                                          snncc_real *room)
{
    const size_t row0 = tile.first_row();
    if (each % SNNCC_QUAD == 0 && (uintptr_t)rows.x % sizeof(snncc_quad) == 0) {
        enum { QUADS = SNNCC_CHUNK / SNNCC_QUAD };
        SNNCC_UNROLL(4)
        for (int k = 0; k < SNNCC_LINES * QUADS / SNNCC_THREADS; k++) {
            const int place = k * SNNCC_THREADS + (int)threadIdx.x, r = place / QUADS, term = place % QUADS * SNNCC_QUAD;
            const bool inside = row0 + (size_t)r < tile.rows && term < terms;
            const ptrdiff_t at = inside ? rows.at(row0 + (size_t)r, term0 + term) : -1;
            snncc_quad quad = {};
            if (at >= 0) quad = *(const snncc_quad *)(const void *)(rows.x + at);
            *(snncc_quad *)(void *)(room + r * SNNCC_CHUNK_ROW + term) = quad;
        }
        return;
    }
    SNNCC_UNROLL(8)
    for (int k = 0; k < SNNCC_LINES * SNNCC_CHUNK / SNNCC_THREADS; k++) {
        const int place = k * SNNCC_THREADS + (int)threadIdx.x, r = place / SNNCC_CHUNK, term = place % SNNCC_CHUNK;
        const bool inside = row0 + (size_t)r < tile.rows && term < terms;
        const ptrdiff_t at = inside ? rows.at(row0 + (size_t)r, term0 + term) : -1;
        room[r * SNNCC_CHUNK_ROW + term] = at >= 0 ? rows.x[at] : (snncc_real)0;
    }
}

/* sum[i] = bias + row times column, of each element i of the thread: the terms in ascending order. Every thread of the
 * block comes here; `room` is shared memory, SNNCC_LEFT + SNNCC_RIGHT reals. */
template <class Rows>
static inline __device__ void snncc_tile_product(const snncc_tile &tile, const snncc_weights &weights, const Rows &rows,
                                                 const snncc_real *bias, snncc_real *room, snncc_real *sum)
{
    const int count = weights.terms.count(), each = weights.terms.padded(), i0 = (int)threadIdx.x / SNNCC_SIDE;
    const size_t row = weights.slice ? snncc_slice_row(count) : (size_t)SNNCC_CHUNK_ROW;
    const snncc_real *right = (weights.slice ? weights.slice : room + SNNCC_LEFT) + threadIdx.x % SNNCC_SIDE * row;
    const snncc_real start = rows.start(tile.output() < tile.n ? bias : NULL, tile.output());
    snncc_real part[SNNCC_TALL] = {};
    for (int i = 0; i < SNNCC_TALL; i++) sum[i] = start;
    for (int term0 = 0; term0 < count; term0 += SNNCC_CHUNK) {
        const int terms = count - term0 < SNNCC_CHUNK ? count - term0 : (int)SNNCC_CHUNK;
        snncc_stage(tile, rows, weights.terms.each, term0, terms, room);
        if (!weights.slice)
            snncc_turn(weights, tile.column * SNNCC_SIDE, term0, SNNCC_CHUNK, row, room + SNNCC_LEFT);
        __syncthreads();
        SNNCC_UNROLL(4)
        for (int term = 0; term < terms; term += SNNCC_QUAD) {
            const snncc_quad b = *(const snncc_quad *)(const void *)(right + term);
            const bool ends = Rows::BY_PLACE && (term0 + term + SNNCC_QUAD) % each == 0;
            for (int i = 0; i < SNNCC_TALL; i++) {
                const snncc_real *const left = room + (i0 + i * SNNCC_SIDE) * SNNCC_CHUNK_ROW + term;
                const snncc_quad a = *(const snncc_quad *)(const void *)left;
                snncc_real *const to = Rows::BY_PLACE ? part : sum;
                for (int k = 0; k < SNNCC_QUAD; k++) to[i] += a.term[k] * b.term[k];
                if (ends) sum[i] += part[i], part[i] = 0;
            }
        }
        __syncthreads();
        if (weights.slice) right += SNNCC_CHUNK;
    }
}

/* How a loop starts: blocks, bytes of shared memory, whether weights stay there. */
typedef struct {
    unsigned blocks;
    size_t bytes;
    int kept;
} snncc_grid;

/* Blocks that the device holds at once, each with so much shared memory beside what the kernel declares, at most a real
 * for each thread; 0 if it has less. */
template <class Kernel>
static unsigned snncc_resident(Kernel kernel, size_t bytes)
{
    const int device = snncc_device();
    int most = 0, processors = 0, blocks = 0;
    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    if (bytes + SNNCC_THREADS * sizeof(snncc_real) > (size_t)most) return 0;
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, SNNCC_THREADS, bytes);
    return (unsigned)blocks * (unsigned)processors;
}

/* Values of so many outputs, or channels of so many pixels. */
typedef struct {
    int n, pixels;
} snncc_shape;

/* A block for each tile of the largest values, and for each of `apart` rows that one block has alone, as far as the
 * device holds them; what is left of tiles and rows is theirs, too. Weights, `slices` reals of shared memory, stay there
 * if that leaves a block for each column. */
template <class Kernel, int N>
static snncc_grid snncc_plan_grid(Kernel kernel, int rows, int apart, const snncc_shape (&shapes)[N], size_t slices)
{
    size_t most = (size_t)apart;
    unsigned columns = 1;
    for (const snncc_shape &shape : shapes) {
        const unsigned across = snncc_tiles(shape.n, SNNCC_SIDE);
        const size_t tiles = across * (((size_t)rows * (size_t)shape.pixels + SNNCC_LINES - 1) / SNNCC_LINES);
        if (across > columns) columns = across;
        if (tiles > most) most = tiles;
    }
    const size_t room = slices ? SNNCC_LEFT + SNNCC_RIGHT : 0, all = (room + slices) * sizeof(snncc_real);
    unsigned resident = slices ? snncc_resident(kernel, all) : 0;
    const int kept = resident >= columns;
    if (!kept) resident = snncc_resident(kernel, room * sizeof(snncc_real));
    return {resident < most ? resident : (unsigned)most, kept ? all : room * sizeof(snncc_real), kept};
}

#endif
