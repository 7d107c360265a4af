/* Convolutions of images, forward and backward: products whose factors are read through windows. Images are
 * [rows][pixels][channels], weights [places][channels of a group][outputs].
 *
 * Sums are in the order of the C kernels: over the places of a window and their channels; of the transposed one, over
 * the windows that reach a pixel, each of them the sum over its outputs; of the weight's gradient, over the rows from the
 * last to the first, windows ascending. Places outside of an image add 0, which changes no sum that started at 0. */
#ifndef SNNCC_CUDA_CONV_H
#define SNNCC_CUDA_CONV_H

#include "device.h"
#include "product.h"
#include "../windows.h"

/* n / by = n * multiplier >> shift, for 0 <= n < 2^31: a division would take as long as twenty multiplications. */
struct snncc_divisor {
    int by, shift;
    unsigned multiplier;

    __device__ int quotient(int n) const { return (int)((uint64_t)(unsigned)n * multiplier >> shift); }
};

static inline snncc_divisor snncc_divide_by(int n)
{
    snncc_divisor d = {n, 31, 0};
    while (n > 1 && (uint64_t)1 << (d.shift - 31) < (uint64_t)n) d.shift++;
    d.multiplier = (unsigned)((((uint64_t)1 << d.shift) + (uint64_t)n - 1) / (uint64_t)n);
    return d;
}

/* A number of [...][a][b][c] as its last three indices and what is left before them. */
struct snncc_place {
    int rest, a, b, c;
};

struct snncc_axes {
    snncc_divisor a, b, c;

    __device__ snncc_place split(int number) const
    {
        snncc_place p;
        const int lines = c.quotient(number), planes = b.quotient(lines);
        p.rest = a.quotient(planes);
        p.a = planes - p.rest * a.by, p.b = lines - planes * b.by, p.c = number - lines * c.by;
        return p;
    }
};

static inline snncc_axes snncc_axes_of(const int *sizes)
{
    const snncc_axes axes = {snncc_divide_by(sizes[0]), snncc_divide_by(sizes[1]), snncc_divide_by(sizes[2])};
    return axes;
}

/* Number i = [place][channel] of window n = [row][window], of images x; 0 outside of the image. */
struct snncc_unfolded {
    snncc_windows g;
    snncc_axes windows, places;
    snncc_divisor channels;
    const snncc_real *x;

    __device__ snncc_real number(int row, snncc_place window, int i) const
    {
        const int place = channels.quotient(i), channel = i - place * g.channels;
        const snncc_place at = places.split(place);
        const int z = window.a * g.stride[0] - g.before[0] + at.a * g.dilation[0];
        const int y = window.b * g.stride[1] - g.before[1] + at.b * g.dilation[1];
        const int w = window.c * g.stride[2] - g.before[2] + at.c * g.dilation[2];
        if (z < 0 || z >= g.in[0] || y < 0 || y >= g.in[1] || w < 0 || w >= g.in[2]) return 0;
        const size_t pixel = (((size_t)row * g.in[0] + z) * g.in[1] + y) * g.in[2] + w;
        return x[pixel * g.channels + channel];
    }
};

static inline snncc_unfolded snncc_unfolded_of(snncc_windows g, const snncc_real *x)
{
    const snncc_unfolded u = {g, snncc_axes_of(g.out), snncc_axes_of(g.size), snncc_divide_by(g.channels), x};
    return u;
}

/* Rows of samples whose windows, of so many a row, are counted by an int. */
static inline int snncc_lot(int rows, int windows)
{
    const int most = (INT32_MAX - 4 * SNNCC_THREADS) / windows; /* so that a tile may reach beyond the end */
    return rows < most ? rows : most;
}

/* Whether windows are pixels: a product of rows. */
static inline int snncc_windows_are_pixels(snncc_windows g)
{
    int same = 1;
    for (int k = 0; k < 3; k++) same = same && g.size[k] == 1 && g.stride[k] == 1 && !g.before[k] && g.in[k] == g.out[k];
    return same;
}

/* ---- y = conv(x, w) + bias */

struct snncc_conv_left {
    snncc_unfolded x;

    __device__ int part() const { return 0; }
    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return true; }
    __device__ snncc_real at(int row, int term) const
    {
        const snncc_place window = x.windows.split(row);
        return x.number(window.rest, window, term);
    }
};

/* x: [rows][in][channels], y: [rows][out][outputs]. */
static inline void snncc_conv(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *x, const snncc_real *w,
                              const snncc_real *bias, snncc_real *y)
{
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), lot = snncc_lot(rows, windows);
    const size_t from = (size_t)snncc_in_pixels(g) * g.channels, to = (size_t)windows * g.outputs;
    const snncc_factor weight = {w, 1, g.outputs, 0};
    for (int row = 0; row < rows; row += lot) {
        const int count = (rows - row < lot ? rows - row : lot) * windows;
        if (snncc_windows_are_pixels(g)) {
            snncc_product(stream, count, inputs, g.outputs, x + row * from, w, bias, y + row * to);
        } else {
            const snncc_conv_left left = {snncc_unfolded_of(g, x + row * from)};
            snncc_multiply(stream, 1, count, g.outputs, inputs, left, weight, bias, 0, y + row * to);
        }
    }
}

