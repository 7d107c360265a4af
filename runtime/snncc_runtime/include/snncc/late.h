/* Products with sparse weights whose synapses are late; see sparse.h for how synapses lie.
 *
 * Synapse s hands its input on after delay[s] steps, or, where positions are given, (1 - f) of it after k and f of it
 * after k + 1 steps, position[s] = k + f. What happened up to `longest` steps before the first one is a row of a sample,
 * the oldest step first. An input that is 0 costs nothing forward and in the gradients of synapses. */
#ifndef SNNCC_LATE_H
#define SNNCC_LATE_H

#include "target.h"
#include "events.h"
#include "gradient.h"
#include "sparse.h"
#include "team.h"

/* A tile of a layer: steps, samples of a tile, longest delay, rows of inputs and outputs. delay or position is NULL. */
typedef struct {
    int steps, rows, longest, n_in, n_out, x_stride, before_stride, y_stride;
    const int32_t *offsets, *index, *delay;
    const snncc_real *position, *values;
} snncc_late;

/* After how many steps a synapse hands on its first share; *rest is its second one. */
SNNCC_INLINE int snncc_share_of(const snncc_late *l, int32_t s, snncc_real *rest)
{
    *rest = 0;
    if (!l->position) return l->delay[s];
    int whole = (int)l->position[s];
    if (whole > l->longest - 1) whole = l->longest - 1;
    *rest = l->position[s] - (snncc_real)whole;
    return whole;
}

/* Element o of sample b at step t of y, if there is such a step. */
SNNCC_INLINE ptrdiff_t snncc_late_place(const snncc_late *l, int t, int b, int32_t o)
{
    return t >= 0 && t < l->steps ? ((ptrdiff_t)t * l->rows + b) * l->y_stride + o : -1;
}

/* y += what input i hands on of x, which came at step t. */
SNNCC_INLINE void snncc_late_add(const snncc_late *l, int32_t i, snncc_real x, int t, int b, snncc_real *y)
{
    for (int32_t s = l->offsets[i]; s < l->offsets[i + 1]; s++) {
        snncc_real rest;
        const int k = snncc_share_of(l, s, &rest);
        const ptrdiff_t first = snncc_late_place(l, t + k, b, l->index[s]);
        const ptrdiff_t second = rest != 0 ? snncc_late_place(l, t + k + 1, b, l->index[s]) : -1;
        if (first >= 0) y[first] += x * (l->values[s] * (1 - rest));
        if (second >= 0) y[second] += x * (l->values[s] * rest);
    }
}

/* y += what the n_in inputs x of step t hand on. */
SNNCC_INLINE void snncc_late_row(const snncc_late *l, const snncc_real *x, int t, int b, snncc_real *y)
{
    for (int32_t i = 0; i < l->n_in; i++)
        if (x[i] != 0) snncc_late_add(l, i, x[i], t, b, y);
}

/* y = bias + what the steps before hand on: this thread's part of the samples. */
SNNCC_FUNCTION void snncc_late_before(const snncc_late *l, const snncc_real *before, const snncc_real *bias,
                                      snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, l->rows);
    for (int b = mine.begin; b < mine.end; b++) {
        for (int t = 0; t < l->steps; t++)
            snncc_sparse_start(l->n_out, l->y_stride, bias, y + ((size_t)t * l->rows + b) * l->y_stride);
        for (int k = 0; k < l->longest; k++)
            snncc_late_row(l, before + (size_t)b * l->before_stride + (size_t)k * l->n_in, k - l->longest, b, y);
    }
}

/* y, which has begun, += what the inputs of its first step hand on: a step of a loop over time. x: [rows][x_stride]. */
SNNCC_FUNCTION void snncc_late_step(const snncc_late *l, const snncc_real *x, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, l->rows);
    for (int b = mine.begin; b < mine.end; b++) snncc_late_row(l, x + (size_t)b * l->x_stride, 0, b, y);
}

/* y = bias + what the events of x, and of the steps before, hand on: this thread's part of the samples. */
SNNCC_FUNCTION void snncc_late_events(const snncc_late *l, snncc_events x, const snncc_real *before,
                                      const snncc_real *bias, snncc_real *y, const snncc_crew *crew)
{
    snncc_late_before(l, before, bias, y, crew);
    const snncc_range mine = snncc_part(crew, l->rows);
    for (int b = mine.begin; b < mine.end; b++)
        for (int t = 0; t < l->steps; t++) {
            const int row = t * l->rows + b;
            for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
                snncc_late_add(l, x.index[e], x.value ? x.value[e] : 1, t, b, y);
        }
}

/* d += the gradients of the values of input i, or of their positions, for x that came at step t. */
SNNCC_INLINE void snncc_late_learn(const snncc_late *l, int of_positions, int32_t i, snncc_real x, int t, int b,
                                   const snncc_real *d_y, snncc_real *d)
{
    for (int32_t s = l->offsets[i]; s < l->offsets[i + 1]; s++) {
        snncc_real rest;
        const int k = snncc_share_of(l, s, &rest);
        const ptrdiff_t first = snncc_late_place(l, t + k, b, l->index[s]);
        const ptrdiff_t second = l->position ? snncc_late_place(l, t + k + 1, b, l->index[s]) : -1;
        const snncc_real near = first >= 0 ? d_y[first] : 0, far = second >= 0 ? d_y[second] : 0;
        d[s] += x * (of_positions ? l->values[s] * (far - near) : (1 - rest) * near + rest * far);
    }
}

