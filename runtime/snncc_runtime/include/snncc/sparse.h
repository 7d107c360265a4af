/* Products with sparse weights. Synapses are sorted by input: those of input i are offsets[i] .. offsets[i + 1], synapse
 * s has the weight values[s] and leads to output index[s]. An input that is 0 costs nothing forward and in the weight
 * gradient. Sums run over the synapses in ascending order, weight gradients over the rows from the last to the first, so
 * the bits depend on neither tiles nor threads. */
#ifndef SNNCC_SPARSE_H
#define SNNCC_SPARSE_H

#include "target.h"
#include "events.h"
#include "gradient.h"
#include "rows.h"
#include "team.h"

/* The connections of a layer. */
typedef struct {
    const int32_t *offsets, *index;
} snncc_synapses;

/* A row of n outputs before anything is added; pads become 0. */
SNNCC_INLINE void snncc_sparse_start(int n, int stride, const snncc_real *bias, snncc_real *y)
{
    memset(y, 0, (size_t)stride * sizeof *y);
    if (bias) memcpy(y, bias, (size_t)n * sizeof *y);
}

/* y += x times the weights of input i. */
SNNCC_INLINE void snncc_sparse_add(snncc_synapses to, int32_t i, const snncc_real *values, snncc_real x, snncc_real *y)
{
    for (int32_t s = to.offsets[i]; s < to.offsets[i + 1]; s++) y[to.index[s]] += x * values[s];
}

/* y = bias + what the events of x hand on; y: [rows][stride] of n outputs. */
SNNCC_FUNCTION void snncc_sparse_events(snncc_events x, int rows, int n, int stride, const int32_t *offsets,
                                        const int32_t *index, const snncc_real *values, const snncc_real *bias,
                                        snncc_real *y, const snncc_crew *crew)
{
    const snncc_synapses to = {offsets, index};
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const sums = y + (size_t)row * stride;
        snncc_sparse_start(n, stride, bias, sums);
        if (x.value)
            for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
                snncc_sparse_add(to, x.index[e], values, x.value[e], sums);
        else
            for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
                snncc_sparse_add(to, x.index[e], values, 1, sums);
    }
}

/* The same from the rows themselves, whose zeros are passed over; x: [rows][x_stride] of n_in inputs. */
SNNCC_FUNCTION void snncc_sparse_rows(int rows, int n_in, int x_stride, int n, int stride, const snncc_real *x,
                                      const int32_t *offsets, const int32_t *index, const snncc_real *values,
                                      const snncc_real *bias, snncc_real *y, const snncc_crew *crew)
{
    const snncc_synapses to = {offsets, index};
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *const from = x + (size_t)row * x_stride;
        snncc_real *const sums = y + (size_t)row * stride;
        snncc_sparse_start(n, stride, bias, sums);
        for (int i = 0; i < n_in; i += 64) {
            uint64_t word;
            snncc_pack(from + i, n_in - i < 64 ? n_in - i : 64, &word);
            for (; word; word &= word - 1) {
                const int32_t k = i + __builtin_ctzll(word);
                snncc_sparse_add(to, k, values, from[k], sums);
            }
        }
    }
}

/* d_values += x at the input of each synapse times d_y at its output, of this thread's part of the n_in inputs. */
SNNCC_FUNCTION void snncc_sparse_gradient(snncc_events x, int rows, int n_in, int stride, const int32_t *offsets,
                                          const int32_t *index, const snncc_real *d_y, snncc_real *d_values,
                                          const snncc_crew *crew)
{
    const snncc_range inputs = snncc_part(crew, n_in);
    for (int row = rows - 1; row >= 0; row--) {
        const snncc_real *const d = d_y + (size_t)row * stride;
        const snncc_range mine = snncc_events_of(x, row, inputs, n_in);
        for (int32_t e = mine.begin; e < mine.end; e++) {
            const int32_t i = x.index[e];
            if (x.value)
                for (int32_t s = offsets[i]; s < offsets[i + 1]; s++) d_values[s] += x.value[e] * d[index[s]];
            else
                for (int32_t s = offsets[i]; s < offsets[i + 1]; s++) d_values[s] += d[index[s]];
        }
    }
}

/* Rows from which it pays to put them side by side: two take two thirds of the time of one after the other. */
#define SNNCC_SPARSE_ROWS 2

/* lanes[i][row] = x[row][i] for up to SNNCC_LANES rows of n features; the rows that are missing become 0. */
SNNCC_INLINE void snncc_lay_beside(int rows, int n, int stride, const snncc_real *x, snncc_real *lanes)
{
    for (int i = 0; i < n; i += SNNCC_LANES) {
        snncc_row_block block = {{0}};
        const int count = snncc_block_size(n - i);
        snncc_gather_rows(rows, count, stride, x + i, block);
        memcpy(lanes + (size_t)i * SNNCC_LANES, block, (size_t)count * sizeof *block);
    }
}

/* d_x of up to SNNCC_LANES rows at a time: each synapse is read once for all of them. */
SNNCC_INLINE void snncc_sparse_gather_lanes(int rows, int n_in, int x_stride, snncc_synapses to, const snncc_real *values,
                                            const snncc_real *lanes, snncc_real *d_x)
{
    for (int first = 0; first < n_in; first += SNNCC_LANES) {
        const int count = snncc_block_size(n_in - first);
        snncc_row_block block = {{0}};
        for (int k = 0; k < count; k++) {
            snncc_vec sum = {0};
            for (int32_t s = to.offsets[first + k]; s < to.offsets[first + k + 1]; s++)
                sum += values[s] * ((const snncc_vec *)lanes)[to.index[s]];
            memcpy(block[k], &sum, sizeof sum);
        }
        for (int row = 0; row < rows; row++)
            for (int k = 0; k < count; k++) d_x[(size_t)row * x_stride + first + k] = block[k][row];
    }
}

/* d_x = what each of the n_in inputs gathers of the n outputs' d_y; pads become 0. lanes: scratch of a thread, n vectors. */
SNNCC_FUNCTION void snncc_sparse_input_gradient(int rows, int n_in, int x_stride, int n, int stride,
                                                const snncc_real *d_y, const int32_t *offsets, const int32_t *index,
                                                const snncc_real *values, snncc_real *lanes, snncc_real *d_x,
                                                const snncc_crew *crew)
{
    const snncc_synapses to = {offsets, index};
    const snncc_range mine = snncc_part(crew, rows);
    for (int first = mine.begin; first < mine.end; first += SNNCC_LANES) {
        const int count = snncc_block_size(mine.end - first);
        const snncc_real *const d = d_y + (size_t)first * stride;
        snncc_real *const sums = d_x + (size_t)first * x_stride;
        if (count >= SNNCC_SPARSE_ROWS) {
            snncc_lay_beside(count, n, stride, d, lanes);
            snncc_sparse_gather_lanes(count, n_in, x_stride, to, values, lanes, sums);
        }
        for (int row = 0; row < count; row++) {
            snncc_real *const mine_d_x = sums + (size_t)row * x_stride;
            for (int i = 0; count < SNNCC_SPARSE_ROWS && i < n_in; i++) {
                snncc_real sum = 0;
                for (int32_t s = offsets[i]; s < offsets[i + 1]; s++) sum += values[s] * d[(size_t)row * stride + index[s]];
                mine_d_x[i] = sum;
            }
            for (int i = n_in; i < x_stride; i++) mine_d_x[i] = 0;
        }
    }
}

#endif
