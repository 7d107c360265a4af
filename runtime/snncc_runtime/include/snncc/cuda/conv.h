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

/* Rows of n numbers. */
struct snncc_images {
    const snncc_real *data;
    int n;

    snncc_images from(int row) const { return {data + (size_t)row * (size_t)n, n}; }
    __device__ ptrdiff_t first(int row) const { return (ptrdiff_t)row * n; }
    __device__ snncc_real at(ptrdiff_t number) const { return data[number]; }
};

/* Images x as their windows: number [place][channel] of window [row][window]; 0 outside of the image. */
template <class Images> struct snncc_unfolded_of_images {
    /* The first place of a window, which may lie outside, or a number of it from there; `first` and `number`: of x. */
    struct Window {
        ptrdiff_t first;
        int z, y, x;
    };
    struct Input {
        int z, y, x, number;
    };

    snncc_windows g;
    snncc_axes windows, places;
    snncc_divisor channels;
    Images x;

    __device__ int number(int z, int y, int w) const { return ((z * g.in[1] + y) * g.in[2] + w) * g.channels; }

    __device__ Window window(int row, snncc_place at) const
    {
        const int z = at.a * g.stride[0] - g.before[0], y = at.b * g.stride[1] - g.before[1];
        const int w = at.c * g.stride[2] - g.before[2];
        return {x.first(row) + number(z, y, w), z, y, w};
    }

    __device__ Input input(int i) const
    {
        const int place = channels.quotient(i);
        const snncc_place at = places.split(place);
        const int z = at.a * g.dilation[0], y = at.b * g.dilation[1], w = at.c * g.dilation[2];
        return {z, y, w, number(z, y, w) + i - place * g.channels};
    }

    __device__ snncc_real at(const Window &window, const Input &input) const
    {
        const unsigned z = (unsigned)(window.z + input.z), y = (unsigned)(window.y + input.y);
        const unsigned w = (unsigned)(window.x + input.x);
        const bool inside = z < (unsigned)g.in[0] && y < (unsigned)g.in[1] && w < (unsigned)g.in[2];
        return inside ? x.at(window.first + input.number) : (snncc_real)0;
    }
};

typedef snncc_unfolded_of_images<snncc_images> snncc_unfolded;

template <class Images> static inline snncc_unfolded_of_images<Images> snncc_unfold_images(snncc_windows g, Images x)
{
    return {g, snncc_axes_of(g.out), snncc_axes_of(g.size), snncc_divide_by(g.channels), x};
}

static inline snncc_unfolded snncc_unfolded_of(snncc_windows g, const snncc_real *x)
{
    return snncc_unfold_images(g, snncc_images{x, snncc_in_pixels(g) * g.channels});
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

template <class Images> struct snncc_conv_left_of {
    typedef typename snncc_unfolded_of_images<Images>::Window Row;
    typedef typename snncc_unfolded_of_images<Images>::Input Term;

    snncc_unfolded_of_images<Images> x;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return true; }
    __device__ Row row(int row) const
    {
        const snncc_place window = x.windows.split(row);
        return x.window(window.rest, window);
    }
    __device__ Term term(int term) const { return x.input(term); }
    __device__ snncc_real at(const Row &row, const Term &term) const { return x.at(row, term); }
};

typedef snncc_conv_left_of<snncc_images> snncc_conv_left;

template <class Images>
static void snncc_conv_of(cudaStream_t stream, snncc_windows g, int rows, Images x, const snncc_real *w,
                          const snncc_real *bias, snncc_real *y)
{
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), lot = snncc_lot(rows, windows);
    const size_t to = (size_t)windows * g.outputs;
    const snncc_factor weight = {w, 1, g.outputs, 0};
    for (int row = 0; row < rows; row += lot) {
        const int count = (rows - row < lot ? rows - row : lot) * windows;
        const snncc_conv_left_of<Images> left = {snncc_unfold_images(g, x.from(row))};
        snncc_multiply(stream, 1, count, g.outputs, inputs, left, weight, bias, 0, y + row * to);
    }
}

