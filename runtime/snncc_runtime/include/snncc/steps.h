/* Products over the steps of a sequence, and rows that belong to steps.
 *
 * A tile [steps][rows][stride] is a matrix of `steps` rows: every column, a feature of a sample, by itself. Sums run
 * over the steps in ascending order, with one multiplication and one addition each. */
#ifndef SNNCC_STEPS_H
#define SNNCC_STEPS_H

#include "target.h"
#include "team.h"

#define SNNCC_MIX_ROWS 4    /* results of a block, held in registers: this many steps ... */
#define SNNCC_MIX_VECTORS 2 /* ... of this many vectors of columns */
#define SNNCC_MIX_CHUNK 64  /* steps whose columns are gathered at a time: rows may be multiples of a page apart */

/* y[t][k] += sum of w[t w_row + s w_column] x[s][k] for `count` results t and s < `steps`; x: [steps][vectors]. */
SNNCC_INLINE void snncc_mix_block(int count, int vectors, int steps, const snncc_real *w, size_t w_row, size_t w_column,
                                  const snncc_vec *x, size_t columns, snncc_real *y)
{
    snncc_vec sum[SNNCC_MIX_ROWS][SNNCC_MIX_VECTORS];
    for (int t = 0; t < count; t++)
        for (int k = 0; k < vectors; k++) sum[t][k] = ((const snncc_vec *)(y + (size_t)t * columns))[k];
    for (int s = 0; s < steps; s++, x += vectors)
        for (int t = 0; t < count; t++) {
            const snncc_real weight = w[(size_t)t * w_row + (size_t)s * w_column];
            for (int k = 0; k < vectors; k++) sum[t][k] += weight * x[k];
        }
    for (int t = 0; t < count; t++)
        for (int k = 0; k < vectors; k++) ((snncc_vec *)(y + (size_t)t * columns))[k] = sum[t][k];
}

/* All results of `vectors` vectors of columns. */
SNNCC_INLINE void snncc_mix_columns(int vectors, int steps, const snncc_real *w, size_t w_row, size_t w_column,
                                    size_t columns, const snncc_real *x, snncc_real *y)
{
    snncc_vec gathered[SNNCC_MIX_CHUNK * SNNCC_MIX_VECTORS];
    const size_t bytes = (size_t)vectors * sizeof(snncc_vec);
    for (int t = 0; t < steps; t++) memset(y + (size_t)t * columns, 0, bytes);
    for (int from = 0; from < steps; from += SNNCC_MIX_CHUNK) {
        const int chunk = steps - from < SNNCC_MIX_CHUNK ? steps - from : SNNCC_MIX_CHUNK;
        for (int s = 0; s < chunk; s++) memcpy(gathered + s * vectors, x + (size_t)(from + s) * columns, bytes);
        const snncc_real *weights = w + (size_t)from * w_column;
        int t = 0;
        for (; t + SNNCC_MIX_ROWS <= steps; t += SNNCC_MIX_ROWS)
            snncc_mix_block(SNNCC_MIX_ROWS, vectors, chunk, weights + (size_t)t * w_row, w_row, w_column, gathered,
                            columns, y + (size_t)t * columns);
        for (; t < steps; t++)
            snncc_mix_block(1, vectors, chunk, weights + (size_t)t * w_row, w_row, w_column, gathered, columns,
                            y + (size_t)t * columns);
    }
}

/* y[t] = sum of w[t][s] x[s], or of w[s][t] x[s] if `transposed`; w: [steps][steps], rows of x and y: `columns`, of
 * which each thread of the crew takes a part. */
SNNCC_INLINE void snncc_mix_steps(int transposed, int steps, size_t columns, const snncc_real *SNNCC_RESTRICT w,
                                  const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT y,
                                  const snncc_crew *crew)
{
    const size_t w_row = transposed ? 1 : (size_t)steps, w_column = transposed ? (size_t)steps : 1;
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

#define SNNCC_OUTER_ROWS 4
#define SNNCC_OUTER_COLUMNS 2

/* d_w[t][s] += sum of d_y[t] x[s] over all features, for t < `count`, s < `width`; steps of d_y and x are `columns`
 * apart, rows of d_w `steps`. Pads do not count. The sum is made in lanes, which are added in ascending order. */
SNNCC_INLINE void snncc_outer_block(int count, int width, int steps, int rows, int n, int stride, const snncc_real *d_y,
                                    const snncc_real *x, snncc_real *d_w)
{
    const size_t columns = (size_t)rows * stride;
    const int whole = n / SNNCC_LANES * SNNCC_LANES;
    snncc_vec sum[SNNCC_OUTER_ROWS][SNNCC_OUTER_COLUMNS] = {{{0}}};
    for (int row = 0; row < rows; row++)
        for (int first = 0; first < n; first += SNNCC_LANES) {
            snncc_vec b[SNNCC_OUTER_COLUMNS] = {{0}};
            const size_t place = (size_t)row * stride + first;
            const size_t bytes = (size_t)(first < whole ? SNNCC_LANES : n - whole) * sizeof(snncc_real);
            for (int s = 0; s < width; s++) {
                if (first < whole) memcpy(b + s, x + (size_t)s * columns + place, sizeof *b);
                else memcpy(b + s, x + (size_t)s * columns + place, bytes);
            }
            for (int t = 0; t < count; t++) {
                snncc_vec a = {0};
                if (first < whole) memcpy(&a, d_y + (size_t)t * columns + place, sizeof a);
                else memcpy(&a, d_y + (size_t)t * columns + place, bytes);
                for (int s = 0; s < width; s++) sum[t][s] += a * b[s];
            }
        }
    for (int t = 0; t < count; t++)
        for (int s = 0; s < width; s++) {
            snncc_real total = 0;
            for (int k = 0; k < SNNCC_LANES; k++) total += sum[t][s][k];
            d_w[(size_t)t * steps + s] += total;
        }
}

/* d_w[t][s] += sum of d_y[t] x[s] over samples and features. d_y, x: [steps][rows][stride], d_w: [steps][steps], of
 * whose rows each thread of the crew takes a part. */
SNNCC_FUNCTION void snncc_steps_gradient(int steps, int rows, int n, int stride, const snncc_real *SNNCC_RESTRICT d_y,
                                         const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT d_w,
                                         const snncc_crew *crew)
{
    const size_t columns = (size_t)rows * stride;
    const snncc_range mine = snncc_part(crew, (steps + SNNCC_OUTER_ROWS - 1) / SNNCC_OUTER_ROWS);
    for (int t = mine.begin * SNNCC_OUTER_ROWS; t < mine.end * SNNCC_OUTER_ROWS; t += SNNCC_OUTER_ROWS)
        for (int s = 0; s < steps; s += SNNCC_OUTER_COLUMNS) {
            const int count = steps - t < SNNCC_OUTER_ROWS ? steps - t : SNNCC_OUTER_ROWS;
            const int width = steps - s < SNNCC_OUTER_COLUMNS ? steps - s : SNNCC_OUTER_COLUMNS;
            const snncc_real *const d = d_y + (size_t)t * columns, *const from = x + (size_t)s * columns;
            snncc_real *const to = d_w + (size_t)t * steps + s;
            if (count == SNNCC_OUTER_ROWS && width == SNNCC_OUTER_COLUMNS)
                snncc_outer_block(SNNCC_OUTER_ROWS, SNNCC_OUTER_COLUMNS, steps, rows, n, stride, d, from, to);
            else
                snncc_outer_block(count, width, steps, rows, n, stride, d, from, to);
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