/* The same of all steps, from the last one down: this thread's part of the inputs. */
SNNCC_FUNCTION void snncc_late_gradient(const snncc_late *l, int of_positions, snncc_events x, const snncc_real *before,
                                        const snncc_real *d_y, snncc_real *d, const snncc_crew *crew)
{
    const snncc_range inputs = snncc_part(crew, l->n_in);
    for (int t = l->steps - 1; t >= -l->longest; t--)
        for (int b = l->rows - 1; b >= 0; b--) {
            if (t >= 0) {
                const snncc_range mine = snncc_events_of(x, t * l->rows + b, inputs, l->n_in);
                for (int32_t e = mine.begin; e < mine.end; e++)
                    snncc_late_learn(l, of_positions, x.index[e], x.value ? x.value[e] : 1, t, b, d_y, d);
                continue;
            }
            const snncc_real *const past = before + (size_t)b * l->before_stride + (size_t)(l->longest + t) * l->n_in;
            for (int32_t i = inputs.begin; i < inputs.end; i++)
                if (past[i] != 0) snncc_late_learn(l, of_positions, i, past[i], t, b, d_y, d);
        }
}

/* Samples that gather side by side, so that a synapse is looked up once for all of them. */
#define SNNCC_LATE_ROWS 4

/* What input i gathers that came at step t: of `count` samples, of which the first is b. */
SNNCC_INLINE void snncc_late_gather(const snncc_late *l, int32_t i, int t, int b, int count, const snncc_real *d_y,
                                    snncc_real sums[SNNCC_LATE_ROWS])
{
    for (int r = 0; r < count; r++) sums[r] = 0;
    for (int32_t s = l->offsets[i]; s < l->offsets[i + 1]; s++) {
        snncc_real rest;
        const int k = snncc_share_of(l, s, &rest);
        const snncc_real near = l->values[s] * (1 - rest), far = l->values[s] * rest;
        const ptrdiff_t first = snncc_late_place(l, t + k, b, l->index[s]);
        const ptrdiff_t second = rest != 0 ? snncc_late_place(l, t + k + 1, b, l->index[s]) : -1;
        if (first >= 0)
            for (int r = 0; r < count; r++) sums[r] += near * d_y[first + (ptrdiff_t)r * l->y_stride];
        if (second >= 0)
            for (int r = 0; r < count; r++) sums[r] += far * d_y[second + (ptrdiff_t)r * l->y_stride];
    }
}

/* The same of all inputs; d_x of a sample begins `stride` after that of the one before. */
SNNCC_INLINE void snncc_late_gather_rows(const snncc_late *l, int t, int b, int count, int stride, const snncc_real *d_y,
                                         snncc_real *d_x)
{
    for (int32_t i = 0; i < l->n_in; i++) {
        snncc_real sums[SNNCC_LATE_ROWS];
        if (count == SNNCC_LATE_ROWS) snncc_late_gather(l, i, t, b, SNNCC_LATE_ROWS, d_y, sums);
        else if (count == 1) snncc_late_gather(l, i, t, b, 1, d_y, sums);
        else snncc_late_gather(l, i, t, b, count, d_y, sums);
        for (int r = 0; r < count; r++) d_x[(size_t)r * stride + i] = sums[r];
    }
}

/* d_x of step t; pads become 0. d_x: [rows][x_stride]. */
SNNCC_INLINE void snncc_late_input_gradient_at(const snncc_late *l, int t, const snncc_real *d_y, snncc_real *d_x,
                                               snncc_range mine)
{
    for (int b = mine.begin; b < mine.end; b += SNNCC_LATE_ROWS) {
        const int count = mine.end - b < SNNCC_LATE_ROWS ? mine.end - b : SNNCC_LATE_ROWS;
        snncc_late_gather_rows(l, t, b, count, l->x_stride, d_y, d_x + (size_t)b * l->x_stride);
    }
    for (int b = mine.begin; b < mine.end; b++)
        for (int i = l->n_in; i < l->x_stride; i++) d_x[(size_t)b * l->x_stride + i] = 0;
}

/* d_x of the first step alone, when d_y of all steps is there: a step of a loop over time. */
SNNCC_FUNCTION void snncc_late_input_gradient_step(const snncc_late *l, const snncc_real *d_y, snncc_real *d_x,
                                                   const snncc_crew *crew)
{
    snncc_late_input_gradient_at(l, 0, d_y, d_x, snncc_part(crew, l->rows));
}

/* d_x of all steps, or of those before the first one, in rows like theirs: this thread's part of the samples. */
SNNCC_FUNCTION void snncc_late_input_gradient(const snncc_late *l, int of_before, const snncc_real *d_y, snncc_real *d_x,
                                              const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, l->rows);
    for (int t = 0; !of_before && t < l->steps; t++)
        snncc_late_input_gradient_at(l, t, d_y, d_x + (size_t)t * l->rows * l->x_stride, mine);
    for (int b = mine.begin; of_before && b < mine.end; b++) {
        snncc_real *const to = d_x + (size_t)b * l->before_stride;
        memset(to, 0, (size_t)l->before_stride * sizeof *to);
        for (int k = 0; k < l->longest; k++)
            snncc_late_gather_rows(l, k - l->longest, b, 1, l->before_stride, d_y, to + (size_t)k * l->n_in);
    }
}

#endif
