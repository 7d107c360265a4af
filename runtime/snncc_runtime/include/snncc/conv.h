/* Convolutions of images, forward and backward. Dense ones unfold windows to rows and are products of those; by events
 * a window's inputs are runs of the row's list, since a line of neighbouring pixels is one stretch of memory. Both add
 * the inputs of an output in ascending order, so they give the same bits; weight gradients add rows from the last to
 * the first, windows ascending.
 *
 * A group is a convolution of its own between slices of the channels: what is unfolded, folded and listed is its slice,
 * and its weights are panels of their own, which are copied together first. */
#ifndef SNNCC_CONV_H
#define SNNCC_CONV_H

#include "target.h"
#include "events.h"
#include "product.h"
#include "slices.h"
#include "team.h"
#include "windows.h"

/* The first n numbers of some vectors; the others are 0. */
SNNCC_INLINE void snncc_load_part(int n, const snncc_real *from, snncc_vec *to)
{
    const int whole = n / SNNCC_LANES;
    for (int k = 0; k < whole; k++) to[k] = ((const snncc_vec *)from)[k];
    if (n % SNNCC_LANES) {
        const snncc_vec zero = {0};
        to[whole] = zero;
        memcpy(to + whole, from + whole * SNNCC_LANES, (size_t)(n % SNNCC_LANES) * sizeof *from);
    }
}

SNNCC_INLINE void snncc_store_part(int n, const snncc_vec *from, snncc_real *to)
{
    const int whole = n / SNNCC_LANES;
    for (int k = 0; k < whole; k++) ((snncc_vec *)to)[k] = from[k];
    if (n % SNNCC_LANES)
        memcpy(to + whole * SNNCC_LANES, from + whole, (size_t)(n % SNNCC_LANES) * sizeof *to);
}

/* cells[p] = the first entry of a row's list that is in pixel p or a later one, for p <= pixels. Where channels are in
 * groups, those of a pixel and group count as a pixel. */
SNNCC_INLINE void snncc_cells(int channels, int pixels, snncc_events x, int row, int32_t *cells)
{
    const int32_t begin = x.offsets[row], end = x.offsets[row + 1];
    for (int p = 0; p <= pixels; p++) cells[p] = begin;
    for (int32_t e = begin; e < end; e++) cells[(int)x.index[e] / channels + 1] = e + 1;
    for (int p = 1; p <= pixels; p++)
        if (cells[p] < cells[p - 1]) cells[p] = cells[p - 1];
}

/* Entries begin .. end of a list whose weights are rows index + shift. */
typedef struct {
    int32_t begin, end;
    int shift;
} snncc_run;

/* The entries of a group at places c .. c_end of line (a, b) of a window. */
SNNCC_INLINE snncc_run snncc_window_run(snncc_windows g, int group, snncc_window w, const int32_t *cells, int a, int b,
                                        int c, int c_end)
{
    snncc_run run;
    const int cell = snncc_window_pixel(g, w, a, b, c) * g.groups + group;
    run.begin = cells[cell];
    run.end = cells[cell + c_end - c];
    run.shift = (((a * g.size[1] + b) * g.size[2] + c) - cell) * snncc_group_channels(g);
    return run;
}

SNNCC_INLINE void snncc_add_run(int vectors, int valued, snncc_events x, snncc_run run, const snncc_real *w,
                                snncc_vec *sum)
{
    for (int32_t e = run.begin; e < run.end; e++) {
        const snncc_vec *const row = (const snncc_vec *)w + (ptrdiff_t)((int)x.index[e] + run.shift) * vectors;
        if (valued)
            for (int k = 0; k < vectors; k++) sum[k] += x.value[e] * row[k];
        else
            for (int k = 0; k < vectors; k++) sum[k] += row[k];
    }
}

