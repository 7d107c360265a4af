/* Rows of features: between the user's arrays and tiles, and reductions over the features of a row.
 *
 * User arrays are [steps][batch][n]; a tile holds `rows` samples of them from sample `first`, as
 * [steps][rows][stride]. Reductions run over the features in ascending order, so with the same bits on every
 * target; the lanes of a vector are rows, since a row is often as short as ten classes.
 *
 * What takes a crew is one thread's part of the rows; all threads of the crew call it. */
#ifndef SNNCC_ROWS_H
#define SNNCC_ROWS_H

#include "target.h"
#include "team.h"
#include "math.h"

/* Which row of a user array is row `row` of a tile, counted over all steps. */
SNNCC_INLINE size_t snncc_user_row(int row, int rows, int batch, int first)
{
    return (size_t)(row / rows) * batch + first + row % rows;
}

/* User array to tile; pads become 0. SNNCC_FINITE if a number is NaN or infinite (the tile is filled all the same). */
SNNCC_FUNCTION int32_t snncc_load(int steps, int rows, int batch, int first, int n, int stride, const snncc_real *user,
                                  snncc_real *tile, const snncc_crew *crew)
{
    const snncc_bits exponent = (snncc_bits)(2 * SNNCC_BIAS + 1) << SNNCC_MANTISSA;
    const snncc_range mine = snncc_part(crew, steps * rows);
    snncc_bits bad = 0;
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *SNNCC_RESTRICT const from = user + snncc_user_row(row, rows, batch, first) * n;
        snncc_real *SNNCC_RESTRICT const to = tile + (size_t)row * stride;
        for (int i = 0; i < n; i++) {
            to[i] = from[i];
            bad |= (snncc_to_bits(from[i]) & exponent) == exponent;
        }
        for (int i = n; i < stride; i++) to[i] = 0;
    }
    return bad ? SNNCC_FINITE : SNNCC_OK;
}

/* SNNCC_FINITE unless sums of x - x, one a neuron, are all 0: of a number that is NaN or infinite that is NaN. */
SNNCC_INLINE void snncc_note_finite(snncc_team *team, int n, const snncc_real *sums)
{
    snncc_bits bad = 0;
    for (int i = 0; i < n; i++) bad |= sums[i] != 0;
    if (bad) snncc_note(team, SNNCC_FINITE);
}

/* Begins to bring n numbers into the cache. */
SNNCC_INLINE void snncc_fetch(const snncc_real *x, int n)
{
    for (int i = 0; i < n; i += SNNCC_LANES) __builtin_prefetch(x + i);
}

/* Tile to user array. */
SNNCC_FUNCTION void snncc_store(int steps, int rows, int batch, int first, int n, int stride, const snncc_real *tile,
                                snncc_real *user, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, steps * rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = user + snncc_user_row(row, rows, batch, first) * n;
        memcpy(to, tile + (size_t)row * stride, (size_t)n * sizeof *to);
    }
}

/* y = x. x, y: [rows][stride]. */
SNNCC_FUNCTION void snncc_copy_rows(int rows, int stride, const snncc_real *x, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const size_t begin = (size_t)mine.begin * stride;
    memcpy(y + begin, x + begin, (size_t)(mine.end - mine.begin) * stride * sizeof *y);
}

/* y = 0. y: [rows][stride]. */
SNNCC_FUNCTION void snncc_zero_rows(int rows, int stride, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    memset(y + (size_t)mine.begin * stride, 0, (size_t)(mine.end - mine.begin) * stride * sizeof *y);
}

/* Target classes of the samples first .. first + rows; SNNCC_LABEL if one is not in 0 .. classes - 1. */
SNNCC_FUNCTION int32_t snncc_load_labels(int rows, int first, int classes, const int64_t *user, int32_t *tile)
{
    int bad = 0;
    for (int row = 0; row < rows; row++) {
        const int64_t label = user[first + row];
        bad |= label < 0 || label >= classes;
        tile[row] = (int32_t)label;
    }
    return bad ? SNNCC_LABEL : SNNCC_OK;
}

