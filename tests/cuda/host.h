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

#include <tuple>
#include <type_traits>

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
    void (*call)(void *); // runs one thread
};

/* Puts a launch on its stream, with a copy of the arguments' bytes. Those that are pointers are checked when it runs. */
void launch(const Launch &wanted, const void *arguments, size_t bytes, const void *const *pointers, size_t n_pointers);

template <class T> const void *pointer_in(const T &argument)
{
    if constexpr (std::is_pointer_v<T>)
        return reinterpret_cast<const void *>(argument);
    else
        return nullptr;
}

template <auto kernel> struct Kernel;

template <class... Parameters, void (*kernel)(Parameters...)> struct Kernel<kernel> {
    static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's parameters are copied as bytes");
    using Arguments = std::tuple<Parameters...>;

    static void call(void *arguments) { std::apply(kernel, *static_cast<const Arguments *>(arguments)); }

    static void launch(const Grid &grid, cudaStream_t stream, Parameters... arguments)
    {
        const Launch wanted = {grid, stream, reinterpret_cast<const void *>(kernel), call};
        const Arguments packed(arguments...);
        const void *const pointers[] = {pointer_in(arguments)...};
        snncc_host::launch(wanted, &packed, sizeof packed, pointers, sizeof...(arguments));
    }
};

} // namespace snncc_host

#endif
