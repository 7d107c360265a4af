/* Delays: values of several steps, in and out of the rows that a delay keeps from one call to the next.
 *
 * Such a row holds `count` steps of n features of a sample, the oldest first, one step right behind the other. */
#ifndef SNNCC_DELAY_H
#define SNNCC_DELAY_H

#include "target.h"
#include "team.h"

/* kept[row] = the first `count` steps of x, 0 where there are fewer; x: [steps][rows][stride]. */
SNNCC_FUNCTION void snncc_first_steps(int steps, int rows, int count, int n, int stride, int kept_stride,
                                      const snncc_real *x, snncc_real *kept, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = kept + (size_t)row * kept_stride;
        memset(to, 0, (size_t)kept_stride * sizeof *to);
        for (int t = 0; t < count && t < steps; t++)
            memcpy(to + (size_t)t * n, x + ((size_t)t * rows + row) * stride, (size_t)n * sizeof *to);
    }
}

/* kept[row] = the last `count` steps of what was kept before followed by x. */
SNNCC_FUNCTION void snncc_last_steps(int steps, int rows, int count, int n, int stride, int kept_stride,
                                     const snncc_real *x, const snncc_real *before, snncc_real *kept,
                                     const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *const old = before + (size_t)row * kept_stride;
        snncc_real *const to = kept + (size_t)row * kept_stride;
        memset(to, 0, (size_t)kept_stride * sizeof *to);
        for (int k = 0; k < count; k++) {
            const int t = steps - count + k;
            const snncc_real *const from = t < 0 ? old + (size_t)(count + t) * n : x + ((size_t)t * rows + row) * stride;
            memcpy(to + (size_t)k * n, from, (size_t)n * sizeof *to);
        }
    }
}

#endif