/* ---- its adjoint by the input: an element gathers from the windows that reach it, in ascending order, that is from
 * the places of a window in descending order */

/* Term = [place, descending][output, padded with zeros to whole tiles]. */
struct snncc_conv_transpose_left {
    snncc_windows g;
    snncc_axes pixels, places;
    snncc_divisor padded, strides[3];
    int count; /* places of a window */
    const snncc_real *y;

    __device__ int part() const { return padded.by; }
    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return true; }

    /* The window along an axis whose place k is pixel p, or -1. */
    __device__ int window(int axis, int p, int k) const
    {
        const int from_start = p + g.before[axis] - k * g.dilation[axis];
        const int n = from_start < 0 ? -1 : strides[axis].quotient(from_start);
        return n >= 0 && n * g.stride[axis] == from_start && n < g.out[axis] ? n : -1;
    }

    __device__ snncc_real at(int row, int term) const
    {
        const int before = padded.quotient(term), output = term - before * padded.by;
        const snncc_place pixel = pixels.split(row), at = places.split(count - 1 - before);
        const int a = window(0, pixel.a, at.a), b = window(1, pixel.b, at.b), c = window(2, pixel.c, at.c);
        if (output >= g.outputs || a < 0 || b < 0 || c < 0) return 0;
        const size_t number = (((size_t)pixel.rest * g.out[0] + a) * g.out[1] + b) * g.out[2] + c;
        return y[number * g.outputs + output];
    }
};

struct snncc_conv_transpose_right {
    int channels, outputs, count;
    snncc_divisor padded;
    const snncc_real *turned;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ snncc_real at(int channel, int term) const
    {
        const int before = padded.quotient(term), output = term - before * padded.by, place = count - 1 - before;
        return output < outputs ? turned[((size_t)output * count + place) * channels + channel] : (snncc_real)0;
    }
};

/* x = the adjoint of conv on y, + bias. turned: [outputs][places][channels]. */
static inline void snncc_conv_transpose(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *y,
                                        const snncc_real *turned, const snncc_real *bias, snncc_real *x)
{
    const int pixels = snncc_in_pixels(g), places = snncc_window_places(g), lot = snncc_lot(rows, pixels);
    const int part = (g.outputs + SNNCC_DEPTH - 1) / SNNCC_DEPTH * SNNCC_DEPTH;
    const snncc_divisor padded = snncc_divide_by(part);
    const size_t from = (size_t)snncc_out_pixels(g) * g.outputs, to = (size_t)pixels * g.channels;
    const snncc_conv_transpose_right right = {g.channels, g.outputs, places, padded, turned};
    snncc_conv_transpose_left left = {g, snncc_axes_of(g.in), snncc_axes_of(g.size), padded, {}, places, NULL};
    for (int axis = 0; axis < 3; axis++) left.strides[axis] = snncc_divide_by(g.stride[axis]);
    for (int row = 0; row < rows; row += lot) {
        const int count = (rows - row < lot ? rows - row : lot) * pixels;
        left.y = y + row * from;
        if (snncc_windows_are_pixels(g) && !bias)
            snncc_product(stream, count, g.outputs, g.channels, left.y, turned, NULL, x + row * to);
        else
            snncc_multiply(stream, 1, count, g.channels, places * part, left, right, bias, 0, x + row * to);
    }
}

/* ---- the weight's gradient */

/* Element [place, channel] of term = [row, descending][window]. */
struct snncc_conv_gradient_left {
    snncc_unfolded x;
    int last; /* row */

    __device__ int part() const { return 0; }
    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ snncc_real at(int row, int term) const
    {
        const snncc_place window = x.windows.split(term);
        return x.number(last - window.rest, window, row);
    }
};

struct snncc_conv_gradient_right {
    int outputs, last;
    snncc_divisor windows;
    const snncc_real *d_y;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ snncc_real at(int output, int term) const
    {
        const int row = windows.quotient(term), window = term - row * windows.by;
        return d_y[((size_t)(last - row) * windows.by + window) * outputs + output];
    }
};

/* d_w += the gradient of conv(x, w); where `add` is 0, d_w = it. */
static inline void snncc_conv_gradient(cudaStream_t stream, snncc_windows g, int add, int rows, const snncc_real *x,
                                       const snncc_real *d_y, snncc_real *d_w)
{
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), lot = snncc_lot(rows, windows);
    const size_t from = (size_t)snncc_in_pixels(g) * g.channels, to = (size_t)windows * g.outputs;
    for (int end = rows; end > 0; end -= lot, add = 1) {
        const int begin = end < lot ? 0 : end - lot, last = end - begin - 1;
        const snncc_conv_gradient_left left = {snncc_unfolded_of(g, x + begin * from), last};
        const snncc_conv_gradient_right right = {g.outputs, last, snncc_divide_by(windows), d_y + begin * to};
        snncc_multiply(stream, 1, inputs, g.outputs, (end - begin) * windows, left, right, NULL, add, d_w);
    }
}

#endif
