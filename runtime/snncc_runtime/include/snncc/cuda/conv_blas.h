/* Convolutions on cuBLAS, for models that were compiled with another `precision` than "exact": windows are written as
 * rows, for some images at a time, and multiplied as linear layers are. Where there is no cuBLAS, the kernels of conv.h
 * do the same. */
#ifndef SNNCC_CUDA_CONV_BLAS_H
#define SNNCC_CUDA_CONV_BLAS_H

#include "blas.h"
#include "conv.h"
#include "split.h"

static inline __device__ void snncc_write_number(snncc_real *to, snncc_real number)
{
    *to = number;
}

#if SNNCC_REAL_BITS == 32
static inline __device__ void snncc_write_number(uint16_t *to, float number)
{
    *to = snncc_to_bfloat16(number);
}
#endif

/* rows[window][i] = number i of the window; rows are `width` apart. A thread a number. */
template <class Number>
static __global__ void snncc_unfold_kernel(snncc_unfolded x, snncc_divisor inputs, int width, size_t count, Number *rows)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const int window = inputs.quotient((int)at), i = (int)at - window * inputs.by;
    const snncc_place place = x.windows.split(window);
    snncc_write_number(rows + (size_t)window * width + i, x.at(x.window(place.rest, place), x.input(i)));
}

/* The windows of `images`, as rows. */
template <class Number>
static void snncc_unfold(cudaStream_t stream, snncc_windows g, int images, int width, const snncc_real *x, Number *rows)
{
    const int inputs = snncc_window_inputs(g);
    const size_t count = (size_t)images * (size_t)snncc_out_pixels(g) * (size_t)inputs;
    SNNCC_EACH(snncc_unfold_kernel<Number>, count, stream, snncc_unfolded_of(g, x), snncc_divide_by(inputs), width, count, rows);
}

/* body(first, count, x, y) for some images at a time: of so many, from x and y on; first: whether they are. */
template <class X, class Y, class Body>
static void snncc_each_lot(snncc_windows g, int images, int rows, X *x, Y *y, Body body)
{
    const int windows = snncc_out_pixels(g), lot = snncc_lot(images, windows);
    const size_t from = (size_t)snncc_in_pixels(g) * g.channels, to = (size_t)windows * g.outputs;
    for (int row = 0; row < rows; row += lot)
        body(row == 0, rows - row < lot ? rows - row : lot, x + row * from, y + row * to);
}

/* y = conv(x, w) + bias. x: [rows][in][channels], y: [rows][out][outputs]; scratch: the windows of so many images. */
static inline void snncc_blas_conv(cudaStream_t stream, snncc_blas *blas, snncc_precision precision, snncc_windows g,
                                   int images, int rows, const snncc_real *x, const snncc_real *w,
                                   const snncc_real *bias, void *scratch, snncc_real *y)
{
    if (!blas) return snncc_conv(stream, g, rows, x, w, bias, y);
    const int inputs = snncc_window_inputs(g);
    snncc_each_lot(g, images, rows, x, y, [=](int, int count, const snncc_real *from, snncc_real *to) {
        if (scratch) snncc_unfold(stream, g, count, inputs, from, (snncc_real *)scratch);
        snncc_blas_product(stream, blas, precision, count * snncc_out_pixels(g), inputs, g.outputs,
                           scratch ? (const snncc_real *)scratch : from, w, bias, to);
    });
}

/* x = the adjoint of conv on y, + bias. turned: [outputs][places][channels]. */
static inline void snncc_blas_conv_transpose(cudaStream_t stream, snncc_blas *blas, snncc_precision precision,
                                             snncc_windows g, int images, int rows, const snncc_real *y,
                                             const snncc_real *turned, const snncc_real *bias, void *scratch, snncc_real *x)
{
    const auto product = [=](int count, const snncc_real *from, snncc_real *to) {
        snncc_blas_product(stream, blas, precision, count, g.outputs, snncc_window_inputs(g), from, turned, NULL, to);
    };
    snncc_conv_transpose_by(stream, g, images, rows, y, bias, (snncc_real *)scratch, x, product);
}

