/* Products over the steps of a sequence, and rows that belong to steps.
 *
 * A tile [steps][rows][stride] is a matrix of `steps` rows: every column, a feature of a sample, by itself. Sums run
 * over the steps in ascending order, with one multiplication and one addition each. */
#ifndef SNNCC_STEPS_H
#define SNNCC_STEPS_H

#include "product.h"
#include "team.h"

#define SNNCC_MIX_VECTORS 4 /* vectors of columns at a time */
#define SNNCC_MIX_CHUNK 64  /* steps whose columns are gathered at a time: rows may be multiples of a page apart */

/* `vectors` vectors of columns: a dense product whose rows are the steps of y and whose terms are those of x. */
SNNCC_INLINE void snncc_mix_columns(int vectors, int steps, const snncc_real *w, int w_row, int w_column,
                                    size_t columns, const snncc_real *x, snncc_real *y)
{
    snncc_real gathered[SNNCC_MIX_CHUNK * SNNCC_MIX_VECTORS * SNNCC_LANES] __attribute__((aligned(64)));
    const int width = vectors * SNNCC_LANES;
    for (int from = 0; from < steps; from += SNNCC_MIX_CHUNK) {
        const int chunk = steps - from < SNNCC_MIX_CHUNK ? steps - from : SNNCC_MIX_CHUNK;
        for (int s = 0; s < chunk; s++)
            memcpy(gathered + s * width, x + (size_t)(from + s) * columns, (size_t)width * sizeof *x);
        snncc_dense(vectors, from > 0, steps, chunk, w_row, w_column, width, (int)columns, w + (size_t)from * w_column,
                    gathered, NULL, y);
    }
}

/* y[t] = sum of w[t][s] x[s], or of w[s][t] x[s] if `transposed`; w: [steps][steps], rows of x and y: `columns`, of
 * which each thread of the crew takes a part. */
SNNCC_INLINE void snncc_mix_steps(int transposed, int steps, size_t columns, const snncc_real *SNNCC_RESTRICT w,
                                  const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT y,
                                  const snncc_crew *crew)
{
    const int w_row = transposed ? 1 : steps, w_column = transposed ? steps : 1;
    const size_t wide = SNNCC_MIX_VECTORS * SNNCC_LANES;
    const snncc_range mine = snncc_part(crew, (int)(columns / wide));
    size_t k = (size_t)mine.begin * wide;
    for (; k < (size_t)mine.end * wide; k += wide)
        snncc_mix_columns(SNNCC_MIX_VECTORS, steps, w, w_row, w_column, columns, x + k, y + k);
    if (crew->part < crew->parts - 1) return; /* the last thread does what is left */
    for (; k + SNNCC_LANES <= columns; k += SNNCC_LANES)
        snncc_mix_columns(1, steps, w, w_row, w_column, columns, x + k, y + k);
    for (; k < columns; k++)
        for (int t = 0; t < steps; t++) {
            snncc_real sum = 0;
            for (int s = 0; s < steps; s++)
                sum += w[(size_t)t * w_row + (size_t)s * w_column] * x[(size_t)s * columns + k];
            y[(size_t)t * columns + k] = sum;
        }
}

/* Steps of d_y and of x whose products are summed in registers: their square, and a vector of each, at most. */
#ifdef SNNCC_AVX512
#define SNNCC_OUTER 5
#else
#define SNNCC_OUTER 3
#endif

/* sum[t][s] += a[t] b[s] of one vector each, `columns` apart; `count` numbers of it, of which there may be fewer than
 * lanes. */
SNNCC_INLINE void snncc_outer_vector(int height, int width, int count, size_t columns, const snncc_real *a,
                                     const snncc_real *b, snncc_vec *sum)
{
    snncc_vec of_b[SNNCC_OUTER] = {{0}};
    for (int s = 0; s < width; s++) memcpy(of_b + s, b + (size_t)s * columns, (size_t)count * sizeof *b);
    for (int t = 0; t < height; t++) {
        snncc_vec of_a = {0};
        memcpy(&of_a, a + (size_t)t * columns, (size_t)count * sizeof *a);
        for (int s = 0; s < width; s++) sum[t * width + s] += of_a * of_b[s];
    }
}

