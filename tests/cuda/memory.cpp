/* See memory.h. */
#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace snncc_host {

// Never destroyed: libraries may use the device until the process is gone.
std::recursive_mutex &device_lock = *new std::recursive_mutex;
std::map<uintptr_t, Allocation> &allocations = *new std::map<uintptr_t, Allocation>;
static size_t allocated = 0;
static thread_local cudaError_t last_error = cudaSuccess;

cudaError_t note(cudaError_t error)
{
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

size_t device_bytes()
{
    const char *wish = std::getenv("SNNCC_HOST_MEMORY");
    return wish && *wish ? std::strtoull(wish, nullptr, 10) : size_t(4) << 30;
}

static bool is_protected()
{
    const char *wish = std::getenv("SNNCC_HOST_PROTECT");
    return wish && *wish == '1';
}


/* The allocation that all the bytes lie in, or null. */
static const Allocation *allocation_of(const void *start, size_t bytes)
{
    const auto address = reinterpret_cast<uintptr_t>(start);
    auto found = allocations.upper_bound(address);
    if (found == allocations.begin())
        return nullptr;
    --found;
    const size_t offset = address - found->first;
    return offset + bytes <= found->second.bytes && offset < found->second.bytes ? &found->second : nullptr;
}

cudaMemoryType type_of(const void *start, size_t bytes)
{
    const Allocation *found = allocation_of(start, bytes);
    return found ? found->type : cudaMemoryTypeUnregistered;
}

static void protect(const std::pair<const uintptr_t, Allocation> &entry, int how)
{
    if (entry.second.mapped)
        mprotect(reinterpret_cast<void *>(entry.first), entry.second.mapped, how);
}

static void protect_all(int how)
{
    for (const auto &entry : allocations)
        protect(entry, how);
}

Touching::Touching()
{
    protect_all(PROT_READ | PROT_WRITE);
}

Touching::~Touching()
{
    protect_all(PROT_NONE);
}

cudaError_t allocate(void **pointer, size_t bytes, cudaMemoryType type)
{
    const Device device;
    const bool mapped = type == cudaMemoryTypeDevice && is_protected();
    const size_t pages = (bytes + 4095) / 4096 * 4096;
    *pointer = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    if (type == cudaMemoryTypeDevice && bytes > device_bytes() - std::min(allocated, device_bytes()))
        return note(cudaErrorMemoryAllocation);
    void *memory = nullptr;
    if (mapped) {
        memory = mmap(nullptr, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory = memory == MAP_FAILED ? nullptr : memory;
    } else if (posix_memalign(&memory, 256, bytes)) {
        memory = nullptr;
    }
    if (memory == nullptr)
        return note(cudaErrorMemoryAllocation);
    std::memset(memory, 0xff, bytes);
    const auto entry = allocations.insert({reinterpret_cast<uintptr_t>(memory), {bytes, mapped ? pages : 0, type}});
    allocated += type == cudaMemoryTypeDevice ? bytes : 0;
    protect(*entry.first, PROT_NONE);
    *pointer = memory;
    return cudaSuccess;
}

cudaError_t deallocate(void *pointer, cudaMemoryType type)
{
    const Device device;
    const auto found = allocations.find(reinterpret_cast<uintptr_t>(pointer));
    if (pointer == nullptr)
        return cudaSuccess;
    if (found == allocations.end() || found->second.type != type)
        return note(cudaErrorInvalidValue);
    if (found->second.mapped)
        munmap(pointer, found->second.mapped);
    else
        std::free(pointer);
    allocated -= type == cudaMemoryTypeDevice ? found->second.bytes : 0;
    allocations.erase(found);
    return cudaSuccess;
}

bool lies(const void *start, size_t bytes, bool on_device)
{
    const cudaMemoryType type = type_of(start, bytes);
    if (on_device)
        return type == cudaMemoryTypeDevice;
    return type == cudaMemoryTypeHost || type_of(start) == cudaMemoryTypeUnregistered;
}

cudaError_t check_copy(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    const Device device;
    if (bytes == 0)
        return cudaSuccess;
    if (unsigned(kind) > cudaMemcpyDefault)
        return note(cudaErrorInvalidMemcpyDirection);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = type_of(to) == cudaMemoryTypeDevice;
        from_device = type_of(from) == cudaMemoryTypeDevice;
    }
    const bool sound = to && from && lies(to, bytes, to_device) && lies(from, bytes, from_device);
    return sound ? cudaSuccess : note(cudaErrorInvalidValue);
}

} // namespace snncc_host

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *pointer)
{
    const snncc_host::Device device;
    const cudaMemoryType type = snncc_host::type_of(pointer);
    void *address = const_cast<void *>(pointer);
    *attributes = {type, type == cudaMemoryTypeUnregistered ? -2 : 0, address, address};
    if (type == cudaMemoryTypeDevice)
        attributes->hostPointer = nullptr;
    if (type == cudaMemoryTypeUnregistered)
        attributes->devicePointer = nullptr;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    const snncc_host::Device device;
    *total = snncc_host::device_bytes();
    *available = *total - std::min(*total, snncc_host::allocated);
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    const cudaError_t error = snncc_host::last_error;
    snncc_host::last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError()
{
    return snncc_host::last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidMemcpyDirection: return "invalid copy direction for memcpy";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorCooperativeLaunchTooLarge: return "too many blocks in cooperative launch";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnmatched: return "operation would result in an unmatched capture";
    case cudaErrorStreamCaptureImplicit:
        return "operation would make the legacy stream depend on a capturing blocking stream";
    default: return "unknown error";
    }
}
