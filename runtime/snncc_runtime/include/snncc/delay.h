/* Delays of several steps.
 *
 * What a delay keeps from one call to the next is a row of a sample: `count` steps of n features, the oldest first, one
 * step right behind the other. In a loop over time its state is a ring, [count][rows][stride]: what comes out at step t,
 * before anything of this call (or of this segment of time) does, lies at t % count. */
#ifndef SNNCC_DELAY_H
#define SNNCC_DELAY_H

#include "target.h"
#include "events.h"
#include "team.h"

/* kept[row] = step by step the first `count` ones of x, as far as they are among these, which begin with step `start`.
 * x: [steps][rows][stride]. */
SNNCC_FUNCTION void snncc_first_steps(int steps, int rows, int start, int count, int n, int stride, int kept_stride,
                                      const snncc_real *x, snncc_real *kept, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = kept + (size_t)row * kept_stride;
        for (int t = 0; start + t < count && t < steps; t++)
            memcpy(to + (size_t)(start + t) * n, x + ((size_t)t * rows + row) * stride, (size_t)n * sizeof *to);
    }
}

/* kept[row] = the last `count` steps of what was kept before (maybe in the same place) followed by x, which begins with
 * step `start`; if there are lengths, [rows], by those steps of x that the sample has. */
SNNCC_FUNCTION void snncc_last_steps(int steps, int rows, int start, int count, int n, int stride, int kept_stride,
                                     const snncc_real *x, const snncc_real *lengths, const snncc_real *before,
                                     snncc_real *kept, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *const old = before + (size_t)row * kept_stride;
        snncc_real *const to = kept + (size_t)row * kept_stride;
        const int left = lengths ? (int)lengths[row] - start : steps, own = left < 0 ? 0 : left < steps ? left : steps;
        for (int k = 0; k < count; k++) {
            const int t = own - count + k;
            const snncc_real *const from = t < 0 ? old + (size_t)(count + t) * n : x + ((size_t)t * rows + row) * stride;
            if (from != to + (size_t)k * n) memcpy(to + (size_t)k * n, from, (size_t)n * sizeof *to);
        }
        for (int i = count * n; i < kept_stride; i++) to[i] = 0;
    }
}

/* The ring before the first step, as far as so many steps read it. */
SNNCC_FUNCTION void snncc_start_ring(int steps, int rows, int count, int n, int stride, int kept_stride, const snncc_real *kept,
                                     snncc_real *ring, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int k = 0; k < count && k < steps; k++)
        for (int row = mine.begin; row < mine.end; row++) {
            snncc_real *const to = ring + ((size_t)k * rows + row) * stride;
            memcpy(to, kept + (size_t)row * kept_stride + (size_t)k * n, (size_t)n * sizeof *to);
            for (int i = n; i < stride; i++) to[i] = 0;
        }
}

/* The same of spikes, as bits. */
SNNCC_FUNCTION void snncc_start_ring_bits(int steps, int rows, int count, int n, int stride, int kept_stride, const snncc_real *kept,
                                          uint64_t *ring, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int words = (n + 63) / 64;
    (void)stride;
    for (int k = 0; k < count && k < steps; k++)
        for (int row = mine.begin; row < mine.end; row++)
            for (int i = 0; i < n; i += 64)
                snncc_pack(kept + (size_t)row * kept_stride + (size_t)k * n + i, n - i < 64 ? n - i : 64,
                           ring + ((size_t)k * rows + row) * words + i / 64);
}

/* The ring after steps begin .. end of a segment of time, which take their places in it. */
SNNCC_INLINE void snncc_keep(int begin, int end, int rows, int start, int count, int stride, const snncc_real *x,
                             snncc_real *ring, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const size_t from = (size_t)mine.begin * stride, length = (size_t)(mine.end - mine.begin) * stride;
    for (int t = begin; t < end; t++)
        memcpy(ring + (size_t)((start + t) % count) * rows * stride + from, x + (size_t)t * rows * stride + from,
               length * sizeof *ring);
}

/* A segment's last steps, for the next one. */
SNNCC_FUNCTION void snncc_keep_last(int steps, int rows, int start, int count, int stride, const snncc_real *x,
                                    snncc_real *ring, const snncc_crew *crew)
{
    snncc_keep(steps < count ? 0 : steps - count, steps, rows, start, count, stride, x, ring, crew);
}

/* A segment's first steps, for the one before, backward. */
SNNCC_FUNCTION void snncc_keep_first(int steps, int rows, int start, int count, int stride, const snncc_real *x,
                                     snncc_real *ring, const snncc_crew *crew)
{
    snncc_keep(0, steps < count ? steps : count, rows, start, count, stride, x, ring, crew);
}

#endif
