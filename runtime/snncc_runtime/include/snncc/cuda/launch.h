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
