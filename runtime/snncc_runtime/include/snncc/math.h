/* Elementary functions without libm, so that every compiler and target gives the same bits: only +, -, *, / and
 * integer steps, no branches, no fused multiply-add. gcc vectorises loops over them. NaN gives NaN. */
#ifndef SNNCC_MATH_H
#define SNNCC_MATH_H

#include "target.h"

#if SNNCC_REAL_BITS == 32
typedef uint32_t snncc_bits;
#define SNNCC_MANTISSA 23
#define SNNCC_BIAS 127
#define SNNCC_ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits */
#define SNNCC_LOG2_E 1.44269504f
#define SNNCC_LN2_HIGH 0.693359375f /* few bits, so that its product with an exponent is exact */
#define SNNCC_LN2_LOW -2.12194440e-4f
#define SNNCC_EXP_LOWEST -104.0f /* exp is 0 here and below */
#define SNNCC_EXP_HIGHEST 89.0f  /* exp is infinite here and above */
#define SNNCC_LOG_SCALE 8388608.0f /* 2^SNNCC_MANTISSA: numbers from here on are integers */
#define SNNCC_ROOT_HALF 0x3f3504f3u /* the bits of sqrt(1/2) */
#define SNNCC_TWO_BY_PI 0.636619747f
#define SNNCC_QUARTER_1 1.570556640625f /* pi / 2 in four parts, all but the last of so few bits that their */
#define SNNCC_QUARTER_2 0.00023967027664184570f /* products with the first 2,000 integers are exact */
#define SNNCC_QUARTER_3 1.5890691429376602e-8f
#define SNNCC_QUARTER_4 2.56334407e-12f
#else
typedef uint64_t snncc_bits;
#define SNNCC_MANTISSA 52
#define SNNCC_BIAS 1023
#define SNNCC_ROUND 6755399441055744.0 /* 1.5 * 2^52 */
#define SNNCC_LOG2_E 1.4426950408889634
#define SNNCC_LN2_HIGH 0.6931471803691238
#define SNNCC_LN2_LOW 1.9082149292705877e-10
#define SNNCC_EXP_LOWEST -746.0
#define SNNCC_EXP_HIGHEST 710.0
#define SNNCC_LOG_SCALE 4503599627370496.0
#define SNNCC_ROOT_HALF 0x3fe6a09e667f3bcdu
#define SNNCC_TWO_BY_PI 0.6366197723675814
#define SNNCC_QUARTER_1 1.5707963267341256 /* the first 1,000,000 */
#define SNNCC_QUARTER_2 6.077100506303966e-11
#define SNNCC_QUARTER_3 2.0222662487111665e-21
#define SNNCC_QUARTER_4 8.4784276603689e-32
#endif