/* x: [rows][in][channels], y: [rows][out][outputs]. */
static inline void snncc_conv(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *x, const snncc_real *w,
                              const snncc_real *bias, snncc_real *y)
{
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), lot = snncc_lot(rows, windows);
    const snncc_images images = {x, snncc_in_pixels(g) * g.channels};
    if (!snncc_windows_are_pixels(g)) return snncc_conv_of(stream, g, rows, images, w, bias, y);
    for (int row = 0; row < rows; row += lot) {
        const int count = (rows - row < lot ? rows - row : lot) * windows;
        snncc_product(stream, count, inputs, g.outputs, images.from(row).data, w, bias,
                      y + row * ((size_t)windows * g.outputs));
    }
}

/* ---- its adjoint by the input: of each window the product with its outputs, then an element gathers from the windows
 * that reach it, in ascending order, that is from the places of a window in descending order */

struct snncc_folded {
    snncc_windows g;
    snncc_axes pixels;
    snncc_divisor channels, strides[3];

    /* The window along an axis whose place k is pixel p, or -1. */
    __device__ int window(int axis, int p, int k) const
    {
        const int from_start = p + g.before[axis] - k * g.dilation[axis];
        const int n = from_start < 0 ? -1 : strides[axis].quotient(from_start);
        return n >= 0 && n * g.stride[axis] == from_start && n < g.out[axis] ? n : -1;
    }

    /* Element [row][pixel][channel]: start + the sum over the windows that reach it; sums: [rows][windows][places][channels]. */
    __device__ snncc_real at(int element, snncc_real start, const snncc_real *sums) const
    {
        const int number = channels.quotient(element), places = g.size[0] * g.size[1] * g.size[2];
        const snncc_place pixel = pixels.split(number);
        sums += (size_t)pixel.rest * g.out[0] * g.out[1] * g.out[2] * places * g.channels + (element - number * g.channels);
        snncc_real sum = start;
        for (int a = g.size[0] - 1; a >= 0; a--) {
            const int z = window(0, pixel.a, a);
            for (int b = g.size[1] - 1; b >= 0 && z >= 0; b--) {
                const int y = window(1, pixel.b, b);
                for (int c = g.size[2] - 1; c >= 0 && y >= 0; c--) {
                    const int x = window(2, pixel.c, c), place = (a * g.size[1] + b) * g.size[2] + c;
                    if (x >= 0) sum += sums[((size_t)((z * g.out[1] + y) * g.out[2] + x) * places + place) * g.channels];
                }
            }
        }
        return sum;
    }
};

static __global__ void snncc_fold_kernel(snncc_folded folded, size_t count, const snncc_real *sums,
                                         const snncc_real *bias, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const snncc_real start = bias ? bias[at % (size_t)folded.g.channels] + (snncc_real)0 : (snncc_real)0;
    x[at] = folded.at((int)at, start, sums);
}

/* x = bias + the sums of all windows that reach a pixel. sums: [rows][windows][places][channels], x: [rows][in][channels]. */
static inline void snncc_fold(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *sums,
                              const snncc_real *bias, snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)snncc_in_pixels(g) * (size_t)g.channels;
    snncc_folded folded = {g, snncc_axes_of(g.in), snncc_divide_by(g.channels), {}};
    for (int axis = 0; axis < 3; axis++) folded.strides[axis] = snncc_divide_by(g.stride[axis]);
    SNNCC_EACH(snncc_fold_kernel, count, stream, folded, count, sums, bias, x);
}

/* x = the adjoint of conv on y, + bias, for `images` rows at a time. product(rows, y, sums): of rows of outputs with the
 * turned weights. sums: [images][windows][places][channels]. */
