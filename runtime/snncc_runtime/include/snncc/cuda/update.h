/* What a step of the optimiser needs beside its own kernels, which are generated. */
#ifndef SNNCC_CUDA_UPDATE_H
#define SNNCC_CUDA_UPDATE_H

#include "../math.h"
#include "device.h"

static __global__ void snncc_load_one_hot_kernel(int32_t *status, size_t count, int n, const int64_t *user, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const int64_t label = user[at / (size_t)n];
    const int bad = label < 0 || label >= n, first = at % (size_t)n == 0;
    snncc_report(status, bad && first, SNNCC_LABEL);
    y[at] = bad ? first : label == (int64_t)(at % (size_t)n);
}

/* snncc_load_labels, then snncc_one_hot. */
static inline void snncc_load_one_hot(cudaStream_t stream, int32_t *status, int rows, int n, const int64_t *user, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_load_one_hot_kernel, count, stream, status, count, n, user, y);
}

static __global__ void snncc_raise_kernel(const int32_t *status, size_t count, snncc_real low, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count && !*status) x[at] = snncc_max(x[at], low);
}

/* Parameters that an update may not leave below a bound. */
static inline void snncc_raise(cudaStream_t stream, const int32_t *status, size_t count, snncc_real low, snncc_real *x)
{
    SNNCC_EACH(snncc_raise_kernel, count, stream, status, count, low, x);
}

static __global__ void snncc_set_kernel(double value, double *number)
{
    if (snncc_thread() == 0) *number = value;
}

/* A number from the host, which does not wait. */
static inline void snncc_set(cudaStream_t stream, double value, double *number)
{
    SNNCC_EACH(snncc_set_kernel, 1, stream, value, number);
}

#endif
