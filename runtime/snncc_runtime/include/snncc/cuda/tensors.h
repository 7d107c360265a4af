/* Between canonical arrays of the host (row-major, as users see them) and the device: a matrix [n_out][n_in] lies
 * there as [n_in][n_out]. */
#ifndef SNNCC_CUDA_TENSORS_H
#define SNNCC_CUDA_TENSORS_H

#include <stdlib.h>

#include "streams.h"

/* Where the element at a place of the device's array stands in the canonical one. n_out: 0 of a vector of `count`, of a
 * matrix its rows, each of `count` columns. */
static inline size_t snncc_canonical(size_t place, int n_out, int count, int channels)
{
    if (!n_out) return (size_t)snncc_row_major((int)place, count, channels);
    const size_t row = place % (size_t)n_out;
    return row * (size_t)count + (size_t)snncc_row_major((int)(place / (size_t)n_out), count, channels);
}

static inline int32_t snncc_tensor_to_device(cudaStream_t stream, int n_out, int count, int channels,
                                             const snncc_real *array, snncc_real *data)
{
    const size_t total = (size_t)count * (size_t)(n_out ? n_out : 1);
    snncc_real *const turned = (snncc_real *)malloc(total * sizeof *turned);
    if (!turned) return SNNCC_ARENA;
    for (size_t k = 0; k < total; k++) turned[k] = array[snncc_canonical(k, n_out, count, channels)];
    const int32_t code = snncc_copy_now(stream, data, turned, total * sizeof *turned);
    free(turned);
    return code;
}

static inline int32_t snncc_tensor_to_host(cudaStream_t stream, int n_out, int count, int channels, const snncc_real *data,
                                           snncc_real *array)
{
    const size_t total = (size_t)count * (size_t)(n_out ? n_out : 1);
    snncc_real *const turned = (snncc_real *)malloc(total * sizeof *turned);
    if (!turned) return SNNCC_ARENA;
    const int32_t code = snncc_copy_now(stream, turned, data, total * sizeof *turned);
    for (size_t k = 0; k < total && !code; k++) array[snncc_canonical(k, n_out, count, channels)] = turned[k];
    free(turned);
    return code;
}

#endif
