/* Products of whole matrices, panel by panel as generated code runs them, and kernels that are compared with: for tests. */
#ifndef WHOLE_MATRICES_H
#define WHOLE_MATRICES_H

#include "snncc/snncc.h"

/* A crew of one thread. */
static const snncc_crew ALONE = {NULL, 0, 1, 0, NULL};

/* kernel(V, ...) with V = vectors as a constant up to the width of a panel, 4 floats' or 8 doubles': loops over vectors
 * unroll, sums become registers. */
#if SNNCC_REAL_BITS == 32
#define SNNCC_SPECIALISE(kernel, vectors, ...)   \
    switch (vectors) {                           \
    case 1: kernel(1, __VA_ARGS__); break;       \
    case 2: kernel(2, __VA_ARGS__); break;       \
    case 3: kernel(3, __VA_ARGS__); break;       \
    case 4: kernel(4, __VA_ARGS__); break;       \
    default: break;                              \
    }
#else
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
#endif

/* kernel(V, ..., offset of the panel's first output, ...) for each panel of n_out_stride outputs. */
#define SNNCC_WHOLE_PANELS(kernel, n_out_stride, ...)                                              \
    do {                                                                                         \
        const int full = (n_out_stride) / SNNCC_PANEL * SNNCC_PANEL;                             \
        for (int first = 0; first < full; first += SNNCC_PANEL)                                  \
            kernel(SNNCC_PANEL_VECTORS, first, __VA_ARGS__);                                     \
        SNNCC_SPECIALISE(kernel, ((n_out_stride) - full) / SNNCC_LANES, full, __VA_ARGS__)       \
    } while (0)

/* The panel whose first output is `first`, of a whole matrix. */
SNNCC_INLINE void snncc_dense_panel_at(int vectors, int first, int rows, int n_in, int x_stride, int y_stride,
                                       const snncc_real *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_dense_panel(vectors, rows, n_in, x_stride, y_stride, x, w + (size_t)first * n_in, bias ? bias + first : NULL,
                      y + first);
}

/* y = x w + bias. x: [rows][x_stride], y: [rows][n_out_stride], bias: [n_out_stride] or NULL. */
SNNCC_INLINE void snncc_product_dense(int rows, int n_in, int x_stride, int n_out_stride, const snncc_real *x,
                                      const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (n_out_stride == 1)
        snncc_dense_single(rows, n_in, x_stride, x, w, bias, y);
    else
        SNNCC_WHOLE_PANELS(snncc_dense_panel_at, n_out_stride, rows, n_in, x_stride, n_out_stride, x, w, bias, y);
}

/* The same from the events of x; `valued`: they have values. */
SNNCC_INLINE void snncc_event_panel(int vectors, int valued, snncc_events x, int rows, int y_stride,
                                    const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_gather(vectors, valued, 0, x, rows, 1, vectors * SNNCC_LANES, y_stride, w, bias, y);
}

SNNCC_INLINE void snncc_event_panel_at(int vectors, int first, int valued, snncc_events x, int rows, int n_in,
                                       int y_stride, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_event_blocks(vectors, valued, x, rows, n_in, y_stride, w + (size_t)first * n_in, bias ? bias + first : NULL,
                       y + first);
}

/* y = x w + bias from the events of x; the same bits as snncc_product_dense. */
SNNCC_INLINE void snncc_product_events(snncc_events x, int rows, int n_in, int n_out_stride, const snncc_real *w,
                                       const snncc_real *bias, snncc_real *y)
{
    if (n_out_stride == 1)
        snncc_event_single(x, rows, w, bias, y);
    else if (x.value)
        SNNCC_WHOLE_PANELS(snncc_event_panel_at, n_out_stride, 1, x, rows, n_in, n_out_stride, w, bias, y);
    else
        SNNCC_WHOLE_PANELS(snncc_event_panel_at, n_out_stride, 0, x, rows, n_in, n_out_stride, w, bias, y);
}

/* y = x w + bias by whichever product is faster at the density of x; x_events are the events of x. */
SNNCC_INLINE void snncc_product(snncc_events x_events, int rows, int n_in, int x_stride, int n_out_stride,
                                const snncc_real *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (!snncc_is_dense(x_events, rows, n_in, SNNCC_CROSSOVER))
        snncc_product_events(x_events, rows, n_in, n_out_stride, w, bias, y);
    else
        snncc_product_dense(rows, n_in, x_stride, n_out_stride, x, w, bias, y);
}

/* d_w += x^T d_y for one panel, input by input: the sums of an input stay in registers while its rows pass. by_input:
 * snncc_transpose_events of the events of x. d_y and d_w point at the panel, d_w: [n_in][vectors]. */
SNNCC_INLINE void snncc_gradient_panel(int vectors, int valued, snncc_events by_input, int rows, int n_in,
                                       int d_stride, const snncc_real *d_y, snncc_real *d_w)
{
    const snncc_real *const end = d_y + (ptrdiff_t)(rows - 1) * d_stride;
    snncc_gather(vectors, valued, 1, by_input, n_in, 1, -d_stride, vectors * SNNCC_LANES, end, NULL, d_w);
}

/* A panel of rows that are `stride` apart, contiguous: copy[rows][vectors]. */
SNNCC_INLINE void snncc_copy_panel(int vectors, int rows, int stride, const snncc_real *x, snncc_real *copy)
{
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < vectors; k++)
            ((snncc_vec *)copy)[(size_t)row * vectors + k] = ((const snncc_vec *)(x + (size_t)row * stride))[k];
}

SNNCC_INLINE void snncc_gradient_panel_at(int vectors, int first, int valued, snncc_events by_input, int rows,
                                          int n_in, int d_stride, const snncc_real *d_y, snncc_real *d_w)
{
    snncc_gradient_panel(vectors, valued, by_input, rows, n_in, d_stride, d_y + first, d_w + (size_t)first * n_in);
}

/* d_w += x^T d_y: adds the weight gradient to d_w, rows in descending order. d_y: [rows][d_stride]; d_w: panels like the
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
            SNNCC_WHOLE_PANELS(snncc_gradient_rows, d_stride, 1, x, rows, d_stride, d_y, d_w);
        else
            SNNCC_WHOLE_PANELS(snncc_gradient_rows, d_stride, 0, x, rows, d_stride, d_y, d_w);
        return;
    }
    const snncc_events by_input = snncc_events_at(scratch, n_in, rows, x.form);
    snncc_transpose_events(x, rows, n_in, scratch, &ALONE);
    if (x.value)
        SNNCC_WHOLE_PANELS(snncc_gradient_panel_at, d_stride, 1, by_input, rows, n_in, d_stride, d_y, d_w);
    else
        SNNCC_WHOLE_PANELS(snncc_gradient_panel_at, d_stride, 0, by_input, rows, n_in, d_stride, d_y, d_w);
}

#endif
