/* Convolutions in groups of few outputs, depthwise ones above all. Dense, a vector over the outputs of several groups at a
 * time: each reads its own channel, so images are first widened to one number an output and channel of a group, for the
 * input's gradient to one a channel and output of a group. */
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

/* What is done at each place of a window for one panel of outputs: sums go on, or a weight's gradient grows. */
enum { SNNCC_GROUPS_FORWARD, SNNCC_GROUPS_WEIGHT };

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

/* wide[k][window][c] = output k of c's group. */
SNNCC_INLINE void snncc_widen_outputs(snncc_windows g, const snncc_real *y, snncc_real *wide)
{
    const int each = snncc_group_channels(g), outputs = snncc_group_outputs(g), stride = snncc_stride(g.channels);
    for (int k = 0; k < outputs; k++)
        for (int p = 0; p < snncc_out_pixels(g); p++, wide += stride) {
            for (int c = 0; c < g.channels; c++) wide[c] = y[p * g.outputs + c / each * outputs + k];
            for (int c = g.channels; c < stride; c++) wide[c] = 0;
        }
}

/* wide[place][k][c] = the weight between c and output k of its group. */
SNNCC_INLINE void snncc_widen_weights(snncc_windows g, const snncc_real *w, snncc_real *wide)
{
    const int each = snncc_group_channels(g), outputs = snncc_group_outputs(g), stride = snncc_stride(g.channels);
    const int inputs = snncc_window_inputs(g);
    for (int place = 0; place < snncc_window_places(g); place++)
        for (int k = 0; k < outputs; k++, wide += stride) {
            for (int c = 0; c < g.channels; c++) {
                const int output = c / each * outputs + k, first = output / SNNCC_PANEL * SNNCC_PANEL;
                const int row = (place * each + c % each) * snncc_panel_width(g.outputs, first);
                wide[c] = w[(size_t)first * inputs + row + (output - first)];
            }
            for (int c = g.channels; c < stride; c++) wide[c] = 0;
        }
}

/* A window's part of the input's gradient for one panel of channels: at each place the sum over the outputs of a group. */
SNNCC_INLINE void snncc_groups_back(snncc_windows g, int vectors, int number, const snncc_real *w, const snncc_real *y,
                                    snncc_real *x)
{
    const snncc_window here = snncc_window_at(g, number);
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    const int outputs = snncc_group_outputs(g), stride = snncc_stride(g.channels);
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int c = cs.begin; c < cs.end; c++) {
                const int place = (a * g.size[1] + b) * g.size[2] + c;
                snncc_vec *const to = (snncc_vec *)(x + (size_t)snncc_window_pixel(g, here, a, b, c) * stride);
                snncc_vec sum[SNNCC_PANEL_VECTORS];
                snncc_start(vectors, 0, NULL, sum);
                for (int k = 0; k < outputs; k++) {
                    const snncc_vec *const weight = (const snncc_vec *)(w + (size_t)(place * outputs + k) * stride);
                    const snncc_vec *const from =
                        (const snncc_vec *)(y + ((size_t)k * snncc_out_pixels(g) + number) * stride);
                    for (int v = 0; v < vectors; v++) sum[v] += weight[v] * from[v];
                }
                for (int v = 0; v < vectors; v++) to[v] += sum[v];
            }
}

/* x = its adjoint by the input, on y, + bias; w: the weight itself. wide: for each channel, of the weights, the outputs
 * and the channels. */
SNNCC_INLINE void snncc_conv_transpose_groups(snncc_windows g, int rows, int y_stride, int x_stride,
                                              const snncc_real *y, const snncc_real *w, const snncc_real *bias,
                                              snncc_real *wide, snncc_real *x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int outputs = snncc_group_outputs(g), stride = snncc_stride(g.channels);
    snncc_real *const wide_y = wide + (size_t)(snncc_window_places(g) * outputs) * stride;
    snncc_real *const wide_x = wide_y + (size_t)(snncc_out_pixels(g) * outputs) * stride;
    snncc_widen_weights(g, w, wide);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = x + (size_t)row * x_stride;
        snncc_widen_outputs(g, y + (size_t)row * y_stride, wide_y);
        for (int p = 0; p < snncc_in_pixels(g); p++)
            for (int c = 0; c < stride; c++)
                wide_x[p * stride + c] = bias && c < g.channels ? bias[c] + (snncc_real)0 : (snncc_real)0;
        SNNCC_EACH_PANEL(g.channels, panel, width, {
            for (int number = 0; number < snncc_out_pixels(g); number++)
                snncc_groups_back(g, (width + SNNCC_LANES - 1) / SNNCC_LANES, number, wide + panel, wide_y + panel,
                                  wide_x + panel);
        })
        for (int p = 0; p < snncc_in_pixels(g); p++)
            for (int c = 0; c < g.channels; c++) to[p * g.channels + c] = wide_x[p * stride + c];
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