SNNCC_INLINE snncc_bits snncc_to_bits(snncc_real x)
{
    snncc_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

SNNCC_INLINE snncc_real snncc_from_bits(snncc_bits bits)
{
    snncc_real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

SNNCC_INLINE snncc_real snncc_abs(snncc_real x)
{
    return snncc_from_bits(snncc_to_bits(x) & ~((snncc_bits)1 << (SNNCC_REAL_BITS - 1)));
}

/* Correctly rounded; the square root of a negative number is NaN. */
SNNCC_INLINE snncc_real snncc_sqrt(snncc_real x)
{
#ifdef __CUDA_ARCH__
    return sqrt(x);
#elif SNNCC_REAL_BITS == 32
    return __builtin_sqrtf(x);
#else
    return __builtin_sqrt(x);
#endif
}

SNNCC_INLINE snncc_real snncc_min(snncc_real a, snncc_real b)
{
    return ((a < b) | (a != a)) ? a : b;
}

SNNCC_INLINE snncc_real snncc_max(snncc_real a, snncc_real b)
{
    return ((a > b) | (a != a)) ? a : b;
}

/* The nearest integer, of two the even one: adding 2^mantissa leaves no bits for a fraction. */
SNNCC_INLINE snncc_real snncc_round(snncc_real x)
{
    const snncc_real size = snncc_abs(x), whole = (size + SNNCC_LOG_SCALE) - SNNCC_LOG_SCALE;
    const snncc_real near = size < SNNCC_LOG_SCALE ? whole : size;
    return snncc_from_bits(snncc_to_bits(near) | (snncc_to_bits(x) & ~(~(snncc_bits)0 >> 1))); /* with x's sign */
}

/* The largest integer not above x. */
SNNCC_INLINE snncc_real snncc_floor(snncc_real x)
{
    const snncc_real near = snncc_round(x);
    return near > x ? near - 1 : near;
}

/* Integers here are snncc_bits, negative ones modulo 2^bits: after a NaN they hold anything, and unsigned arithmetic
 * stays defined. */

/* 2^exponent for exponents of normal numbers. */
SNNCC_INLINE snncc_real snncc_power_of_two(snncc_bits exponent)
{
    return snncc_from_bits((exponent + SNNCC_BIAS) << SNNCC_MANTISSA);
}

/* The nearest integer to x / ln 2; `rest` = x - that * ln 2, at most half of ln 2. */
SNNCC_INLINE snncc_bits snncc_reduce(snncc_real x, snncc_real *rest)
{
    const snncc_real shifted = x * SNNCC_LOG2_E + SNNCC_ROUND;
    const snncc_real whole = shifted - SNNCC_ROUND;
    *rest = (x - whole * SNNCC_LN2_HIGH) - whole * SNNCC_LN2_LOW;
    return snncc_to_bits(shifted) - snncc_to_bits(SNNCC_ROUND);
}

/* exp(r) - 1 for |r| <= ln 2 / 2: a minimax polynomial q in r + r^2 q(r). */
SNNCC_INLINE snncc_real snncc_expm1_polynomial(snncc_real r)
{
#if SNNCC_REAL_BITS == 32
    snncc_real q = 0.001381673148182717f;
    q = q * r + 0.008368710164307277f;
    q = q * r + 0.04166834657885206f;
    q = q * r + 0.1666652086429991f;
    q = q * r + 0.4999999365458793f;
#else
    snncc_real q = 2.5000662504011381575e-8;
    q = q * r + 2.7630050361537347427e-7;
    q = q * r + 2.7557583697468391097e-6;
    q = q * r + 2.4801493769715369502e-5;
    q = q * r + 1.9841269510990544828e-4;
    q = q * r + 0.0013888888942841497703;
    q = q * r + 0.0083333333334913743816;
    q = q * r + 0.04166666666653388017;
    q = q * r + 0.16666666666666420042;
    q = q * r + 0.50000000000000100579;
#endif
    return r + (r * r) * q;
}

/* Below 1 ulp; overflows to infinity, underflows gradually to 0. */
SNNCC_INLINE snncc_real snncc_exp(snncc_real x)
{
    snncc_real rest;
    x = x < SNNCC_EXP_LOWEST ? SNNCC_EXP_LOWEST : x;
    x = x > SNNCC_EXP_HIGHEST ? SNNCC_EXP_HIGHEST : x;
    const snncc_bits exponent = snncc_reduce(x, &rest);
    /* In two steps, as 2^exponent itself may not be a normal number; 2048 keeps the halved number positive. */
    const snncc_bits half = ((exponent + 2048) >> 1) - 1024;
    const snncc_real power = (snncc_real)1 + snncc_expm1_polynomial(rest);
    return power * snncc_power_of_two(half) * snncc_power_of_two(exponent - half);
}

/* The same bits for x <= 0, in fewer steps: with 64 more no exponent is too small, nor too large. */
SNNCC_INLINE snncc_real snncc_exp_decay(snncc_real x)
{
    snncc_real rest;
    x = x < SNNCC_EXP_LOWEST ? SNNCC_EXP_LOWEST : x;
    const snncc_bits exponent = snncc_reduce(x, &rest);
    const snncc_real power = (snncc_real)1 + snncc_expm1_polynomial(rest);
    return power * snncc_power_of_two(exponent + 64) * snncc_power_of_two(-(snncc_bits)64);
}

/* log(1 + f) from s = f / (2 + f): 2 atanh(s) = 2 s + s^3 p(s^2), regrouped so that f - f^2 / 2 carries most of the
 * value; plus k ln 2. */
SNNCC_INLINE snncc_real snncc_log_polynomial(snncc_real f, snncc_real k)
{
    const snncc_real s = f / ((snncc_real)2 + f);
    const snncc_real z = s * s;
#if SNNCC_REAL_BITS == 32
    snncc_real p = 0.235805268486127f;
    p = p * z + 0.2853742278689168f;
    p = p * z + 0.4000033273692323f;
    p = p * z + 0.66666665661133f;
#else
    snncc_real p = 0.14793508465372327361;
    p = p * z + 0.15314331760783643831;
    p = p * z + 0.1818355157052549848;
    p = p * z + 0.22222198861446323359;
    p = p * z + 0.28571428739021985783;
    p = p * z + 0.39999999999433438387;
    p = p * z + 0.66666666666667306732;
#endif
    const snncc_real half_square = (snncc_real)0.5 * f * f;
    const snncc_real low = s * (half_square + z * p) + k * SNNCC_LN2_LOW;
    return k * SNNCC_LN2_HIGH - ((half_square - low) - f);
}

/* Below 1 ulp; 0 gives -infinity, negative numbers NaN. */
SNNCC_INLINE snncc_real snncc_log(snncc_real x)
{
    const snncc_bits one = (snncc_bits)1 << SNNCC_MANTISSA; /* in the exponent field */
    const snncc_real infinity = snncc_from_bits((2 * SNNCC_BIAS + 1) * one);
    const snncc_real nan = snncc_from_bits((2 * SNNCC_BIAS + 1) * one + one / 2);
    /* x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); subnormal numbers are scaled to normal ones first. */
    const int subnormal = x < snncc_from_bits(one);
    const snncc_bits bits = snncc_to_bits(subnormal ? x * SNNCC_LOG_SCALE : x) + (SNNCC_BIAS * one - SNNCC_ROOT_HALF);
    const snncc_real f = snncc_from_bits((bits & (one - 1)) + SNNCC_ROOT_HALF) - (snncc_real)1;
    const snncc_bits exponent = (bits >> SNNCC_MANTISSA) - SNNCC_BIAS - (subnormal ? SNNCC_MANTISSA : 0);
    /* Integer to real by the low bits of a large number: 64-bit conversions exist in few vector units. */
    const snncc_real k = snncc_from_bits(snncc_to_bits(SNNCC_ROUND) + exponent) - SNNCC_ROUND;
    const snncc_real value = x < infinity ? snncc_log_polynomial(f, k) : x;
    const snncc_real outside = x == (snncc_real)0 ? -infinity : nan;
    return x > (snncc_real)0 ? value : outside;
}

/* tanh for 0 <= x <= 0.625: a minimax polynomial p in x + x^3 p(x^2). */
SNNCC_INLINE snncc_real snncc_tanh_polynomial(snncc_real x)
{
    const snncc_real z = x * x;
#if SNNCC_REAL_BITS == 32
    snncc_real p = -0.005717045759018563f;
    p = p * z + 0.020650659551182839f;
    p = p * z - 0.05374354925672341f;
    p = p * z + 0.13331492399976655f;
    p = p * z - 0.3333328399672968f;
#else
    snncc_real p = -1.6108128868716146518e-5;
    p = p * z + 7.7220930272673800732e-5;
    p = p * z - 2.286353640795700329e-4;
    p = p * z + 5.8635388238812512765e-4;
    p = p * z - 0.0014549710343853097729;
    p = p * z + 0.0035919917119128024629;
    p = p * z - 0.0088632213420405564742;
    p = p * z + 0.02186948760425258604;
    p = p * z - 0.053968253932616748579;
    p = p * z + 0.13333333333265321298;
    p = p * z - 0.33333333333332882577;
#endif
    return x + x * (z * p);
}

/* Below 2 ulp; the sign of 0 is kept. */
SNNCC_INLINE snncc_real snncc_tanh(snncc_real x)
{
    const snncc_bits sign = (snncc_bits)1 << (SNNCC_REAL_BITS - 1);
    const snncc_real size = snncc_abs(x);
    /* From 0.625 on the exponential form loses nothing; below it would cancel. */
    const snncc_real large = (snncc_real)1 - (snncc_real)2 / (snncc_exp(size + size) + (snncc_real)1);
    const snncc_real value = size < (snncc_real)0.625 ? snncc_tanh_polynomial(size) : large;
    return snncc_from_bits(snncc_to_bits(value) | (snncc_to_bits(x) & sign));
}

/* 1 / (1 + exp(-x)), below 2.5 ulp; from exp(-|x|), so that it underflows gradually. */
SNNCC_INLINE snncc_real snncc_sigmoid(snncc_real x)
{
    const snncc_real e = snncc_exp_decay(-snncc_abs(x));
    const snncc_real over = x < (snncc_real)0 ? e : (snncc_real)1;
    return over / ((snncc_real)1 + e);
}

/* sin and cos of |r| <= pi / 4: minimax polynomials p in r + r^3 p(r^2) and 1 - r^2 / 2 + r^4 p(r^2). */
SNNCC_INLINE snncc_real snncc_sin_polynomial(snncc_real r)
{
    const snncc_bits sign = (snncc_bits)1 << (SNNCC_REAL_BITS - 1);
    const snncc_real z = r * r;
#if SNNCC_REAL_BITS == 32
    snncc_real p = -0.0001951463200384751f;
    p = p * z + 0.008332155644893646f;
    p = p * z - 0.16666655242443085f;
#else
    snncc_real p = 1.5895904855757048e-10;
    p = p * z - 2.505074231106507e-8;
    p = p * z + 2.7557313587651047e-6;
    p = p * z - 0.00019841269829495641;
    p = p * z + 0.008333333333322005;
    p = p * z - 0.1666666666666663;
#endif
    return snncc_from_bits(snncc_to_bits(r + r * (z * p)) | (snncc_to_bits(r) & sign)); /* -0 stays -0 */
}

SNNCC_INLINE snncc_real snncc_cos_polynomial(snncc_real r)
{
    const snncc_real z = r * r;
#if SNNCC_REAL_BITS == 32
    snncc_real p = 2.4432414647890255e-5f;
    p = p * z - 0.0013887309469282627f;
    p = p * z + 0.04166664555668831f;
#else
    snncc_real p = -1.1358311254583026e-11;
    p = p * z + 2.0875696589425346e-9;
    p = p * z - 2.7557314148767656e-7;
    p = p * z + 2.480158728874878e-5;
    p = p * z - 0.0013888888888872895;
    p = p * z + 0.041666666666666595;
#endif
    const snncc_real half = (snncc_real)0.5 * z, top = (snncc_real)1 - half;
    return top + ((((snncc_real)1 - top) - half) + z * (z * p)); /* with what was rounded off `top` */
}

/* sin(x + turns pi / 2), below 2.5 ulp for |x| up to 3,000 (float) or 1,000,000 (double). Beyond, less and less of it
 * is right, but it stays within -1 and 1. */
SNNCC_INLINE snncc_real snncc_wave(snncc_real x, snncc_bits turns)
{
    const snncc_real shifted = x * SNNCC_TWO_BY_PI + SNNCC_ROUND;
    const snncc_real whole = shifted - SNNCC_ROUND;
    snncc_real rest = x - whole * SNNCC_QUARTER_1;
    rest = rest - whole * SNNCC_QUARTER_2;
    rest = rest - whole * SNNCC_QUARTER_3;
    rest = rest - whole * SNNCC_QUARTER_4;
    rest = rest > (snncc_real)1 ? (snncc_real)1 : rest;
    rest = rest < (snncc_real)-1 ? (snncc_real)-1 : rest;
    const snncc_bits turned = snncc_to_bits(shifted) - snncc_to_bits(SNNCC_ROUND) + turns;
    const snncc_real value = turned & 1 ? snncc_cos_polynomial(rest) : snncc_sin_polynomial(rest);
    return snncc_from_bits(snncc_to_bits(value) ^ ((turned & 2) << (SNNCC_REAL_BITS - 2)));
}

SNNCC_INLINE snncc_real snncc_sin(snncc_real x)
{
    return snncc_wave(x, 0);
}

SNNCC_INLINE snncc_real snncc_cos(snncc_real x)
{
    return snncc_wave(x, 1);
}

#endif
