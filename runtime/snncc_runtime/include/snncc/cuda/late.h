/* Products with sparse weights whose synapses are late; see sparse.h for how synapses lie.
 *
 * Synapse s hands its input on after delay[s] steps, or, where positions are given, (1 - f) of it after k and f of it
 * after k + 1 steps, position[s] = k + f. What happened up to `longest` steps before the first one is a row of a sample,
 * [longest][n_in], the oldest step first. Inputs that are 0 add nothing. */
#ifndef SNNCC_CUDA_LATE_H
#define SNNCC_CUDA_LATE_H

#include "sparse.h"

/* A layer: steps, samples, longest delay, inputs and outputs, synapses. delay or position is NULL. */
typedef struct {
    int steps, rows, longest, n_in, n_out, synapses;
    const int32_t *offsets, *index, *delay;
    const snncc_real *position, *values;
} snncc_late;

/* After how many steps a synapse hands on its first share; *rest is its second one. */
static inline __device__ int snncc_share_of(snncc_late l, int32_t s, snncc_real *rest)
{
    *rest = 0;
    if (!l.position) return l.delay[s];
    int whole = (int)l.position[s];
    if (whole > l.longest - 1) whole = l.longest - 1;
    *rest = l.position[s] - (snncc_real)whole;
    return whole;
}

/* Element o of sample b at step t of y, if there is such a step. */
static inline __device__ ptrdiff_t snncc_late_place(snncc_late l, int t, int b, int32_t o)
{
    return t >= 0 && t < l.steps ? ((ptrdiff_t)t * l.rows + b) * l.n_out + o : -1;
}

/* The inputs of sample b at step t, which may be before the first one. */
static inline __device__ const snncc_real *snncc_late_inputs(snncc_late l, int t, int b, const snncc_real *x,
                                                             const snncc_real *before)
{
    if (t >= 0) return x + ((size_t)t * (size_t)l.rows + (size_t)b) * (size_t)l.n_in;
    return before + ((size_t)b * (size_t)l.longest + (size_t)(l.longest + t)) * (size_t)l.n_in;
}

/* y += what synapse s hands on of x, which came at step t. */
static inline __device__ void snncc_late_add(snncc_late l, int32_t s, snncc_real x, int t, int b, snncc_real *y)
{
    snncc_real rest;
    const int k = snncc_share_of(l, s, &rest);
    const ptrdiff_t first = snncc_late_place(l, t + k, b, l.index[s]);
    const ptrdiff_t second = rest != 0 ? snncc_late_place(l, t + k + 1, b, l.index[s]) : -1;
    if (first >= 0) y[first] += x * (l.values[s] * (1 - rest));
    if (second >= 0) y[second] += x * (l.values[s] * rest);
}

/* y += what sample b hands on of steps first .. end. The threads of a block share the synapses of one input of one step after
 * the other; `some`: shared memory, a real for each thread. */
static inline __device__ void snncc_late_row(const snncc_late &l, int first, int end, int b, const snncc_real *x,
                                             const snncc_real *before, snncc_real *some, snncc_real *y)
{
    const int thread = (int)threadIdx.x;
    for (int t = first; t < end; t++)
        for (int from = 0; from < l.n_in; from += SNNCC_THREADS) {
            const int count = l.n_in - from < SNNCC_THREADS ? l.n_in - from : SNNCC_THREADS;
            __syncthreads();
            if (thread < count) some[thread] = snncc_late_inputs(l, t, b, x, before)[from + thread];
            __syncthreads();
            for (int i = 0; i < count; i++) {
                if (some[i] == 0) continue; /* for all threads alike */
                for (int32_t s = l.offsets[from + i] + thread; s < l.offsets[from + i + 1]; s += SNNCC_THREADS)
                    snncc_late_add(l, s, some[i], t, b, y);
                __syncthreads(); /* the next input may lead to the same outputs */
            }
        }
}

/* A block has a sample. `begins`: y is not there yet. */
static __global__ void snncc_late_rows_kernel(snncc_late l, int begins, int first, int end, const snncc_real *x,
                                              const snncc_real *before, const snncc_real *bias, snncc_real *y)
{
    SNNCC_SHARED(snncc_real, some, SNNCC_THREADS);
    const int b = (int)blockIdx.x;
    for (int t = 0; begins && t < l.steps; t++)
        for (int o = (int)threadIdx.x; o < l.n_out; o += SNNCC_THREADS)
            y[snncc_late_place(l, t, b, o)] = bias ? bias[o] : (snncc_real)0;
    snncc_late_row(l, first, end, b, x, before, some, y);
}

/* y = bias + what the inputs, and those of the steps before, hand on. x: [steps][rows][n_in], y: [steps][rows][n_out]. */
static inline void snncc_late_rows(cudaStream_t stream, snncc_late l, const snncc_real *x, const snncc_real *before,
                                   const snncc_real *bias, snncc_real *y)
{
    SNNCC_LAUNCH(snncc_late_rows_kernel, (unsigned)l.rows, SNNCC_THREADS, 0, stream, l, 1, -l.longest, l.steps, x, before,
                 bias, y);
}

