/* In the place of CUDA's runtime: takes down which kernels a model starts, and runs none of them.
 *
 * Linked with what nvcc made of a model (--cudart none), it needs neither a GPU nor a driver; no pointer is followed.
 * A line for each start: statement, name, blocks, threads of a block, bytes of shared memory beyond the kernel's own.
 * "copy" and "clear" are those of CUDA, with bytes in the place of blocks.
 *
 * No header of CUDA's is needed: types are declared as far as they are passed, errors are plain numbers. */
#include <map>
#include <string>

struct dim3 {
    unsigned x, y, z;
};

enum { SUCCESS = 0, INVALID_FUNCTION = 98, NOT_SUPPORTED = 801 };

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

static int started(const void *kernel, dim3 g, dim3 b, size_t bytes)
{
    const auto found = kernels().find(kernel);
    if (found == kernels().end()) return INVALID_FUNCTION;
    note(found->second, (unsigned long long)g.x * g.y * g.z, b.x * b.y * b.z, bytes);
    return SUCCESS;
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

void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, void *, void *, dim3 *, dim3 *, int *)
{
    kernels()[host] = name;
}

unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t bytes, void *stream)
{
    grid = g, block = b, shared = bytes, launch_stream = stream;
    return 0;
}

int __cudaPopCallConfiguration(dim3 *g, dim3 *b, size_t *bytes, void *stream)
{
    *g = grid, *b = block, *bytes = shared, *(void **)stream = launch_stream;
    return SUCCESS;
}

int __cudaGetKernel(const void **found, const void *kernel)
{
    *found = kernel;
    return SUCCESS;
}

int __cudaLaunchKernel(const void *kernel, dim3 g, dim3 b, void **, size_t bytes, void *)
{
    return started(kernel, g, b, bytes);
}

/* ---- CUDA's runtime, as far as models use it */

int cudaLaunchKernel(const void *kernel, dim3 g, dim3 b, void **, size_t bytes, void *)
{
    return started(kernel, g, b, bytes);
}

int cudaLaunchCooperativeKernel(const void *kernel, dim3 g, dim3 b, void **, size_t bytes, void *)
{
    return started(kernel, g, b, bytes);
}

int cudaMemcpyAsync(void *, const void *, size_t bytes, int, void *)
{
    note("copy", bytes, 0, 0);
    return SUCCESS;
}

int cudaMemsetAsync(void *, int, size_t bytes, void *)
{
    note("clear", bytes, 0, 0);
    return SUCCESS;
}

/* What a loop's grid depends on, of an H200; registers are not known here. */
enum { MULTIPROCESSORS = 132, THREADS = 2048, SHARED = 233472, MOST_SHARED = 232448, OF_MULTIPROCESSORS = 16 };

int cudaGetDevice(int *device)
{
    *device = 0;
    return SUCCESS;
}

int cudaDeviceGetAttribute(int *value, int attribute, int)
{
    *value = attribute == OF_MULTIPROCESSORS ? MULTIPROCESSORS : MOST_SHARED;
    return SUCCESS;
}

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *, int threads, size_t bytes, unsigned)
{
    const int by_threads = THREADS / threads, by_shared = SHARED / (int)(bytes + 1024);
    *blocks = by_threads < by_shared ? by_threads : by_shared;
    return SUCCESS;
}

int cudaFuncSetAttribute(const void *, int, int)
{
    return SUCCESS;
}

#define ANSWER(name, code) \
    int name(void) \
    { \
        return code; \
    }

ANSWER(cudaMemset, SUCCESS)
ANSWER(cudaGetLastError, SUCCESS)
ANSWER(cudaStreamSynchronize, SUCCESS)

/* What a model may need, but not for the calls that are recorded here. */
ANSWER(cudaMalloc, NOT_SUPPORTED)
ANSWER(cudaFree, NOT_SUPPORTED)
ANSWER(cudaMemcpy, NOT_SUPPORTED)
ANSWER(cudaMemGetInfo, NOT_SUPPORTED)
ANSWER(cudaPointerGetAttributes, NOT_SUPPORTED)
ANSWER(cudaStreamCreateWithFlags, NOT_SUPPORTED)
ANSWER(cudaStreamDestroy, NOT_SUPPORTED)
ANSWER(cudaStreamWaitEvent, NOT_SUPPORTED)
ANSWER(cudaStreamBeginCapture, NOT_SUPPORTED)
ANSWER(cudaStreamEndCapture, NOT_SUPPORTED)
ANSWER(cudaGraphInstantiate, NOT_SUPPORTED)
ANSWER(cudaGraphLaunch, NOT_SUPPORTED)
ANSWER(cudaGraphDestroy, NOT_SUPPORTED)
ANSWER(cudaGraphExecDestroy, NOT_SUPPORTED)
ANSWER(cudaEventCreateWithFlags, NOT_SUPPORTED)
ANSWER(cudaEventRecord, NOT_SUPPORTED)
ANSWER(cudaEventQuery, NOT_SUPPORTED)
ANSWER(cudaEventDestroy, NOT_SUPPORTED)

const char *cudaGetErrorString(int)
{
    return "nothing runs here";
}
}