/* Steps of the samples first .. first + rows, or all steps where the caller gives no lengths; SNNCC_LENGTH if one is not
 * in 1 .. steps. */
SNNCC_FUNCTION int32_t snncc_load_lengths(int rows, int first, int steps, const int64_t *user, snncc_real *tile)
{
    int bad = 0;
    for (int row = 0; row < rows; row++) {
        const int64_t length = user ? user[first + row] : steps;
        bad |= length < 1 || length > steps;
        tile[row] = (snncc_real)length;
    }
    return bad ? SNNCC_LENGTH : SNNCC_OK;
}

/* Features of SNNCC_LANES rows, lanes = rows: lane[feature][row]. */
typedef snncc_real snncc_row_block[SNNCC_LANES][SNNCC_LANES];

/* Up to SNNCC_LANES features of up to SNNCC_LANES rows; what is missing is left as it was. */
SNNCC_INLINE void snncc_gather_rows(int rows, int n, int stride, const snncc_real *x, snncc_row_block lane)
{
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < n; i++) lane[i][row] = x[(size_t)row * stride + i];
}

/* The most features or rows that a block takes of `left`. */
SNNCC_INLINE int snncc_block_size(int left)
{
    return left < SNNCC_LANES ? left : SNNCC_LANES;
}

SNNCC_FUNCTION SNNCC_NOINLINE void snncc_max_block(int rows, int n, int stride, const snncc_real *x,
                                                   snncc_real *largest)
{
    snncc_row_block lane = {{0}};
    for (int first = 0; first < n; first += SNNCC_LANES) {
        const int count = snncc_block_size(n - first);
        snncc_gather_rows(rows, count, stride, x + first, lane);
        if (first == 0) memcpy(largest, lane[0], sizeof lane[0]);
        for (int i = 0; i < count; i++)
            for (int k = 0; k < SNNCC_LANES; k++) largest[k] = snncc_max(largest[k], lane[i][k]);
    }
}

/* sum[row] = the sum of the features, or of exp(feature - shift[row]) if there is a shift. */
SNNCC_FUNCTION SNNCC_NOINLINE void snncc_sum_block(int rows, int n, int stride, const snncc_real *x,
                                                   const snncc_real *shift, snncc_real *sum)
{
    snncc_row_block lane = {{0}};
    memset(sum, 0, sizeof lane[0]);
    for (int first = 0; first < n; first += SNNCC_LANES) {
        const int count = snncc_block_size(n - first);
        snncc_gather_rows(rows, count, stride, x + first, lane);
        for (int i = 0; i < count; i++)
            for (int k = 0; k < SNNCC_LANES; k++) sum[k] += shift ? snncc_exp(lane[i][k] - shift[k]) : lane[i][k];
    }
}

/* The sum of n numbers side by side: of every SNNCC_LANES-th by itself, then of these in ascending order. */
SNNCC_INLINE snncc_real snncc_sum_run(int n, const snncc_real *x)
{
    snncc_real lanes[SNNCC_LANES] = {0}, sum = 0;
    const int whole = n / SNNCC_LANES * SNNCC_LANES;
    for (int i = 0; i < whole; i += SNNCC_LANES)
        for (int k = 0; k < SNNCC_LANES; k++) lanes[k] += x[i + k];
    for (int i = whole; i < n; i++) lanes[i - whole] += x[i];
    for (int k = 0; k < SNNCC_LANES && k < n; k++) sum += lanes[k];
    return sum;
}

/* y[row] = snncc_sum_run of the n features. x: [rows][stride]. Short rows lie side by side in registers. */
SNNCC_FUNCTION void snncc_sum_features(int rows, int n, int stride, const snncc_real *x, snncc_real *y,
                                       const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    if (n > SNNCC_LANES) {
        for (int row = mine.begin; row < mine.end; row++) y[row] = snncc_sum_run(n, x + (size_t)row * stride);
        return;
    }
    for (int row = mine.begin; row < mine.end; row += SNNCC_LANES) {
        const int count = snncc_block_size(mine.end - row);
        snncc_real sum[SNNCC_LANES];
        snncc_sum_block(count, n, stride, x + (size_t)row * stride, NULL, sum);
        memcpy(y + row, sum, (size_t)count * sizeof *y);
    }
}

