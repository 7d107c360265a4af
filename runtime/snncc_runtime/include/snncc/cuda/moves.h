/* Moves of features within rows; most are generated, with their loops or index. */
#ifndef SNNCC_CUDA_MOVES_H
#define SNNCC_CUDA_MOVES_H

#include "device.h"

/* Element `at` of y. */
static inline __device__ void snncc_reorder_element(size_t at, int n, int lines, const snncc_real *x, snncc_real *y)
{
    const int columns = n / lines, place = (int)(at % (size_t)n);
    y[at] = x[at - (size_t)place + (size_t)(place % columns) * (size_t)lines + (size_t)(place / columns)];
}

static __global__ void snncc_reorder_kernel(size_t count, int n, int lines, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_reorder_element(at, n, lines, x, y);
}

/* Rows of [columns][lines] as rows of [lines][columns]; n = lines * columns features. */
static inline void snncc_reorder(cudaStream_t stream, int rows, int n, int lines, const snncc_real *x, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_reorder_kernel, count, stream, count, n, lines, x, y);
}

#endif
