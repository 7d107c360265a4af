/* Gradients of products. Weight gradients add rows in descending order, as all that is summed over time backward, so
 * that segments of time can be added one after the other, with one multiplication and one addition each: the dense and
 * the event-driven kernel give the same bits; gradients of inputs add outputs in ascending order. */
#ifndef SNNCC_GRADIENT_H
#define SNNCC_GRADIENT_H

#include "target.h"
#include "events.h"
#include "layout.h"
#include "product.h"

/* Panels at most this wide, in vectors, take the gradient row by row. */
#define SNNCC_NARROW 2

/* Density from which the dense weight gradient is faster than the event-driven one, and the same for narrow panels.
 * Measured on Zen 4 for 128 and 1000 outputs, with the lists by input: 0.57 to 0.69; for 10 outputs 0.33 to
 * 0.36 in float, 0.36 to 0.51 in double. */
#ifndef SNNCC_GRADIENT_CROSSOVER
#define SNNCC_GRADIENT_CROSSOVER 0.6
#endif
#ifndef SNNCC_NARROW_CROSSOVER
#define SNNCC_NARROW_CROSSOVER 0.4
#endif

/* Bytes for snncc_transpose_events of `rows` rows of n features. */
SNNCC_INLINE size_t snncc_transposed_bytes(size_t rows, size_t n, int form)
{
    return snncc_events_bytes(n, rows, form);
}

/* Whether lists by input can name the rows of a tile of a batch, so many to a sample. */
SNNCC_INLINE int snncc_rows_fit(int tile, int batch, int each)
{
    const size_t rows = (size_t)(tile < batch ? tile : batch) * (size_t)each;
    return rows <= (SNNCC_INDEX_BITS == 16 ? 65536 : INT32_MAX);
}

/* How many of `count` ascending features are below `limit`, one of n. */
SNNCC_FUNCTION SNNCC_NOINLINE int32_t snncc_count_below(const snncc_index *index, int32_t count, int limit, int n)
{
    int32_t below = 0;
    if (limit == 0 || limit == n) return limit == 0 ? 0 : count;
    for (int32_t e = 0; e < count; e++) below += index[e] < limit;
    return below;
}

/* The events of a row whose features are `part` of n. */
SNNCC_INLINE snncc_range snncc_events_of(snncc_events x, int row, snncc_range part, int n)
{
    const int32_t begin = x.offsets[row], count = x.offsets[row + 1] - begin;
    snncc_range mine;
    mine.begin = begin + snncc_count_below(x.index + begin, count, part.begin, n);
    mine.end = begin + snncc_count_below(x.index + begin, count, part.end, n);
    return mine;
}

/* The events by input: for each of the n_in inputs the rows in which it is not 0, from the last one down. Rows are
 * counted from the last one, which is 0; they must fit. A counting sort into
 * snncc_events_at(transposed, n_in, rows, x.form), of this thread's part of the inputs. */
SNNCC_FUNCTION void snncc_transpose_events(snncc_events x, int rows, int n_in, void *transposed, const snncc_crew *crew)
{
    const snncc_events by_input = snncc_events_at(transposed, n_in, rows, x.form);
    const snncc_range inputs = snncc_part(crew, n_in);
    /* next[i] is where the next entry of input i goes; once all are placed it is the start of input i + 1. */
    int32_t *const next = by_input.offsets + 1;
    int32_t start = 0;
    for (int i = inputs.begin; i < inputs.end; i++) next[i] = 0;
    for (int row = 0; row < rows; row++) {
        const snncc_range mine = snncc_events_of(x, row, inputs, n_in);
        start += mine.begin - x.offsets[row];
        for (int32_t e = mine.begin; e < mine.end; e++) next[x.index[e]]++;
    }
    for (int i = inputs.begin; i < inputs.end; i++) {
        const int32_t count = next[i];
        next[i] = start;
        start += count;
    }
    if (crew->part == 0) by_input.offsets[0] = 0;
    for (int row = rows - 1; row >= 0; row--) {
        const snncc_range mine = snncc_events_of(x, row, inputs, n_in);
        for (int32_t e = mine.begin; e < mine.end; e++) {
            const int32_t place = next[x.index[e]]++;
            by_input.index[place] = (snncc_index)(rows - 1 - row);
            if (x.value) by_input.value[place] = x.value[e];
        }
    }
}

