/* Kernels without faults, one for each thing that kernels may use, and what CUDA answers to its callers. Each case
 * prints a line, which test_cuda_host.py knows. */
#include <snncc/cuda/launch.h>

#include <stdio.h>
#include <string.h>
#include <vector>

constexpr int N = 1000, STEPS = 50;

__global__ void scan(int n, int steps, const float *__restrict__ x, float *__restrict__ spikes)
{
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n)
        return;
    float mem = 0.0f;
    for (int t = 0; t < steps; t++) {
        mem = 0.5f * mem + x[t * n + i];
        const float spike = mem >= 1.0f ? 1.0f : 0.0f;
        spikes[t * n + i] = spike;
        mem -= spike;
    }
}

template <int threads> __global__ void __launch_bounds__(threads) sum(int n, const float *x, float *result)
{
    SNNCC_SHARED(float, part, threads);
    const int thread = int(threadIdx.x);
    float own = 0.0f;
    for (int i = int(blockIdx.x) * threads + thread; i < n; i += threads * int(gridDim.x))
        own += x[i];
    part[thread] = own;
    for (int half = threads / 2; half >= 32; half /= 2) {
        __syncthreads();
        if (thread < half)
            part[thread] += part[thread + half];
    }
    if (thread < 32) {
        own = part[thread];
        for (unsigned half = 16; half; half /= 2)
            own += __shfl_down_sync(0xffffffffu, own, half);
        if (thread == 0)
            result[blockIdx.x] = own;
    }
}

__global__ void pack(int n, const float *spikes, unsigned *words, unsigned *count)
{
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    const unsigned word = __ballot_sync(0xffffffffu, i < n && spikes[i] > 0.5f);
    if (threadIdx.x % 32 == 0 && i < n) {
        words[i / 32] = word;
        atomicAdd(count, unsigned(__popc(word)));
    }
}

__global__ void turn(int n, const float *x, float *y)
{
    SNNCC_DYNAMIC_SHARED(float, row);
    for (int i = int(threadIdx.x); i < n; i += int(blockDim.x))
        row[i] = x[i];
    __syncthreads();
    for (int i = int(threadIdx.x); i < n; i += int(blockDim.x))
        y[i] = row[n - 1 - i];
}

/* The block that comes last adds what all have written. */
__global__ void sum_of_blocks(float *parts, unsigned *arrived, float *result)
{
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = float(blockIdx.x + 1);
        __threadfence();
        if (atomicAdd(arrived, 1u) == gridDim.x - 1) {
            __threadfence();
            float total = 0.0f;
            for (unsigned i = 0; i < gridDim.x; i++)
                total += parts[i];
            *result = total;
        }
    }
}

/* Each block adds up what all blocks wrote in the step before. */
__global__ void relay(int steps, float *parts, unsigned *state)
{
    SNNCC_SHARED(float, kept, 1);
    if (threadIdx.x == 0)
        kept[0] = float(blockIdx.x);
    __syncthreads();
    for (int t = 0; t < steps; t++) {
        float *const row = parts + t % 2 * gridDim.x;
        if (threadIdx.x == blockDim.x - 1)
            row[blockIdx.x] = kept[0];
        SNNCC_GRID_BARRIER(state);
        if (threadIdx.x == 0)
            for (unsigned i = 0; i < gridDim.x; i++)
                kept[0] += row[i] * float(i + 1) / 16.0f;
        __syncthreads();
    }
    if (threadIdx.x == 0)
        parts[2 * gridDim.x + blockIdx.x] = kept[0];
}

/* Halves of a warp apart, all warp operations, predicates of a barrier, a block that ends within a warp. */
__global__ void vote(int *results)
{
    const int lane = int(threadIdx.x) % 32, upper = lane >= 16;
    const unsigned mask = threadIdx.x >= 64 ? 0xffu : upper ? 0xffff0000u : 0xffffu;
    int value = upper ? __shfl_xor_sync(mask, lane, 1, 16) : __shfl_sync(mask, lane, 3, 8);
    value += 100 * __shfl_up_sync(mask, lane, 2, 8);
    value += 10000 * __any_sync(mask, lane == 2) + 20000 * __all_sync(mask, lane < 16);
    value += 100000 * __syncthreads_count(lane % 2);
    if (__syncthreads_or(threadIdx.x == 71) && __syncthreads_and(lane < 32))
        results[threadIdx.x] = value;
    else
        results[threadIdx.x] = -1;
}

template <class T> T *upload(const std::vector<T> &values)
{
    T *device = nullptr;
    cudaMalloc(&device, values.size() * sizeof(T));
    cudaMemcpy(device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice);
    return device;
}

