/* The machine as generated code sees it: the real type, vectors, the shape of buffers, status codes. */
#ifndef SNNCC_TARGET_H
#define SNNCC_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SNNCC_REAL_BITS
#error "define SNNCC_REAL_BITS as 32 or 64 before including snncc.h"
#elif SNNCC_REAL_BITS == 32
typedef float snncc_real;
#define SNNCC_LANES 16
#elif SNNCC_REAL_BITS == 64
typedef double snncc_real;
#define SNNCC_LANES 8
#else
#error "SNNCC_REAL_BITS must be 32 or 64"
#endif

/* A sum over many inputs keeps at most this many vectors of outputs in registers (AVX-512 has 32). */
#define SNNCC_PANEL_VECTORS (SNNCC_BLOCK / SNNCC_LANES)
#define SNNCC_PANEL (SNNCC_PANEL_VECTORS * SNNCC_LANES)

/* Neurons that a generated sweep handles at a time: one word of spike bits. */
#define SNNCC_BLOCK 64

#define SNNCC_RESTRICT __restrict__
#define SNNCC_PRAGMA(text) _Pragma(#text)

#ifdef SNNCC_CUDA

/* What host and device both call. */
#define SNNCC_INLINE static inline __host__ __device__
#define SNNCC_FUNCTION static inline

/* What lies beyond the last step of a sequence, for a neuron. */
static __device__ const snncc_real snncc_zeros[1] __attribute__((unused)) = {0};

#else

/* What lies beyond the last step of a sequence, for a block of neurons. */
static const snncc_real snncc_zeros[SNNCC_BLOCK] __attribute__((unused)) = {0};

/* Kernels whose sizes are constants at the call: inlining is what specialises them. */
#define SNNCC_INLINE static inline __attribute__((always_inline, unused))
#define SNNCC_FUNCTION static __attribute__((unused))
/* One copy for all calls, whatever their sizes. */
#if defined(__clang__)
#define SNNCC_NOINLINE __attribute__((noinline))
#else
#define SNNCC_NOINLINE __attribute__((noinline, noclone))
#endif
/* Functions that only call kernels, one after the other, or that run once: they are most of a deep network's text, and
 * at -O2 they compile in half the time. Kernels are not inlined into them. */
#ifndef SNNCC_GLUE
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define SNNCC_GLUE __attribute__((optimize("O2")))
#else
#define SNNCC_GLUE
#endif
#endif

/* 64 bytes at any element address. Never an argument or a result: how it is passed depends on the -m flags. */
typedef snncc_real snncc_vec
    __attribute__((vector_size(SNNCC_LANES * sizeof(snncc_real)), aligned(sizeof(snncc_real)), may_alias));

/* Before a loop over the neurons of a block: no element depends on another one. */
#if defined(__clang__)
#define SNNCC_EACH_LANE SNNCC_PRAGMA(clang loop vectorize(assume_safety))
#else
#define SNNCC_EACH_LANE SNNCC_PRAGMA(GCC ivdep)
#endif

#endif

/* Distance between two rows of n features: whole vectors, except that a single feature stays a scalar. */
SNNCC_INLINE int snncc_stride(int n)
{
    return n == 1 ? 1 : (n + SNNCC_LANES - 1) / SNNCC_LANES * SNNCC_LANES;
}

/* `bytes` up to the next multiple of 64, so that the array behind starts on a cache line. */
SNNCC_INLINE size_t snncc_align(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

enum {
    SNNCC_OK = 0,
    SNNCC_NULL = 1,   /* a required array is missing */
    SNNCC_SIZE = 2,   /* steps or batch not positive, or steps over the configured number or not the only one */
    SNNCC_ARENA = 3,  /* too small, or not aligned to 64 bytes */
    SNNCC_INDEX = 4,  /* no such tensor */
    SNNCC_LABEL = 5,  /* target class out of range */
    SNNCC_MODE = 6,   /* initialised for inference only */
    SNNCC_FINITE = 7, /* NaN or infinity in an input */
    SNNCC_CONFIG = 8,
    SNNCC_ROWS = 9,   /* more rows of a tile than lists by input can name */
    SNNCC_SPIKES = 10, /* an initial state of spikes holds something else than 0 and 1 */
    SNNCC_BATCH = 11, /* more samples than the memory of statistics over all samples has room for */
    SNNCC_FEW = 12,   /* a variance of a single number */
    SNNCC_LENGTH = 13, /* a sample has no steps, or more than the call */
    SNNCC_ELSEWHERE = 15, /* the model lies on another GPU; 14 is SNNCC_LIBRARY */
    SNNCC_DEVICE = 1000 /* and up: an error of CUDA's */
};

SNNCC_FUNCTION const char *snncc_error_text(int32_t code)
{
    switch (code) {
    case SNNCC_OK: return "no error";
    case SNNCC_NULL: return "a required array is missing";
    case SNNCC_SIZE: return "steps and batch must be positive, and steps at most the configured number, or the one it was compiled for";
    case SNNCC_ARENA: return "the arena is too small or not aligned to 64 bytes";
    case SNNCC_INDEX: return "no tensor has this index";
    case SNNCC_LABEL: return "a target class is out of range";
    case SNNCC_MODE: return "the model was initialised for inference only";
    case SNNCC_FINITE: return "an input holds NaN or infinity";
    case SNNCC_CONFIG: return "invalid configuration";
    case SNNCC_ROWS:
        return "a tile has more rows (samples times steps) than lists of events can name: load with a smaller tile, "
               "compile for as many steps (num_steps), or with checkpoint_every or a rule with shorter windows";
    case SNNCC_SPIKES: return "an initial state holds the spikes of the step before, which are 0 or 1; found something else";
    case SNNCC_LENGTH: return "a sample's length is not from 1 to the number of steps";
    case SNNCC_ELSEWHERE:
        return "the model lies on another GPU than the current one of this thread: choose that one (cudaSetDevice, "
               "torch.cuda.set_device), or load the model here";
    case SNNCC_BATCH: return "the batch is larger than the configured number of samples";
    case SNNCC_FEW:
        return "training with batch normalisation needs more than one number a channel: more samples, or more steps";
    default: return "unknown error code";
    }
}

#endif
