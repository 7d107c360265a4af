/* CUDA on the host, for tests: a .cu file that includes snncc/cuda/launch.h becomes an ordinary C++ file, whose kernels
 * run on the processor, one block after another.
 *
 *     g++ -x c++ -std=c++17 -DSNNCC_CUDA_HOST -I tests/cuda -I <runtime>/include -fPIC -shared model.cu
 *
 * Faults that a GPU would hide end the process with a message: divergent barriers, wrong masks, host pointers as
 * arguments. -fsanitize=address,undefined finds what is out of bounds, -fsanitize=thread finds races between the
 * threads of a block and between blocks, although everything runs one after another. Streams: stream.h; orders of
 * threads: block.h. What is left to a GPU: code generation, the memory model between running blocks, speed. */
#ifndef SNNCC_HOST_H
#define SNNCC_HOST_H

#include <tuple>

#include "block.h"
#include "memory.h"
#include "stream.h"
#include "graph.h"
#include "intrinsics.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#define SNNCC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    (snncc_host::Kernel<(kernel)>::launch(grid, block, shared_bytes, stream, __VA_ARGS__))
#define SNNCC_SHARED(type, name, n) \
    static snncc_host::Shared snncc_shared_##name; \
    type(&name)[n] = *static_cast<type(*)[n]>(snncc_shared_##name.of_block(sizeof(type) * (n)))
#define SNNCC_DYNAMIC_SHARED(type, name) \
    type *const name = static_cast<type *>(snncc_host::dynamic_shared.of_block(snncc_host::block.dynamic_bytes))

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
    int major, minor, multiProcessorCount, warpSize, regsPerBlock, regsPerMultiprocessor, l2CacheSize;
    int maxThreadsPerBlock, maxThreadsPerMultiProcessor, maxBlocksPerMultiProcessor, maxGridSize[3];
};

enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

namespace snncc_host {

/* The device that there is: of the kind of an H200, with few multiprocessors. */
constexpr int PROCESSORS = 4, THREADS_A_PROCESSOR = 2048, BLOCKS_A_PROCESSOR = 32;
constexpr size_t PLAIN_SHARED = 49152, MOST_SHARED = 232448, SHARED_A_PROCESSOR = 233472;

/* Bytes of dynamic shared memory that kernels were allowed beyond PLAIN_SHARED. */
inline std::map<const void *, size_t> &allowed_shared()
{
    static auto *allowed = new std::map<const void *, size_t>;
    return *allowed;
}

/* What a launch of this kind is answered with. */
inline cudaError_t check_launch(dim3 grid, dim3 size, size_t shared_bytes, const void *kernel)
{
    const uint64_t threads = uint64_t(size.x) * size.y * size.z;
    const bool threads_fit = threads > 0 && threads <= MOST_THREADS && size.z <= 64;
    const bool grid_fits = grid.x && grid.y && grid.z && grid.x < 1u << 31 && grid.y < 65536 && grid.z < 65536;
    if (!threads_fit || !grid_fits)
        return cudaErrorInvalidConfiguration;
    const auto found = allowed_shared().find(kernel);
    const size_t allowed = found == allowed_shared().end() ? PLAIN_SHARED : std::max(PLAIN_SHARED, found->second);
    return shared_bytes <= allowed ? cudaSuccess : cudaErrorInvalidValue;
}

template <class T> void check_argument(const T &argument)
{
    if constexpr (std::is_pointer_v<T>)
        if (argument != nullptr && type_of(reinterpret_cast<const void *>(argument)) == cudaMemoryTypeUnregistered)
            fail("a kernel's argument is a pointer to what is no device memory (any more)");
}

template <auto kernel> struct Kernel;

template <class... Parameters, void (*kernel)(Parameters...)> struct Kernel<kernel> {
    using Arguments = std::tuple<std::decay_t<Parameters>...>;

    static void call(void *arguments) { std::apply(kernel, *static_cast<Arguments *>(arguments)); }

    /* A loop over the threads that start on the running fiber. */
    SNNCC_UNSEEN static void run(void *arguments)
    {
        while (start()) {
            call(arguments);
            if (!finish())
                return;
        }
    }

    static void launch(dim3 grid, dim3 size, size_t shared_bytes, cudaStream_t stream, Parameters... arguments)
    {
        const Device device;
        const cudaError_t error = check_launch(grid, size, shared_bytes, reinterpret_cast<const void *>(kernel));
        if (note(error) != cudaSuccess)
            return;
        submit(stream, [=, packed = Arguments(arguments...)]() mutable {
            const Touching memory;
            std::apply([](const auto &...argument) { (check_argument(argument), ...); }, packed);
            run_grid(grid, size, shared_bytes, run, &packed);
        });
    }
};

} // namespace snncc_host

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value)
{
    const snncc_host::Device device;
    const bool known = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize;
    if (!known || value < 0 || size_t(value) > snncc_host::MOST_SHARED)
        return snncc_host::note(cudaErrorInvalidValue);
    snncc_host::allowed_shared()[reinterpret_cast<const void *>(kernel)] = size_t(value);
    return cudaSuccess;
}

template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void (*)(Parameters...), int threads,
                                                          size_t shared_bytes)
{
    const size_t by_shared = snncc_host::SHARED_A_PROCESSOR / (shared_bytes + 1024);
    const size_t by_threads = size_t(snncc_host::THREADS_A_PROCESSOR / ((threads + 31) / 32 * 32));
    *blocks = int(std::min({by_shared, by_threads, size_t(snncc_host::BLOCKS_A_PROCESSOR)}));
    return cudaSuccess;
}

inline cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

inline cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

inline cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : snncc_host::note(cudaErrorInvalidDevice);
}

inline cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

inline cudaError_t cudaDriverGetVersion(int *version)
{
    return cudaRuntimeGetVersion(version);
}

inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *found, int device)
{
    using namespace snncc_host;
    if (device != 0)
        return note(cudaErrorInvalidDevice);
    *found = {};
    std::strcpy(found->name, "CUDA on the host");
    found->totalGlobalMem = device_bytes();
    found->sharedMemPerBlock = PLAIN_SHARED, found->sharedMemPerBlockOptin = MOST_SHARED;
    found->sharedMemPerMultiprocessor = SHARED_A_PROCESSOR;
    found->major = 9, found->minor = 0, found->multiProcessorCount = PROCESSORS, found->warpSize = 32;
    found->regsPerBlock = found->regsPerMultiprocessor = 65536, found->l2CacheSize = 1 << 20;
    found->maxThreadsPerBlock = MOST_THREADS, found->maxThreadsPerMultiProcessor = THREADS_A_PROCESSOR;
    found->maxBlocksPerMultiProcessor = BLOCKS_A_PROCESSOR;
    found->maxGridSize[0] = 2147483647, found->maxGridSize[1] = found->maxGridSize[2] = 65535;
    return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    cudaDeviceProp found;
    if (const cudaError_t error = cudaGetDeviceProperties(&found, device))
        return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = found.maxThreadsPerBlock; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = int(found.sharedMemPerBlock); return cudaSuccess;
    case cudaDevAttrWarpSize: *value = found.warpSize; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = found.multiProcessorCount; return cudaSuccess;
    case cudaDevAttrL2CacheSize: *value = found.l2CacheSize; return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = found.maxThreadsPerMultiProcessor; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor: *value = found.major; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = found.minor; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = int(found.sharedMemPerMultiprocessor);
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = int(found.sharedMemPerBlockOptin); return cudaSuccess;
    }
    return snncc_host::note(cudaErrorInvalidValue);
}

#endif