/* y[row][g] = the sum of those features i of the row whose group i / inner % groups is g; rows of x and y are x_stride
 * and y_stride apart, pads of y become 0. */
SNNCC_FUNCTION void snncc_sum_groups(int rows, int n, int x_stride, int groups, int inner, int y_stride,
                                     const snncc_real *x, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    x += (size_t)mine.begin * x_stride;
    y += (size_t)mine.begin * y_stride;
    for (int row = mine.begin; row < mine.end; row++, x += x_stride, y += y_stride) {
        memset(y, 0, (size_t)y_stride * sizeof *y);
        for (int first = 0; first < n; first += groups * inner) {
            if (inner == 1)
                for (int g = 0; g < groups; g++) y[g] += x[first + g];
            else
                for (int g = 0; g < groups; g++) y[g] += snncc_sum_run(inner, x + first + g * inner);
        }
    }
}

/* y[row] = the largest of the n features, NaN if one is NaN. x: [rows][stride]. */
SNNCC_INLINE void snncc_max_rows(int rows, int n, int stride, const snncc_real *x, snncc_real *y)
{
    for (int row = 0; row < rows; row += SNNCC_LANES) {
        const int count = snncc_block_size(rows - row);
        snncc_real largest[SNNCC_LANES];
        snncc_max_block(count, n, stride, x + (size_t)row * stride, largest);
        memcpy(y + row, largest, (size_t)count * sizeof *y);
    }
}

/* y = x - max - log(sum(exp(x - max))) for each row; x, y: [rows][stride], pads of y become 0. */
SNNCC_INLINE void snncc_log_softmax_rows(int rows, int n, int stride, const snncc_real *x, snncc_real *y)
{
    for (int first = 0; first < rows; first += SNNCC_LANES) {
        const int count = snncc_block_size(rows - first);
        snncc_real largest[SNNCC_LANES], sum[SNNCC_LANES], log_sum[SNNCC_LANES];
        snncc_max_block(count, n, stride, x, largest);
        snncc_sum_block(count, n, stride, x, largest, sum);
        for (int k = 0; k < SNNCC_LANES; k++) log_sum[k] = snncc_log(sum[k]);
        for (int row = 0; row < count; row++, x += stride, y += stride) {
            for (int i = 0; i < n; i++) y[i] = (x[i] - largest[row]) - log_sum[row];
            for (int i = n; i < stride; i++) y[i] = 0;
        }
    }
}

/* y = exp(x - max) / sum(exp(x - max)) for each row; x, y: [rows][stride], pads of y become 0. */
SNNCC_INLINE void snncc_softmax_rows(int rows, int n, int stride, const snncc_real *x, snncc_real *y)
{
    for (int first = 0; first < rows; first += SNNCC_LANES) {
        const int count = snncc_block_size(rows - first);
        snncc_real largest[SNNCC_LANES], sum[SNNCC_LANES];
        snncc_real *const block = y;
        snncc_max_block(count, n, stride, x, largest);
        for (int row = 0; row < count; row++, x += stride, y += stride) {
            for (int i = 0; i < n; i++) y[i] = snncc_exp(x[i] - largest[row]);
            for (int i = n; i < stride; i++) y[i] = 0;
        }
        snncc_sum_block(count, n, stride, block, NULL, sum);
        for (int row = 0; row < count; row++)
            for (int i = 0; i < n; i++) block[(size_t)row * stride + i] /= sum[row];
    }
}

/* y = 1 at the first of the largest features of a row (NaN is larger than any number), all else 0. */
SNNCC_INLINE void snncc_first_maximum_rows(int rows, int n, int stride, const snncc_real *x, snncc_real *y)
{
    memset(y, 0, (size_t)rows * stride * sizeof *y);
    for (int first = 0; first < rows; first += SNNCC_LANES) {
        const int count = snncc_block_size(rows - first);
        snncc_real largest[SNNCC_LANES];
        snncc_max_block(count, n, stride, x, largest);
        for (int row = 0; row < count; row++, x += stride, y += stride) {
            int i = 0;
            while (i < n - 1 && !(x[i] == largest[row] || x[i] != x[i])) i++;
            y[i] = 1;
        }
    }
}

