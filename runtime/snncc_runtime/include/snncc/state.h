/* What a caller may leave out: initial states, cotangents; and the rows that loops over time carry. */
#ifndef SNNCC_STATE_H
#define SNNCC_STATE_H

#include "rows.h"
#include "team.h"

/* Initial states of a tile: the caller's [batch][n], or else the default vector, or else the default value. */
SNNCC_FUNCTION int32_t snncc_load_state(int rows, int batch, int first, int n, int stride, const snncc_real *user,
                                        const snncc_real *vector, snncc_real value, snncc_real *tile,
                                        const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    if (user) return snncc_load(1, rows, batch, first, n, stride, user, tile, crew);
    tile += (size_t)mine.begin * stride;
    for (int row = mine.begin; row < mine.end; row++, tile += stride)
        for (int i = 0; i < stride; i++) tile[i] = !vector ? value : i < n ? vector[i] : (snncc_real)0;
    return SNNCC_OK;
}

/* SNNCC_SPIKES unless initial states that are listed as spikes are zeros and ones. x: [rows][stride]. */
SNNCC_FUNCTION int32_t snncc_check_spikes(int rows, int stride, const snncc_real *x)
{
    int bad = 0;
    for (size_t k = 0; k < (size_t)rows * stride; k++) bad |= x[k] != 0 && x[k] != 1;
    return bad ? SNNCC_SPIKES : SNNCC_OK;
}

/* A cotangent, or zeros where the caller gives none. */
SNNCC_FUNCTION int32_t snncc_load_optional(int steps, int rows, int batch, int first, int n, int stride,
                                           const snncc_real *user, snncc_real *tile, const snncc_crew *crew)
{
    if (user) return snncc_load(steps, rows, batch, first, n, stride, user, tile, crew);
    snncc_zero_rows(steps * rows, stride, tile, crew);
    return SNNCC_OK;
}

/* The next piece of a worker's scratch. */
SNNCC_INLINE void *snncc_take(char **at, size_t bytes)
{
    void *const piece = *at;
    *at += snncc_align(bytes);
    return piece;
}

/* The first bad status of the slots. */
SNNCC_FUNCTION int32_t snncc_worst(const snncc_team *teams, int slots)
{
    for (int slot = 0; slot < slots; slot++)
        if (teams[slot].status) return teams[slot].status;
    return SNNCC_OK;
}

#endif
