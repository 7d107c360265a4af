/* CUDA on the host, for tests: a .cu file that includes snncc/cuda/launch.h becomes an ordinary C++ file, whose kernels
 * run on the processor, one block after another.
 *
 *     g++ -O2 -std=c++17 -fPIC -shared tests/cuda/host.cpp -o libcuda_host.so
 *     g++ -x c++ -std=c++17 -DSNNCC_CUDA_HOST -I tests/cuda -I <runtime>/include -fPIC -shared model.cu -lcuda_host
 *
 * Faults that a GPU would hide end the process with a message: divergent barriers, wrong masks, host pointers as
 * arguments. -fsanitize=address,undefined finds what is out of bounds, -fsanitize=thread finds races between the
 * threads of a block and between blocks, although everything runs one after another. Streams: stream.h; orders of
 * threads: block.h. What is left to a GPU: code generation, the memory model between running blocks, speed. */
#ifndef SNNCC_HOST_H
#define SNNCC_HOST_H

#include <type_traits>
#include <utility>

#include "api.h"
#include "block.h"
#include "intrinsics.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#define SNNCC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    (snncc_host::Kernel<(kernel)>::launch({grid, block, shared_bytes, false}, stream, __VA_ARGS__))
#define SNNCC_LAUNCH_TOGETHER(kernel, grid, block, shared_bytes, stream, ...) \
    (snncc_host::Kernel<(kernel)>::launch({grid, block, shared_bytes, true}, stream, __VA_ARGS__))
#define SNNCC_GRID_BARRIER(state) snncc_host::grid_barrier(state)
#define SNNCC_SHARED(type, name, n) \
    static snncc_host::Shared snncc_shared_##name; \
    type(&name)[n] = *static_cast<type(*)[n]>(snncc_shared_##name.of_block(sizeof(type) * (n)))
#define SNNCC_DYNAMIC_SHARED(type, name) \
    type *const name = static_cast<type *>(snncc_host::dynamic_shared.of_block(snncc_host::dynamic_bytes))

namespace snncc_host {

struct Launch {
    Grid grid;
    cudaStream_t stream;
    const void *kernel;
    void (*call)(void *); // runs one thread; it gets an array of pointers to the arguments
};

struct Argument {
    const void *place;
    size_t bytes;
    bool is_pointer;
};

/* Puts a launch on its stream, with copies of the arguments. Those that are pointers are checked when it runs. */
void launch(const Launch &wanted, const Argument *arguments, size_t n_arguments);

/* No std::tuple: it takes most of the time in which a file with many kernels compiles. */
template <auto kernel> struct Kernel;

template <class... Parameters, void (*kernel)(Parameters...)> struct Kernel<kernel> {
    static_assert((__is_trivially_copyable(Parameters) && ...), "a kernel's parameters are copied as bytes");

    template <size_t... i> static void call_with(void *const *places, std::index_sequence<i...>)
    {
        kernel(*static_cast<Parameters *>(places[i])...);
    }

    static void call(void *places)
    {
        call_with(static_cast<void *const *>(places), std::index_sequence_for<Parameters...>());
    }

    static void launch(const Grid &grid, cudaStream_t stream, Parameters... arguments)
    {
        const Launch wanted = {grid, stream, reinterpret_cast<const void *>(kernel), call};
        const Argument all[] = {{&arguments, sizeof arguments, std::is_pointer_v<Parameters>}...};
        snncc_host::launch(wanted, all, sizeof...(arguments));
    }
};

} // namespace snncc_host

#endif
