/* Kept values in two bytes: float16 (IEEE binary16), bfloat16 (the upper half of a float), and float of a double. Rounded
 * to the nearest, to even of two; underflow is gradual, overflow gives infinity. Integer arithmetic without branches: it
 * becomes vector code, and the bits are the same for every compiler and machine. */
#ifndef SNNCC_HALF_H
#define SNNCC_HALF_H

#include "math.h"

#define SNNCC_SIGN ((snncc_bits)1 << (SNNCC_REAL_BITS - 1))
#define SNNCC_INFINITY ((snncc_bits)(2 * SNNCC_BIAS + 1) << SNNCC_MANTISSA) /* the bits of infinity */

/* The bits of x in a format of 16 bits, `mantissa` of them behind the point and exponents biased by `bias`. */
SNNCC_INLINE uint16_t snncc_to_narrow(snncc_real x, int mantissa, int bias)
{
    const int shift = SNNCC_MANTISSA - mantissa;
    const snncc_bits bits = snncc_to_bits(x), size = bits & ~SNNCC_SIGN;
    const snncc_bits rebias = (snncc_bits)(SNNCC_BIAS - bias) << SNNCC_MANTISSA;
    const snncc_bits infinity = (snncc_bits)(2 * bias + 1) << mantissa;
    const snncc_bits up = (((snncc_bits)1 << (shift - 1)) - 1) + (size >> shift & 1); /* half to even */
    snncc_bits result = (size + up - rebias) >> shift; /* a carry goes on into the exponent */
    if (bias != SNNCC_BIAS) {
        /* Below the smallest normal number: adding 2^k moves the mantissa to its place and rounds it there. */
        const snncc_bits one = (snncc_bits)(SNNCC_BIAS + 1 - bias - mantissa + SNNCC_MANTISSA) << SNNCC_MANTISSA;
        const snncc_bits subnormal = snncc_to_bits(snncc_from_bits(size) + snncc_from_bits(one)) - one;
        result = size < rebias + ((snncc_bits)1 << SNNCC_MANTISSA) ? subnormal : result;
    }
    const snncc_bits largest = size < rebias + (infinity << shift) ? result : infinity;
    const snncc_bits nan = infinity | (snncc_bits)1 << (mantissa - 1) | (size >> shift & (((snncc_bits)1 << mantissa) - 1));
    const snncc_bits value = size > SNNCC_INFINITY ? nan : largest;
    return (uint16_t)(value | (bits >> (SNNCC_REAL_BITS - 16) & 0x8000u));
}

/* The number that snncc_to_narrow made, exactly. */
SNNCC_INLINE snncc_real snncc_from_narrow(uint16_t narrow, int mantissa, int bias)
{
    const snncc_bits rebias = (snncc_bits)(SNNCC_BIAS - bias) << SNNCC_MANTISSA;
    const snncc_bits sign = (snncc_bits)(narrow & 0x8000u) << (SNNCC_REAL_BITS - 16);
    const snncc_bits size = (snncc_bits)(narrow & 0x7fffu) << (SNNCC_MANTISSA - mantissa);
    const snncc_bits one = (snncc_bits)1 << SNNCC_MANTISSA; /* in the exponent field */
    snncc_bits result = size + rebias;
    if (bias != SNNCC_BIAS) {
        const snncc_real least = snncc_from_bits(rebias + one); /* the smallest normal number */
        const snncc_bits subnormal = snncc_to_bits(snncc_from_bits(size + rebias + one) - least);
        result = size < one ? subnormal : result;
        result = size >= (snncc_bits)(2 * bias + 1) << SNNCC_MANTISSA ? size + 2 * rebias : result;
    }
    return snncc_from_bits(result | sign);
}

SNNCC_INLINE uint16_t snncc_to_float16(snncc_real x)
{
    return snncc_to_narrow(x, 10, 15);
}

SNNCC_INLINE snncc_real snncc_from_float16(uint16_t x)
{
    return snncc_from_narrow(x, 10, 15);
}

SNNCC_INLINE uint16_t snncc_to_bfloat16(snncc_real x)
{
    return snncc_to_narrow(x, 7, 127);
}

SNNCC_INLINE snncc_real snncc_from_bfloat16(uint16_t x)
{
    return snncc_from_narrow(x, 7, 127);
}

SNNCC_INLINE float snncc_to_float32(snncc_real x)
{
    return (float)x;
}

SNNCC_INLINE snncc_real snncc_from_float32(float x)
{
    return (snncc_real)x;
}

/* Rows of n values: from reals, and back to them. */
#define SNNCC_ROWS(format, type)                                                                              \
    SNNCC_INLINE void snncc_store_##format(const snncc_real *SNNCC_RESTRICT x, int n, type *SNNCC_RESTRICT y) \
    {                                                                                                         \
        for (int i = 0; i < n; i++) y[i] = snncc_to_##format(x[i]);                                           \
    }                                                                                                         \
    SNNCC_INLINE void snncc_read_##format(const type *SNNCC_RESTRICT x, int n, snncc_real *SNNCC_RESTRICT y)  \
    {                                                                                                         \
        for (int i = 0; i < n; i++) y[i] = snncc_from_##format(x[i]);                                         \
    }

SNNCC_ROWS(bfloat16, uint16_t)
SNNCC_ROWS(float32, float)

#if defined(__AVX512F__) && SNNCC_REAL_BITS == 32 && !defined(SNNCC_PORTABLE)

typedef short snncc_half_vec __attribute__((vector_size(32), aligned(2), may_alias));

/* The same bits from the machine's own instructions. */
SNNCC_INLINE void snncc_store_float16(const float *SNNCC_RESTRICT x, int n, uint16_t *SNNCC_RESTRICT y)
{
    int i = 0;
    for (; i + SNNCC_LANES <= n; i += SNNCC_LANES)
        *(snncc_half_vec *)(y + i) =
            (snncc_half_vec)__builtin_ia32_vcvtps2ph512_mask(*(const snncc_vec *)(x + i), 0, (snncc_half_vec){0}, -1);
    for (; i < n; i++) y[i] = snncc_to_float16(x[i]);
}

SNNCC_INLINE void snncc_read_float16(const uint16_t *SNNCC_RESTRICT x, int n, float *SNNCC_RESTRICT y)
{
    int i = 0;
    for (; i + SNNCC_LANES <= n; i += SNNCC_LANES)
        *(snncc_vec *)(y + i) =
            __builtin_ia32_vcvtph2ps512_mask(*(const snncc_half_vec *)(x + i), (snncc_vec){0}, -1, 4);
    for (; i < n; i++) y[i] = snncc_from_float16(x[i]);
}

#else
SNNCC_ROWS(float16, uint16_t)
#endif

#endif
