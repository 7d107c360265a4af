/* What generated .cu files include first. nvcc compiles them for a GPU; with -DSNNCC_CUDA_HOST a plain C++ compiler
 * makes a library that executes the same kernels on the processor, by a header host.h that the including side has.
 *
 * What such files must do without, as one text serves both: <<<>>>, __shared__, __constant__ data that is written,
 * cooperative groups, textures, inline PTX. Exited threads must not be counted on: every thread of a block reaches
 * each barrier, every lane of a mask reaches each warp operation. */
#ifndef SNNCC_CUDA_LAUNCH_H
#define SNNCC_CUDA_LAUNCH_H

#if defined(__CUDACC__)

#include <cuda_runtime.h>

/* Starts a kernel: SNNCC_LAUNCH((scan<8>), blocks, 256, 0, stream, n, x, y). A template's name is in parentheses.
 * Errors are asked for afterwards: cudaGetLastError(). */
#define SNNCC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

/* As SNNCC_LAUNCH, and all blocks run at once, so that they may wait for each other: at most as many as fit on the
 * device (cudaOccupancyMaxActiveBlocksPerMultiprocessor), else the error is cudaErrorCooperativeLaunchTooLarge. */
#define SNNCC_LAUNCH_TOGETHER(kernel, grid, block, shared_bytes, stream, ...) \
    snncc_launch_together(&kernel, (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

template <class T> struct snncc_same {
    typedef T type;
};

template <class... Parameters>
cudaError_t snncc_launch_together(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                                  cudaStream_t stream, typename snncc_same<Parameters>::type... arguments)
{
    void *places[] = {(void *)&arguments...};
    return cudaLaunchCooperativeKernel((const void *)kernel, grid, block, places, shared_bytes, stream);
}

/* Waits for all blocks of such a launch; every thread comes here. What any of them wrote before, all read after it.
 * `state` is a word in device memory, zero before its first use and afterwards left alone: block 0 adds what makes the
 * sum of all blocks flip its highest bit. */
#define SNNCC_GRID_BARRIER(state) snncc_grid_barrier(state)

static __device__ __forceinline__ void snncc_grid_barrier(unsigned *state)
{
    __syncthreads();
    if (threadIdx.x + threadIdx.y + threadIdx.z == 0) {
        const unsigned blocks = gridDim.x * gridDim.y * gridDim.z;
        const bool first = blockIdx.x + blockIdx.y + blockIdx.z == 0;
        __threadfence();
        const unsigned before = atomicAdd(state, first ? 0x80000000u - (blocks - 1u) : 1u);
        while (((before ^ *(volatile unsigned *)state) & 0x80000000u) == 0u) {
        }
        __threadfence();
    }
    __syncthreads();
}

/* An array of the block, of a size known now; its contents are undefined. At the start of the kernel. */
#define SNNCC_SHARED(type, name, n) __shared__ type name[n]

/* `type *const name`: the shared_bytes of the launch, aligned to 16 bytes. Once a kernel. */
#define SNNCC_DYNAMIC_SHARED(type, name) \
    extern __shared__ __align__(16) unsigned char snncc_dynamic_shared[]; \
    type *const name = reinterpret_cast<type *>(snncc_dynamic_shared)

/* Before a loop: how many steps a turn of it does. */
#define SNNCC_UNROLL(count) SNNCC_PRAGMA(unroll count)

#elif defined(SNNCC_CUDA_HOST)

#define SNNCC_UNROLL(count) SNNCC_PRAGMA(GCC unroll count)

#include "host.h"

#else
#error "compile this file with nvcc"
#endif

#endif
