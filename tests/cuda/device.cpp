/* The device: what it has room for, how it is launched, what it says of itself. */
#include <cstring>

#include "host.h"
#include "stream.h"

namespace snncc_host {

/* The device that there is: of the kind of an H200, with few multiprocessors. */
constexpr int PROCESSORS = 4, THREADS_A_PROCESSOR = 2048, BLOCKS_A_PROCESSOR = 32;
constexpr size_t PLAIN_SHARED = 49152, MOST_SHARED = 232448, SHARED_A_PROCESSOR = 233472;

/* Bytes of dynamic shared memory that kernels were allowed beyond PLAIN_SHARED. */
static std::map<const void *, size_t> &allowed_shared = *new std::map<const void *, size_t>;

/* What a launch of this kind is answered with. */
static cudaError_t check_launch(const Grid &wanted, const void *kernel)
{
    const auto [grid, size, shared_bytes, together] = wanted;
    const uint64_t threads = uint64_t(size.x) * size.y * size.z;
    const bool threads_fit = threads > 0 && threads <= MOST_THREADS && size.z <= 64;
    const bool grid_fits = grid.x && grid.y && grid.z && grid.x < 1u << 31 && grid.y < 65536 && grid.z < 65536;
    if (!threads_fit || !grid_fits)
        return cudaErrorInvalidConfiguration;
    const auto found = allowed_shared.find(kernel);
    const size_t allowed = found == allowed_shared.end() ? PLAIN_SHARED : std::max(PLAIN_SHARED, found->second);
    if (shared_bytes > allowed)
        return cudaErrorInvalidValue;
    int fitting;
    blocks_a_processor(&fitting, int(threads), shared_bytes);
    const bool too_large = uint64_t(grid.x) * grid.y * grid.z > uint64_t(fitting) * PROCESSORS;
    return together && too_large ? cudaErrorCooperativeLaunchTooLarge : cudaSuccess;
}

void launch(const Launch &wanted, const Argument *arguments, size_t n_arguments)
{
    const Device device;
    if (note(check_launch(wanted.grid, wanted.kernel)) != cudaSuccess)
        return;
    std::vector<max_align_t> copies;
    std::vector<size_t> places;
    std::vector<const void *> pointers;
    for (const Argument *argument = arguments; argument < arguments + n_arguments; argument++) {
        places.push_back(copies.size());
        copies.resize(copies.size() + (argument->bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t));
        std::memcpy(&copies[places.back()], argument->place, argument->bytes);
        if (argument->is_pointer)
            pointers.push_back(*static_cast<void *const *>(argument->place));
    }
    submit(wanted.stream, [wanted, copies, places, pointers]() mutable {
        const Touching memory;
        for (const void *pointer : pointers)
            if (pointer != nullptr && type_of(pointer) == cudaMemoryTypeUnregistered)
                fail("a kernel's argument is a pointer to what is no device memory (any more)");
        std::vector<void *> found;
        for (const size_t place : places)
            found.push_back(&copies[place]);
        run_grid(wanted.grid, wanted.call, found.data());
    });
}

cudaError_t allow_shared(const void *kernel, cudaFuncAttribute attribute, int value)
{
    const Device device;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || size_t(value) > MOST_SHARED)
        return note(cudaErrorInvalidValue);
    allowed_shared[kernel] = size_t(value);
    return cudaSuccess;
}

cudaError_t blocks_a_processor(int *blocks, int threads, size_t shared_bytes)
{
    const size_t by_shared = SHARED_A_PROCESSOR / (shared_bytes + 1024);
    const size_t by_threads = size_t(THREADS_A_PROCESSOR / ((threads + 31) / 32 * 32));
    *blocks = int(std::min({by_shared, by_threads, size_t(BLOCKS_A_PROCESSOR)}));
    return cudaSuccess;
}

} // namespace snncc_host

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : snncc_host::note(cudaErrorInvalidDevice);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    return cudaRuntimeGetVersion(version);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *found, int device)
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

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
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
