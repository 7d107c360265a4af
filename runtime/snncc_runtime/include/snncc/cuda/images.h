/* Pooling of images [rows][pixels][channels], and its adjoints: a thread makes an element, in the order of the C
 * kernels. */
#ifndef SNNCC_CUDA_IMAGES_H
#define SNNCC_CUDA_IMAGES_H

#include "conv_groups.h"

/* Where places of a window end to count for a mean, for each axis. */
struct snncc_ends {
    int at[3];
};

/* x: one channel of an image. */
static inline __device__ snncc_real snncc_pool_window(const snncc_windows &g, int what, snncc_window here,
                                                      const snncc_real *x)
{
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    int seen = 0;
    snncc_real best = 0, result = 0;
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int c = cs.begin; c < cs.end; c++, seen = 1) {
                const snncc_real place = (snncc_real)((a * g.size[1] + b) * g.size[2] + c);
                const snncc_real value = x[(size_t)snncc_window_pixel(g, here, a, b, c) * g.channels];
                if (what >= SNNCC_POOL_SUM) {
                    result += value;
                } else if (!seen || value > best || (value != value && best == best)) {
                    best = value; /* NaN is the largest, the first of equals stays */
                    result = what == SNNCC_POOL_MAX ? value : place;
                }
            }
    return result;
}

/* Element `at` of what a kernel below makes. */
static inline __device__ void snncc_pool_element(size_t at, const snncc_windows &g, int what, const snncc_ends &last,
                                                 const snncc_real *x, snncc_real *y)
{
    const size_t pixel = at / (size_t)g.channels, row = pixel / (size_t)snncc_out_pixels(g);
    const snncc_window here = snncc_window_at(g, (int)(pixel % (size_t)snncc_out_pixels(g)));
    const snncc_real *const channel = x + row * (size_t)snncc_in_pixels(g) * g.channels + at % (size_t)g.channels;
    const snncc_real result = snncc_pool_window(g, what, here, channel);
    y[at] = what > SNNCC_POOL_SUM ? result / (snncc_real)snncc_pool_count(g, what, here, last.at) : result;
}

static __global__ void snncc_pool_kernel(snncc_windows g, int what, snncc_ends last, size_t count, const snncc_real *x,
                                         snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_pool_element(at, g, what, last, x, y);
}

/* y = what each window of x comes to. */
static inline void snncc_pool(cudaStream_t stream, snncc_windows g, int what, snncc_ends last, int rows,
                              const snncc_real *x, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)snncc_out_pixels(g) * (size_t)g.channels;
    SNNCC_EACH(snncc_pool_kernel, count, stream, g, what, last, count, x, y);
}

static inline __device__ void snncc_unpool_max_element(size_t at, const snncc_windows &g, const snncc_real *y,
                                                       const snncc_real *where, snncc_real *x)
{
    const size_t number = at / (size_t)g.channels, row = number / (size_t)snncc_in_pixels(g);
    const size_t from = row * (size_t)snncc_out_pixels(g) * g.channels + at % (size_t)g.channels;
    snncc_real sum = 0;
    snncc_each_window(g, (int)(number % (size_t)snncc_in_pixels(g)), [&](int place, int window) {
        const size_t there = from + (size_t)window * g.channels;
        sum += where[there] == (snncc_real)place ? y[there] : (snncc_real)0;
    });
    x[at] = sum;
}

static __global__ void snncc_unpool_max_kernel(snncc_windows g, size_t count, const snncc_real *y, const snncc_real *where,
                                               snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_unpool_max_element(at, g, y, where, x);
}

/* x = y of each window at the place that `where` says, summed where windows overlap. */
static inline void snncc_unpool_max(cudaStream_t stream, snncc_windows g, int rows, const snncc_real *y,
                                    const snncc_real *where, snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)snncc_in_pixels(g) * (size_t)g.channels;
    SNNCC_EACH(snncc_unpool_max_kernel, count, stream, g, count, y, where, x);
}

static inline __device__ void snncc_unpool_sum_element(size_t at, const snncc_windows &g, int what,
                                                       const snncc_ends &last, const snncc_real *y, snncc_real *x)
{
    const size_t number = at / (size_t)g.channels, row = number / (size_t)snncc_in_pixels(g);
    y += row * (size_t)snncc_out_pixels(g) * g.channels + at % (size_t)g.channels;
    snncc_real sum = 0;
    snncc_each_window(g, (int)(number % (size_t)snncc_in_pixels(g)), [&](int, int window) {
        const int counted = what == SNNCC_POOL_SUM ? 1 : snncc_pool_count(g, what, snncc_window_at(g, window), last.at);
        sum += y[(size_t)window * g.channels] / (snncc_real)counted;
    });
    x[at] = sum;
}

static __global__ void snncc_unpool_sum_kernel(snncc_windows g, int what, snncc_ends last, size_t count,
                                               const snncc_real *y, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_unpool_sum_element(at, g, what, last, y, x);
}

/* x = y of each window, or its share, at all places of it in the image. */
static inline void snncc_unpool_sum(cudaStream_t stream, snncc_windows g, int what, snncc_ends last, int rows,
                                    const snncc_real *y, snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)snncc_in_pixels(g) * (size_t)g.channels;
    SNNCC_EACH(snncc_unpool_sum_kernel, count, stream, g, what, last, count, y, x);
}

#endif
