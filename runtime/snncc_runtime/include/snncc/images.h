/* Images in rows: between the user's order [channels][pixels] and that of memory, [pixels][channels]; pooling. What takes a crew is one thread's part of the rows. */
#ifndef SNNCC_IMAGES_H
#define SNNCC_IMAGES_H

#include "target.h"
#include "math.h"
#include "rows.h"
#include "state.h"
#include "team.h"
#include "windows.h"

/* to[c][r] = from[r][c]. */
SNNCC_INLINE void snncc_turn(int rows, int columns, const snncc_real *SNNCC_RESTRICT from,
                             snncc_real *SNNCC_RESTRICT to)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) to[(size_t)c * rows + r] = from[(size_t)r * columns + c];
}

/* User array to tile, as snncc_load, with the channels last. */
SNNCC_FUNCTION int32_t snncc_load_image(int steps, int rows, int batch, int first, int n, int stride, int channels,
                                        const snncc_real *user, snncc_real *tile, const snncc_crew *crew)
{
    const snncc_bits exponent = (snncc_bits)(2 * SNNCC_BIAS + 1) << SNNCC_MANTISSA;
    const snncc_range mine = snncc_part(crew, steps * rows);
    snncc_bits bad = 0;
    for (int row = mine.begin; row < mine.end; row++) {
        const snncc_real *const from = user + snncc_user_row(row, rows, batch, first) * n;
        snncc_real *const to = tile + (size_t)row * stride;
        for (int i = 0; i < n; i++) bad |= (snncc_to_bits(from[i]) & exponent) == exponent;
        snncc_turn(channels, n / channels, from, to);
        for (int i = n; i < stride; i++) to[i] = 0;
    }
    return bad ? SNNCC_FINITE : SNNCC_OK;
}

/* A cotangent that may be missing. */
SNNCC_FUNCTION int32_t snncc_load_image_optional(int steps, int rows, int batch, int first, int n, int stride,
                                                 int channels, const snncc_real *user, snncc_real *tile,
                                                 const snncc_crew *crew)
{
    if (user) return snncc_load_image(steps, rows, batch, first, n, stride, channels, user, tile, crew);
    snncc_zero_rows(steps * rows, stride, tile, crew);
    return SNNCC_OK;
}

/* Initial states, as snncc_load_state. */
SNNCC_FUNCTION int32_t snncc_load_state_image(int rows, int batch, int first, int n, int stride, int channels,
                                              const snncc_real *user, const snncc_real *vector, snncc_real value,
                                              snncc_real *tile, const snncc_crew *crew)
{
    if (user) return snncc_load_image(1, rows, batch, first, n, stride, channels, user, tile, crew);
    return snncc_load_state(rows, batch, first, n, stride, NULL, vector, value, tile, crew);
}

/* Tile to user array, as snncc_store. */
SNNCC_FUNCTION void snncc_store_image(int steps, int rows, int batch, int first, int n, int stride, int channels,
                                      const snncc_real *tile, snncc_real *user, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, steps * rows);
    for (int row = mine.begin; row < mine.end; row++)
        snncc_turn(n / channels, channels, tile + (size_t)row * stride,
                   user + snncc_user_row(row, rows, batch, first) * n);
}

/* Rows of [columns][lines] as rows of [lines][columns]; n = lines * columns features. */
SNNCC_FUNCTION void snncc_reorder(int rows, int n, int stride, int lines, const snncc_real *x, snncc_real *y,
                                  const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++)
        snncc_turn(n / lines, lines, x + (size_t)row * stride, y + (size_t)row * stride);
}

/* One window: to[channel] of the places in the image. */
SNNCC_INLINE void snncc_pool_window(snncc_windows g, int what, snncc_window here, const snncc_real *x, snncc_real *best,
                                    snncc_real *to)
{
    const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
    const snncc_inside cs = snncc_window_inside(g, here, 2);
    int seen = 0;
    if (what >= SNNCC_POOL_SUM)
        for (int c = 0; c < g.channels; c++) to[c] = 0;
    for (int a = as.begin; a < as.end; a++)
        for (int b = bs.begin; b < bs.end; b++)
            for (int k = cs.begin; k < cs.end; k++, seen = 1) {
                const snncc_real place = (snncc_real)((a * g.size[1] + b) * g.size[2] + k);
                const snncc_real *SNNCC_RESTRICT const from =
                    x + (size_t)snncc_window_pixel(g, here, a, b, k) * g.channels;
                if (what >= SNNCC_POOL_SUM)
                    for (int c = 0; c < g.channels; c++) to[c] += from[c];
                else if (!seen)
                    for (int c = 0; c < g.channels; c++) {
                        best[c] = from[c];
                        to[c] = what == SNNCC_POOL_MAX ? from[c] : place;
                    }
                else
                    for (int c = 0; c < g.channels; c++) {
                        /* NaN is the largest, the first of equals stays. */
                        const int larger = from[c] > best[c] || (from[c] != from[c] && best[c] == best[c]);
                        to[c] = larger ? what == SNNCC_POOL_MAX ? from[c] : place : to[c];
                        best[c] = larger ? from[c] : best[c];
                    }
            }
}

