/* Graphs: what is put on a capturing stream is recorded with its arguments and runs whenever the graph is launched. */
#include "stream.h"

struct CUgraph_st {
    std::shared_ptr<const std::vector<snncc_host::Work>> nodes;
};
struct CUgraphExec_st {
    std::shared_ptr<const std::vector<snncc_host::Work>> nodes;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
    const snncc_host::Device device;
    if (stream == nullptr || stream->capture)
        return snncc_host::note(cudaErrorStreamCaptureUnsupported);
    stream->capture = std::make_shared<snncc_host::Capture>();
    stream->capture->mode = mode;
    stream->began = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    const snncc_host::Device device;
    *graph = nullptr;
    if (stream == nullptr || !stream->capture || !stream->began)
        return snncc_host::note(cudaErrorStreamCaptureUnmatched);
    const auto capture = stream->capture;
    for (cudaStream_t other : snncc_host::streams)
        if (other->capture == capture)
            other->capture = nullptr, other->began = false;
    if (capture->broken)
        return snncc_host::note(cudaErrorStreamCaptureInvalidated);
    *graph = new CUgraph_st{std::make_shared<const std::vector<snncc_host::Work>>(std::move(capture->nodes))};
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status)
{
    const snncc_host::Device device;
    *status = cudaStreamCaptureStatusNone;
    if (stream && stream->capture)
        *status = stream->capture->broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    *executable = new CUgraphExec_st{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    const auto nodes = executable->nodes;
    return snncc_host::submit(stream, [nodes] {
        for (const snncc_host::Work &work : *nodes)
            work();
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    delete executable;
    return cudaSuccess;
}