/* A kernel of rows for each group of n features: rows that are one group are its rows, else the groups of a row are.
 * A group leaves n_out features. x: [rows][x_pitch], y: [rows][y_pitch], pads of y become 0. */
typedef void snncc_group_kernel(int rows, int n, int stride, const snncc_real *x, snncc_real *y);

SNNCC_INLINE void snncc_by_groups(snncc_group_kernel *kernel, int rows, int size, int n, int n_out, int x_pitch,
                                  int y_pitch, const snncc_real *x, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int made = size / n * n_out;
    x += (size_t)mine.begin * x_pitch;
    y += (size_t)mine.begin * y_pitch;
    if (size == n) {
        kernel(mine.end - mine.begin, n, x_pitch, x, y);
        return;
    }
    for (int row = mine.begin; row < mine.end; row++, x += x_pitch, y += y_pitch) {
        kernel(size / n, n, n, x, y);
        for (int i = made; i < y_pitch; i++) y[i] = 0;
    }
}

SNNCC_FUNCTION void snncc_max_last(int rows, int size, int n, int x_pitch, int y_pitch, const snncc_real *x,
                                   snncc_real *y, const snncc_crew *crew)
{
    snncc_by_groups(snncc_max_rows, rows, size, n, 1, x_pitch, y_pitch, x, y, crew);
}

SNNCC_FUNCTION void snncc_log_softmax(int rows, int size, int n, int x_pitch, int y_pitch, const snncc_real *x,
                                      snncc_real *y, const snncc_crew *crew)
{
    snncc_by_groups(snncc_log_softmax_rows, rows, size, n, n, x_pitch, y_pitch, x, y, crew);
}

SNNCC_FUNCTION void snncc_softmax(int rows, int size, int n, int x_pitch, int y_pitch, const snncc_real *x,
                                  snncc_real *y, const snncc_crew *crew)
{
    snncc_by_groups(snncc_softmax_rows, rows, size, n, n, x_pitch, y_pitch, x, y, crew);
}

SNNCC_FUNCTION void snncc_first_maximum(int rows, int size, int n, int x_pitch, int y_pitch, const snncc_real *x,
                                        snncc_real *y, const snncc_crew *crew)
{
    snncc_by_groups(snncc_first_maximum_rows, rows, size, n, n, x_pitch, y_pitch, x, y, crew);
}

/* y[row][i] = x[row][index[i]]; rows of x and y are x_stride and y_stride apart, pads of y become 0. */
SNNCC_FUNCTION void snncc_take_by_index(int rows, int n_out, int x_stride, int y_stride, const int32_t *index,
                                        const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT y)
{
    for (int row = 0; row < rows; row++, x += x_stride, y += y_stride) {
        for (int i = 0; i < n_out; i++) y[i] = x[index[i]];
        for (int i = n_out; i < y_stride; i++) y[i] = 0;
    }
}

/* y[row][index[i]] = the sum of x[row][i], in ascending order of i; else as above. */
SNNCC_FUNCTION void snncc_add_by_index(int rows, int n_in, int x_stride, int y_stride, const int32_t *index,
                                       const snncc_real *SNNCC_RESTRICT x, snncc_real *SNNCC_RESTRICT y)
{
    memset(y, 0, (size_t)rows * y_stride * sizeof *y);
    for (int row = 0; row < rows; row++, x += x_stride, y += y_stride)
        for (int i = 0; i < n_in; i++) y[index[i]] += x[i];
}

/* y[row][label] = 1, all else 0; labels from snncc_load_labels. y: [rows][stride]. */
SNNCC_FUNCTION void snncc_one_hot(int rows, int n, int stride, const int32_t *labels, snncc_real *y,
                                  const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    snncc_zero_rows(rows, stride, y, crew);
    for (int row = mine.begin; row < mine.end; row++)
        if (labels[row] >= 0 && labels[row] < n) y[(size_t)row * stride + labels[row]] = 1;
}

#endif
