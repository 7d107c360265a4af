/* Convolutions in groups: channels of a group know only outputs of their group. Dense, one vector of outputs at a time:
 * every output reads its own channel, so images are first widened to one number an output and channel of a group. */
#ifndef SNNCC_CONV_GROUPS_H
#define SNNCC_CONV_GROUPS_H

#include "conv_gradient.h"

/* The distance between pixels of a widened image, and the numbers that one takes. */
SNNCC_INLINE size_t snncc_wide_size(snncc_windows g)
{
    return (size_t)(g.channels / g.groups) * (size_t)snncc_in_pixels(g) * (size_t)snncc_stride(g.outputs);
}

/* wide[j][pixel][o] = channel j of o's group. */
SNNCC_INLINE void snncc_widen_groups(snncc_windows g, const snncc_real *x, snncc_real *wide)
{
    const int each = g.channels / g.groups, outputs = g.outputs / g.groups, stride = snncc_stride(g.outputs);
    for (int j = 0; j < each; j++)
        for (int p = 0; p < snncc_in_pixels(g); p++, wide += stride) {
            for (int o = 0; o < g.outputs; o++) wide[o] = x[p * g.channels + o / outputs * each + j];
            for (int o = g.outputs; o < stride; o++) wide[o] = 0;
        }
}

/* x = bias + the sums of the widened image over the outputs of each group. */
SNNCC_INLINE void snncc_narrow_groups(snncc_windows g, const snncc_real *wide, const snncc_real *bias, snncc_real *x)
{
    const int each = g.channels / g.groups, outputs = g.outputs / g.groups, stride = snncc_stride(g.outputs);
    snncc_start_pixels(g, bias, x);
    for (int j = 0; j < each; j++)
        for (int p = 0; p < snncc_in_pixels(g); p++, wide += stride)
            for (int group = 0; group < g.groups; group++)
                for (int o = 0; o < outputs; o++)
                    x[p * g.channels + group * each + j] += wide[group * outputs + o];
}

/* What is done at each place of a window for one panel of outputs: sums go on, a widened gradient grows, a weight's
 * gradient grows. */
enum { SNNCC_GROUPS_FORWARD, SNNCC_GROUPS_INPUT, SNNCC_GROUPS_WEIGHT };

/* One window and panel: vectors y, [channel of a group][pixel][stride] wide and [place][channel][vectors] w. */
SNNCC_INLINE void snncc_groups_window(snncc_windows g, int what, int vectors, int number, snncc_range mine,
                                      snncc_real *wide, snncc_real *w, snncc_vec *y)
{
    const snncc_window here = snncc_window_at(g, number);
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    const int each = g.channels / g.groups, stride = snncc_stride(g.outputs);
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int c = cs.begin; c < cs.end; c++) {
                const int place = (a * g.size[1] + b) * g.size[2] + c, pixel = snncc_window_pixel(g, here, a, b, c);
                if (place < mine.begin || place >= mine.end) continue;
                for (int j = 0; j < each; j++) {
                    snncc_vec *const x = (snncc_vec *)(wide + ((size_t)j * snncc_in_pixels(g) + pixel) * stride);
                    snncc_vec *const weight = (snncc_vec *)w + (size_t)(place * each + j) * vectors;
                    for (int k = 0; k < vectors; k++) {
                        if (what == SNNCC_GROUPS_FORWARD) y[k] += weight[k] * x[k];
                        if (what == SNNCC_GROUPS_INPUT) x[k] += weight[k] * y[k];
                        if (what == SNNCC_GROUPS_WEIGHT) weight[k] += x[k] * y[k];
                    }
                }
            }
}

SNNCC_INLINE snncc_range snncc_all_places(snncc_windows g)
{
    const snncc_range all = {0, snncc_window_places(g)};
    return all;
}

/* y = conv(x, w) + bias. wide: snncc_wide_size numbers. Kernels only read weights and widened images here. */
SNNCC_INLINE void snncc_conv_groups(snncc_windows g, int rows, int x_stride, int y_stride, const snncc_real *x,
                                    const snncc_real *w, const snncc_real *bias, snncc_real *wide, snncc_real *y,
                                    const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int inputs = snncc_window_inputs(g);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = y + (size_t)row * y_stride;
        snncc_widen_groups(g, x + (size_t)row * x_stride, wide);
        SNNCC_EACH_PANEL(g.outputs, panel, width, {
            for (int number = 0; number < snncc_out_pixels(g); number++) {
                const int vectors = (width + SNNCC_LANES - 1) / SNNCC_LANES;
                snncc_vec sum[SNNCC_PANEL_VECTORS];
                snncc_start(vectors, 0, bias ? bias + panel : NULL, sum);
                snncc_groups_window(g, SNNCC_GROUPS_FORWARD, vectors, number, snncc_all_places(g), wide + panel,
                                    (snncc_real *)(uintptr_t)w + (size_t)panel * inputs, sum);
                snncc_store_part(width, sum, to + (size_t)number * g.outputs + panel);
            }
        })
    }
}

/* x = its adjoint by the input, on y, + bias; w: the weight itself. */
SNNCC_INLINE void snncc_conv_transpose_groups(snncc_windows g, int rows, int y_stride, int x_stride,
                                              const snncc_real *y, const snncc_real *w, const snncc_real *bias,
                                              snncc_real *wide, snncc_real *x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int inputs = snncc_window_inputs(g);
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *const from = y + (size_t)row * y_stride;
        memset(wide, 0, snncc_wide_size(g) * sizeof *wide);
        SNNCC_EACH_PANEL(g.outputs, panel, width, {
            for (int number = 0; number < snncc_out_pixels(g); number++) {
                snncc_vec d[SNNCC_PANEL_VECTORS];
                snncc_load_part(width, from + (size_t)number * g.outputs + panel, d);
                snncc_groups_window(g, SNNCC_GROUPS_INPUT, (width + SNNCC_LANES - 1) / SNNCC_LANES, number,
                                    snncc_all_places(g), wide + panel,
                                    (snncc_real *)(uintptr_t)w + (size_t)panel * inputs, d);
            }
        })
        snncc_narrow_groups(g, wide, bias, x + (size_t)row * x_stride);
    }
}

/* d_w += the weight's gradient. */
SNNCC_INLINE void snncc_conv_gradient_groups(snncc_windows g, int rows, int x_stride, int d_stride,
                                             const snncc_real *x, const snncc_real *d_y, snncc_real *wide,
                                             snncc_real *d_w, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, snncc_window_places(g));
    const int inputs = snncc_window_inputs(g);
    for (int row = rows - 1; row >= 0; row--) {
        const snncc_real *const from = d_y + (size_t)row * d_stride;
        snncc_widen_groups(g, x + (size_t)row * x_stride, wide);
        SNNCC_EACH_PANEL(g.outputs, panel, width, {
            for (int number = 0; number < snncc_out_pixels(g); number++) {
                snncc_vec d[SNNCC_PANEL_VECTORS];
                snncc_load_part(width, from + (size_t)number * g.outputs + panel, d);
                snncc_groups_window(g, SNNCC_GROUPS_WEIGHT, (width + SNNCC_LANES - 1) / SNNCC_LANES, number, mine,
                                    wide + panel, d_w + (size_t)panel * inputs, d);
            }
        })
    }
}

#endif