/* All windows of one row for one panel of a group, n outputs wide. */
SNNCC_INLINE void snncc_conv_panel(snncc_windows g, int group, int valued, int n, snncc_events x, const int32_t *cells,
                                   const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const int vectors = (n + SNNCC_LANES - 1) / SNNCC_LANES, step = snncc_lines_touch(g) ? g.size[2] : 1;
    for (int number = 0; number < snncc_out_pixels(g); number++) {
        const snncc_window here = snncc_window_at(g, number);
        const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
        const snncc_inside cs = snncc_window_inside(g, here, 2);
        snncc_vec sum[SNNCC_PANEL_VECTORS];
        snncc_start(vectors, 0, bias, sum);
        for (int a = as.begin; a < as.end; a++)
            for (int b = bs.begin; b < bs.end; b++)
                for (int c = cs.begin; c < cs.end; c += step) {
                    const int c_end = c + step < cs.end ? c + step : cs.end;
                    snncc_add_run(vectors, valued, x, snncc_window_run(g, group, here, cells, a, b, c, c_end), w, sum);
                }
        snncc_store_part(n, sum, y + (size_t)number * g.outputs);
    }
}

SNNCC_INLINE void snncc_conv_single(snncc_windows g, snncc_events x, const int32_t *cells, const snncc_real *w,
                                    const snncc_real *bias, snncc_real *y)
{
    for (int number = 0; number < snncc_out_pixels(g); number++) {
        const snncc_window here = snncc_window_at(g, number);
        const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
        const snncc_inside cs = snncc_window_inside(g, here, 2);
        snncc_real sum = bias ? bias[0] + (snncc_real)0 : (snncc_real)0;
        for (int a = as.begin; a < as.end; a++)
            for (int b = bs.begin; b < bs.end; b++)
                for (int c = cs.begin; c < cs.end; c++) {
                    const snncc_run run = snncc_window_run(g, 0, here, cells, a, b, c, c + 1);
                    for (int32_t e = run.begin; e < run.end; e++) {
                        const snncc_real weight = w[(int)x.index[e] + run.shift];
                        sum += x.value ? x.value[e] * weight : weight;
                    }
                }
        y[number] = sum;
    }
}

/* The kernel for each panel of n outputs from `first` on, its width a constant: SNNCC_PANEL, or less for the last. */
#define SNNCC_EACH_PANEL(n, first, width, kernel)                                               \
    for (int first = 0; first < (n); first += SNNCC_PANEL) {                                    \
        if ((n) % SNNCC_PANEL == 0 || ((n) > SNNCC_PANEL && (n) - first >= SNNCC_PANEL)) {      \
            enum { width = SNNCC_PANEL };                                                       \
            kernel;                                                                             \
        } else {                                                                                \
            const int width = (n) % SNNCC_PANEL;                                                \
            kernel;                                                                             \
        }                                                                                       \
    }

/* y = conv(x, w) + bias by the events of x; `valued`: they have values. y: [rows][y_stride]. scratch: the weight by
 * groups, then in_pixels * groups + 1 cells. */
SNNCC_INLINE void snncc_conv_events(snncc_windows g, int valued, snncc_events x, int rows, int y_stride,
                                    const snncc_real *w, const snncc_real *bias, void *scratch, snncc_real *y,
                                    const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int inputs = snncc_window_inputs(g), pixels = snncc_in_pixels(g), outputs = snncc_group_outputs(g);
    const snncc_real *const weight = snncc_weight_by_groups(g, w, scratch);
    int32_t *const cells = (int32_t *)(void *)((snncc_real *)scratch + snncc_groups_size(g));
    if (g.outputs == 1)
        for (int row = mine.begin; row < mine.end; row++) {
            snncc_cells(g.channels, pixels, x, row, cells);
            snncc_conv_single(g, x, cells, w, bias, y + (size_t)row * y_stride);
        }
    else /* a panel's weights stay in the cache for all rows */
        SNNCC_EACH_PANEL(outputs, first, width, {
            for (int row = mine.begin; row < mine.end; row++) {
                snncc_cells(snncc_group_channels(g), pixels * g.groups, x, row, cells);
                for (int group = 0; group < g.groups; group++) {
                    const int output = group * outputs + first;
                    snncc_conv_panel(g, group, valued, width, x, cells,
                                     weight + snncc_group_at(g, group) + (size_t)first * inputs,
                                     bias ? bias + output : NULL, y + (size_t)row * y_stride + output);
                }
            }
        })
}

/* columns[i][] = a group's inputs of window first + i, for i < count; 0 outside of the image. Windows are counted over
 * all rows of x, x_stride apart. */
