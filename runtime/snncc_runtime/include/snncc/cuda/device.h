/* What all kernels of a GPU share: which element a thread has, how kernels start, what a call reports.
 *
 * Sums are made by one thread in one order, with a multiplication and an addition for each term (compile with
 * --fmad=false), so results repeat bit for bit, and are those of the C kernels. */
#ifndef SNNCC_CUDA_DEVICE_H
#define SNNCC_CUDA_DEVICE_H

#include "../target.h"

enum { SNNCC_THREADS = 256 }; /* of a block */

/* The element of a thread, of a kernel that has one for each. */
static inline __device__ size_t snncc_thread(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* Starts a kernel with a thread for each of `count` elements: SNNCC_EACH(kernel, count, stream, arguments ...). */
#define SNNCC_EACH(kernel, count, stream, ...) \
    SNNCC_LAUNCH(kernel, snncc_blocks(count), SNNCC_THREADS, 0, stream, __VA_ARGS__)

static inline unsigned snncc_blocks(size_t count)
{
    return (unsigned)((count + SNNCC_THREADS - 1) / SNNCC_THREADS);
}

/* CUDA's result as ours. It keeps no error that was returned, for the next question whether kernels could be started. */
static inline int32_t snncc_checked(cudaError_t error)
{
    if (error != cudaSuccess) (void)cudaGetLastError();
    return error == cudaSuccess ? (int32_t)SNNCC_OK : (int32_t)SNNCC_DEVICE + (int32_t)error;
}

/* Whether the kernels of a call could be started. */
static inline int32_t snncc_started(void)
{
    return snncc_checked(cudaGetLastError());
}

/* The thread's current device. */
static inline int32_t snncc_device(void)
{
    int device = -1;
    cudaGetDevice(&device);
    return device;
}

/* x[0 .. count] = 0. */
static inline void snncc_clear(cudaStream_t stream, snncc_real *x, size_t count)
{
    cudaMemsetAsync(x, 0, count * sizeof *x, stream);
}

/* y[0 .. count] = x. */
static inline void snncc_copy(cudaStream_t stream, size_t count, const snncc_real *x, snncc_real *y)
{
    cudaMemcpyAsync(y, x, count * sizeof *y, cudaMemcpyDeviceToDevice, stream);
}

/* Words of 32 bits for so many spikes, one after the other over the samples of a step. */
SNNCC_INLINE size_t snncc_words(size_t count)
{
    return (count + 31) / 32;
}

/* The spikes of a warp's threads as a word; `word` is that of element `at` of `count`. Every thread that has an element
 * comes here. */
static inline __device__ void snncc_pack(snncc_real spike, size_t at, size_t count, uint32_t *word)
{
    const size_t left = count - at / 32 * 32;
    const uint32_t lanes = left < 32 ? ((uint32_t)1 << left) - 1 : ~(uint32_t)0;
    const uint32_t bits = __ballot_sync(lanes, spike != 0);
    if (at % 32 == 0) *word = bits;
}

/* The spike of element `at`, from its word. */
static inline __device__ snncc_real snncc_bit(uint32_t word, size_t at)
{
    return (snncc_real)(word >> at % 32 & 1);
}

/* The next piece of scratch. */
static inline void *snncc_take(char **at, size_t bytes)
{
    void *const piece = *at;
    *at += snncc_align(bytes);
    return piece;
}

/* Which of n elements, counted row-major, lies at a place: so many channels may lie last, or 0. */
SNNCC_INLINE int snncc_row_major(int place, int n, int channels)
{
    return channels ? place % channels * (n / channels) + place / channels : place;
}

#endif
