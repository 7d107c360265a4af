/* Products with a weight matrix in panels, [panel][n_in][width]: see layout.h. Sums run over the inputs in ascending
 * order, one multiplication and one addition each, so that the dense and the event-driven product give the same bits
 * (for finite weights): an input of 0 would add 0, which changes nothing once a sum is not -0.
 *
 * Panels are the outer loop: a panel (128 float outputs, n_in inputs) stays in the L2 cache while all rows pass, and
 * the sums of a row stay in registers. Call with constant sizes: everything is inlined and specialised. */
#ifndef SNNCC_PRODUCT_H
#define SNNCC_PRODUCT_H

#include "target.h"
#include "events.h"

/* Density from which the dense product is faster than the event-driven one; on Zen 4 0.4 (10 outputs) to 0.55. */
#ifndef SNNCC_CROSSOVER
#define SNNCC_CROSSOVER 0.45
#endif

/* kernel(V, ...) with V = vectors as a constant from 1 to 8: loops over vectors unroll, sums become registers. */
#define SNNCC_SPECIALISE(kernel, vectors, ...)   \
    switch (vectors) {                           \
    case 1: kernel(1, __VA_ARGS__); break;       \
    case 2: kernel(2, __VA_ARGS__); break;       \
    case 3: kernel(3, __VA_ARGS__); break;       \
    case 4: kernel(4, __VA_ARGS__); break;       \
    case 5: kernel(5, __VA_ARGS__); break;       \
    case 6: kernel(6, __VA_ARGS__); break;       \
    case 7: kernel(7, __VA_ARGS__); break;       \
    case 8: kernel(8, __VA_ARGS__); break;       \
    default: break;                              \
    }

/* kernel(V, ..., offset of the panel's first output, ...) for each panel of n_out_stride outputs. */
#define SNNCC_EACH_PANEL(kernel, n_out_stride, ...)                                              \
    do {                                                                                         \
        const int full = (n_out_stride) / SNNCC_PANEL * SNNCC_PANEL;                             \
        for (int first = 0; first < full; first += SNNCC_PANEL)                                  \
            kernel(SNNCC_PANEL_VECTORS, first, __VA_ARGS__);                                     \
        SNNCC_SPECIALISE(kernel, ((n_out_stride) - full) / SNNCC_LANES, full, __VA_ARGS__)       \
    } while (0)

/* Sums start at the bias, or 0. Adding 0 turns a bias of -0 into 0. */
SNNCC_INLINE void snncc_start(int vectors, const snncc_real *bias, snncc_vec *sum)
{
    for (int k = 0; k < vectors; k++) {
        const snncc_vec zero = {0};
        sum[k] = zero;
        if (bias) sum[k] += ((const snncc_vec *)bias)[k];
    }
}

/* Sums of a dense block in registers: 24 of 32, the rest for weights and products. */
#define SNNCC_DENSE_SUMS 24

/* `block` rows of x times `vectors` vectors of a panel of w; a weight is loaded once for all the rows. */
SNNCC_INLINE void snncc_dense_block(int block, int vectors, int n_in, int x_stride, int y_stride, const snncc_real *x,
                                    const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_vec sum[SNNCC_DENSE_SUMS];
    for (int b = 0; b < block; b++) snncc_start(vectors, bias, sum + b * vectors);
    for (int i = 0; i < n_in; i++) {
        const snncc_vec *const weight = (const snncc_vec *)w + (size_t)i * vectors;
        for (int b = 0; b < block; b++)
            for (int k = 0; k < vectors; k++) sum[b * vectors + k] += x[(size_t)b * x_stride + i] * weight[k];
    }
    for (int b = 0; b < block; b++)
        for (int k = 0; k < vectors; k++) ((snncc_vec *)(y + (size_t)b * y_stride))[k] = sum[b * vectors + k];
}

/* All rows times one panel, whose first output is `first`. */
SNNCC_INLINE void snncc_dense_panel(int vectors, int first, int rows, int n_in, int x_stride, int y_stride,
                                    const snncc_real *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const int block = vectors < 3 ? 8 : SNNCC_DENSE_SUMS / vectors;
    const snncc_real *const panel = w + (size_t)first * n_in;
    const snncc_real *const panel_bias = bias ? bias + first : NULL;
    if (rows < block) {
        for (int row = 0; row < rows; row++)
            snncc_dense_block(1, vectors, n_in, x_stride, y_stride, x + (size_t)row * x_stride, panel, panel_bias,
                              y + (size_t)row * y_stride + first);
        return;
    }
    for (int row = 0; row < rows; row += block) {
        /* The last block overlaps the one before instead of being smaller: some rows are computed twice. */
        const size_t start = (size_t)(row + block <= rows ? row : rows - block);
        snncc_dense_block(block, vectors, n_in, x_stride, y_stride, x + start * x_stride, panel, panel_bias,
                          y + start * y_stride + first);
    }
}