/* d_w += the gradient of conv(x, w); where `add` is 0, d_w = it. */
static inline void snncc_blas_conv_gradient(cudaStream_t stream, snncc_blas *blas, snncc_precision precision,
                                            snncc_windows g, int add, int images, int rows,
                                            const snncc_real *x, const snncc_real *d_y, void *scratch, snncc_real *d_w)
{
    if (!blas) return snncc_conv_gradient(stream, g, add, rows, x, d_y, d_w);
    const int inputs = snncc_window_inputs(g);
    snncc_each_lot(g, images, rows, x, d_y, [=](int first, int count, const snncc_real *from, const snncc_real *d) {
        if (scratch) snncc_unfold(stream, g, count, inputs, from, (snncc_real *)scratch);
        snncc_blas_weight_gradient(stream, blas, precision, add || !first, count * snncc_out_pixels(g), inputs, g.outputs,
                                   scratch ? (const snncc_real *)scratch : from, d, d_w);
    });
}

#if SNNCC_REAL_BITS == 32

/* The same of spikes x, in products of bf16 numbers; see split.h. parts: w by snncc_split. */
static inline void snncc_split_conv(cudaStream_t stream, snncc_blas *blas, snncc_windows g, int images, int rows,
                                    const uint16_t *parts, const float *x, const float *w, const float *bias,
                                    void *scratch, float *y)
{
    if (!blas) return snncc_conv(stream, g, rows, x, w, bias, y);
    const int inputs = snncc_window_inputs(g);
    uint16_t *const halves = (uint16_t *)scratch;
    snncc_each_lot(g, images, rows, x, y, [=](int, int count, const float *from, float *to) {
        snncc_unfold(stream, g, count, snncc_padded(inputs), from, halves);
        snncc_split_product(stream, blas, count * snncc_out_pixels(g), inputs, g.outputs, halves, parts, from, w, bias, to);
    });
}

/* Of spikes y. parts: the turned weights by snncc_split. */
static inline void snncc_split_conv_transpose(cudaStream_t stream, snncc_blas *blas, snncc_windows g, int images, int rows,
                                              const uint16_t *parts, const float *y, const float *turned,
                                              const float *bias, void *scratch, float *x)
{
    const int inputs = snncc_window_inputs(g);
    uint16_t *const halves = (uint16_t *)scratch;
    float *const sums = (float *)(halves + (size_t)images * snncc_out_pixels(g) * snncc_padded(g.outputs));
    const auto product = [=](int count, const float *from, float *to) {
        if (blas) snncc_halve(stream, count, g.outputs, from, halves);
        snncc_split_product(stream, blas, count, g.outputs, inputs, halves, parts, from, turned, NULL, to);
    };
    snncc_conv_transpose_by(stream, g, images, rows, y, bias, sums, x, product);
}

/* Of spikes x. */
static inline void snncc_split_conv_gradient(cudaStream_t stream, snncc_blas *blas, snncc_windows g, int add, int images,
                                             int rows, const float *x, const float *d_y, void *scratch, float *d_w)
{
    if (!blas) return snncc_conv_gradient(stream, g, add, rows, x, d_y, d_w);
    const int inputs = snncc_window_inputs(g), windows = snncc_out_pixels(g);
    uint16_t *const halves = (uint16_t *)scratch;
    snncc_each_lot(g, images, rows, x, d_y, [=](int first, int count, const float *from, const float *d) {
        uint16_t *const parts = halves + (size_t)count * windows * snncc_padded(inputs);
        snncc_unfold(stream, g, count, snncc_padded(inputs), from, halves);
        snncc_split(stream, count * windows, g.outputs, d, parts);
        snncc_split_weight_gradient(stream, blas, add || !first, count * windows, inputs, g.outputs, halves, parts, from, d,
                                    d_w);
    });
}

#endif

#endif