SNNCC_INLINE void snncc_unfold(snncc_windows g, int group, int first, int count, int x_stride, const snncc_real *rows,
                               snncc_real *columns)
{
    const int each = snncc_group_channels(g), line = g.size[2] * each, windows = snncc_out_pixels(g);
    for (int i = 0; i < count; i++) {
        const snncc_real *const x = rows + (size_t)((first + i) / windows) * x_stride + group * each;
        const snncc_window here = snncc_window_at(g, (first + i) % windows);
        const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
        const snncc_inside cs = snncc_window_inside(g, here, 2);
        for (int a = 0; a < g.size[0]; a++)
            for (int b = 0; b < g.size[1]; b++, columns += line) {
                const int inside = a >= as.begin && a < as.end && b >= bs.begin && b < bs.end && cs.begin < cs.end;
                const int begin = inside ? cs.begin : g.size[2], end = inside ? cs.end : g.size[2];
                for (int k = 0; k < begin * each; k++) columns[k] = 0;
                for (int k = end * each; k < line; k++) columns[k] = 0;
                if (snncc_lines_touch(g) && inside)
                    memcpy(columns + begin * each,
                           x + (ptrdiff_t)snncc_window_pixel(g, here, a, b, begin) * g.channels,
                           (size_t)((end - begin) * each) * sizeof *x);
                else
                    for (int c = begin; c < end; c++)
                        memcpy(columns + c * each, x + (ptrdiff_t)snncc_window_pixel(g, here, a, b, c) * g.channels,
                               (size_t)each * sizeof *x);
            }
    }
}

/* x += the columns of window first + i at its places, for i < count: the adjoint of snncc_unfold. */
SNNCC_INLINE void snncc_fold(snncc_windows g, int group, int first, int count, int stride, int x_stride,
                             const snncc_real *columns, snncc_real *rows)
{
    const int windows = snncc_out_pixels(g), each = snncc_group_channels(g);
    for (int i = 0; i < count; i++, columns += stride) {
        snncc_real *const x = rows + (size_t)((first + i) / windows) * x_stride + group * each;
        const snncc_window here = snncc_window_at(g, (first + i) % windows);
        const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
        const snncc_inside cs = snncc_window_inside(g, here, 2);
        const int step = snncc_lines_touch(g) ? g.size[2] : 1;
        for (int a = as.begin; a < as.end; a++)
            for (int b = bs.begin; b < bs.end; b++)
                for (int c = cs.begin; c < cs.end; c += step) {
                    const int places = (c + step < cs.end ? c + step : cs.end) - c;
                    const snncc_real *SNNCC_RESTRICT const from =
                        columns + ((a * g.size[1] + b) * g.size[2] + c) * each;
                    snncc_real *SNNCC_RESTRICT const to =
                        x + (ptrdiff_t)snncc_window_pixel(g, here, a, b, c) * g.channels;
                    for (int k = 0; k < places * each; k++) to[k] += from[k];
                }
    }
}

/* The pixel of window `number`, counted over all rows, in images of n numbers a pixel. */
SNNCC_INLINE size_t snncc_window_place(snncc_windows g, int number, int row_stride, int n)
{
    const int windows = snncc_out_pixels(g);
    return (size_t)(number / windows) * row_stride + (size_t)(number % windows) * n;
}

/* A group's outputs of windows first .. first + count as rows [count][stride] whose pads are 0; and back. */
SNNCC_INLINE void snncc_widen_pixels(snncc_windows g, int group, int first, int count, int row_stride, int stride,
                                     const snncc_real *image, snncc_real *wide)
{
    const int n = snncc_group_outputs(g);
    for (int i = 0; i < count; i++, wide += stride) {
        const snncc_real *const from = image + snncc_window_place(g, first + i, row_stride, g.outputs) + group * n;
        for (int k = 0; k < n; k++) wide[k] = from[k];
        for (int k = n; k < stride; k++) wide[k] = 0;
    }
}

SNNCC_INLINE void snncc_narrow_pixels(snncc_windows g, int group, int first, int count, int row_stride, int stride,
                                      const snncc_real *wide, snncc_real *image)
{
    const int n = snncc_group_outputs(g);
    for (int i = 0; i < count; i++, wide += stride) {
        snncc_real *const to = image + snncc_window_place(g, first + i, row_stride, g.outputs) + group * n;
        for (int k = 0; k < n; k++) to[k] = wide[k];
    }
}