template <class Product>
static void snncc_conv_transpose_by(cudaStream_t stream, snncc_windows g, int images, int rows, const snncc_real *y,
                                    const snncc_real *bias, snncc_real *sums, snncc_real *x, Product product)
{
    const int windows = snncc_out_pixels(g), inside = snncc_in_pixels(g) * g.channels;
    const int lot = snncc_lot(snncc_lot(images, windows), inside);
    const int whole = snncc_windows_are_pixels(g) && !bias;
    for (int row = 0; row < rows; row += lot) {
        const int count = rows - row < lot ? rows - row : lot;
        snncc_real *const to = x + row * (size_t)inside;
        product(count * windows, y + row * ((size_t)windows * g.outputs), whole ? to : sums);
        if (!whole) snncc_fold(stream, g, count, sums, bias, to);
    }
}

/* turned: [outputs][places][channels]. */
static inline void snncc_conv_transpose(cudaStream_t stream, snncc_windows g, int images, int rows, const snncc_real *y,
                                        const snncc_real *turned, const snncc_real *bias, void *scratch, snncc_real *x)
{
    const auto product = [=](int count, const snncc_real *from, snncc_real *to) {
        snncc_product(stream, count, g.outputs, snncc_window_inputs(g), from, turned, NULL, to);
    };
    snncc_conv_transpose_by(stream, g, images, rows, y, bias, (snncc_real *)scratch, x, product);
}

/* ---- the weight's gradient */

/* Element [place, channel] of term = [row, descending][window]. */
template <class Images> struct snncc_conv_gradient_left_of {
    typedef typename snncc_unfolded_of_images<Images>::Input Row;
    typedef typename snncc_unfolded_of_images<Images>::Window Term;

    snncc_unfolded_of_images<Images> x;
    int last; /* row */

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ Row row(int row) const { return x.input(row); }
    __device__ Term term(int term) const
    {
        const snncc_place window = x.windows.split(term);
        return x.window(last - window.rest, window);
    }
    __device__ snncc_real at(const Row &row, const Term &term) const { return x.at(term, row); }
};

typedef snncc_conv_gradient_left_of<snncc_images> snncc_conv_gradient_left;

struct snncc_conv_gradient_right {
    typedef int Row;
    typedef ptrdiff_t Term;

    int outputs, last;
    snncc_divisor windows;
    const snncc_real *d_y;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ Row row(int output) const { return output; }
    __device__ Term term(int term) const
    {
        const int row = windows.quotient(term), window = term - row * windows.by;
        return ((ptrdiff_t)(last - row) * windows.by + window) * outputs;
    }
    __device__ snncc_real at(Row output, Term term) const { return d_y[term + output]; }
};

template <class Images>
static void snncc_conv_gradient_of(cudaStream_t stream, snncc_windows g, int add, int rows, Images x,
                                   const snncc_real *d_y, snncc_real *d_w)
{
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), lot = snncc_lot(rows, windows);
    const size_t to = (size_t)windows * g.outputs;
    for (int end = rows; end > 0; end -= lot, add = 1) {
        const int begin = end < lot ? 0 : end - lot, last = end - begin - 1;
        const snncc_conv_gradient_left_of<Images> left = {snncc_unfold_images(g, x.from(begin)), last};
        const snncc_conv_gradient_right right = {g.outputs, last, snncc_divide_by(windows), d_y + begin * to};
        snncc_multiply(stream, 1, inputs, g.outputs, (end - begin) * windows, left, right, NULL, add, d_w);
    }
}

/* d_w += the gradient of conv(x, w); where `add` is 0, d_w = it. */
static inline void snncc_conv_gradient(cudaStream_t stream, snncc_windows g, int add, int rows, const snncc_real *x,
                                       const snncc_real *d_y, snncc_real *d_w)
{
    snncc_conv_gradient_of(stream, g, add, rows, snncc_images{x, snncc_in_pixels(g) * g.channels}, d_y, d_w);
}

#endif
