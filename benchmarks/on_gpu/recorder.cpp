/* In the place of CUDA's runtime: takes down which kernels a model starts, and runs none of them.
 *
 * Linked with what nvcc made of a model (--cudart none), it needs neither a GPU nor a driver; no pointer is followed.
 * A line for each start: statement, name, blocks, threads of a block, bytes of shared memory beyond the kernel's own.
 * "copy" and "clear" are those of CUDA, with bytes in the place of blocks. */
#include <cuda_runtime_api.h>

#include <map>
#include <string>

static std::string record;
static int statement;
static std::map<const void *, std::string> &kernels()
{
    static std::map<const void *, std::string> known; /* before the first constructor that registers a kernel */
    return known;
}

static dim3 grid, block;
static size_t shared;
static void *launch_stream;

static void note(const std::string &name, unsigned long long blocks, unsigned threads, size_t bytes)
{
    record += std::to_string(statement) + ' ' + name + ' ' + std::to_string(blocks) + ' ' + std::to_string(threads) + ' '
              + std::to_string(bytes) + '\n';
}

static cudaError_t started(const void *kernel, dim3 g, dim3 b, size_t bytes)
{
    const auto found = kernels().find(kernel);
    if (found == kernels().end()) return cudaErrorInvalidDeviceFunction;
    note(found->second, (unsigned long long)g.x * g.y * g.z, b.x * b.y * b.z, bytes);
    return cudaSuccess;
}

extern "C" {

/* Which statement of an entry point comes next. */
void snncc_at(int number)
{
    statement = number;
}

/* What was taken down since the last time. */
const char *snncc_recorded(void)
{
    static std::string answer;
    answer.swap(record);
    record.clear();
    return answer.c_str();
}

/* ---- what nvcc's text calls */

void **__cudaRegisterFatBinary(void *binary)
{
    return (void **)binary;
}

void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}

void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *, uint3 *, dim3 *, dim3 *, int *)
{
    kernels()[host] = name;
}

unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t bytes, cudaStream_t stream)
{
    grid = g, block = b, shared = bytes, launch_stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *g, dim3 *b, size_t *bytes, void *stream)
{
    *g = grid, *b = block, *bytes = shared, *(void **)stream = launch_stream;
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *found, const void *kernel)
{
    *found = (cudaKernel_t)kernel;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 g, dim3 b, void **, size_t bytes, cudaStream_t)
{
    return started((const void *)kernel, g, b, bytes);
}

/* ---- CUDA's runtime, as far as models use it */

cudaError_t cudaLaunchKernel(const void *kernel, dim3 g, dim3 b, void **, size_t bytes, cudaStream_t)
{
    return started(kernel, g, b, bytes);
}

cudaError_t cudaLaunchCooperativeKernel(const void *kernel, dim3 g, dim3 b, void **, size_t bytes, cudaStream_t)
{
    return started(kernel, g, b, bytes);
}

cudaError_t cudaMemcpyAsync(void *, const void *, size_t bytes, enum cudaMemcpyKind, cudaStream_t)
{
    note("copy", bytes, 0, 0);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *, int, size_t bytes, cudaStream_t)
{
    note("clear", bytes, 0, 0);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *, int, size_t)
{
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}
}