/* d_w += x^T d_y for one panel, input by input: the sums of an input stay in registers while its rows pass, in blocks of
 * rows whose d_y stay in the first-level cache. by_input: snncc_transpose_events of the events of x. d_y and d_w point at
 * the panel, d_w: [n_in][vectors]; rows of d_y should not be a multiple of 1 KiB apart. `fresh`: d_w = x^T d_y, whatever
 * d_w held. */
SNNCC_INLINE void snncc_gradient_blocks(int vectors, int valued, int fresh, snncc_events by_input, int rows, int n_in,
                                        int d_stride, const snncc_real *d_y, snncc_real *d_w)
{
    const snncc_real *const end = d_y + (ptrdiff_t)(rows - 1) * d_stride;
    snncc_gather(vectors, valued, !fresh, by_input, n_in, rows, -d_stride, vectors * SNNCC_LANES, end, NULL, d_w);
}

/* The same from x itself, [rows][x_stride]; the same bits, as long as d_w holds no -0. */
SNNCC_INLINE void snncc_gradient_dense_panel(int vectors, int fresh, int rows, int n_in, int x_stride, int d_stride,
                                             const snncc_real *x, const snncc_real *d_y, snncc_real *d_w)
{
    const snncc_real *const x_end = x + (ptrdiff_t)(rows - 1) * x_stride;
    const snncc_real *const d_end = d_y + (ptrdiff_t)(rows - 1) * d_stride;
    snncc_dense(vectors, !fresh, n_in, rows, 1, -x_stride, -d_stride, vectors * SNNCC_LANES, x_end, d_end, NULL, d_w);
}

/* The same of rows of the caller's array. A block of them is copied, of some features at a time, the last rows first. */
SNNCC_INLINE void snncc_gradient_dense_given(int vectors, int fresh, int rows, int n_in, int d_stride, snncc_rows x,
                                             const snncc_real *d_y, snncc_real *d_w)
{
    enum { ROWS = 64, FEATURES = 4 * SNNCC_DENSE_ROWS };
    snncc_real block[ROWS * FEATURES];
    for (int end = rows; end > 0; end -= ROWS) {
        const int lot = end < ROWS ? end : ROWS;
        for (int from = 0; from < n_in; from += FEATURES) {
            const int features = n_in - from < FEATURES ? n_in - from : FEATURES;
            for (int b = 0; b < lot; b++)
                memcpy(block + b * FEATURES, snncc_row(x, end - lot + b) + from, (size_t)features * sizeof *block);
            snncc_gradient_dense_panel(vectors, fresh && end == rows, lot, features, FEATURES, d_stride, block,
                                       d_y + (size_t)(end - lot) * d_stride,
                                       d_w + (size_t)from * vectors * SNNCC_LANES);
        }
    }
}

/* Whether the dense gradient is the faster one for these events. To be asked before lists by input are made. */
SNNCC_INLINE int snncc_gradient_is_dense(int vectors, snncc_events x, int rows, int n_in)
{
    const double crossover = vectors <= SNNCC_NARROW ? SNNCC_NARROW_CROSSOVER : SNNCC_GRADIENT_CROSSOVER;
    return snncc_is_dense(x, rows, n_in, crossover);
}

/* The same by whichever is faster at the density of x; by_input may be unset where that is the dense one. */
SNNCC_INLINE void snncc_counted_gradient(int vectors, int fresh, snncc_events x_events, snncc_events by_input, int rows,
                                         int n_in, int x_stride, int d_stride, const snncc_real *x,
                                         const snncc_real *d_y, snncc_real *d_w)
{
    if (snncc_gradient_is_dense(vectors, x_events, rows, n_in))
        snncc_gradient_dense_panel(vectors, fresh, rows, n_in, x_stride, d_stride, x, d_y, d_w);
    else
        snncc_gradient_blocks(vectors, 1, fresh, by_input, rows, n_in, d_stride, d_y, d_w);
}

