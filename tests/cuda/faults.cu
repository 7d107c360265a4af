/* One planted fault a kernel. `fault` takes the name of one, runs it, and prints a sum of what it wrote and how many of that are NaN. */
#include <snncc/cuda/launch.h>

#include <stdio.h>
#include <string.h>

constexpr int THREADS = 64;

__global__ void off_by_one(int n, const float *x, float *y)
{
    const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
    if (i <= n)
        y[i] = x[i];
}

__global__ void off_by_one_shared(int n, const float *x, float *y)
{
    SNNCC_SHARED(float, row, THREADS);
    const int i = int(threadIdx.x);
    row[i] = x[i];
    __syncthreads();
    y[i] = row[i + n / n];
}

__global__ void missing_barrier(int n, const float *x, float *y)
{
    SNNCC_SHARED(float, row, THREADS);
    const int i = int(threadIdx.x);
    row[i] = x[i];
    y[i] = row[n - 1 - i];
}

__global__ void divergent_barrier(int n, const float *x, float *y)
{
    const int i = int(threadIdx.x);
    if (i < n - 4) {
        y[i] = x[i];
        __syncthreads();
    }
}

__global__ void two_barriers(int n, const float *x, float *y)
{
    const int i = int(threadIdx.x);
    if (i < n / 2)
        __syncthreads();
    else
        __syncthreads();
    y[i] = x[i];
}

__global__ void wrong_mask(int n, const float *x, float *y)
{
    const int i = int(threadIdx.x);
    if (i < n / 4)
        y[i] = float(__ballot_sync(0xffffffffu, x[i] > 0.0f));
}

__global__ void not_in_mask(int n, const float *x, float *y)
{
    y[threadIdx.x] = float(__ballot_sync(0xfffffffeu, x[threadIdx.x] > float(n)));
}

__global__ void uninitialised_shared(int n, const float *x, float *y)
{
    SNNCC_SHARED(float, row, THREADS);
    const int i = int(threadIdx.x);
    if (i < n - 1)
        row[i] = x[i];
    __syncthreads();
    y[i] = row[i];
}

__global__ void uninitialised_memory(int n, const float *, float *y)
{
    y[0] += float(n);
}

__global__ void missing_atomic(int, const float *x, float *y)
{
    y[0] = y[0] + x[threadIdx.x];
}

__global__ void race_between_blocks(int, const float *x, float *y)
{
    if (threadIdx.x == 0)
        y[0] = x[blockIdx.x];
}

/* What orders the threads of each block does not order the blocks. */
__global__ void race_behind_barriers(int, const float *x, float *y)
{
    __syncthreads();
    const int all = __all_sync(0xffffffffu, x[threadIdx.x] > 0.0f);
    if (all && threadIdx.x == 5 + blockIdx.x)
        y[0] = x[blockIdx.x];
    __syncwarp();
    __syncthreads();
}

__global__ void missing_syncwarp(int, const float *x, float *y)
{
    SNNCC_SHARED(float, row, THREADS);
    const int i = int(threadIdx.x);
    row[i] = x[i];
    y[i] = row[i ^ 1];
}

__global__ void missing_grid_barrier(int, const float *x, float *y)
{
    y[blockIdx.x] = x[blockIdx.x];
    __syncthreads();
    y[2 + blockIdx.x] = y[1 - blockIdx.x];
}

__global__ void barrier_of_some_blocks(unsigned *state)
{
    if (blockIdx.x == 0)
        SNNCC_GRID_BARRIER(state);
}

__global__ void copy(int n, const float *x, float *y)
{
    const int i = int(threadIdx.x);
    if (i < n)
        y[i] = x[i];
}

static void fault(const char *name)
{
    const auto is = [name](const char *other) { return !strcmp(name, other); };
    float host[THREADS], result[THREADS] = {}, *x, *y, *unset;
    for (int i = 0; i < THREADS; i++)
        host[i] = float(i + 1);
    cudaMalloc(&x, sizeof host);
    cudaMalloc(&y, sizeof host);
    cudaMalloc(&unset, sizeof host);
    cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice);
    cudaMemset(y, 0, sizeof host);
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
#define CASE(kernel) \
    if (is(#kernel)) \
    SNNCC_LAUNCH(kernel, 2, THREADS, 0, stream, THREADS, x, y)
    CASE(off_by_one);
    CASE(off_by_one_shared);
    CASE(missing_barrier);
    CASE(divergent_barrier);
    CASE(two_barriers);
    CASE(wrong_mask);
    CASE(not_in_mask);
    CASE(uninitialised_shared);
    CASE(missing_atomic);
    CASE(race_between_blocks);
    CASE(race_behind_barriers);
    CASE(missing_syncwarp);
    if (is("missing_grid_barrier"))
        SNNCC_LAUNCH_TOGETHER(missing_grid_barrier, 2, 1, 0, stream, 2, x, y);
    if (is("barrier_of_some_blocks"))
        SNNCC_LAUNCH_TOGETHER(barrier_of_some_blocks, 2, THREADS, 0, stream, reinterpret_cast<unsigned *>(y));
    if (is("not_together"))
        SNNCC_LAUNCH(barrier_of_some_blocks, 1, THREADS, 0, stream, reinterpret_cast<unsigned *>(y));
    if (is("uninitialised_barrier"))
        SNNCC_LAUNCH_TOGETHER(barrier_of_some_blocks, 1, THREADS, 0, stream, reinterpret_cast<unsigned *>(unset));
    if (is("uninitialised_memory"))
        SNNCC_LAUNCH(uninitialised_memory, 1, 1, 0, stream, THREADS, x, y = unset);
    if (is("host_pointer"))
        SNNCC_LAUNCH(copy, 1, THREADS, 0, stream, THREADS, host, y);
    if (is("freed_memory")) {
        cudaFree(unset);
        SNNCC_LAUNCH(copy, 1, THREADS, 0, stream, THREADS, unset, y);
    }
    if (is("read_on_the_host"))
        result[0] = y[0];
    if (is("read_too_early")) {
        SNNCC_LAUNCH(copy, 1, THREADS, 0, stream, THREADS, x, y);
        cudaMemcpy(result, y, sizeof result, cudaMemcpyDeviceToHost); // waits for blocking streams only
    } else {
        cudaStreamSynchronize(stream);
        cudaMemcpy(result, y, sizeof result, cudaMemcpyDeviceToHost);
    }
    double sum = 0.0;
    int unset_results = 0;
    for (int i = 0; i < THREADS; i++)
        if (result[i] != result[i])
            unset_results++;
        else
            sum += double(result[i]) * (i % 7 + 1);
    printf("%g %d NaN\n", sum, unset_results);
    cudaFree(x);
    cudaFree(y);
    cudaStreamDestroy(stream);
}
