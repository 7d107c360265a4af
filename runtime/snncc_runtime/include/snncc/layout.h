/* Between canonical arrays (row-major, as users see them) and the layouts of the kernels.
 *
 * A matrix [n_out][n_in] is stored as panels [panel][n_in][width]: the outputs in groups of SNNCC_PANEL, the last group
 * as wide as what is left of snncc_stride(n_out). So the weights of one input to a panel are one short run of memory.
 * A vector [n] is stored as [snncc_stride(n)]. Pads are 0. */
#ifndef SNNCC_LAYOUT_H
#define SNNCC_LAYOUT_H

#include "target.h"
#include "team.h"

/* Rows of numbers where they lie, counted over all steps: so many samples of each step, steps `batch` rows apart. */
typedef struct {
    const snncc_real *first;
    int stride, samples, batch;
} snncc_rows;

SNNCC_INLINE const snncc_real *snncc_row(snncc_rows rows, int row)
{
    return rows.first + ((size_t)(row / rows.samples) * rows.batch + row % rows.samples) * rows.stride;
}

/* Outputs in the panel that starts at output `first`. */
SNNCC_INLINE int snncc_panel_width(int n_out, int first)
{
    const int left = snncc_stride(n_out) - first;
    return left < SNNCC_PANEL ? left : SNNCC_PANEL;
}

/* Which of n elements, counted row-major, lies at a place: so many channels may lie last, or 0. */
SNNCC_INLINE int snncc_row_major(int place, int n, int channels)
{
    return channels ? place % channels * (n / channels) + place / channels : place;
}

/* The output that an element of a matrix in panels belongs to, whose rows have so many outputs with their pads. */
SNNCC_INLINE int snncc_output_of(int element, int stride, int n_in)
{
    const int panel = element / (SNNCC_PANEL * n_in), first = panel * SNNCC_PANEL, left = stride - first;
    return first + (element - first * n_in) % (left < SNNCC_PANEL ? left : SNNCC_PANEL);
}

SNNCC_FUNCTION SNNCC_GLUE void snncc_panels_from_matrix(int n_out, int n_in, int channels, const snncc_real *matrix,
                                             snncc_real *panels)
{
    for (int first = 0; first < n_out; first += SNNCC_PANEL) {
        const int width = snncc_panel_width(n_out, first);
        for (int i = 0; i < n_in; i++, panels += width) {
            const int column = snncc_row_major(i, n_in, channels);
            for (int k = 0; k < width; k++)
                panels[k] = first + k < n_out ? matrix[(size_t)(first + k) * n_in + column] : (snncc_real)0;
        }
    }
}

SNNCC_FUNCTION SNNCC_GLUE void snncc_matrix_from_panels(int n_out, int n_in, int channels, const snncc_real *panels,
                                             snncc_real *matrix)
{
    for (int first = 0; first < n_out; first += SNNCC_PANEL) {
        const int width = snncc_panel_width(n_out, first);
        for (int i = 0; i < n_in; i++, panels += width) {
            const int column = snncc_row_major(i, n_in, channels);
            for (int k = 0; k < width && first + k < n_out; k++)
                matrix[(size_t)(first + k) * n_in + column] = panels[k];
        }
    }
}

/* y[output] = the sum over the inputs, in ascending order, of a matrix in panels. */
SNNCC_FUNCTION void snncc_sum_panels(int n_out, int n_in, const snncc_real *panels, snncc_real *y)
{
    for (int first = 0; first < n_out; first += SNNCC_PANEL, y += SNNCC_PANEL) {
        const int width = snncc_panel_width(n_out, first);
        memset(y, 0, (size_t)width * sizeof *y);
        for (int i = 0; i < n_in; i++, panels += width)
            for (int k = 0; k < width; k++) y[k] += panels[k];
    }
}

SNNCC_FUNCTION SNNCC_GLUE void snncc_vector_from_array(int n, int stride, int channels, const snncc_real *array,
                                            snncc_real *vector)
{
    for (int i = 0; i < n; i++) vector[i] = array[snncc_row_major(i, n, channels)];
    for (int i = n; i < stride; i++) vector[i] = 0;
}

SNNCC_FUNCTION SNNCC_GLUE void snncc_array_from_vector(int n, int channels, const snncc_real *vector, snncc_real *array)
{
    for (int i = 0; i < n; i++) array[snncc_row_major(i, n, channels)] = vector[i];
}

/* This thread's part of sums[0 .. count] = 0. */
SNNCC_FUNCTION void snncc_clear(snncc_real *sums, size_t count, const snncc_crew *crew)
{
    const size_t begin = snncc_share(count, crew->part, crew->parts);
    memset(sums + begin, 0, (snncc_share(count, crew->part + 1, crew->parts) - begin) * sizeof *sums);
}

/* This thread's part of sums[k] += the other slots' sums, in order of the slots, for k < count; slot s is at
 * sums + s * slot_stride. */
SNNCC_FUNCTION void snncc_add_slots(size_t count, int slots, size_t slot_stride, snncc_real *sums,
                                    const snncc_crew *crew)
{
    const size_t begin = snncc_share(count, crew->part, crew->parts);
    const size_t end = snncc_share(count, crew->part + 1, crew->parts);
    for (int slot = 1; slot < slots; slot++) {
        const snncc_real *const other = sums + (size_t)slot * slot_stride;
        for (size_t k = begin; k < end; k++) sums[k] += other[k];
    }
}

#endif
