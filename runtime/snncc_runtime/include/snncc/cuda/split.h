/* Products of spikes with float32 numbers on cuBLAS, each in three products of bf16 numbers.
 *
 * A spike is exact in bf16, and a float32 number is the sum of three bf16 numbers of 8 bits each. All products of the
 * three are exact in the float32 that cuBLAS adds in. Rows of bf16 numbers are padded to 16 bytes. */
#ifndef SNNCC_CUDA_SPLIT_H
#define SNNCC_CUDA_SPLIT_H

#include "../half.h"
#include "blas.h"

#if SNNCC_REAL_BITS == 32

enum { SNNCC_PARTS = 3, SNNCC_PAD = 8 };

SNNCC_INLINE int snncc_padded(int n)
{
    return (n + SNNCC_PAD - 1) / SNNCC_PAD * SNNCC_PAD;
}

static __global__ void snncc_halve_kernel(size_t count, int n, const float *x, uint16_t *y)
{
    const size_t at = snncc_thread();
    if (at < count) y[at / (size_t)n * (size_t)snncc_padded(n) + at % (size_t)n] = snncc_to_bfloat16(x[at]);
}

/* Spikes as bf16. x: [rows][n], y: [rows][padded]. */
static inline void snncc_halve(cudaStream_t stream, int rows, int n, const float *x, uint16_t *y)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_halve_kernel, count, stream, count, n, x, y);
}

static __global__ void snncc_split_kernel(size_t count, int n, size_t part, const float *x, uint16_t *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    y += at / (size_t)n * (size_t)snncc_padded(n) + at % (size_t)n;
    float rest = x[at];
    for (int k = 0; k < SNNCC_PARTS; k++, y += part) {
        const uint32_t upper = snncc_to_bits(rest) & 0xffff0000u; /* cut off, not rounded: never beyond the largest */
        *y = (uint16_t)(upper >> 16);
        rest -= snncc_from_bits(upper);
    }
}

/* Numbers as sums of three, the largest first; infinite ones become NaN. x: [rows][n], y: [3][rows][padded]. */
static inline void snncc_split(cudaStream_t stream, int rows, int n, const float *x, uint16_t *y)
{
    const size_t count = (size_t)rows * (size_t)n, part = (size_t)rows * (size_t)snncc_padded(n);
    SNNCC_EACH(snncc_split_kernel, count, stream, count, n, part, x, y);
}

/* y += a b; b's parts of [b_rows] rows one after the other, the smallest first. */
static inline void snncc_blas_parts(snncc_blas *blas, int rows, int outputs, int terms, snncc_operand a, snncc_operand b,
                                    int b_rows, int add, float *y)
{
    const uint16_t *const parts = (const uint16_t *)b.data;
    for (int k = SNNCC_PARTS; k-- > 0; add = 1) {
        b.data = parts + (size_t)k * (size_t)b_rows * (size_t)b.pitch;
        snncc_blas_multiply(blas, SNNCC_BLAS_HALF, SNNCC_BLAS_IN_FLOAT, 1, rows, outputs, terms, a, b, add, y);
    }
}

/* y = bias + x w, of spikes x. halves: x by snncc_halve, parts: w by snncc_split. */
static inline void snncc_split_product(cudaStream_t stream, snncc_blas *blas, int rows, int n_in, int n_out,
                                       const uint16_t *halves, const uint16_t *parts, const float *x, const float *w,
                                       const float *bias, float *y)
{
    if (!blas) return snncc_product(stream, rows, n_in, n_out, x, w, bias, y);
    if (bias) snncc_blas_bias(stream, rows, n_out, bias, y);
    const snncc_operand a = {halves, snncc_padded(n_in), 0, 0}, b = {parts, snncc_padded(n_out), 0, 0};
    snncc_blas_parts(blas, rows, n_out, n_in, a, b, n_in, bias != NULL, y);
}

/* d_w += x' d_y, of spikes x. halves: x by snncc_halve, parts: d_y by snncc_split. */
static inline void snncc_split_weight_gradient(cudaStream_t stream, snncc_blas *blas, int add, int rows, int n_in,
                                               int n_out, const uint16_t *halves, const uint16_t *parts, const float *x,
                                               const float *d_y, float *d_w)
{
    if (!blas) return snncc_weight_gradient(stream, add, rows, n_in, n_out, x, d_y, d_w);
    const snncc_operand a = {halves, snncc_padded(n_in), 1, 0}, b = {parts, snncc_padded(n_out), 0, 0};
    snncc_blas_parts(blas, n_in, n_out, rows, a, b, rows, add, d_w);
}

#endif

#endif
