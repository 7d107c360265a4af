/* Weight gradients of convolutions. Rows are added from the last to the first, windows of a row ascending, with one
 * multiplication and one addition each. The places of a window are shared among a crew. */
#ifndef SNNCC_CONV_GRADIENT_H
#define SNNCC_CONV_GRADIENT_H

#include "conv.h"
#include "gradient.h"

/* The gradient by groups, as snncc_weight_by_groups has the weight, of the inputs in `mine`; and back. */
SNNCC_INLINE snncc_real *snncc_begin_groups(snncc_windows g, snncc_range mine, snncc_real *d_w, void *scratch)
{
    if (g.groups == 1) return d_w;
    snncc_copy_groups(g, 0, mine, d_w, (snncc_real *)scratch);
    return (snncc_real *)scratch;
}

SNNCC_INLINE void snncc_end_groups(snncc_windows g, snncc_range mine, snncc_real *d_w, void *scratch)
{
    if (g.groups > 1) snncc_copy_groups(g, 1, mine, d_w, (snncc_real *)scratch);
}

/* This thread's inputs of a window. */
SNNCC_INLINE snncc_range snncc_inputs_of(snncc_windows g, snncc_range places)
{
    const snncc_range inputs = {places.begin * snncc_group_channels(g), places.end * snncc_group_channels(g)};
    return inputs;
}

/* d_w += the gradient, dense. x: [rows][x_stride], d_y: [rows][d_stride]. scratch: as of snncc_conv_dense. */
SNNCC_INLINE void snncc_conv_gradient_dense(snncc_windows g, int chunk, int rows, int x_stride, int d_stride,
                                            const snncc_real *x, const snncc_real *d_y, snncc_real *scratch,
                                            snncc_real *d_w, const snncc_crew *crew)
{
    const snncc_range mine = snncc_inputs_of(g, snncc_part(crew, snncc_window_places(g)));
    const int inputs = snncc_window_inputs(g), windows = snncc_out_pixels(g), outputs = snncc_group_outputs(g);
    const int stride = snncc_stride(outputs), direct = stride == g.outputs;
    snncc_real *const grouped = snncc_begin_groups(g, mine, d_w, scratch);
    snncc_real *const columns = scratch + snncc_groups_size(g);
    snncc_real *const wide = columns + (size_t)chunk * snncc_stride(inputs);
    for (int row = rows - 1; row >= 0; row--)
        for (int first = 0; first < windows; first += chunk)
            for (int group = 0; group < g.groups; group++) {
                const int count = windows - first < chunk ? windows - first : chunk, number = row * windows + first;
                const snncc_real *const from = d_y + snncc_window_place(g, number, d_stride, g.outputs);
                const snncc_real *const d = direct ? from : wide;
                snncc_real *const to = grouped + snncc_group_at(g, group);
                snncc_unfold(g, group, number, count, x_stride, x, columns);
                if (!direct) snncc_widen_pixels(g, group, number, count, d_stride, stride, d_y, wide);
                if (outputs == 1) {
                    for (int i = 0; i < count; i++)
                        for (int k = mine.begin; k < mine.end; k++) to[k] += columns[(size_t)i * inputs + k] * d[i];
                } else
                    SNNCC_EACH_PANEL(outputs, panel, width, {
                        const int vectors = (width + SNNCC_LANES - 1) / SNNCC_LANES;
                        const int row_of = vectors * SNNCC_LANES;
                        snncc_dense(vectors, 1, mine.end - mine.begin, count, 1, inputs, stride, row_of,
                                    columns + mine.begin, d + panel, NULL,
                                    to + (size_t)panel * inputs + (size_t)mine.begin * row_of);
                    })
            }
    snncc_end_groups(g, mine, d_w, scratch);
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
SNNCC_INLINE void snncc_conv_gradient_window(snncc_windows g, int group, int valued, int vectors, int number,
                                             snncc_range mine, snncc_events x, const int32_t *cells,
                                             const snncc_vec *d, snncc_real *d_w)
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
                snncc_add_to_run(vectors, valued, x, snncc_window_run(g, group, here, cells, a, b, c, c_end), d, d_w);
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
                const snncc_run run = snncc_window_run(g, 0, here, cells, a, b, c, c + 1);
                for (int32_t e = run.begin; e < run.end && place >= mine.begin && place < mine.end; e++)
                    d_w[(int)x.index[e] + run.shift] += x.value ? x.value[e] * d : d;
            }
}

/* The same by the events of x. scratch: as of snncc_conv_events. */
SNNCC_INLINE void snncc_conv_gradient_events(snncc_windows g, int valued, snncc_events x, int rows, int d_stride,
                                             const snncc_real *d_y, void *scratch, snncc_real *d_w,
                                             const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, snncc_window_places(g));
    const int inputs = snncc_window_inputs(g), pixels = snncc_in_pixels(g), outputs = snncc_group_outputs(g);
    snncc_real *const grouped = snncc_begin_groups(g, snncc_inputs_of(g, mine), d_w, scratch);
    int32_t *const cells = (int32_t *)(void *)((snncc_real *)scratch + snncc_groups_size(g));
    if (g.outputs == 1)
        for (int row = rows - 1; row >= 0; row--) {
            snncc_cells(g.channels, pixels, x, row, cells);
            for (int number = 0; number < snncc_out_pixels(g); number++)
                snncc_conv_gradient_single(g, number, mine, x, cells, d_y[(size_t)row * d_stride + number], d_w);
        }
    else /* a panel's gradient stays in the cache for all rows */
        SNNCC_EACH_PANEL(outputs, panel, width, {
            for (int row = rows - 1; row >= 0; row--) {
                snncc_cells(snncc_group_channels(g), pixels * g.groups, x, row, cells);
                for (int group = 0; group < g.groups; group++) {
                    const snncc_real *const from = d_y + (size_t)row * d_stride + group * outputs + panel;
                    snncc_real *const to = grouped + snncc_group_at(g, group) + (size_t)panel * inputs;
                    for (int number = 0; number < snncc_out_pixels(g); number++) {
                        snncc_vec d[SNNCC_PANEL_VECTORS];
                        snncc_load_part(width, from + (size_t)number * g.outputs, d);
                        snncc_conv_gradient_window(g, group, valued, (width + SNNCC_LANES - 1) / SNNCC_LANES, number,
                                                   mine, x, cells, d, to);
                    }
                }
            }
        })
    snncc_end_groups(g, snncc_inputs_of(g, mine), d_w, scratch);
}

SNNCC_INLINE void snncc_conv_gradient_counted(snncc_windows g, int chunk, snncc_events events, int rows, int x_stride,
                                              int d_stride, const snncc_real *x, const snncc_real *d_y, void *scratch,
                                              snncc_real *d_w, const snncc_crew *crew)
{
    const int n = snncc_group_outputs(g), most = SNNCC_PANEL_VECTORS;
    const int vectors = n < SNNCC_PANEL ? (n + SNNCC_LANES - 1) / SNNCC_LANES : most;
    if (snncc_gradient_is_dense(vectors, events, rows, snncc_in_pixels(g) * g.channels))
        snncc_conv_gradient_dense(g, chunk, rows, x_stride, d_stride, x, d_y, (snncc_real *)scratch, d_w, crew);
    else
        snncc_conv_gradient_events(g, 1, events, rows, d_stride, d_y, scratch, d_w, crew);
}

#endif
