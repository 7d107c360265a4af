/* Rows of a matrix by whole numbers. */
#ifndef SNNCC_EMBEDDING_H
#define SNNCC_EMBEDDING_H

#include "target.h"
#include "rows.h"
#include "team.h"

/* Whole numbers of the user, [steps][batch][n], to a tile [steps][rows][n]; SNNCC_LABEL if one is not in
 * 0 .. classes - 1, and then 0 in its place, so that what reads them stays within its rows. */
SNNCC_FUNCTION int32_t snncc_load_indices(int steps, int rows, int batch, int first, int n, int classes,
                                          const int64_t *user, int32_t *tile)
{
    int bad = 0;
    for (int row = 0; row < steps * rows; row++) {
        const int64_t *const from = user + snncc_user_row(row, rows, batch, first) * n;
        for (int k = 0; k < n; k++, tile++) {
            const int outside = from[k] < 0 || from[k] >= classes;
            *tile = outside ? 0 : (int32_t)from[k];
            bad |= outside;
        }
    }
    return bad ? SNNCC_LABEL : SNNCC_OK;
}

/* y[row] = the rows w[index[row][0]], w[index[row][1]] .. of width n, one after the other; pads become 0. */
SNNCC_FUNCTION void snncc_embedding(int rows, int count, int n, int stride, const int32_t *index, const snncc_real *w,
                                    snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = y + (size_t)row * stride;
        for (int k = 0; k < count; k++)
            memcpy(to + (size_t)k * n, w + (size_t)index[(size_t)row * count + k] * n, (size_t)n * sizeof *to);
        for (int i = count * n; i < stride; i++) to[i] = 0;
    }
}

/* d_w[index[row][k]] += part k of d_y[row], from the last row down: this thread's part of the n columns. */
SNNCC_FUNCTION void snncc_embedding_gradient(int rows, int count, int n, int stride, const int32_t *index,
                                             const snncc_real *d_y, snncc_real *d_w, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, n);
    for (int row = rows - 1; row >= 0; row--)
        for (int k = count - 1; k >= 0; k--) {
            const snncc_real *const from = d_y + (size_t)row * stride + (size_t)k * n;
            snncc_real *const to = d_w + (size_t)index[(size_t)row * count + k] * n;
            for (int i = mine.begin; i < mine.end; i++) to[i] += from[i];
        }
}

#endif
