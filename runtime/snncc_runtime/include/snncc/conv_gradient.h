/* Weight gradients of convolutions. Rows are added from the last to the first, windows of a row ascending, with one
 * multiplication and one addition each. The places of a window are shared among a crew. */
#ifndef SNNCC_CONV_GRADIENT_H
#define SNNCC_CONV_GRADIENT_H

#include "conv.h"
#include "gradient.h"

/* d_w += the gradient, dense. x: [rows][x_stride], d_y: [rows][d_stride]. scratch: as of snncc_conv_dense. */
SNNCC_INLINE void snncc_conv_gradient_dense(snncc_windows g, int chunk, int rows, int x_stride, int d_stride,
                                            const snncc_real *x, const snncc_real *d_y, snncc_real *scratch,
                                            snncc_real *d_w, const snncc_crew *crew)
{
    const snncc_range places = snncc_part(crew, snncc_window_places(g));
    const int inputs = snncc_window_inputs(g), windows = snncc_out_pixels(g), stride = snncc_stride(g.outputs);
    const int begin = places.begin * g.channels, mine = places.end * g.channels - begin;
    snncc_real *const wide = scratch + (size_t)chunk * snncc_stride(inputs);
    for (int row = rows - 1; row >= 0; row--)
        for (int first = 0; first < windows; first += chunk) {
            const int count = windows - first < chunk ? windows - first : chunk, number = row * windows + first;
            const snncc_real *const from = d_y + snncc_window_place(g, number, d_stride, g.outputs);
            const snncc_real *const d = stride == g.outputs ? from : wide;
            snncc_unfold(g, number, count, x_stride, x, scratch);
            if (d == wide) snncc_widen_pixels(g, number, count, d_stride, g.outputs, stride, d_y, wide);
            if (g.outputs == 1) {
                for (int i = 0; i < count; i++)
                    for (int k = begin; k < begin + mine; k++) d_w[k] += scratch[(size_t)i * inputs + k] * from[i];
            } else
                SNNCC_EACH_PANEL(
                    g.outputs, panel, width,
                    snncc_dense((width + SNNCC_LANES - 1) / SNNCC_LANES, 1, mine, count, 1, inputs, stride,
                                (width + SNNCC_LANES - 1) / SNNCC_LANES * SNNCC_LANES, scratch + begin, d + panel,
                                NULL,
                                d_w + (size_t)panel * inputs +
                                    (size_t)begin * ((width + SNNCC_LANES - 1) / SNNCC_LANES * SNNCC_LANES)))
        }
}

/* d_w of the weights of a run += d, times the events' values. */
SNNCC_INLINE void snncc_add_to_run(int vectors, int valued, snncc_events x, snncc_run run, const snncc_vec *d,
                                   snncc_real *d_w)
{
    for (int32_t e = run.begin; e < run.end; e++) {
        snncc_vec *const row = (snncc_vec *)d_w + (ptrdiff_t)((int)x.index[e] + run.shift) * vectors;
        if (valued)
            for (int k = 0; k < vectors; k++) row[k] += x.value[e] * d[k];
        else
            for (int k = 0; k < vectors; k++) row[k] += d[k];
    }
}

/* One window's part of a panel's gradient, of the places in `mine`. */
SNNCC_INLINE void snncc_conv_gradient_window(snncc_windows g, int valued, int vectors, int number, snncc_range mine,
                                             snncc_events x, const int32_t *cells, const snncc_vec *d, snncc_real *d_w)
{
    const snncc_window here = snncc_window_at(g, number);
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    const int step = snncc_lines_touch(g) ? g.size[2] : 1;
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++) {
            const int line = (a * g.size[1] + b) * g.size[2];
            const int c_begin = cs.begin < mine.begin - line ? mine.begin - line : cs.begin;
            const int c_last = cs.end > mine.end - line ? mine.end - line : cs.end;
            for (int c = c_begin; c < c_last; c += step) {
                const int c_end = c + step < c_last ? c + step : c_last;
                snncc_add_to_run(vectors, valued, x, snncc_window_run(g, here, cells, a, b, c, c_end), d, d_w);
            }
        }
}

/* One window's part of the gradient of a single output. */
SNNCC_INLINE void snncc_conv_gradient_single(snncc_windows g, int number, snncc_range mine, snncc_events x,
                                             const int32_t *cells, snncc_real d, snncc_real *d_w)
{
    const snncc_window here = snncc_window_at(g, number);
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int c = cs.begin; c < cs.end; c++) {
                const int place = (a * g.size[1] + b) * g.size[2] + c;
                const snncc_run run = snncc_window_run(g, here, cells, a, b, c, c + 1);
                for (int32_t e = run.begin; e < run.end && place >= mine.begin && place < mine.end; e++)
                    d_w[(int)x.index[e] + run.shift] += x.value ? x.value[e] * d : d;
            }
}

/* The same by the events of x. cells: in_pixels + 1. */
SNNCC_INLINE void snncc_conv_gradient_events(snncc_windows g, int valued, snncc_events x, int rows, int d_stride,
                                             const snncc_real *d_y, int32_t *cells, snncc_real *d_w,
                                             const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, snncc_window_places(g));
    const int inputs = snncc_window_inputs(g), pixels = snncc_in_pixels(g);
    if (g.outputs == 1)
        for (int row = rows - 1; row >= 0; row--) {
            snncc_cells(g.channels, pixels, x, row, cells);
            for (int number = 0; number < snncc_out_pixels(g); number++)
                snncc_conv_gradient_single(g, number, mine, x, cells, d_y[(size_t)row * d_stride + number], d_w);
        }
    else /* a panel's gradient stays in the cache for all rows */
        SNNCC_EACH_PANEL(g.outputs, panel, width, {
            for (int row = rows - 1; row >= 0; row--) {
                snncc_cells(g.channels, pixels, x, row, cells);
                for (int number = 0; number < snncc_out_pixels(g); number++) {
                    snncc_vec d[SNNCC_PANEL_VECTORS];
                    snncc_load_part(width, d_y + (size_t)row * d_stride + (size_t)number * g.outputs + panel, d);
                    snncc_conv_gradient_window(g, valued, (width + SNNCC_LANES - 1) / SNNCC_LANES, number, mine, x,
                                               cells, d, d_w + (size_t)panel * inputs);
                }
            }
        })
}

SNNCC_INLINE void snncc_conv_gradient_counted(snncc_windows g, int chunk, snncc_events events, int rows, int x_stride,
                                              int d_stride, const snncc_real *x, const snncc_real *d_y, void *scratch,
                                              snncc_real *d_w, const snncc_crew *crew)
{
    const int vectors = g.outputs < SNNCC_PANEL ? (g.outputs + SNNCC_LANES - 1) / SNNCC_LANES : SNNCC_PANEL_VECTORS;
    if (snncc_gradient_is_dense(vectors, events, rows, snncc_in_pixels(g) * g.channels))
        snncc_conv_gradient_dense(g, chunk, rows, x_stride, d_stride, x, d_y, (snncc_real *)scratch, d_w, crew);
    else
        snncc_conv_gradient_events(g, 1, events, rows, d_stride, d_y, (int32_t *)scratch, d_w, crew);
}

#endif
