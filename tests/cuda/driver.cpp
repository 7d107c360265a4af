/* What tests ask of CUDA's driver (libcuda.so.1), by which they make arrays and streams of their own on a GPU: the
 * same memory and streams as above. Codes and numbers are cuda.h's. */
#include "stream.h"

typedef cudaError_t CUresult; // the codes that occur here are the same
typedef unsigned long long CUdeviceptr;
enum : unsigned { CU_STREAM_WAIT_VALUE_EQ = 1 };

extern "C" {

CUresult cuInit(unsigned)
{
    return cudaSuccess;
}

/* The context of the runtime's functions. There is but one. */
CUresult cuDevicePrimaryCtxRetain(void **context, int device)
{
    static char one;
    *context = &one;
    return cudaSetDevice(device);
}

CUresult cuCtxSetCurrent(void *context)
{
    return context ? cudaSuccess : cudaErrorInvalidValue;
}

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes)
{
    return bytes ? cudaMalloc(reinterpret_cast<void **>(pointer), bytes) : cudaErrorInvalidValue;
}

CUresult cuMemAllocHost_v2(void **pointer, size_t bytes)
{
    return bytes ? cudaMallocHost(pointer, bytes) : cudaErrorInvalidValue;
}

CUresult cuMemFree_v2(CUdeviceptr pointer)
{
    return cudaFree(reinterpret_cast<void *>(pointer));
}

CUresult cuMemFreeHost(void *pointer)
{
    return cudaFreeHost(pointer);
}

CUresult cuMemGetInfo_v2(size_t *available, size_t *total)
{
    return cudaMemGetInfo(available, total);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, cudaStream_t stream)
{
    const auto target = reinterpret_cast<void *>(to), source = reinterpret_cast<void *>(from);
    return cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, stream);
}

CUresult cuStreamCreate(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithFlags(stream, flags);
}

CUresult cuStreamQuery(cudaStream_t stream)
{
    return cudaStreamQuery(stream);
}

CUresult cuStreamSynchronize(cudaStream_t stream)
{
    return cudaStreamSynchronize(stream);
}

CUresult cuStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    return cudaStreamWaitEvent(stream, event, flags);
}

/* Work that is put on the stream from now on waits until the word has that value. Streams have to be late: who waits
 * for the stream before, here or by a call that waits for the device, would wait for ever. */
CUresult cuStreamWaitValue32_v2(cudaStream_t stream, CUdeviceptr word, uint32_t value, unsigned flags)
{
    const auto where = reinterpret_cast<volatile uint32_t *>(word);
    const bool known = snncc_host::type_of(reinterpret_cast<void *>(word), sizeof value) == cudaMemoryTypeHost;
    if (flags != CU_STREAM_WAIT_VALUE_EQ || !known)
        return cudaErrorInvalidValue;
    return snncc_host::submit(stream, [=] {
        if (*where != value)
            snncc_host::fail("somebody waits for a stream that is held");
    });
}

CUresult cuEventCreate(cudaEvent_t *event, unsigned flags)
{
    return cudaEventCreateWithFlags(event, flags);
}

CUresult cuEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return cudaEventRecord(event, stream);
}

CUresult cuEventDestroy_v2(cudaEvent_t event)
{
    return cudaEventDestroy(event);
}
}