/* y = what each window of x comes to. last: for each axis where places end to count for a mean. */
SNNCC_INLINE void snncc_pool(snncc_windows g, int what, int last0, int last1, int last2, int rows, int x_stride,
                             int y_stride, const snncc_real *x, snncc_real *best, snncc_real *y,
                             const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int last[3] = {last0, last1, last2};
    for (int row = mine.begin; row < mine.end; row++)
        for (int number = 0; number < snncc_out_pixels(g); number++) {
            const snncc_window here = snncc_window_at(g, number);
            snncc_real *const to = y + (size_t)row * y_stride + (size_t)number * g.channels;
            snncc_pool_window(g, what, here, x + (size_t)row * x_stride, best, to);
            if (what > SNNCC_POOL_SUM) {
                const snncc_real count = (snncc_real)snncc_pool_count(g, what, here, last);
                for (int c = 0; c < g.channels; c++) to[c] /= count;
            }
        }
}

/* x = y of each window at the place that `where` says, summed where windows overlap. */
SNNCC_INLINE void snncc_unpool_max(snncc_windows g, int rows, int x_stride, int y_stride, const snncc_real *y,
                                   const snncc_real *where, snncc_real *x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const image = x + (size_t)row * x_stride;
        memset(image, 0, (size_t)(snncc_in_pixels(g) * g.channels) * sizeof *image);
        for (int number = 0; number < snncc_out_pixels(g); number++) {
            const snncc_window here = snncc_window_at(g, number);
            const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
            const snncc_inside cs = snncc_window_inside(g, here, 2);
            const size_t at = (size_t)row * y_stride + (size_t)number * g.channels;
            for (int a = as.begin; a < as.end; a++)
                for (int b = bs.begin; b < bs.end; b++)
                    for (int k = cs.begin; k < cs.end; k++) {
                        const snncc_real place = (snncc_real)((a * g.size[1] + b) * g.size[2] + k);
                        snncc_real *SNNCC_RESTRICT const to =
                            image + (size_t)snncc_window_pixel(g, here, a, b, k) * g.channels;
                        for (int c = 0; c < g.channels; c++) {
                            const snncc_real d = y[at + c]; /* a load behind the choice: gcc 12 masks wrong lanes */
                            to[c] += where[at + c] == place ? d : (snncc_real)0;
                        }
                    }
        }
    }
}

/* x = y of each window, or its share, at all places of it in the image. */
SNNCC_INLINE void snncc_unpool_sum(snncc_windows g, int what, int last0, int last1, int last2, int rows, int y_stride,
                                   int x_stride, const snncc_real *y, snncc_real *share, snncc_real *x,
                                   const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int last[3] = {last0, last1, last2};
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const image = x + (size_t)row * x_stride;
        memset(image, 0, (size_t)(snncc_in_pixels(g) * g.channels) * sizeof *image);
        for (int number = 0; number < snncc_out_pixels(g); number++) {
            const snncc_window here = snncc_window_at(g, number);
            const snncc_inside as = snncc_window_inside(g, here, 0), bs = snncc_window_inside(g, here, 1);
            const snncc_inside cs = snncc_window_inside(g, here, 2);
            const snncc_real *const from = y + (size_t)row * y_stride + (size_t)number * g.channels;
            const snncc_real count =
                what == SNNCC_POOL_SUM ? (snncc_real)1 : (snncc_real)snncc_pool_count(g, what, here, last);
            for (int c = 0; c < g.channels; c++) share[c] = from[c] / count;
            for (int a = as.begin; a < as.end; a++)
                for (int b = bs.begin; b < bs.end; b++)
                    for (int k = cs.begin; k < cs.end; k++) {
                        snncc_real *SNNCC_RESTRICT const to =
                            image + (size_t)snncc_window_pixel(g, here, a, b, k) * g.channels;
                        for (int c = 0; c < g.channels; c++) to[c] += share[c];
                    }
        }
    }
}

#endif
