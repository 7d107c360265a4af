/* Device memory on the host: ordinary memory, of which is known where it begins and ends, so that copies and kernels
 * can refuse what a GPU could not reach.
 *
 * Fresh memory is filled with ones: NaN, or -1. SNNCC_HOST_PROTECT=1 lets code outside of kernels touch none of it
 * (a fault then, as with a GPU); SNNCC_HOST_MEMORY is the size of the device in bytes, 4 GiB without. Allocations are
 * known to the whole process, as with CUDA, so libraries may hand device arrays to each other. */
#ifndef SNNCC_HOST_MEMORY_H
#define SNNCC_HOST_MEMORY_H

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>

#include "api.h"

namespace snncc_host {

struct Allocation {
    size_t bytes, mapped; // mapped: 0 if the memory came from the allocator
    cudaMemoryType type;
};

extern std::recursive_mutex &device_lock;
extern std::map<uintptr_t, Allocation> &allocations;

/* Held by whoever uses the device: it does one thing at a time. */
struct Device {
    std::lock_guard<std::recursive_mutex> guard{device_lock};
};

/* While one exists, protected device memory may be touched. */
struct Touching {
    Device device;
    Touching();
    ~Touching();
};

/* The code, which cudaGetLastError will give as well. */
cudaError_t note(cudaError_t error);

size_t device_bytes();
cudaError_t allocate(void **pointer, size_t bytes, cudaMemoryType type);
cudaError_t deallocate(void *pointer, cudaMemoryType type);

/* Unregistered, unless all the bytes lie in one allocation. */
cudaMemoryType type_of(const void *start, size_t bytes = 1);

/* Whether one side of a copy is where its direction says. Nothing may reach past the end of an allocation. */
bool lies(const void *start, size_t bytes, bool on_device);
cudaError_t check_copy(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind);

} // namespace snncc_host

#endif