/* The same of rows of the caller's array. */
SNNCC_INLINE void snncc_counted_gradient_given(int vectors, int fresh, snncc_events x_events, snncc_events by_input,
                                               int rows, int n_in, int d_stride, snncc_rows x, const snncc_real *d_y,
                                               snncc_real *d_w)
{
    if (snncc_gradient_is_dense(vectors, x_events, rows, n_in))
        snncc_gradient_dense_given(vectors, fresh, rows, n_in, d_stride, x, d_y, d_w);
    else
        snncc_gradient_blocks(vectors, 1, fresh, by_input, rows, n_in, d_stride, d_y, d_w);
}

/* The gradient of one narrow panel, row by row: its few weights stay in the cache, and no lists by input are needed.
 * Each weight gets its addends in the same order. */
SNNCC_INLINE void snncc_gradient_rows(int vectors, int first, int valued, snncc_events x, int rows, int d_stride,
                                      const snncc_real *d_y, snncc_real *d_w)
{
    for (int row = rows - 1; row >= 0; row--) {
        snncc_vec d[SNNCC_MOST_VECTORS];
        for (int k = 0; k < vectors; k++) d[k] = ((const snncc_vec *)(d_y + (size_t)row * d_stride + first))[k];
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++) {
            snncc_vec *const d_weight = (snncc_vec *)d_w + (size_t)x.index[e] * vectors;
            if (valued)
                for (int k = 0; k < vectors; k++) d_weight[k] += x.value[e] * d[k];
            else
                for (int k = 0; k < vectors; k++) d_weight[k] += d[k];
        }
    }
}

/* The same by whichever is faster at the density of x, [rows][x_stride]. */
SNNCC_INLINE void snncc_counted_gradient_rows(int vectors, snncc_events x_events, int rows, int n_in, int x_stride,
                                              int d_stride, const snncc_real *x, const snncc_real *d_y,
                                              snncc_real *d_w)
{
    if (snncc_gradient_is_dense(vectors, x_events, rows, n_in))
        snncc_gradient_dense_panel(vectors, 0, rows, n_in, x_stride, d_stride, x, d_y, d_w);
    else
        snncc_gradient_rows(vectors, 0, 1, x_events, rows, d_stride, d_y, d_w);
}

/* The same of rows of the caller's array. */
SNNCC_INLINE void snncc_counted_gradient_rows_given(int vectors, snncc_events x_events, int rows, int n_in,
                                                    int d_stride, snncc_rows x, const snncc_real *d_y,
                                                    snncc_real *d_w)
{
    if (snncc_gradient_is_dense(vectors, x_events, rows, n_in))
        snncc_gradient_dense_given(vectors, 0, rows, n_in, d_stride, x, d_y, d_w);
    else
        snncc_gradient_rows(vectors, 0, 1, x_events, rows, d_stride, d_y, d_w);
}

SNNCC_INLINE void snncc_gradient_single(snncc_events x, int rows, const snncc_real *d_y, snncc_real *d_w)
{
    for (int row = rows - 1; row >= 0; row--)
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
            d_w[x.index[e]] += x.value ? x.value[e] * d_y[row] : d_y[row];
}

/* A square of SNNCC_LANES x SNNCC_LANES numbers, transposed in registers: each round interleaves the upper half of the
 * vectors with the lower one, and after log2(SNNCC_LANES) rounds row and column have changed places. */
#if defined(SNNCC_AVX512) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SNNCC_SQUARES
#if SNNCC_REAL_BITS == 32
#define SNNCC_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SNNCC_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define SNNCC_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SNNCC_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#endif

SNNCC_INLINE void snncc_transpose_square(size_t stride, const snncc_real *square, size_t to_stride, snncc_real *to)
{
    enum { N = SNNCC_LANES };
    snncc_vec from[N], next[N];
    for (int i = 0; i < N; i++) from[i] = *(const snncc_vec *)(square + (size_t)i * stride);
    for (int round = 1; round < N; round *= 2) {
        for (int i = 0; i < N / 2; i++) {
            next[2 * i] = SNNCC_LOW(from[i], from[i + N / 2]);
            next[2 * i + 1] = SNNCC_HIGH(from[i], from[i + N / 2]);
        }
        for (int i = 0; i < N; i++) from[i] = next[i];
    }
    for (int i = 0; i < N; i++) *(snncc_vec *)(to + (size_t)i * to_stride) = from[i];
}
#endif
#endif

