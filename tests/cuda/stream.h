/* Streams and events. What is put on a stream runs at once; with SNNCC_HOST_STREAMS=late, when a stream is made,
 * what is put on it waits until somebody waits for it, so that a result which is read too early is not there yet. */
#ifndef SNNCC_HOST_STREAM_H
#define SNNCC_HOST_STREAM_H

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "memory.h"

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

/* How many copies between host and device were asked for so far. */
extern "C" size_t snncc_host_crossings();

namespace snncc_host {

extern std::vector<cudaStream_t> &streams;

/* Has the work done: now, when somebody waits, or whenever the graph runs that is being captured. */
cudaError_t submit(cudaStream_t stream, Work work);

} // namespace snncc_host

#endif