/* y = bias + what the steps before hand on. */
static inline void snncc_late_before(cudaStream_t stream, snncc_late l, const snncc_real *before, const snncc_real *bias,
                                     snncc_real *y)
{
    SNNCC_LAUNCH(snncc_late_rows_kernel, (unsigned)l.rows, SNNCC_THREADS, 0, stream, l, 1, -l.longest, 0,
                 (const snncc_real *)NULL, before, bias, y);
}

/* y, which has begun, += what the inputs of its first step hand on: a step of a loop over time. x: [rows][n_in]. */
static inline void snncc_late_step(cudaStream_t stream, snncc_late l, const snncc_real *x, snncc_real *y)
{
    SNNCC_LAUNCH(snncc_late_rows_kernel, (unsigned)l.rows, SNNCC_THREADS, 0, stream, l, 0, 0, 1, x,
                 (const snncc_real *)NULL, (const snncc_real *)NULL, y);
}

static __global__ void snncc_late_gradient_kernel(snncc_late l, int of_positions, const snncc_real *x,
                                                  const snncc_real *before, const snncc_real *d_y, snncc_real *d)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)l.synapses) return;
    const int32_t s = (int32_t)at, o = l.index[s];
    const int i = snncc_input_of(l.n_in, l.offsets, s);
    snncc_real rest, sum = d[s];
    const int k = snncc_share_of(l, s, &rest);
    for (int t = l.steps - 1; t >= -l.longest; t--)
        for (int b = l.rows - 1; b >= 0; b--) {
            const snncc_real value = snncc_late_inputs(l, t, b, x, before)[i];
            if (value == 0) continue;
            const ptrdiff_t first = snncc_late_place(l, t + k, b, o);
            const ptrdiff_t second = l.position ? snncc_late_place(l, t + k + 1, b, o) : -1;
            const snncc_real near = first >= 0 ? d_y[first] : 0, far = second >= 0 ? d_y[second] : 0;
            sum += value * (of_positions ? l.values[s] * (far - near) : (1 - rest) * near + rest * far);
        }
    d[s] = sum;
}

/* d += the gradients of the synapses' values, or of their positions, from the last step down. */
static inline void snncc_late_gradient(cudaStream_t stream, snncc_late l, int of_positions, const snncc_real *x,
                                       const snncc_real *before, const snncc_real *d_y, snncc_real *d)
{
    SNNCC_EACH(snncc_late_gradient_kernel, (size_t)l.synapses, stream, l, of_positions, x, before, d_y, d);
}

/* Element `at` of d_x. */
static inline __device__ void snncc_late_gather(size_t at, const snncc_late &l, int of_before, const snncc_real *d_y,
                                                snncc_real *d_x)
{
    const size_t i = at % (size_t)l.n_in, row = at / (size_t)l.n_in;
    const int t = of_before ? (int)(row % (size_t)l.longest) - l.longest : (int)(row / (size_t)l.rows);
    const int b = (int)(of_before ? row / (size_t)l.longest : row % (size_t)l.rows);
    snncc_real sum = 0;
    for (int32_t s = l.offsets[i]; s < l.offsets[i + 1]; s++) {
        snncc_real rest;
        const int k = snncc_share_of(l, s, &rest);
        const ptrdiff_t first = snncc_late_place(l, t + k, b, l.index[s]);
        const ptrdiff_t second = rest != 0 ? snncc_late_place(l, t + k + 1, b, l.index[s]) : -1;
        if (first >= 0) sum += l.values[s] * (1 - rest) * d_y[first];
        if (second >= 0) sum += l.values[s] * rest * d_y[second];
    }
    d_x[at] = sum;
}

static __global__ void snncc_late_input_gradient_kernel(size_t count, snncc_late l, int of_before, const snncc_real *d_y,
                                                        snncc_real *d_x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_late_gather(at, l, of_before, d_y, d_x);
}

/* d_x of all steps, or of those before the first one. */
static inline void snncc_late_input_gradient(cudaStream_t stream, snncc_late l, int of_before, const snncc_real *d_y,
                                             snncc_real *d_x)
{
    const size_t count = (size_t)l.rows * (size_t)(of_before ? l.longest : l.steps) * (size_t)l.n_in;
    SNNCC_EACH(snncc_late_input_gradient_kernel, count, stream, count, l, of_before, d_y, d_x);
}

/* d_x of the first step alone, when d_y of all steps is there: a step of a loop over time. */
static inline void snncc_late_input_gradient_step(cudaStream_t stream, snncc_late l, const snncc_real *d_y, snncc_real *d_x)
{
    const size_t count = (size_t)l.rows * (size_t)l.n_in;
    SNNCC_EACH(snncc_late_input_gradient_kernel, count, stream, count, l, 0, d_y, d_x);
}

#endif
