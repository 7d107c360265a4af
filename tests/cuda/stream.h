/* Streams and events. What is put on a stream runs at once; with SNNCC_HOST_STREAMS=late, when a stream is made,
 * what is put on it waits until somebody waits for it, so that a result which is read too early is not there yet. */
#ifndef SNNCC_HOST_STREAM_H
#define SNNCC_HOST_STREAM_H

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "memory.h"

enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum : unsigned { cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };

namespace snncc_host {

using Work = std::function<void()>;

/* What has been recorded so far. Whatever would have to wait for the device breaks it. */
struct Capture {
    std::vector<Work> nodes;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    bool broken = false;
};

} // namespace snncc_host

struct CUstream_st {
    bool late = false, blocking = true;
    std::deque<snncc_host::Work> pending;
    std::shared_ptr<snncc_host::Capture> capture;
    bool began = false; // the stream that the capture started on, and not one that joined it
};
typedef CUstream_st *cudaStream_t; // null is the legacy stream, which waits for all blocking ones

struct CUevent_st {
    struct State {
        uint64_t recorded = 0, reached = 0;
        std::chrono::steady_clock::time_point when;
        cudaStream_t stream = nullptr;
        std::shared_ptr<snncc_host::Capture> capture;
    };
    std::shared_ptr<State> state = std::make_shared<State>();
};
typedef CUevent_st *cudaEvent_t;

namespace snncc_host {

inline std::vector<cudaStream_t> &streams()
{
    static auto *all = new std::vector<cudaStream_t>;
    return *all;
}

inline bool is_stream(cudaStream_t stream)
{
    return stream == nullptr || std::count(streams().begin(), streams().end(), stream) != 0;
}

/* Does the oldest work of a stream; false if there is none. */
inline bool advance(cudaStream_t stream)
{
    if (stream == nullptr || stream->pending.empty())
        return false;
    const Work work = std::move(stream->pending.front());
    stream->pending.pop_front();
    work();
    return true;
}

inline void drain(cudaStream_t stream)
{
    while (advance(stream)) {
    }
}

/* Does what the legacy stream (null) waits for, or what is on one stream. */
inline void wait_for_stream(cudaStream_t stream, bool all = false)
{
    if (stream)
        drain(stream);
    else
        for (cudaStream_t other : std::vector<cudaStream_t>(streams()))
            if (all || other->blocking)
                drain(other);
}

/* Breaks captures that an operation like this one disturbs: allocation, or waiting for the device. */
inline bool breaks_capture(bool waits)
{
    bool found = false;
    for (cudaStream_t stream : streams())
        if (stream->capture && (waits || stream->capture->mode != cudaStreamCaptureModeRelaxed))
            found = stream->capture->broken = true;
    return found;
}

/* Has the work done: now, when somebody waits, or whenever the graph runs that is being captured. */
template <class F> cudaError_t submit(cudaStream_t stream, F work)
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

inline void reach(CUevent_st::State &event, uint64_t ticket)
{
    while (event.reached < ticket && advance(event.stream)) {
    }
}

} // namespace snncc_host

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    const snncc_host::Device device;
    const char *wish = std::getenv("SNNCC_HOST_STREAMS");
    *stream = new CUstream_st;
    (*stream)->late = wish && !std::strcmp(wish, "late");
    (*stream)->blocking = !(flags & cudaStreamNonBlocking);
    snncc_host::streams().push_back(*stream);
    return cudaSuccess;
}

inline cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

inline cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (stream == nullptr || !snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    snncc_host::drain(stream);
    auto &all = snncc_host::streams();
    all.erase(std::find(all.begin(), all.end(), stream));
    delete stream;
    return cudaSuccess;
}

inline cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (!snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    if (snncc_host::breaks_capture(stream == nullptr || stream->capture))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::wait_for_stream(stream);
    return cudaSuccess;
}

inline cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    const snncc_host::Device device;
    if (!snncc_host::is_stream(stream))
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    return stream == nullptr || stream->pending.empty() ? cudaSuccess : cudaErrorNotReady;
}

inline cudaError_t cudaDeviceSynchronize()
{
    const snncc_host::Device device;
    if (snncc_host::breaks_capture(true))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::wait_for_stream(nullptr, true);
    return cudaSuccess;
}

inline cudaError_t cudaMallocRaw(void **pointer, size_t bytes, cudaMemoryType type)
{
    const snncc_host::Device device;
    if (snncc_host::breaks_capture(false))
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    return snncc_host::allocate(pointer, bytes, type);
}

template <class T> cudaError_t cudaMalloc(T **pointer, size_t bytes)
{
    return cudaMallocRaw(reinterpret_cast<void **>(pointer), bytes, cudaMemoryTypeDevice);
}

template <class T> cudaError_t cudaMallocHost(T **pointer, size_t bytes)
{
    return cudaMallocRaw(reinterpret_cast<void **>(pointer), bytes, cudaMemoryTypeHost);
}

inline cudaError_t cudaFree(void *pointer)
{
    const cudaError_t error = cudaDeviceSynchronize(); // as CUDA does
    return error != cudaSuccess ? error : snncc_host::deallocate(pointer, cudaMemoryTypeDevice);
}

inline cudaError_t cudaFreeHost(void *pointer)
{
    const cudaError_t error = cudaDeviceSynchronize();
    return error != cudaSuccess ? error : snncc_host::deallocate(pointer, cudaMemoryTypeHost);
}

inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream = nullptr)
{
    const snncc_host::Device device;
    const cudaError_t error = snncc_host::check_copy(to, from, bytes, kind);
    if (error != cudaSuccess || bytes == 0)
        return error;
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

inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    const cudaError_t error = cudaStreamSynchronize(nullptr);
    return error != cudaSuccess ? error : cudaMemcpyAsync(to, from, bytes, kind);
}

inline cudaError_t cudaMemsetAsync(void *start, int value, size_t bytes, cudaStream_t stream = nullptr)
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

inline cudaError_t cudaMemset(void *start, int value, size_t bytes)
{
    return cudaMemsetAsync(start, value, bytes);
}

/* Events */

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st;
    return cudaSuccess;
}

inline cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

inline cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const snncc_host::Device device;
    delete event;
    return cudaSuccess;
}

inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr)
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

inline cudaError_t cudaEventQuery(cudaEvent_t event)
{
    const snncc_host::Device device;
    return event->state->reached < event->state->recorded ? cudaErrorNotReady : cudaSuccess;
}

inline cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const snncc_host::Device device;
    if (event->state->capture)
        return event->state->capture->broken = true, snncc_host::note(cudaErrorStreamCaptureUnsupported);
    snncc_host::reach(*event->state, event->state->recorded);
    return cudaSuccess;
}

/* Work that is put on the stream from now on waits for the event. That of a capturing stream draws this one in. */
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0)
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

inline cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    const snncc_host::Device device;
    if (from->state->recorded == 0 || to->state->recorded == 0)
        return snncc_host::note(cudaErrorInvalidResourceHandle);
    if (cudaEventQuery(from) != cudaSuccess || cudaEventQuery(to) != cudaSuccess)
        return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(to->state->when - from->state->when).count();
    return cudaSuccess;
}

#endif
