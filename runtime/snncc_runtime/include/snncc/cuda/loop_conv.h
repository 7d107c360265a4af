/* Convolutions in a loop over time that is one kernel: products of tiles whose rows are read through windows. A pixel of
 * what is made is a row, its channels are the outputs; sums are those of conv.h, in its order. */
#ifndef SNNCC_CUDA_LOOP_CONV_H
#define SNNCC_CUDA_LOOP_CONV_H

#include "conv_groups.h"
#include "loop.h"

/* Windows of x [rows][in][channels], a row for each of y [rows][out][outputs]: places and their channels ascending. */
struct snncc_window_rows {
    enum { BY_PLACE = 0 };

    const snncc_real *x;
    snncc_windows g;

    /* Of w: [places][channels][outputs]. */
    static __device__ snncc_terms terms(const snncc_windows &g)
    {
        return {snncc_window_places(g), g.channels, 0, (ptrdiff_t)g.channels * g.outputs, g.outputs};
    }

    __device__ ptrdiff_t at(size_t row, int term) const
    {
        const int each = terms(g).padded(), place = term / each, channel = term - place * each;
        const snncc_window here = snncc_window_at(g, (int)(row % (size_t)snncc_out_pixels(g)));
        const int a = place / g.size[2] / g.size[1], b = place / g.size[2] % g.size[1], c = place % g.size[2];
        const int z = here.start[0] + a * g.dilation[0], y = here.start[1] + b * g.dilation[1];
        const int column = here.start[2] + c * g.dilation[2];
        const bool outside = z < 0 || z >= g.in[0] || y < 0 || y >= g.in[1] || column < 0 || column >= g.in[2];
        if (outside || channel >= g.channels) return -1;
        const size_t image = row / (size_t)snncc_out_pixels(g) * (size_t)snncc_in_pixels(g);
        return (ptrdiff_t)((image + (size_t)((z * g.in[1] + y) * g.in[2] + column)) * (size_t)g.channels) + channel;
    }

    __device__ snncc_real start(const snncc_real *bias, int output) const
    {
        return bias ? bias[output] + (snncc_real)0 : (snncc_real)0;
    }
};

/* The adjoint by the input, x: [rows][in][channels]: the windows of y [rows][out][outputs] that reach a pixel, ascending,
 * that is the places of a window descending, and of each the sum over its outputs. */
struct snncc_reaching_rows {
    enum { BY_PLACE = 1 };

    const snncc_real *x; /* y */
    snncc_windows g;

    /* Of the turned w: [outputs][places][channels]. */
    static __device__ snncc_terms terms(const snncc_windows &g)
    {
        const ptrdiff_t places = snncc_window_places(g);
        return {(int)places, g.outputs, (places - 1) * g.channels, -(ptrdiff_t)g.channels, places * g.channels};
    }

    __device__ ptrdiff_t at(size_t row, int term) const
    {
        const int each = terms(g).padded(), turn = term / each, output = term - turn * each;
        const int place = snncc_window_places(g) - 1 - turn, pixel = (int)(row % (size_t)snncc_in_pixels(g));
        const int z = snncc_window_of(g, 0, pixel / g.in[2] / g.in[1], place / g.size[2] / g.size[1]);
        const int y = snncc_window_of(g, 1, pixel / g.in[2] % g.in[1], place / g.size[2] % g.size[1]);
        const int column = snncc_window_of(g, 2, pixel % g.in[2], place % g.size[2]);
        if (z < 0 || y < 0 || column < 0 || output >= g.outputs) return -1;
        const size_t windows = row / (size_t)snncc_in_pixels(g) * (size_t)snncc_out_pixels(g);
        const size_t window = windows + (size_t)((z * g.out[1] + y) * g.out[2] + column);
        return (ptrdiff_t)(window * (size_t)g.outputs) + output;
    }

    __device__ snncc_real start(const snncc_real *bias, int output) const
    {
        return bias ? bias[output] + (snncc_real)0 : (snncc_real)0;
    }
};

#endif