/* d_w[t][s] += sum of d_y[t] x[s] over all features, for t < `height`, s < `width`; steps of d_y and x are `columns`
 * apart, rows of d_w `steps`. Pads do not count. The sum is made in lanes, which are added in ascending order. */
SNNCC_INLINE void snncc_outer_block(int height, int width, int steps, int rows, int n, int stride,
                                    const snncc_real *d_y, const snncc_real *x, snncc_real *d_w)
{
    const size_t columns = (size_t)rows * stride;
    const int whole = n / SNNCC_LANES * SNNCC_LANES;
    snncc_vec sum[SNNCC_OUTER * SNNCC_OUTER] = {{0}};
    for (int row = 0; row < rows; row++, d_y += stride, x += stride) {
        for (int k = 0; k < whole; k += SNNCC_LANES)
            snncc_outer_vector(height, width, SNNCC_LANES, columns, d_y + k, x + k, sum);
        if (whole < n) snncc_outer_vector(height, width, n - whole, columns, d_y + whole, x + whole, sum);
    }
    for (int t = 0; t < height; t++)
        for (int s = 0; s < width; s++) {
            snncc_real total = 0;
            for (int k = 0; k < SNNCC_LANES; k++) total += sum[t * width + s][k];
            d_w[(size_t)t * steps + s] += total;
        }
}

/* `height` rows of d_w: blocks of as equal widths as there are. */
SNNCC_INLINE void snncc_outer_rows(int height, int steps, int rows, int n, int stride, const snncc_real *d_y,
                                   const snncc_real *x, snncc_real *d_w)
{
    const size_t columns = (size_t)rows * stride;
    const int blocks = (steps + SNNCC_OUTER - 1) / SNNCC_OUTER, narrow = steps / blocks, wider = steps % blocks;
    const int wide = narrow + (wider > 0);
    int s = 0;
    for (int block = 0; block < wider; block++, s += wide)
        snncc_outer_block(height, wide, steps, rows, n, stride, d_y, x + (size_t)s * columns, d_w + s);
    for (int block = wider; block < blocks; block++, s += narrow)
        snncc_outer_block(height, narrow, steps, rows, n, stride, d_y, x + (size_t)s * columns, d_w + s);
}

/* d_w[t][s] += sum of d_y[t] x[s] over samples and features. d_y, x: [steps][rows][stride], d_w: [steps][steps], of
 * whose rows each thread of the crew takes a part. Call with constant sizes. */
SNNCC_INLINE void snncc_steps_gradient(int steps, int rows, int n, int stride, const snncc_real *SNNCC_RESTRICT d_y,
                                       const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT d_w,
                                       const snncc_crew *crew)
{
    const size_t columns = (size_t)rows * stride;
    const int blocks = (steps + SNNCC_OUTER - 1) / SNNCC_OUTER, low = steps / blocks, higher = steps % blocks;
    const int high = low + (higher > 0);
    const snncc_range mine = snncc_part(crew, blocks);
    for (int block = mine.begin; block < mine.end; block++) {
        const int t = block * low + (block < higher ? block : higher);
        const snncc_real *const d = d_y + (size_t)t * columns;
        snncc_real *const to = d_w + (size_t)t * steps;
        if (block < higher) snncc_outer_rows(high, steps, rows, n, stride, d, x, to);
        else snncc_outer_rows(low, steps, rows, n, stride, d, x, to);
    }
}

/* y[t][row] = p[t]: at step t, row t of a parameter [steps][n] for every sample; pads become 0. */
SNNCC_FUNCTION void snncc_at_step(int steps, int rows, int n, int stride, const snncc_real *SNNCC_RESTRICT p,
                                  snncc_real *SNNCC_RESTRICT y)
{
    for (int t = 0; t < steps; t++, p += n)
        for (int row = 0; row < rows; row++, y += stride) {
            for (int i = 0; i < n; i++) y[i] = p[i];
            for (int i = n; i < stride; i++) y[i] = 0;
        }
}

/* p[t] += sum of x[t][row] over the samples. */
SNNCC_FUNCTION void snncc_sum_at_step(int steps, int rows, int n, int stride, const snncc_real *SNNCC_RESTRICT x,
                                      snncc_real *SNNCC_RESTRICT p)
{
    for (int t = 0; t < steps; t++, p += n)
        for (int row = 0; row < rows; row++, x += stride)
            for (int i = 0; i < n; i++) p[i] += x[i];
}

#endif
