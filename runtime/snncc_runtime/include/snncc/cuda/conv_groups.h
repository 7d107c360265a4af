/* Convolutions in groups: an output reads the channels of its group only. A thread makes an element; those of
 * neighbouring threads are neighbouring channels. Weights are [places][channels of a group][outputs]. */
#ifndef SNNCC_CUDA_CONV_GROUPS_H
#define SNNCC_CUDA_CONV_GROUPS_H

#include "conv.h"

/* Element `at` of y. */
static inline __device__ void snncc_conv_groups_element(size_t at, const snncc_windows &g, const snncc_real *x,
                                                        const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const size_t pixel = at / (size_t)g.outputs, row = pixel / (size_t)snncc_out_pixels(g);
    const int output = (int)(at % (size_t)g.outputs), each = g.channels / g.groups;
    const snncc_window here = snncc_window_at(g, (int)(pixel % (size_t)snncc_out_pixels(g)));
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    x += row * (size_t)snncc_in_pixels(g) * g.channels + output / (g.outputs / g.groups) * each;
    snncc_real sum = bias ? bias[output] + (snncc_real)0 : (snncc_real)0;
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int c = cs.begin; c < cs.end; c++) {
                const int place = (a * g.size[1] + b) * g.size[2] + c;
                const snncc_real *const from = x + (size_t)snncc_window_pixel(g, here, a, b, c) * g.channels;
                const snncc_real *const weight = w + (size_t)place * each * g.outputs + output;
                for (int j = 0; j < each; j++) sum += weight[(size_t)j * g.outputs] * from[j];
            }
    y[at] = sum;
}

static __global__ void snncc_conv_groups_kernel(snncc_windows g, size_t count, const snncc_real *x, const snncc_real *w,
                                                const snncc_real *bias, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_conv_groups_element(at, g, x, w, bias, y);
}

/* y = conv(x, w) + bias. x: [rows][in][channels], y: [rows][out][outputs]. */
static inline void snncc_conv_groups(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *x,
                                     const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)snncc_out_pixels(g) * (size_t)g.outputs;
    SNNCC_EACH(snncc_conv_groups_kernel, count, stream, g, count, x, w, bias, y);
}

/* The window along an axis whose place k is pixel p, or -1. */
static inline __device__ int snncc_window_of(const snncc_windows &g, int axis, int p, int k)
{
    const int from_start = p + g.before[axis] - k * g.dilation[axis], n = from_start / g.stride[axis];
    return from_start >= 0 && n * g.stride[axis] == from_start && n < g.out[axis] ? n : -1;
}

/* body(place, window) for the windows of a row that reach a pixel, in ascending order: the places of a window in
 * descending order. */
template <class Body>
static __device__ void snncc_each_window(const snncc_windows &g, int pixel, Body body)
{
    const int z = pixel / g.in[2] / g.in[1], y = pixel / g.in[2] % g.in[1], x = pixel % g.in[2];
    for (int a = g.size[0] - 1; a >= 0; a--) {
        const int of_z = snncc_window_of(g, 0, z, a);
        for (int b = g.size[1] - 1; b >= 0 && of_z >= 0; b--) {
            const int of_y = snncc_window_of(g, 1, y, b);
            for (int c = g.size[2] - 1; c >= 0 && of_y >= 0; c--) {
                const int of_x = snncc_window_of(g, 2, x, c);
                if (of_x >= 0) body((a * g.size[1] + b) * g.size[2] + c, (of_z * g.out[1] + of_y) * g.out[2] + of_x);
            }
        }
    }
}

/* Element `at` of x. */
static inline __device__ void snncc_conv_transpose_groups_element(size_t at, const snncc_windows &g, const snncc_real *y,
                                                                  const snncc_real *w, const snncc_real *bias,
                                                                  snncc_real *x)
{
    const size_t number = at / (size_t)g.channels, row = number / (size_t)snncc_in_pixels(g);
    const int channel = (int)(at % (size_t)g.channels), pixel = (int)(number % (size_t)snncc_in_pixels(g));
    const int each = g.channels / g.groups, outputs = g.outputs / g.groups, first = channel / each * outputs;
    y += row * (size_t)snncc_out_pixels(g) * g.outputs + first;
    w += (size_t)(channel % each) * g.outputs + first;
    snncc_real sum = bias ? bias[channel] + (snncc_real)0 : (snncc_real)0;
    snncc_each_window(g, pixel, [&](int place, int window) {
        const snncc_real *const weight = w + (size_t)place * each * g.outputs, *const from = y + (size_t)window * g.outputs;
        snncc_real part = 0;
        for (int k = 0; k < outputs; k++) part += weight[k] * from[k];
        sum += part;
    });
    x[at] = sum;
}

static __global__ void snncc_conv_transpose_groups_kernel(snncc_windows g, size_t count, const snncc_real *y,
                                                          const snncc_real *w, const snncc_real *bias, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_conv_transpose_groups_element(at, g, y, w, bias, x);
}

/* x = its adjoint by the input, on y, + bias; w: the weight itself. Of each window the outputs are added, then these. */
static inline void snncc_conv_transpose_groups(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *y,
                                               const snncc_real *w, const snncc_real *bias, snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)snncc_in_pixels(g) * (size_t)g.channels;
    SNNCC_EACH(snncc_conv_transpose_groups_kernel, count, stream, g, count, y, w, bias, x);
}

static __global__ void snncc_conv_gradient_groups_kernel(snncc_windows g, size_t count, int add, int rows, const snncc_real *x,
                                                         const snncc_real *d_y, snncc_real *d_w)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const int output = (int)(at % (size_t)g.outputs), input = (int)(at / (size_t)g.outputs);
    const int each = g.channels / g.groups, place = input / each, windows = snncc_out_pixels(g);
    const int a = place / g.size[2] / g.size[1], b = place / g.size[2] % g.size[1], c = place % g.size[2];
    const size_t image = (size_t)snncc_in_pixels(g) * g.channels;
    x += output / (g.outputs / g.groups) * each + input % each;
    snncc_real sum = add ? d_w[at] : (snncc_real)0;
    for (int row = rows - 1; row >= 0; row--)
        for (int number = 0; number < windows; number++) {
            const snncc_window here = snncc_window_at(g, number);
            const int z = here.start[0] + a * g.dilation[0], y = here.start[1] + b * g.dilation[1];
            const int column = here.start[2] + c * g.dilation[2];
            if (z < 0 || z >= g.in[0] || y < 0 || y >= g.in[1] || column < 0 || column >= g.in[2]) continue;
            sum += x[row * image + (size_t)((z * g.in[1] + y) * g.in[2] + column) * g.channels]
                   * d_y[((size_t)row * windows + number) * g.outputs + output];
        }
    d_w[at] = sum;
}

/* d_w += the weight's gradient, over the rows from the last to the first, windows ascending; where `add` is 0, d_w = it. */
static inline void snncc_conv_gradient_groups(cudaStream_t stream, snncc_windows g, int add, int rows, const snncc_real *x,
                                              const snncc_real *d_y, snncc_real *d_w)
{
    const size_t count = (size_t)snncc_window_inputs(g) * (size_t)g.outputs;
    SNNCC_EACH(snncc_conv_gradient_groups_kernel, count, stream, g, count, add, rows, x, d_y, d_w);
}

#endif