/* Whether pixels of outputs lie one after the other over all rows, as whole vectors. */
SNNCC_INLINE int snncc_pixels_touch(snncc_windows g, int row_stride)
{
    return g.groups == 1 && snncc_stride(g.outputs) == g.outputs && row_stride == snncc_out_pixels(g) * g.outputs;
}

/* y = conv(x, w) + bias, dense, `chunk` windows at a time. x: [rows][x_stride]. scratch: the weight by groups, chunk rows
 * of a group's columns, and as many of its outputs. */
SNNCC_INLINE void snncc_conv_dense(snncc_windows g, int chunk, int rows, int x_stride, int y_stride,
                                   const snncc_real *x, const snncc_real *w, const snncc_real *bias,
                                   snncc_real *scratch, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int inputs = snncc_window_inputs(g), windows = snncc_out_pixels(g), outputs = snncc_group_outputs(g);
    const int direct = snncc_pixels_touch(g, y_stride), end = mine.end * windows, stride = snncc_stride(outputs);
    const snncc_real *const weight = snncc_weight_by_groups(g, w, scratch);
    snncc_real *const columns = scratch + snncc_groups_size(g);
    snncc_real *const wide = columns + (size_t)chunk * snncc_stride(inputs);
    for (int first = mine.begin * windows; first < end; first += chunk)
        for (int group = 0; group < g.groups; group++) {
            const int count = end - first < chunk ? end - first : chunk;
            const snncc_real *const of = weight + snncc_group_at(g, group), *const b = bias ? bias + group * outputs : NULL;
            snncc_real *const to = direct ? y + snncc_window_place(g, first, y_stride, g.outputs) : wide;
            snncc_unfold(g, group, first, count, x_stride, x, columns);
            if (outputs == 1)
                snncc_dense_single(count, inputs, inputs, columns, of, b, to);
            else
                SNNCC_EACH_PANEL(outputs, panel, width,
                                 snncc_dense_panel((width + SNNCC_LANES - 1) / SNNCC_LANES, count, inputs, inputs,
                                                   stride, columns, of + (size_t)panel * inputs, b ? b + panel : NULL,
                                                   to + panel))
            if (!direct) snncc_narrow_pixels(g, group, first, count, y_stride, stride, wide, y);
        }
}

/* y by whichever is faster at the density of x. */
SNNCC_INLINE void snncc_conv_counted(snncc_windows g, int chunk, snncc_events events, int rows, int x_stride,
                                     int y_stride, const snncc_real *x, const snncc_real *w, const snncc_real *bias,
                                     void *scratch, snncc_real *y, const snncc_crew *crew)
{
    if (snncc_is_dense(events, rows, snncc_in_pixels(g) * g.channels, SNNCC_CROSSOVER))
        snncc_conv_dense(g, chunk, rows, x_stride, y_stride, x, w, bias, (snncc_real *)scratch, y, crew);
    else
        snncc_conv_events(g, 1, events, rows, y_stride, w, bias, scratch, y, crew);
}

/* Every pixel starts at its channel's bias, or 0. */
SNNCC_INLINE void snncc_start_pixels(snncc_windows g, const snncc_real *bias, snncc_real *x)
{
    for (int p = 0; p < snncc_in_pixels(g); p++)
        for (int c = 0; c < g.channels; c++) x[p * g.channels + c] = bias ? bias[c] + (snncc_real)0 : (snncc_real)0;
}

/* x = the adjoint of conv by its input, on y, + bias: a number for each of x's channels. turned: the transposed weight
 * in panels. */