template <class T> std::vector<T> download(const T *device, size_t n)
{
    std::vector<T> values(n);
    cudaMemcpy(values.data(), device, n * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
}

template <class T> double total(const std::vector<T> &values)
{
    double sum = 0.0;
    for (size_t i = 0; i < values.size(); i++)
        sum += double(values[i]) * double(i % 7 + 1);
    return sum;
}

static std::vector<float> drive()
{
    std::vector<float> x(size_t(N) * STEPS);
    unsigned state = 1;
    for (float &value : x) {
        state = state * 1664525u + 1013904223u;
        value = float(state >> 24) / 256.0f;
    }
    return x;
}

static void kernels()
{
    float *x = upload(drive()), *spikes = upload(drive()), *y = upload(std::vector<float>(N));
    unsigned *words = upload(std::vector<unsigned>(N * STEPS / 32 + 1)), *count = upload(std::vector<unsigned>(2));
    int *votes = upload(std::vector<int>(72));
    SNNCC_LAUNCH(scan, (N + 255) / 256, 256, 0, nullptr, N, STEPS, x, spikes);
    printf("scan %g\n", total(download(spikes, size_t(N) * STEPS)));
    SNNCC_LAUNCH((sum<128>), 3, 128, 0, nullptr, N, x, y);
    printf("sum %g\n", total(download(y, 3)));
    SNNCC_LAUNCH(pack, dim3(N * STEPS / 128 + 1), dim3(128), 0, nullptr, N * STEPS, spikes, words, count);
    printf("pack %g %u\n", total(download(words, N * STEPS / 32)), download(count, 1)[0]);
    SNNCC_LAUNCH(turn, 1, 64, N * sizeof(float), nullptr, N, x, y);
    printf("turn %g\n", total(download(y, N)));
    SNNCC_LAUNCH(sum_of_blocks, 9, 32, 0, nullptr, y, count + 1, y + 9);
    printf("sum_of_blocks %g\n", double(download(y, 10)[9]));
    unsigned *state = upload(std::vector<unsigned>(1));
    SNNCC_LAUNCH_TOGETHER(relay, 5, 40, 0, nullptr, 4, y, state);
    SNNCC_LAUNCH_TOGETHER(relay, 5, 40, 0, nullptr, 3, y + 20, state);
    printf("relay %g %g\n", total(download(y + 10, 5)), total(download(y + 30, 5)));
    SNNCC_LAUNCH_TOGETHER(relay, 999, 40, 0, nullptr, 4, y, state);
    printf("too many blocks %d\n", int(cudaGetLastError()));
    cudaFree(state);
    SNNCC_LAUNCH(vote, 1, 72, 0, nullptr, votes);
    const std::vector<int> voted = download(votes, 72);
    printf("vote %d %d %d %d\n", voted[5], voted[20], voted[40], voted[70]);
    for (void *memory : {(void *)x, (void *)spikes, (void *)y, (void *)words, (void *)count, (void *)votes})
        cudaFree(memory);
    printf("errors %d\n", int(cudaGetLastError()));
}

/* A captured step that runs twice, and what may not be captured. */
static void graphs()
{
    float *x = upload(drive()), *y = upload(std::vector<float>(3)), *pinned;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t step;
    cudaStreamCreate(&stream);
    cudaMallocHost(&pinned, 3 * sizeof(float));
    memset(pinned, 0, 3 * sizeof(float));
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
    SNNCC_LAUNCH((sum<128>), 3, 128, 0, stream, N, x, y);
    cudaMemcpyAsync(pinned, y, 3 * sizeof(float), cudaMemcpyDeviceToHost, stream);
    const int ended = cudaStreamEndCapture(stream, &graph);
    printf("captured %d %g\n", ended, double(pinned[0]));
    cudaGraphInstantiate(&step, graph, 0);
    cudaGraphDestroy(graph);
    for (int i = 0; i < 2; i++) {
        cudaGraphLaunch(step, stream);
        cudaStreamSynchronize(stream);
        printf("replayed %g\n", double(pinned[0]));
        cudaMemsetAsync(x, 0, sizeof(float), stream);
    }
    cudaGraphExecDestroy(step);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
    const int waited = cudaStreamSynchronize(stream), broken = cudaStreamEndCapture(stream, &graph);
    printf("waiting in a capture %d %d\n", waited, broken);
    cudaStreamDestroy(stream);
    cudaFreeHost(pinned);
    cudaFree(x);
    cudaFree(y);
    cudaGetLastError();
}

/* Codes, as CUDA gives them. */
static void errors()
{
    float host[4] = {1, 2, 3, 4}, *x, *y, *large;
    cudaMalloc(&x, sizeof host);
    cudaMalloc(&y, sizeof host);
    printf("copies %d", int(cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice)));
    printf(" %d", int(cudaMemcpy(x, host, sizeof host, cudaMemcpyDeviceToHost)));
    printf(" %d\n", int(cudaMemcpy(x, host, sizeof host + 512, cudaMemcpyHostToDevice)));
    SNNCC_LAUNCH(scan, 1, 1025, 0, nullptr, 1, 1, x, y);
    printf("launches %d", int(cudaGetLastError()));
    SNNCC_LAUNCH(turn, 1, 32, 60000, nullptr, 4, x, y);
    printf(" %d", int(cudaGetLastError()));
    cudaFuncSetAttribute(turn, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000);
    SNNCC_LAUNCH(turn, 1, 32, 60000, nullptr, 4, x, y);
    printf(" %d %g\n", int(cudaGetLastError()), double(download(y, 1)[0]));
    cudaPointerAttributes of_x, of_host;
    cudaPointerGetAttributes(&of_x, x + 1);
    cudaPointerGetAttributes(&of_host, host);
    printf("pointers %d %d\n", int(of_x.type), int(of_host.type));
    size_t available, all;
    cudaMemGetInfo(&available, &all);
    printf("memory %d\n", int(cudaMalloc(&large, all + 1)));
    printf("frees %d", int(cudaFree(x)));
    printf(" %d\n", int(cudaFree(x)));
    cudaFree(y);
    cudaGetLastError();
}

static void sound()
{
    kernels();
    graphs();
    errors();
}
