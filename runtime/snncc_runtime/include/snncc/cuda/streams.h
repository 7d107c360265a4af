/* Copies that are done when they return, the order of streams, and where memory lies. */
#ifndef SNNCC_CUDA_STREAMS_H
#define SNNCC_CUDA_STREAMS_H

#include "device.h"

/* to[0 .. bytes] = from, between host and device, after all that is on the stream. */
static inline int32_t snncc_copy_now(cudaStream_t stream, void *to, const void *from, size_t bytes)
{
    const int32_t code = snncc_checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
    const int32_t waited = snncc_checked(cudaStreamSynchronize(stream));
    return code ? code : waited;
}

/* A new event after all that is on the stream. */
static inline int32_t snncc_mark(cudaStream_t stream, cudaEvent_t *event)
{
    const int32_t code = snncc_checked(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
    return code ? code : snncc_checked(cudaEventRecord(*event, stream));
}

/* Work put on `then` from now on waits for what is on `first` now; the host does not. */
static inline int32_t snncc_order(cudaStream_t first, cudaStream_t then)
{
    cudaEvent_t event = NULL;
    if (first == then) return SNNCC_OK;
    int32_t code = snncc_mark(first, &event);
    if (!code) code = snncc_checked(cudaStreamWaitEvent(then, event, 0));
    if (event) cudaEventDestroy(event);
    return code;
}

static inline int32_t snncc_device_of(const void *memory)
{
    cudaPointerAttributes found;
    if (snncc_checked(cudaPointerGetAttributes(&found, memory))) return -1;
    return found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged ? found.device : -1;
}

#endif