/* The case of a single output, whose weights are n_in scalars. */
SNNCC_INLINE void snncc_dense_single(int rows, int n_in, int x_stride, const snncc_real *x, const snncc_real *w,
                                     const snncc_real *bias, snncc_real *y)
{
    for (int row = 0; row < rows; row++, x += x_stride) {
        snncc_real sum = bias ? bias[0] + (snncc_real)0 : (snncc_real)0;
        for (int i = 0; i < n_in; i++) sum += x[i] * w[i];
        y[row] = sum;
    }
}

/* y = x w + bias. x: [rows][x_stride], y: [rows][n_out_stride], bias: [n_out_stride] or NULL. */
SNNCC_INLINE void snncc_product_dense(int rows, int n_in, int x_stride, int n_out_stride, const snncc_real *x,
                                      const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (n_out_stride == 1)
        snncc_dense_single(rows, n_in, x_stride, x, w, bias, y);
    else
        SNNCC_EACH_PANEL(snncc_dense_panel, n_out_stride, rows, n_in, x_stride, n_out_stride, x, w, bias, y);
}

SNNCC_INLINE void snncc_event_panel(int vectors, int first, int valued, snncc_events x, int rows, int n_in,
                                    int y_stride, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const snncc_real *const panel = w + (size_t)first * n_in;
    for (int row = 0; row < rows; row++) {
        const int32_t end = x.offsets[row + 1];
        snncc_vec sum[SNNCC_PANEL_VECTORS];
        snncc_start(vectors, bias ? bias + first : NULL, sum);
        for (int32_t e = x.offsets[row]; e < end; e++) {
            const snncc_vec *const weight = (const snncc_vec *)panel + (size_t)x.index[e] * vectors;
            if (valued)
                for (int k = 0; k < vectors; k++) sum[k] += x.value[e] * weight[k];
            else
                for (int k = 0; k < vectors; k++) sum[k] += weight[k];
        }
        for (int k = 0; k < vectors; k++) ((snncc_vec *)(y + (size_t)row * y_stride + first))[k] = sum[k];
    }
}

SNNCC_INLINE void snncc_event_single(snncc_events x, int rows, const snncc_real *w, const snncc_real *bias,
                                     snncc_real *y)
{
    for (int row = 0; row < rows; row++) {
        snncc_real sum = bias ? bias[0] + (snncc_real)0 : (snncc_real)0;
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
            sum += x.value ? x.value[e] * w[x.index[e]] : w[x.index[e]];
        y[row] = sum;
    }
}

/* y = x w + bias from the events of x; the same bits as snncc_product_dense. */
SNNCC_INLINE void snncc_product_events(snncc_events x, int rows, int n_in, int n_out_stride, const snncc_real *w,
                                       const snncc_real *bias, snncc_real *y)
{
    if (n_out_stride == 1)
        snncc_event_single(x, rows, w, bias, y);
    else if (x.value)
        SNNCC_EACH_PANEL(snncc_event_panel, n_out_stride, 1, x, rows, n_in, n_out_stride, w, bias, y);
    else
        SNNCC_EACH_PANEL(snncc_event_panel, n_out_stride, 0, x, rows, n_in, n_out_stride, w, bias, y);
}

/* y = x w + bias by whichever product is faster at the density of x; x_events are the events of x. */
SNNCC_INLINE void snncc_product(snncc_events x_events, int rows, int n_in, int x_stride, int n_out_stride,
                                const snncc_real *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (snncc_events_count(x_events, rows) < SNNCC_CROSSOVER * rows * n_in)
        snncc_product_events(x_events, rows, n_in, n_out_stride, w, bias, y);
    else
        snncc_product_dense(rows, n_in, x_stride, n_out_stride, x, w, bias, y);
}

/* Bytes for snncc_transpose_events of `rows` rows of n features. */
SNNCC_INLINE size_t snncc_transposed_bytes(size_t rows, size_t n, int valued)
{
    return snncc_events_bytes(n, rows, valued);
}

