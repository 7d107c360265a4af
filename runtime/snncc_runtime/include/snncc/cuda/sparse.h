/* Products with sparse weights. Synapses are sorted by input: those of input i are offsets[i] .. offsets[i + 1], synapse
 * s has the weight values[s] and leads to output index[s]; no two of an input lead to the same one. Sums run over the
 * synapses in ascending order, weight gradients over the rows from the last to the first; inputs that are 0 add nothing. */
#ifndef SNNCC_CUDA_SPARSE_H
#define SNNCC_CUDA_SPARSE_H

#include "device.h"

enum { SNNCC_ROW_THREADS = 64 }; /* of a block that has a row: they share the synapses of one input after the other */

/* The input of a synapse: the last one whose synapses do not start behind it. */
static inline __device__ int snncc_input_of(int n_in, const int32_t *offsets, int32_t synapse)
{
    int low = 0, high = n_in;
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (offsets[middle] <= synapse) low = middle;
        else high = middle;
    }
    return low;
}

/* One row, by all `threads` of a block; `some` is as long in shared memory. */
static inline __device__ void snncc_sparse_row(int threads, int n_in, int n, const snncc_real *x, const int32_t *offsets,
                                               const int32_t *index, const snncc_real *values, const snncc_real *bias,
                                               snncc_real *some, snncc_real *y)
{
    const int thread = (int)threadIdx.x;
    for (int o = thread; o < n; o += threads) y[o] = bias ? bias[o] : (snncc_real)0;
    for (int first = 0; first < n_in; first += threads) {
        const int count = n_in - first < threads ? n_in - first : threads;
        __syncthreads();
        if (thread < count) some[thread] = x[first + thread];
        __syncthreads();
        for (int i = 0; i < count; i++) {
            if (some[i] == 0) continue; /* for all threads alike */
            for (int32_t s = offsets[first + i] + thread; s < offsets[first + i + 1]; s += threads)
                y[index[s]] += some[i] * values[s];
            __syncthreads(); /* the next input may lead to the same outputs */
        }
    }
}

static __global__ void snncc_sparse_rows_kernel(int n_in, int n, const snncc_real *x, const int32_t *offsets,
                                                const int32_t *index, const snncc_real *values, const snncc_real *bias,
                                                snncc_real *y)
{
    SNNCC_SHARED(snncc_real, some, SNNCC_ROW_THREADS);
    const size_t row = blockIdx.x;
    snncc_sparse_row(SNNCC_ROW_THREADS, n_in, n, x + row * (size_t)n_in, offsets, index, values, bias, some,
                     y + row * (size_t)n);
}

/* y = bias + what the nonzeros of x hand on. x: [rows][n_in], y: [rows][n]; bias may be NULL. */
static inline void snncc_sparse_rows(cudaStream_t stream, int rows, int n_in, int n, const snncc_real *x,
                                     const int32_t *offsets, const int32_t *index, const snncc_real *values,
                                     const snncc_real *bias, snncc_real *y)
{
    SNNCC_LAUNCH(snncc_sparse_rows_kernel, (unsigned)rows, SNNCC_ROW_THREADS, 0, stream, n_in, n, x, offsets, index,
                 values, bias, y);
}

static __global__ void snncc_sparse_gradient_kernel(int synapses, int rows, int n_in, int n, const snncc_real *x,
                                                    const int32_t *offsets, const int32_t *index, const snncc_real *d_y,
                                                    snncc_real *d_values)
{
    const size_t s = snncc_thread();
    if (s >= (size_t)synapses) return;
    const size_t i = (size_t)snncc_input_of(n_in, offsets, (int32_t)s), o = (size_t)index[s];
    snncc_real sum = d_values[s];
    for (int row = rows - 1; row >= 0; row--) {
        const snncc_real value = x[(size_t)row * (size_t)n_in + i];
        if (value != 0) sum += value * d_y[(size_t)row * (size_t)n + o];
    }
    d_values[s] = sum;
}

/* d_values += x at the input of each synapse times d_y at its output. */
static inline void snncc_sparse_gradient(cudaStream_t stream, int synapses, int rows, int n_in, int n, const snncc_real *x,
                                         const int32_t *offsets, const int32_t *index, const snncc_real *d_y,
                                         snncc_real *d_values)
{
    SNNCC_EACH(snncc_sparse_gradient_kernel, (size_t)synapses, stream, synapses, rows, n_in, n, x, offsets, index, d_y,
               d_values);
}

/* Element `at` of d_x. */
static inline __device__ void snncc_gather(size_t at, int n_in, int n, const snncc_real *d_y, const int32_t *offsets,
                                           const int32_t *index, const snncc_real *values, snncc_real *d_x)
{
    const size_t i = at % (size_t)n_in;
    d_y += at / (size_t)n_in * (size_t)n;
    snncc_real sum = 0;
    for (int32_t s = offsets[i]; s < offsets[i + 1]; s++) sum += values[s] * d_y[index[s]];
    d_x[at] = sum;
}

static __global__ void snncc_sparse_input_gradient_kernel(size_t count, int n_in, int n, const snncc_real *d_y,
                                                          const int32_t *offsets, const int32_t *index,
                                                          const snncc_real *values, snncc_real *d_x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_gather(at, n_in, n, d_y, offsets, index, values, d_x);
}

/* d_x = what each of the n_in inputs gathers of the n outputs' d_y. */
static inline void snncc_sparse_input_gradient(cudaStream_t stream, int rows, int n_in, int n, const snncc_real *d_y,
                                               const int32_t *offsets, const int32_t *index, const snncc_real *values,
                                               snncc_real *d_x)
{
    const size_t count = (size_t)rows * (size_t)n_in;
    SNNCC_EACH(snncc_sparse_input_gradient_kernel, count, stream, count, n_in, n, d_y, offsets, index, values, d_x);
}

#endif
