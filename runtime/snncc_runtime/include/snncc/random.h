/* Random numbers from counters: a number is a hash of seed, draw, step, sample and neuron, made where it is read. */
#ifndef SNNCC_RANDOM_H
#define SNNCC_RANDOM_H

#include "target.h"

/* Where a kernel stands in a call: the call's seed, and the step and sample of its first row. */
typedef struct {
    uint64_t seed, step, sample;
} snncc_draws;

/* What the numbers of one row are drawn from. */
typedef struct {
    uint32_t shift, salt;
} snncc_key;

/* seed: of the call and the number of its first step; NULL for 0 and 0. */
SNNCC_INLINE snncc_draws snncc_draws_at(const int64_t *seed, int step, int sample)
{
    const uint64_t first = seed ? (uint64_t)seed[1] : 0;
    return (snncc_draws){seed ? (uint64_t)seed[0] : 0, first + (uint64_t)step, (uint64_t)sample};
}

/* The finaliser of splitmix64: every bit of x changes half of the result's bits. */
SNNCC_INLINE uint64_t snncc_mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The key of a draw at a step and sample of the kernel's rows. */
SNNCC_INLINE snncc_key snncc_key_at(snncc_draws draws, uint32_t draw, int step, int sample)
{
    const uint64_t stream = snncc_mixed(snncc_mixed(draws.seed + 0x9e3779b97f4a7c15u) + draw);
    const uint64_t row = (draws.step + (uint64_t)step) << 32 | (draws.sample + (uint64_t)sample);
    const uint64_t key = snncc_mixed(row ^ stream);
    return (snncc_key){(uint32_t)key, (uint32_t)(key >> 32)};
}

/* The same for a draw that is made once a call, whatever its first step. */
SNNCC_INLINE snncc_key snncc_key_of_call(snncc_draws draws, uint32_t draw, int sample)
{
    draws.step = 0;
    return snncc_key_at(draws, draw, 0, sample);
}

/* From 0 to below 1, a multiple of 2^-24: integers of 32 bits alone, which every vector unit multiplies. */
SNNCC_INLINE snncc_real snncc_uniform(snncc_key key, int neuron)
{
    uint32_t x = (uint32_t)neuron + key.shift;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15) ^ key.salt) * 0x846ca68bu;
    x ^= x >> 16;
    return (snncc_real)(int32_t)(x >> 8) * (snncc_real)5.9604644775390625e-8;
}

#endif
