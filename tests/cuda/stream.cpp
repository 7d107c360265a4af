/* See stream.h. */
#include "stream.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

struct CUevent_st {
    struct State {
        uint64_t recorded = 0, reached = 0;
        std::chrono::steady_clock::time_point when;
        cudaStream_t stream = nullptr;
        std::shared_ptr<snncc_host::Capture> capture;
    };
    std::shared_ptr<State> state = std::make_shared<State>();
};

namespace snncc_host {

std::vector<cudaStream_t> &streams = *new std::vector<cudaStream_t>;
static size_t crossings = 0;

static bool is_stream(cudaStream_t stream)
{
    return stream == nullptr || std::count(streams.begin(), streams.end(), stream) != 0;
}

/* Does the oldest work of a stream; false if there is none. */
static bool advance(cudaStream_t stream)
{
    if (stream == nullptr || stream->pending.empty())
        return false;
    const Work work = std::move(stream->pending.front());
    stream->pending.pop_front();
    work();
    return true;
}

static void drain(cudaStream_t stream)
{
    while (advance(stream)) {
    }
}

/* Does what the legacy stream (null) waits for, or what is on one stream. */
static void wait_for_stream(cudaStream_t stream, bool all = false)
{
    if (stream)
        drain(stream);
    else
        for (cudaStream_t other : std::vector<cudaStream_t>(streams))
            if (all || other->blocking)
                drain(other);
}

/* Breaks captures that an operation like this one disturbs: allocation, or waiting for the device. */
static bool breaks_capture(bool waits)
{
    bool found = false;
    for (cudaStream_t stream : streams)
        if (stream->capture && (waits || stream->capture->mode != cudaStreamCaptureModeRelaxed))
            found = stream->capture->broken = true;
    return found;
}

cudaError_t submit(cudaStream_t stream, Work work)
{
    const Device device;
    if (!is_stream(stream))
        return note(cudaErrorInvalidResourceHandle);
    if (stream == nullptr) {
        if (breaks_capture(false))
            return note(cudaErrorStreamCaptureImplicit);
        wait_for_stream(nullptr);
        work();
        return cudaSuccess;
    }
    if (stream->capture) {
        if (stream->capture->broken)
            return note(cudaErrorStreamCaptureInvalidated);
        stream->capture->nodes.push_back(work);
    } else if (stream->late) {
        stream->pending.push_back(work);
    } else {
        work();
    }
    return cudaSuccess;
}

static void reach(CUevent_st::State &event, uint64_t ticket)
{
    while (event.reached < ticket && advance(event.stream)) {
    }
}

} // namespace snncc_host

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    const snncc_host::Device device;
    const char *wish = std::getenv("SNNCC_HOST_STREAMS");
    *stream = new CUstream_st;
    (*stream)->late = wish && !std::strcmp(wish, "late");
    (*stream)->blocking = !(flags & cudaStreamNonBlocking);
    snncc_host::streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (stream == nullptr || !snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    snncc_host::drain(stream);
    auto &all = snncc_host::streams;
    all.erase(std::find(all.begin(), all.end(), stream));
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (!snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    if (snncc_host::breaks_capture(stream == nullptr || stream->capture))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::wait_for_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (!snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    return stream == nullptr || stream->pending.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize()
{
    const snncc_host::Device device;
    if (snncc_host::breaks_capture(true))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::wait_for_stream(nullptr, true);
    return cudaSuccess;
}

static cudaError_t allocate(void **pointer, size_t bytes, cudaMemoryType type)
{
    const snncc_host::Device device;
    if (snncc_host::breaks_capture(false))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    return snncc_host::allocate(pointer, bytes, type);
}

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    return allocate(pointer, bytes, cudaMemoryTypeDevice);
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    return allocate(pointer, bytes, cudaMemoryTypeHost);
}

cudaError_t cudaFree(void *pointer)
{
    const cudaError_t error = cudaDeviceSynchronize(); // as CUDA does
    return error != cudaSuccess ? error : snncc_host::deallocate(pointer, cudaMemoryTypeDevice);
}

cudaError_t cudaFreeHost(void *pointer)
{
    const cudaError_t error = cudaDeviceSynchronize();
    return error != cudaSuccess ? error : snncc_host::deallocate(pointer, cudaMemoryTypeHost);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream)
{
    const snncc_host::Device device;
    const cudaError_t error = snncc_host::check_copy(to, from, bytes, kind);
    if (error != cudaSuccess || bytes == 0)
        return error;
    snncc_host::crossings += snncc_host::type_of(to) != snncc_host::type_of(from);
    // Memory that is not pinned is copied before the call returns, but not when it is captured.
    const bool pinned = snncc_host::type_of(to) && snncc_host::type_of(from);
    if (!pinned && stream && !stream->capture)
        snncc_host::wait_for_stream(stream);
    const auto copy = [=] {
        const snncc_host::Touching memory;
        if (snncc_host::check_copy(to, from, bytes, kind) != cudaSuccess)
            snncc_host::fail("a copy of memory that is no longer there");
        std::memmove(to, from, bytes);
    };
    const cudaError_t submitted = snncc_host::submit(stream, copy);
    if (!pinned && stream && !stream->capture)
        snncc_host::wait_for_stream(stream);
    return submitted;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    const cudaError_t error = cudaStreamSynchronize(nullptr);
    return error != cudaSuccess ? error : cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void *start, int value, size_t bytes, cudaStream_t stream)
{
    const snncc_host::Device device;
    if (bytes == 0)
        return cudaSuccess;
    if (!snncc_host::lies(start, bytes, true))
        return snncc_host::note(cudaErrorInvalidValue);
    return snncc_host::submit(stream, [=] {
        const snncc_host::Touching memory;
        std::memset(start, value, bytes);
    });
}

cudaError_t cudaMemset(void *start, int value, size_t bytes)
{
    return cudaMemsetAsync(start, value, bytes, nullptr);
}

/* Events */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const snncc_host::Device device;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const snncc_host::Device device;
    const auto state = event->state;
    state->stream = stream;
    state->capture = stream ? stream->capture : nullptr;
    if (state->capture)
        return state->capture->broken ? snncc_host::note(cudaErrorStreamCaptureInvalidated) : cudaSuccess;
    const uint64_t ticket = ++state->recorded;
    return snncc_host::submit(stream, [state, ticket] {
        state->reached = ticket;
        state->when = std::chrono::steady_clock::now();
    });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const snncc_host::Device device;
    return event->state->reached < event->state->recorded ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const snncc_host::Device device;
    if (event->state->capture)
        return event->state->capture->broken = true, snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::reach(*event->state, event->state->recorded);
    return cudaSuccess;
}

/* Work that is put on the stream from now on waits for the event. That of a capturing stream draws this one in. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const snncc_host::Device device;
    const auto state = event->state;
    if (state->capture) {
        if (stream == nullptr || (stream->capture && stream->capture != state->capture))
            return snncc_host::note(cudaErrorStreamCaptureUnsupported);
        stream->capture = state->capture;
        return cudaSuccess;
    }
    const uint64_t ticket = state->recorded;
    return snncc_host::submit(stream, [state, ticket] { snncc_host::reach(*state, ticket); });
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    const snncc_host::Device device;
    if (from->state->recorded == 0 || to->state->recorded == 0)
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    if (cudaEventQuery(from) != cudaSuccess || cudaEventQuery(to) != cudaSuccess)
        return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(to->state->when - from->state->when).count();
    return cudaSuccess;
}

size_t snncc_host_crossings()
{
    const snncc_host::Device device;
    return snncc_host::crossings;
}
