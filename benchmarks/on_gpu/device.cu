/* What a GPU can do at most, and its memory, for benchmarks/on_gpu/device.py. SNNCC_REAL_BITS says of which numbers.
 *
 * Functions return 0 or CUDA's error. Times are those of CUDA's events, the fastest of a few: a rate is a property of
 * the device. */
#include "snncc/cuda/cuda.h"

enum { TRIES = 7, CHAINS = 8 /* of a thread, that wait for nothing but themselves */ };

/* Seconds of the fastest run of `start(stream)`. */
template <class Start>
static int fastest(Start start, double *seconds)
{
    cudaEvent_t before, after;
    cudaEventCreate(&before), cudaEventCreate(&after);
    int code = 0;
    *seconds = 1e30;
    for (int k = 0; k <= TRIES && !code; k++) {
        float ms = 0;
        cudaEventRecord(before, NULL);
        start((cudaStream_t)NULL);
        cudaEventRecord(after, NULL);
        code = (int)cudaEventSynchronize(after);
        if (!code) code = (int)cudaEventElapsedTime(&ms, before, after);
        if (k > 0 && ms / 1e3 < *seconds) *seconds = ms / 1e3;
    }
    cudaEventDestroy(before), cudaEventDestroy(after);
    return code ? code : (int)cudaGetLastError();
}

/* Aligned, so that a thread reads and writes 16 bytes at once. */
struct alignas(16) quad {
    snncc_real a, b, c, d;
};

static __global__ void copy_kernel(size_t count, const quad *x, quad *y)
{
    const size_t at = snncc_thread();
    if (at < count) y[at] = x[at];
}

/* Each thread: `turns` times a step of each of its chains, in one instruction or in two. */
template <int FUSED>
static __global__ void chains_kernel(int turns, snncc_real factor, snncc_real term, snncc_real *y)
{
    snncc_real sum[CHAINS];
    for (int k = 0; k < CHAINS; k++) sum[k] = (snncc_real)k;
    for (int turn = 0; turn < turns; turn++)
        for (int k = 0; k < CHAINS; k++) sum[k] = FUSED ? fma(sum[k], factor, term) : sum[k] * factor + term;
    snncc_real total = 0;
    for (int k = 0; k < CHAINS; k++) total += sum[k];
    y[snncc_thread()] = total;
}

extern "C" {

/* Free and all bytes of the device. */
int device_memory(size_t *free_bytes, size_t *all)
{
    return (int)cudaMemGetInfo(free_bytes, all);
}

/* A copy of an array on the device, until the process ends. */
int device_upload(const void *host, size_t bytes, void **copy)
{
    const cudaError_t error = cudaMalloc(copy, bytes);
    return (int)(error ? error : cudaMemcpy(*copy, host, bytes, cudaMemcpyHostToDevice));
}

/* Seconds of a copy of `count` times four numbers. */
int device_copy(size_t count, double *seconds)
{
    void *x = NULL, *y = NULL;
    int code = (int)cudaMalloc(&x, count * sizeof(quad));
    if (!code) code = (int)cudaMalloc(&y, count * sizeof(quad));
    if (!code) code = (int)cudaMemset(x, 0, count * sizeof(quad));
    const quad *const from = (const quad *)x;
    quad *const to = (quad *)y;
    if (!code) code = fastest([=](cudaStream_t stream) { SNNCC_EACH(copy_kernel, count, stream, count, from, to); }, seconds);
    cudaFree(x), cudaFree(y);
    return code;
}

/* Seconds of `blocks` blocks of threads, each with CHAINS * turns multiplications and additions. */
int device_chains(int blocks, int turns, int fused, double *seconds)
{
    void *y = NULL;
    int code = (int)cudaMalloc(&y, sizeof(snncc_real) * SNNCC_THREADS * (size_t)blocks);
    snncc_real *const to = (snncc_real *)y;
    const size_t count = SNNCC_THREADS * (size_t)blocks;
    const snncc_real factor = (snncc_real)0.999, term = (snncc_real)0.001;
    const auto start = [=](cudaStream_t stream) {
        if (fused) SNNCC_EACH((chains_kernel<1>), count, stream, turns, factor, term, to);
        else SNNCC_EACH((chains_kernel<0>), count, stream, turns, factor, term, to);
    };
    if (!code) code = fastest(start, seconds);
    cudaFree(y);
    return code;
}

/* Seconds of the product of two matrices [n][n] by the kernel of models. */
int device_product(int n, double *seconds)
{
    const size_t bytes = sizeof(snncc_real) * n * n;
    void *a = NULL;
    int code = (int)cudaMalloc(&a, 3 * bytes);
    if (!code) code = (int)cudaMemset(a, 0, 3 * bytes);
    snncc_real *const x = (snncc_real *)a, *const w = x + (size_t)n * n, *const y = w + (size_t)n * n;
    if (!code) code = fastest([=](cudaStream_t stream) { snncc_product(stream, n, n, n, x, w, NULL, y); }, seconds);
    cudaFree(a);
    return code;
}
}