SNNCC_INLINE void snncc_conv_transpose_dense(snncc_windows g, int chunk, int rows, int y_stride, int x_stride,
                                             const snncc_real *y, const snncc_real *turned, const snncc_real *bias,
                                             snncc_real *scratch, snncc_real *x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int inputs = snncc_window_inputs(g), windows = snncc_out_pixels(g), stride = snncc_stride(inputs);
    const int outputs = snncc_group_outputs(g), direct = y_stride == windows * g.outputs, end = mine.end * windows;
    const int apart = direct ? g.outputs : outputs;
    snncc_real *const wide = scratch + (size_t)chunk * stride;
    for (int row = mine.begin; row < mine.end; row++) snncc_start_pixels(g, bias, x + (size_t)row * x_stride);
    for (int first = mine.begin * windows; first < end; first += chunk)
        for (int group = 0; group < g.groups; group++) {
            const int count = end - first < chunk ? end - first : chunk, output = group * outputs;
            const snncc_real *const from =
                direct ? y + snncc_window_place(g, first, y_stride, g.outputs) + output : wide;
            if (!direct) snncc_widen_pixels(g, group, first, count, y_stride, outputs, y, wide);
            if (inputs == 1)
                snncc_dense_single(count, outputs, apart, from, turned + output, NULL, scratch);
            else
                SNNCC_EACH_PANEL(inputs, panel, width, {
                    const int vectors = (width + SNNCC_LANES - 1) / SNNCC_LANES;
                    snncc_dense_panel(vectors, count, outputs, apart, stride, from,
                                      turned + (size_t)panel * g.outputs + (size_t)output * vectors * SNNCC_LANES, NULL,
                                      scratch + panel);
                })
            snncc_fold(g, group, first, count, stride, x_stride, scratch, x);
        }
}

/* One window's columns from the events of its pixel of y, begin .. end, whose outputs are index - shift. */
SNNCC_INLINE void snncc_columns_of(snncc_windows g, int valued, snncc_events y, int32_t begin, int32_t end, int shift,
                                   const snncc_real *turned, snncc_real *columns)
{
    const int inputs = snncc_window_inputs(g);
    const snncc_run run = {begin, end, -shift};
    if (inputs == 1) {
        columns[0] = 0;
        for (int32_t e = begin; e < end; e++) {
            const snncc_real weight = turned[(int)y.index[e] - shift];
            columns[0] += valued ? y.value[e] * weight : weight;
        }
        return;
    }
    SNNCC_EACH_PANEL(inputs, panel, width, {
        enum { MOST = SNNCC_PANEL_VECTORS };
        snncc_vec sum[MOST];
        const int vectors = (width + SNNCC_LANES - 1) / SNNCC_LANES;
        snncc_start(vectors, 0, NULL, sum);
        snncc_add_run(vectors, valued, y, run, turned + (size_t)panel * g.outputs, sum);
        for (int k = 0; k < vectors; k++) ((snncc_vec *)(columns + panel))[k] = sum[k];
    })
}

/* The same by the events of y. scratch: out_pixels * groups + 1 cells, then a group's columns of a window. */
SNNCC_INLINE void snncc_conv_transpose_events(snncc_windows g, int valued, snncc_events y, int rows, int x_stride,
                                              const snncc_real *turned, const snncc_real *bias, void *scratch,
                                              snncc_real *x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int windows = snncc_out_pixels(g), lists = windows * g.groups;
    int32_t *const cells = (int32_t *)scratch;
    snncc_real *const columns = (snncc_real *)(void *)((char *)scratch + snncc_align((size_t)(lists + 1) * sizeof *cells));
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = x + (size_t)row * x_stride;
        snncc_start_pixels(g, bias, to);
        snncc_cells(snncc_group_outputs(g), lists, y, row, cells);
        for (int list = 0; list < lists; list++)
            if (cells[list] < cells[list + 1]) {
                const int w = list / g.groups;
                snncc_columns_of(g, valued, y, cells[list], cells[list + 1], w * g.outputs, turned, columns);
                snncc_fold(g, list % g.groups, w, 1, 0, 0, columns, to);
            }
    }
}

SNNCC_INLINE void snncc_conv_transpose_counted(snncc_windows g, int chunk, snncc_events events, int rows, int y_stride,
                                               int x_stride, const snncc_real *y, const snncc_real *turned,
                                               const snncc_real *bias, void *scratch, snncc_real *x,
                                               const snncc_crew *crew)
{
    if (snncc_is_dense(events, rows, snncc_out_pixels(g) * g.outputs, SNNCC_CROSSOVER))
        snncc_conv_transpose_dense(g, chunk, rows, y_stride, x_stride, y, turned, bias, (snncc_real *)scratch, x, crew);
    else
        snncc_conv_transpose_events(g, 1, events, rows, x_stride, turned, bias, scratch, x, crew);
}

#endif
