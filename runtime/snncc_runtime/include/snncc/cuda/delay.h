/* Delays of several steps.
 *
 * What a delay keeps from one call to the next is a row of a sample: `count` steps of n features, the oldest first. In a
 * loop over time its state is a ring, [count][rows][n]: what comes out at step t, before anything of this call (or of this
 * segment of time) does, lies at t % count. */
#ifndef SNNCC_CUDA_DELAY_H
#define SNNCC_CUDA_DELAY_H

#include "device.h"

static __global__ void snncc_first_steps_kernel(size_t number, int rows, int start, int kept_steps, int n,
                                                const snncc_real *x, snncc_real *kept)
{
    const size_t at = snncc_thread();
    if (at >= number) return;
    const size_t i = at % (size_t)n, row = at / (size_t)n % (size_t)rows, t = at / (size_t)n / (size_t)rows;
    kept[(row * (size_t)kept_steps + (size_t)start + t) * (size_t)n + i] = x[at];
}

/* kept[row] = step by step the first `count` ones of x, as far as they are among these, which begin with step `start`.
 * x: [steps][rows][n], kept: [rows][kept_steps][n]. */
static inline void snncc_first_steps(cudaStream_t stream, int steps, int rows, int start, int count, int kept_steps, int n,
                                     const snncc_real *x, snncc_real *kept)
{
    const int left = count - start, own = left < 0 ? 0 : left < steps ? left : steps;
    const size_t number = (size_t)own * (size_t)rows * (size_t)n;
    if (number) SNNCC_EACH(snncc_first_steps_kernel, number, stream, number, rows, start, kept_steps, n, x, kept);
}

/* A thread has a sample and a feature, and moves its steps one after the other, as `kept` may be `before`. */
static __global__ void snncc_last_steps_kernel(size_t number, int steps, int rows, int start, int kept_steps, int n,
                                               const snncc_real *x, const snncc_real *lengths, const snncc_real *before,
                                               snncc_real *kept)
{
    const size_t at = snncc_thread();
    if (at >= number) return;
    const size_t i = at % (size_t)n, row = at / (size_t)n, first = row * (size_t)kept_steps * (size_t)n + i;
    const int left = lengths ? (int)lengths[row] - start : steps, own = left < 0 ? 0 : left < steps ? left : steps;
    for (int k = 0; k < kept_steps; k++) {
        const int t = own - kept_steps + k;
        kept[first + (size_t)k * (size_t)n] = t < 0 ? before[first + (size_t)(own + k) * (size_t)n]
                                                    : x[((size_t)t * (size_t)rows + row) * (size_t)n + i];
    }
}

/* kept[row] = the last steps of what was kept before (maybe in the same place) followed by x, which begins with step
 * `start`; if there are lengths, [rows], by those steps of x that the sample has. */
static inline void snncc_last_steps(cudaStream_t stream, int steps, int rows, int start, int kept_steps, int n,
                                    const snncc_real *x, const snncc_real *lengths, const snncc_real *before,
                                    snncc_real *kept)
{
    const size_t number = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_last_steps_kernel, number, stream, number, steps, rows, start, kept_steps, n, x, lengths, before, kept);
}

static __global__ void snncc_start_ring_kernel(size_t number, int rows, int count, int n, const snncc_real *kept,
                                               snncc_real *ring)
{
    const size_t at = snncc_thread();
    if (at >= number) return;
    const size_t i = at % (size_t)n, row = at / (size_t)n % (size_t)rows, k = at / (size_t)n / (size_t)rows;
    ring[at] = kept[(row * (size_t)count + k) * (size_t)n + i];
}

/* The ring before the first step, as far as so many steps read it. */
static inline void snncc_start_ring(cudaStream_t stream, int steps, int rows, int count, int n, const snncc_real *kept,
                                    snncc_real *ring)
{
    const size_t number = (size_t)(steps < count ? steps : count) * (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_start_ring_kernel, number, stream, number, rows, count, n, kept, ring);
}

static __global__ void snncc_keep_kernel(size_t number, size_t row, int first, int count, const snncc_real *x,
                                         snncc_real *ring)
{
    const size_t at = snncc_thread();
    if (at >= number) return;
    ring[((size_t)first + at / row) % (size_t)count * row + at % row] = x[at];
}

/* A segment's last steps take their places in the ring, for the next one. */
static inline void snncc_keep_last(cudaStream_t stream, int steps, int rows, int start, int count, int n,
                                   const snncc_real *x, snncc_real *ring)
{
    const size_t row = (size_t)rows * (size_t)n;
    const int begin = steps < count ? 0 : steps - count;
    const size_t number = (size_t)(steps - begin) * row;
    SNNCC_EACH(snncc_keep_kernel, number, stream, number, row, start + begin, count, x + (size_t)begin * row, ring);
}

/* A segment's first steps, for the one before, backward. */
static inline void snncc_keep_first(cudaStream_t stream, int steps, int rows, int start, int count, int n,
                                    const snncc_real *x, snncc_real *ring)
{
    const size_t row = (size_t)rows * (size_t)n, number = (size_t)(steps < count ? steps : count) * row;
    SNNCC_EACH(snncc_keep_kernel, number, stream, number, row, start, count, x, ring);
}

#endif
