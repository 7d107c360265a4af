/* What kernels call: barriers, warp operations, atomics, bits, loads, vector types. Each takes the types that CUDA's
 * takes, so that a kernel which compiles here compiles there. */
#ifndef SNNCC_HOST_INTRINSICS_H
#define SNNCC_HOST_INTRINSICS_H

#include <math.h>
#include <string.h>
#include <type_traits>

#include "block.h"

#define SNNCC_HOST_TEXT_(x) #x
#define SNNCC_HOST_TEXT(x) SNNCC_HOST_TEXT_(x)
#define SNNCC_HOST_PLACE __FILE__ ":" SNNCC_HOST_TEXT(__LINE__) "#" SNNCC_HOST_TEXT(__COUNTER__)

#define __syncthreads() ((void)snncc_host::barrier(0, SNNCC_HOST_PLACE))
#define __syncthreads_count(predicate) snncc_host::barrier((predicate) ? 1 : 0, SNNCC_HOST_PLACE)
#define __syncthreads_or(predicate) (snncc_host::barrier((predicate) ? 1 : 0, SNNCC_HOST_PLACE) != 0)
#define __syncthreads_and(predicate) (snncc_host::barrier((predicate) ? 0 : 1, SNNCC_HOST_PLACE) == 0)

namespace snncc_host {

template <class T, class... Others> constexpr bool one_of = (std::is_same_v<T, Others> || ...);

template <class T> T shuffle(unsigned mask, T value, int source)
{
    static_assert(one_of<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double>,
                  "CUDA shuffles no such type");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = warp(SHUFFLE, mask, bits, source);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* *address = f(*address); what was there. Between threads nothing else can happen, but ThreadSanitizer wants to see
 * that it was meant. */
template <class T, class F> T update(T *address, F f)
{
#if defined(__SANITIZE_THREAD__)
    T before, after;
    __atomic_load(address, &before, __ATOMIC_RELAXED);
    do
        after = f(before);
    while (!__atomic_compare_exchange(address, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
#else
    const T before = *address;
    *address = f(before);
#endif
    return before;
}

template <class T> using Same = std::common_type_t<T>; // not deduced: converts to what the address says

} // namespace snncc_host

inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    snncc_host::warp(snncc_host::SYNC, mask, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return unsigned(snncc_host::warp(snncc_host::BALLOT, mask, predicate != 0, 0));
}
inline int __any_sync(unsigned mask, int predicate)
{
    return int(snncc_host::warp(snncc_host::ANY, mask, predicate != 0, 0));
}
inline int __all_sync(unsigned mask, int predicate)
{
    return int(snncc_host::warp(snncc_host::ALL, mask, predicate != 0, 0));
}

/* Shuffles within groups of `width` lanes: a lane whose source lies outside of its group keeps its own value. */
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    const int lane = int(snncc_host::lane());
    return snncc_host::shuffle(mask, value, (lane & ~(width - 1)) | (source & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    const int lane = int(snncc_host::lane()), source = lane ^ bits, group = ~(width - 1);
    return snncc_host::shuffle(mask, value, (source & group) > (lane & group) ? lane : source);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32)
{
    const int lane = int(snncc_host::lane());
    return snncc_host::shuffle(mask, value, (lane & (width - 1)) + int(distance) < width ? lane + int(distance) : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32)
{
    const int lane = int(snncc_host::lane());
    return snncc_host::shuffle(mask, value, (lane & (width - 1)) >= int(distance) ? lane - int(distance) : lane);
}

#define SNNCC_HOST_ATOMIC(name, result, ...) \
    template <class T> T name(T *address, snncc_host::Same<T> value) \
    { \
        static_assert(snncc_host::one_of<T, __VA_ARGS__>, "CUDA has no such atomic operation on this type"); \
        return snncc_host::update(address, [value](T before) { return T(result); }); \
    }
SNNCC_HOST_ATOMIC(atomicAdd, before + value, int, unsigned, unsigned long long, float, double)
SNNCC_HOST_ATOMIC(atomicSub, before - value, int, unsigned)
SNNCC_HOST_ATOMIC(atomicMax, before > value ? before : value, int, unsigned, long long, unsigned long long)
SNNCC_HOST_ATOMIC(atomicMin, before < value ? before : value, int, unsigned, long long, unsigned long long)
SNNCC_HOST_ATOMIC(atomicOr, before | value, int, unsigned, unsigned long long)
SNNCC_HOST_ATOMIC(atomicAnd, before & value, int, unsigned, unsigned long long)
SNNCC_HOST_ATOMIC(atomicXor, before ^ value, int, unsigned, unsigned long long)
SNNCC_HOST_ATOMIC(atomicExch, ((void)before, value), int, unsigned, unsigned long long, float)
#undef SNNCC_HOST_ATOMIC

template <class T> T atomicCAS(T *address, snncc_host::Same<T> expected, snncc_host::Same<T> value)
{
    static_assert(snncc_host::one_of<T, int, unsigned, unsigned long long>,
                  "CUDA has no such atomic operation on this type");
    return snncc_host::update(address, [=](T before) { return before == expected ? value : before; });
}

inline void __threadfence_block()
{
    snncc_host::fence();
}
inline void __threadfence()
{
    __threadfence_block();
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz(unsigned(x)) : 32;
}
inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= (x >> i & 1u) << (31 - i);
    return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return unsigned((unsigned long long)a * b >> 32);
}

template <class To, class From> To snncc_host_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline int __float_as_int(float x)
{
    return snncc_host_bits<int>(x);
}
inline unsigned __float_as_uint(float x)
{
    return snncc_host_bits<unsigned>(x);
}
inline float __int_as_float(int x)
{
    return snncc_host_bits<float>(x);
}
inline float __uint_as_float(unsigned x)
{
    return snncc_host_bits<float>(x);
}
inline long long __double_as_longlong(double x)
{
    return snncc_host_bits<long long>(x);
}
inline double __longlong_as_double(long long x)
{
    return snncc_host_bits<double>(x);
}

inline float __fadd_rn(float a, float b)
{
    return a + b;
}
inline float __fmul_rn(float a, float b)
{
    return a * b;
}
inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
inline double __dadd_rn(double a, double b)
{
    return a + b;
}
inline double __dmul_rn(double a, double b)
{
    return a * b;
}
inline double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}

/* Loads and stores that say how they use the caches. */
template <class T> T __ldg(const T *address)
{
    return *address;
}
template <class T> T __ldcs(const T *address)
{
    return *address;
}
template <class T> T __ldcg(const T *address)
{
    return *address;
}
template <class T> void __stcs(T *address, snncc_host::Same<T> value)
{
    *address = value;
}

#define SNNCC_HOST_VECTOR(scalar, name, bytes2, bytes4) \
    struct alignas(bytes2) name##2 { \
        scalar x, y; \
    }; \
    struct alignas(bytes4) name##4 { \
        scalar x, y, z, w; \
    }; \
    inline name##2 make_##name##2(scalar x, scalar y) \
    { \
        return {x, y}; \
    } \
    inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) \
    { \
        return {x, y, z, w}; \
    }
SNNCC_HOST_VECTOR(float, float, 8, 16)
SNNCC_HOST_VECTOR(double, double, 16, 16)
SNNCC_HOST_VECTOR(int, int, 8, 16)
SNNCC_HOST_VECTOR(unsigned, uint, 8, 16)
SNNCC_HOST_VECTOR(unsigned long long, ulonglong, 16, 16)
#undef SNNCC_HOST_VECTOR

#endif
