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

/* The tiles of a block, one after the other: of its column all its lines, then of its next column. */
struct snncc_tile {
    int rows, n; /* of the whole */
    int line, column; /* of the tile, in tiles */
    int first_line, line_step, column_step, lines, columns;

    __device__ snncc_tile(int rows, int n) : rows(rows), n(n)
    {
        lines = (int)snncc_tiles(rows, SNNCC_LINES), columns = (int)snncc_tiles(n, SNNCC_SIDE);
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

    __device__ int row(int i) const { return line * SNNCC_LINES + i * SNNCC_SIDE + (int)threadIdx.x / SNNCC_SIDE; }
    __device__ int feature() const { return column * SNNCC_SIDE + (int)threadIdx.x % SNNCC_SIDE; }

    /* Whether the block has no tile but this one, so that registers of one step are those of the next. */
    __device__ bool alone() const { return column_step == columns && line_step >= lines; }

    /* Whether the thread's element i is one. */
    __device__ bool has(int i) const { return row(i) < rows && feature() < n; }
    __device__ size_t at(int i) const { return (size_t)row(i) * (size_t)n + (size_t)feature(); }
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

/* Distance between two columns of a matrix in shared memory: as SNNCC_CHUNK_ROW, of n_in terms. */
SNNCC_INLINE size_t snncc_slice_row(int n_in)
{
    return (size_t)((n_in + 31) / 32 * 32 + SNNCC_QUAD);
}

/* Reals of shared memory that a block's columns of a matrix take. */
SNNCC_INLINE size_t snncc_slice(int n_in)
{
    return SNNCC_SIDE * snncc_slice_row(n_in);
}

/* A matrix [n_in][n_out], and the block's columns of it as rows, if they stay in shared memory. */
struct snncc_weights {
    const snncc_real *w;
    int n_in, n_out;
    const snncc_real *slice;
};

/* Terms from term0 on of the columns from `first` on, as rows, `row` apart; the rest of `count` terms is 0. */
static inline __device__ void snncc_turn(const snncc_real *w, int n_in, int n_out, int first, int term0, int count,
                                         size_t row, snncc_real *slice)
{
    for (int k = (int)threadIdx.x; k < SNNCC_SIDE * count; k += SNNCC_THREADS) {
        const int term = term0 + k / SNNCC_SIDE, j = k % SNNCC_SIDE;
        const bool inside = term < n_in && first + j < n_out;
        slice[(size_t)j * row + (size_t)(k / SNNCC_SIDE)] = inside ? w[(size_t)term * n_out + first + j] : (snncc_real)0;
    }
}

/* The matrix, with the block's columns in `slice` if that is not NULL: then a block has tiles of one column. */
static inline __device__ snncc_weights snncc_keep(const snncc_real *w, int n_in, int n_out, snncc_real *slice)
{
    const snncc_tile tile(1, n_out);
    const size_t row = snncc_slice_row(n_in);
    if (slice) snncc_turn(w, n_in, n_out, (int)blockIdx.x % tile.column_step * SNNCC_SIDE, 0, (int)row, row, slice);
    return {w, n_in, n_out, slice};
}

/* Terms from term0 on of a tile's rows, in shared memory; what is not there is 0. Four at a time where they lie so that
 * the few loads of a thread wait together. */
static inline __device__ void snncc_stage(const snncc_tile &tile, int n_in, const snncc_real *x, int term0, int terms,
                                          snncc_real *room)
{
    const int row0 = tile.line * SNNCC_LINES;
    if (n_in % SNNCC_QUAD == 0 && (uintptr_t)x % sizeof(snncc_quad) == 0) {
        enum { QUADS = SNNCC_CHUNK / SNNCC_QUAD };
        SNNCC_UNROLL(4)
        for (int k = 0; k < SNNCC_LINES * QUADS / SNNCC_THREADS; k++) {
            const int place = k * SNNCC_THREADS + (int)threadIdx.x, r = place / QUADS, term = place % QUADS * SNNCC_QUAD;
            snncc_quad quad = {};
            if (row0 + r < tile.rows && term < terms)
                quad = *(const snncc_quad *)(const void *)(x + (size_t)(row0 + r) * n_in + term0 + term);
            *(snncc_quad *)(void *)(room + r * SNNCC_CHUNK_ROW + term) = quad;
        }
        return;
    }
    SNNCC_UNROLL(8)
    for (int k = 0; k < SNNCC_LINES * SNNCC_CHUNK / SNNCC_THREADS; k++) {
        const int place = k * SNNCC_THREADS + (int)threadIdx.x, r = place / SNNCC_CHUNK, term = place % SNNCC_CHUNK;
        const bool inside = row0 + r < tile.rows && term < terms;
        room[r * SNNCC_CHUNK_ROW + term] = inside ? x[(size_t)(row0 + r) * n_in + term0 + term] : (snncc_real)0;
    }
}

/* sum[i] = bias + row times column, of each element i of the thread: the terms in ascending order. x: [rows][n_in].
 * Every thread of the block comes here; `room` is shared memory, SNNCC_LEFT + SNNCC_RIGHT reals. */
static inline __device__ void snncc_tile_product(const snncc_tile &tile, const snncc_weights &weights, const snncc_real *x,
                                                 const snncc_real *bias, snncc_real *room, snncc_real *sum)
{
    const int n_in = weights.n_in, i0 = (int)threadIdx.x / SNNCC_SIDE;
    const size_t row = weights.slice ? snncc_slice_row(n_in) : (size_t)SNNCC_CHUNK_ROW;
    const snncc_real *right = (weights.slice ? weights.slice : room + SNNCC_LEFT) + threadIdx.x % SNNCC_SIDE * row;
    const snncc_real start = bias && tile.feature() < tile.n ? bias[tile.feature()] : (snncc_real)0;
    for (int i = 0; i < SNNCC_TALL; i++) sum[i] = start;
    for (int term0 = 0; term0 < n_in; term0 += SNNCC_CHUNK) {
        const int terms = n_in - term0 < SNNCC_CHUNK ? n_in - term0 : (int)SNNCC_CHUNK;
        snncc_stage(tile, n_in, x, term0, terms, room);
        if (!weights.slice)
            snncc_turn(weights.w, n_in, weights.n_out, tile.column * SNNCC_SIDE, term0, SNNCC_CHUNK, row, room + SNNCC_LEFT);
        __syncthreads();
        SNNCC_UNROLL(4)
        for (int term = 0; term < terms; term += SNNCC_QUAD) {
            const snncc_quad b = *(const snncc_quad *)(const void *)(right + term);
            for (int i = 0; i < SNNCC_TALL; i++) {
                const snncc_real *const left = room + (i0 + i * SNNCC_SIDE) * SNNCC_CHUNK_ROW + term;
                const snncc_quad a = *(const snncc_quad *)(const void *)left;
                for (int k = 0; k < SNNCC_QUAD; k++) sum[i] += a.term[k] * b.term[k];
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

/* A block for each tile of the widest values, and for each of `apart` rows that one block has alone, as far as the
 * device holds them; what is left of tiles and rows is theirs, too. Weights, `slices` reals of shared memory, stay there
 * if that leaves a block for each column. */
template <class Kernel>
static snncc_grid snncc_plan_grid(Kernel kernel, int rows, int apart, int widest, size_t slices)
{
    const unsigned columns = snncc_tiles(widest, SNNCC_SIDE), tiled = columns * snncc_tiles(rows, SNNCC_LINES);
    const unsigned tiles = tiled < (unsigned)apart ? (unsigned)apart : tiled;
    const size_t room = slices ? SNNCC_LEFT + SNNCC_RIGHT : 0, all = (room + slices) * sizeof(snncc_real);
    unsigned resident = slices ? snncc_resident(kernel, all) : 0;
    const int kept = resident >= columns;
    if (!kept) resident = snncc_resident(kernel, room * sizeof(snncc_real));
    return {resident < tiles ? resident : tiles, kept ? all : room * sizeof(snncc_real), kept};
}

#endif
