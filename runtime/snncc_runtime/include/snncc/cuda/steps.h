/* Products over the steps of a sequence, and rows that belong to steps.
 *
 * A sequence is [steps][rows][n]: a matrix of `steps` rows, whose columns are the features of all samples. */
#ifndef SNNCC_CUDA_STEPS_H
#define SNNCC_CUDA_STEPS_H

#include "device.h"

enum { SNNCC_MIXED = 8, SNNCC_PAIR_THREADS = 32 }; /* results of a thread; threads of a block of steps_gradient */

/* A thread makes SNNCC_MIXED steps of a column, so that it reads x once for all of them. */
static __global__ void snncc_mix_steps_kernel(size_t count, size_t columns, int steps, size_t w_row, size_t w_column,
                                              const snncc_real *w, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const size_t column = at % columns;
    const int first = (int)(at / columns) * SNNCC_MIXED;
    const int results = steps - first < SNNCC_MIXED ? steps - first : SNNCC_MIXED;
    snncc_real sum[SNNCC_MIXED] = {0};
    for (int s = 0; s < steps; s++) {
        const snncc_real value = x[(size_t)s * columns + column];
        for (int t = 0; t < SNNCC_MIXED; t++)
            if (t < results) sum[t] += w[(size_t)(first + t) * w_row + (size_t)s * w_column] * value;
    }
    for (int t = 0; t < SNNCC_MIXED; t++)
        if (t < results) y[(size_t)(first + t) * columns + column] = sum[t];
}

/* y[t] = sum of w[t][s] x[s], or of w[s][t] x[s] if `transposed`, in ascending order of s. w: [steps][steps]. */
static inline void snncc_mix_steps(cudaStream_t stream, int transposed, int steps, int rows, int n, const snncc_real *w,
                                   const snncc_real *x, snncc_real *y)
{
    const size_t columns = (size_t)rows * (size_t)n, wide = (size_t)steps, groups = (wide + SNNCC_MIXED - 1) / SNNCC_MIXED;
    SNNCC_EACH(snncc_mix_steps_kernel, groups * columns, stream, groups * columns, columns, steps,
               transposed ? 1 : wide, transposed ? wide : 1, w, x, y);
}

/* A thread has a pair of steps and a lane: every SNNCC_LANES-th feature of the rows. */
static __global__ void snncc_steps_gradient_kernel(int steps, int rows, int n, const snncc_real *d_y, const snncc_real *x,
                                                   snncc_real *d_w)
{
    SNNCC_SHARED(snncc_real, lanes, SNNCC_PAIR_THREADS);
    const int thread = (int)threadIdx.x, lane = thread % SNNCC_LANES;
    const size_t pair = snncc_thread() / SNNCC_LANES, pairs = (size_t)steps * (size_t)steps;
    const size_t columns = (size_t)rows * (size_t)n, wide = (size_t)steps;
    snncc_real sum = 0;
    if (pair < pairs) {
        d_y += pair / wide * columns, x += pair % wide * columns;
        for (int row = 0; row < rows; row++, d_y += n, x += n)
            for (int i = lane; i < n; i += SNNCC_LANES) sum += d_y[i] * x[i];
    }
    lanes[thread] = sum;
    __syncthreads();
    if (lane || pair >= pairs) return;
    snncc_real total = 0;
    for (int k = 0; k < SNNCC_LANES; k++) total += lanes[thread + k];
    d_w[pair] += total;
}

/* d_w[t][s] += sum of d_y[t] x[s] over samples and features, in SNNCC_LANES parts, which are added in ascending order. */
static inline void snncc_steps_gradient(cudaStream_t stream, int steps, int rows, int n, const snncc_real *d_y,
                                        const snncc_real *x, snncc_real *d_w)
{
    const size_t threads = (size_t)steps * (size_t)steps * SNNCC_LANES;
    const unsigned blocks = (unsigned)((threads + SNNCC_PAIR_THREADS - 1) / SNNCC_PAIR_THREADS);
    SNNCC_LAUNCH(snncc_steps_gradient_kernel, blocks, SNNCC_PAIR_THREADS, 0, stream, steps, rows, n, d_y, x, d_w);
}

static __global__ void snncc_at_step_kernel(size_t count, int rows, int n, const snncc_real *p, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    y[at] = p[at / ((size_t)rows * (size_t)n) * (size_t)n + at % (size_t)n];
}

/* y[t][row] = p[t]: at step t, row t of a parameter [steps][n] for every sample. */
static inline void snncc_at_step(cudaStream_t stream, int steps, int rows, int n, const snncc_real *p, snncc_real *y)
{
    const size_t count = (size_t)steps * (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_at_step_kernel, count, stream, count, rows, n, p, y);
}

#endif
