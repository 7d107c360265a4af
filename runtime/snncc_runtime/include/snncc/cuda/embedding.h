/* Rows of a matrix by whole numbers. */
#ifndef SNNCC_CUDA_EMBEDDING_H
#define SNNCC_CUDA_EMBEDDING_H

#include "device.h"

static __global__ void snncc_embedding_kernel(size_t total, int n, const int32_t *index, const snncc_real *w, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < total) y[at] = w[(size_t)index[at / (size_t)n] * (size_t)n + at % (size_t)n];
}

/* y[row] = the rows w[index[row][0]], w[index[row][1]] .. of width n, `count` of them one after the other. */
static inline void snncc_embedding(cudaStream_t stream, int rows, int count, int n, const int32_t *index,
                                   const snncc_real *w, snncc_real *y)
{
    const size_t total = (size_t)rows * (size_t)count * (size_t)n;
    SNNCC_EACH(snncc_embedding_kernel, total, stream, total, n, index, w, y);
}

/* A block has up to SNNCC_THREADS columns of one row of d_w. It looks at as many numbers at a time, most of which name
 * other rows: if all do, it goes on. */
static __global__ void snncc_embedding_gradient_kernel(size_t numbers, int n, const int32_t *index, const snncc_real *d_y,
                                                       snncc_real *d_w)
{
    SNNCC_SHARED(int32_t, some, SNNCC_THREADS);
    const int parts = (n + SNNCC_THREADS - 1) / SNNCC_THREADS, thread = (int)threadIdx.x;
    const int row = (int)(blockIdx.x / (unsigned)parts), column = (int)(blockIdx.x % (unsigned)parts) * SNNCC_THREADS + thread;
    const size_t place = (size_t)row * (size_t)n + (size_t)column;
    snncc_real sum = column < n ? d_w[place] : (snncc_real)0;
    for (size_t end = numbers; end > 0;) {
        const int count = end < SNNCC_THREADS ? (int)end : SNNCC_THREADS;
        end -= (size_t)count;
        some[thread] = thread < count ? index[end + (size_t)thread] : -1;
        if (!__syncthreads_or(some[thread] == row)) continue; /* for all threads alike */
        for (int k = count - 1; k >= 0 && column < n; k--)
            if (some[k] == row) sum += d_y[(end + (size_t)k) * (size_t)n + (size_t)column];
        __syncthreads();
    }
    if (column < n) d_w[place] = sum;
}

/* d_w[index[row][k]] += part k of d_y[row], from the last row down. d_w: [table][n]. */
static inline void snncc_embedding_gradient(cudaStream_t stream, int rows, int count, int n, int table,
                                            const int32_t *index, const snncc_real *d_y, snncc_real *d_w)
{
    const unsigned parts = (unsigned)((n + SNNCC_THREADS - 1) / SNNCC_THREADS);
    SNNCC_LAUNCH(snncc_embedding_gradient_kernel, (unsigned)table * parts, SNNCC_THREADS, 0, stream,
                 (size_t)rows * (size_t)count, n, index, d_y, d_w);
}

#endif