/* slice[o][i] = the weight of input first_in + i and output first_out + o, for o < n and i < width; 0 from the last
 * input on. Outputs lie in one panel of the [n_out][n_in] matrix in panels. */
SNNCC_FUNCTION SNNCC_NOINLINE void snncc_transpose_part(int n_out, int n_in, int first_out, int n, int first_in, int width,
                                         const snncc_real *panels, snncc_real *slice)
{
    const int panel = first_out / SNNCC_PANEL * SNNCC_PANEL, stride = snncc_panel_width(n_out, panel);
    const snncc_real *const from = panels + (size_t)panel * n_in + (size_t)first_in * stride + (first_out - panel);
    for (int i = 0; i < width; i += SNNCC_LANES)
        for (int o = 0; o < n; o += SNNCC_LANES) {
            const snncc_real *const square = from + (size_t)i * stride + o;
            snncc_real *const to = slice + (size_t)o * width + i;
#ifdef SNNCC_SQUARES
            if (o + SNNCC_LANES <= n && first_in + i + SNNCC_LANES <= n_in) {
                snncc_transpose_square((size_t)stride, square, (size_t)width, to);
                continue;
            }
#endif
            for (int row = 0; row < SNNCC_LANES && o + row < n; row++)
                for (int k = 0; k < SNNCC_LANES && i + k < width; k++)
                    to[(size_t)row * width + k] =
                        first_in + i + k < n_in ? square[(size_t)k * stride + row] : (snncc_real)0;
        }
}

/* Panels of the [n_out][n_in] matrix to panels of its transpose, [n_in][n_out]. */
SNNCC_FUNCTION void snncc_transpose_weights(int n_out, int n_in, const snncc_real *SNNCC_RESTRICT panels,
                                            snncc_real *SNNCC_RESTRICT transposed)
{
    for (int first = 0; first < n_in; first += SNNCC_PANEL) {
        const int width = snncc_panel_width(n_in, first);
        for (int o = 0; o < n_out; o += SNNCC_PANEL) {
            const int n = n_out - o < SNNCC_PANEL ? n_out - o : SNNCC_PANEL;
            snncc_transpose_part(n_out, n_in, o, n, first, width, panels, transposed + (size_t)o * width);
        }
        transposed += (size_t)n_out * width;
    }
}

/* Outputs whose weights are transposed at a time, for one panel of inputs: 32 KiB of scratch,
 * which stays in the second-level cache beside the rows. */
#define SNNCC_SLICE 128

/* Numbers of scratch for snncc_input_gradient_panel. */
#define SNNCC_SLICE_SIZE (SNNCC_SLICE * SNNCC_PANEL)

/* d_x = d_y w^T for the `vectors` vectors of inputs from first_in on, without a transposed copy of the weights: w is
 * the whole matrix in panels, d_y: [rows][d_stride] of n_out outputs, d_x points at the panel. Outputs are added in
 * ascending order, as a product with the transposed weights does. scratch: SNNCC_SLICE_SIZE numbers. Up to a fifth
 * slower than that product, for 100 rows; snncc_transpose_weights costs more than that once a tile, but not once a
 * call. */
SNNCC_INLINE void snncc_input_gradient_panel(int vectors, int first_in, int rows, int n_out, int n_in, int d_stride,
                                             int x_stride, const snncc_real *d_y, const snncc_real *w,
                                             snncc_real *scratch, snncc_real *d_x)
{
    const int width = vectors * SNNCC_LANES;
    for (int o = 0; o < n_out; o += SNNCC_SLICE) {
        const int n = n_out - o < SNNCC_SLICE ? n_out - o : SNNCC_SLICE;
        for (int part = 0; part < n; part += SNNCC_PANEL) {
            const int outputs = n - part < SNNCC_PANEL ? n - part : SNNCC_PANEL;
            snncc_transpose_part(n_out, n_in, o + part, outputs, first_in, width, w, scratch + (size_t)part * width);
        }
        snncc_dense(vectors, o > 0, rows, n, d_stride, 1, width, x_stride, d_y + o, scratch, NULL, d_x);
    }
}

#endif