/* The events by input: for each of the n_in inputs the rows, ascending, in which it is not 0. A counting sort into
 * snncc_events_at(transposed, n_in, rows, x.value != NULL). */
SNNCC_FUNCTION void snncc_transpose_events(snncc_events x, int rows, int n_in, void *transposed)
{
    const snncc_events by_input = snncc_events_at(transposed, n_in, rows, x.value != NULL);
    /* next[i] is where the next entry of input i goes; once all are placed it is the start of input i + 1. */
    int32_t *const next = by_input.offsets + 1;
    memset(by_input.offsets, 0, ((size_t)n_in + 2) * sizeof(int32_t));
    for (int32_t e = 0; e < x.offsets[rows]; e++) next[x.index[e] + 1]++;
    for (int i = 0; i < n_in; i++) next[i + 1] += next[i];
    for (int row = 0; row < rows; row++)
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++) {
            const int32_t place = next[x.index[e]]++;
            by_input.index[place] = row;
            if (x.value) by_input.value[place] = x.value[e];
        }
}

/* The gradient of one panel, input by input: the sums of an input stay in registers while its rows pass. */
SNNCC_INLINE void snncc_gradient_panel(int vectors, int first, int valued, snncc_events by_input, int n_in,
                                       int d_stride, const snncc_real *d_y, snncc_real *d_w)
{
    snncc_vec *d_weight = (snncc_vec *)(d_w + (size_t)first * n_in);
    for (int i = 0; i < n_in; i++, d_weight += vectors) {
        const int32_t end = by_input.offsets[i + 1];
        int32_t e = by_input.offsets[i];
        if (e == end) continue;
        snncc_vec sum[SNNCC_PANEL_VECTORS];
        for (int k = 0; k < vectors; k++) sum[k] = d_weight[k];
        for (; e < end; e++) {
            const snncc_vec *const d = (const snncc_vec *)(d_y + (size_t)by_input.index[e] * d_stride + first);
            if (valued)
                for (int k = 0; k < vectors; k++) sum[k] += by_input.value[e] * d[k];
            else
                for (int k = 0; k < vectors; k++) sum[k] += d[k];
        }
        for (int k = 0; k < vectors; k++) d_weight[k] = sum[k];
    }
}

/* The gradient of one narrow panel, row by row: its few weights stay in the cache, and no lists by input are needed.
 * Each weight gets its addends in the same order. */
SNNCC_INLINE void snncc_gradient_rows(int vectors, int first, int valued, snncc_events x, int rows, int d_stride,
                                      const snncc_real *d_y, snncc_real *d_w)
{
    for (int row = 0; row < rows; row++) {
        snncc_vec d[SNNCC_PANEL_VECTORS];
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

SNNCC_INLINE void snncc_gradient_single(snncc_events x, int rows, const snncc_real *d_y, snncc_real *d_w)
{
    for (int row = 0; row < rows; row++)
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
            d_w[x.index[e]] += x.value ? x.value[e] * d_y[row] : d_y[row];
}

/* Panels at most this wide, in vectors, take the gradient row by row. */
#define SNNCC_NARROW 2

/* d_w += x^T d_y: adds the weight gradient to d_w, rows in ascending order. d_y: [rows][d_stride]; d_w: panels like the
 * weights; scratch: snncc_transposed_bytes(rows, n_in, valued), aligned to 64 bytes. */
SNNCC_INLINE void snncc_weight_gradient(snncc_events x, int rows, int n_in, int d_stride, const snncc_real *d_y,
                                        void *scratch, snncc_real *d_w)
{
    if (d_stride == 1) {
        snncc_gradient_single(x, rows, d_y, d_w);
        return;
    }
    if (d_stride <= SNNCC_NARROW * SNNCC_LANES) {
        if (x.value)
            SNNCC_EACH_PANEL(snncc_gradient_rows, d_stride, 1, x, rows, d_stride, d_y, d_w);
        else
            SNNCC_EACH_PANEL(snncc_gradient_rows, d_stride, 0, x, rows, d_stride, d_y, d_w);
        return;
    }
    const snncc_events by_input = snncc_events_at(scratch, n_in, rows, x.value != NULL);
    snncc_transpose_events(x, rows, n_in, scratch);
    if (x.value)
        SNNCC_EACH_PANEL(snncc_gradient_panel, d_stride, 1, by_input, n_in, d_stride, d_y, d_w);
    else
        SNNCC_EACH_PANEL(snncc_gradient_panel, d_stride, 0, by_input, n_in, d_stride, d_y, d_w);
}

#endif
