/* Calls as CUDA graphs: the kernels of a call that was made before start with one launch.
 *
 * A call is known by its entry point, steps, samples and the addresses of the caller's arrays. The first one starts its
 * kernels one by one, the second one records them, later ones launch the record. */
#ifndef SNNCC_CUDA_GRAPHS_H
#define SNNCC_CUDA_GRAPHS_H

#include <stdlib.h>
#include <string.h>

#include "device.h"

enum { SNNCC_GRAPHS = 8 }; /* calls that a model remembers */

/* A call; `io` is a copy of the caller's addresses. */
typedef struct snncc_graph {
    struct snncc_graph *next;
    int32_t entry, steps, batch;
    void *io;
    cudaGraphExec_t record; /* NULL: not yet recorded */
} snncc_graph;

static inline void snncc_forget(snncc_graph *call)
{
    if (call->record) cudaGraphExecDestroy(call->record);
    free(call->io);
    free(call);
}

/* Forgets all calls but the first `kept`. */
static inline void snncc_forget_calls(void **calls, int kept)
{
    snncc_graph **at = (snncc_graph **)calls;
    while (*at && kept-- > 0) at = &(*at)->next;
    while (*at) {
        snncc_graph *const call = *at;
        *at = call->next;
        snncc_forget(call);
    }
}

/* The call, moved to the front, or NULL if it was not made before. */
static inline snncc_graph *snncc_known_call(void **calls, int32_t entry, int32_t steps, int32_t batch, const void *io,
                                            size_t bytes)
{
    for (snncc_graph **at = (snncc_graph **)calls; *at; at = &(*at)->next) {
        snncc_graph *const call = *at;
        if (call->entry != entry || call->steps != steps || call->batch != batch || memcmp(call->io, io, bytes)) continue;
        *at = call->next;
        call->next = (snncc_graph *)*calls;
        *calls = call;
        return call;
    }
    return NULL;
}

/* Puts a call in front of the others; without memory for it, it stays unknown. */
static inline void snncc_remember_call(void **calls, int32_t entry, int32_t steps, int32_t batch, const void *io, size_t bytes)
{
    snncc_graph *const call = (snncc_graph *)calloc(1, sizeof *call);
    if (!call) return;
    call->io = malloc(bytes);
    if (!call->io) {
        free(call);
        return;
    }
    memcpy(call->io, io, bytes);
    call->entry = entry, call->steps = steps, call->batch = batch;
    call->next = (snncc_graph *)*calls;
    *calls = call;
    snncc_forget_calls(calls, SNNCC_GRAPHS);
}

/* Records what `start(stream)` starts; what that came to, if recording went well. */
template <class Start>
static int32_t snncc_record(Start start, cudaGraphExec_t *record)
{
    cudaStream_t stream;
    cudaGraph_t graph = NULL;
    int32_t code = snncc_checked(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    if (code) return code;
    code = snncc_checked(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    if (!code) {
        const int32_t started = start(stream);
        code = snncc_checked(cudaStreamEndCapture(stream, &graph));
        if (!code) code = started;
    }
    if (!code) code = snncc_checked(cudaGraphInstantiate(record, graph, 0));
    if (graph) cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
    return code;
}

/* Starts the kernels of a call on a stream: `start(stream)` does so one by one, and says whether they could be started. */
template <class Start>
static int32_t snncc_call(void **calls, int32_t entry, int32_t steps, int32_t batch, const void *io, size_t bytes,
                          cudaStream_t stream, Start start)
{
    snncc_graph *const call = snncc_known_call(calls, entry, steps, batch, io, bytes);
    if (!call) {
        snncc_remember_call(calls, entry, steps, batch, io, bytes);
        return start(stream);
    }
    const int32_t code = call->record ? (int32_t)SNNCC_OK : snncc_record(start, &call->record);
    return code ? code : snncc_checked(cudaGraphLaunch(call->record, stream));
}

#endif
