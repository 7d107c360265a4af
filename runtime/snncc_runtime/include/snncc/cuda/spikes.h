/* Products and convolutions of spikes that are a bit each, and weight gradients of such: those of product.h and conv.h,
 * which turn bits into 0 and 1 where they read their factors. */
#ifndef SNNCC_CUDA_SPIKES_H
#define SNNCC_CUDA_SPIKES_H

#include "conv.h"
#include "product.h"

/* Rows of n spikes; those of a step's samples lie one after the other, from a whole word on. */
struct snncc_spikes {
    const uint32_t *words;
    snncc_divisor samples; /* of a step */
    int n, pad;            /* bits between two steps */
    int before;            /* rows in front of the first one that is meant */

    snncc_spikes from(int row) const { return {words, samples, n, pad, before + row}; }
    __device__ ptrdiff_t first(int row) const
    {
        return (ptrdiff_t)(before + row) * n + (ptrdiff_t)samples.quotient(before + row) * pad;
    }
    __device__ snncc_real at(ptrdiff_t bit) const { return (snncc_real)(words[bit / 32] >> bit % 32 & 1); }
};

static inline snncc_spikes snncc_spikes_of(const uint32_t *words, int samples, int n)
{
    const size_t count = (size_t)samples * (size_t)n;
    return {words, snncc_divide_by(samples), n, (int)(32 * snncc_words(count) - count), 0};
}

/* A factor whose rows are those of the spikes. */
struct snncc_spike_rows {
    typedef ptrdiff_t Row;
    typedef ptrdiff_t Term;

    snncc_spikes x;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return true; }
    __device__ Row row(int row) const { return x.first(row); }
    __device__ Term term(int term) const { return term; }
    __device__ snncc_real at(Row row, Term term) const { return x.at(row + term); }
};

/* One whose terms are those of the spikes, from the last row to the first. */
struct snncc_spike_terms {
    typedef ptrdiff_t Row;
    typedef ptrdiff_t Term;

    snncc_spikes x;
    int last;

    __device__ void select(unsigned) {}
    __device__ bool along_terms() const { return false; }
    __device__ Row row(int row) const { return row; }
    __device__ Term term(int term) const { return x.first(last - term); }
    __device__ snncc_real at(Row row, Term term) const { return x.at(row + term); }
};

/* snncc_product of spikes: `samples` rows a step. */
static inline void snncc_product_spikes(cudaStream_t stream, int samples, int rows, int n_in, int n_out,
                                        const uint32_t *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const snncc_spike_rows a = {snncc_spikes_of(x, samples, n_in)};
    const snncc_factor b = {w, 1, n_out, 0};
    snncc_multiply(stream, 1, rows, n_out, n_in, a, b, bias, 0, y);
}

/* snncc_weight_gradient of spikes. */
static inline void snncc_weight_gradient_spikes(cudaStream_t stream, int samples, int add, int rows, int n_in, int n_out,
                                                const uint32_t *x, const snncc_real *d_y, snncc_real *d_w)
{
    const int last = rows - 1;
    const snncc_spike_terms a = {snncc_spikes_of(x, samples, n_in), last};
    const snncc_factor b = {d_y + (ptrdiff_t)last * n_out, 1, -n_out, 0};
    snncc_multiply(stream, 1, n_in, n_out, rows, a, b, NULL, add, d_w);
}

/* snncc_conv of images of spikes. */
static inline void snncc_conv_spikes(cudaStream_t stream, snncc_windows g, int samples, int rows, const uint32_t *x,
                                     const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_conv_of(stream, g, rows, snncc_spikes_of(x, samples, snncc_in_pixels(g) * g.channels), w, bias, y);
}

/* snncc_conv_gradient of images of spikes. */
static inline void snncc_conv_gradient_spikes(cudaStream_t stream, snncc_windows g, int samples, int add, int rows,
                                              const uint32_t *x, const snncc_real *d_y, snncc_real *d_w)
{
    snncc_conv_gradient_of(stream, g, add, rows, snncc_spikes_of(x, samples, snncc_in_pixels(g) * g.channels), d_y, d_w);
}

#endif
