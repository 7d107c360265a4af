/* Calls the kernels of panels on arrays of exactly the size that the headers ask for, for the sanitizers to watch. The
 * build puts a #define of SNNCC_REAL_BITS before. */
#include "exact.h"
static void check(int vectors, int rows, int n_in, int percent, int valued)
{
    const int width = vectors * SNNCC_LANES;
    real *const x = numbers(rows, n_in, percent), *const w = numbers(n_in, width, 100);
    real *const bias = numbers(1, width, 100), *const y = numbers(rows, width, 0), *const y2 = numbers(rows, width, 0);
    real *const d_w = numbers(n_in, width, 0), *const d_w2 = numbers(n_in, width, 0);
    real *const copy = numbers(rows, width, 0);
    void *const memory = exact(snncc_events_bytes((size_t)rows, (size_t)n_in, SNNCC_VALUED));
    void *const lists = exact(snncc_transposed_bytes((size_t)rows, (size_t)n_in, SNNCC_VALUED));
    const snncc_events events = snncc_events_at(memory, rows, n_in, SNNCC_VALUED);
    const snncc_events by_input = snncc_events_at(lists, n_in, rows, SNNCC_VALUED);
    snncc_events_from_rows(events, rows, n_in, n_in, x, &ALONE);
    snncc_transpose_events(events, rows, n_in, lists, &ALONE);
    if (!valued)
        for (int i = 0; i < rows * n_in; i++) x[i] = x[i] != 0;
    SNNCC_SPECIALISE(snncc_dense_panel, vectors, rows, n_in, n_in, width, x, w, bias, y)
    SNNCC_SPECIALISE(snncc_event_panel, vectors, valued, events, rows, width, w, bias, y2)
    if (memcmp(y, y2, (size_t)(rows * width) * sizeof *y)) abort();
    SNNCC_SPECIALISE(snncc_event_blocks, vectors, valued, events, rows, n_in, width, w, bias, y2)
    if (memcmp(y, y2, (size_t)(rows * width) * sizeof *y)) abort();
    SNNCC_SPECIALISE(snncc_copy_panel, vectors, rows, width, y, copy)
    SNNCC_SPECIALISE(snncc_gradient_dense_panel, vectors, 1, rows, n_in, n_in, width, x, copy, d_w)
    SNNCC_SPECIALISE(snncc_gradient_blocks, vectors, valued, 1, by_input, rows, n_in, width, copy, d_w2)
    if (memcmp(d_w, d_w2, (size_t)(n_in * width) * sizeof *d_w)) abort();
    while (count) free(kept[--count]);
}
static void back(int rows, int n_out, int n_in)
{
    const int xs = snncc_stride(n_in), ys = snncc_stride(n_out);
    real *const w = numbers(n_in, ys, 100), *const wt = numbers(n_out, xs, 0), *const d_y = numbers(rows, ys, 50);
    real *const d_x = numbers(rows, xs, 0), *const d_x2 = numbers(rows, xs, 0);
    real *const slice = numbers(1, SNNCC_SLICE_SIZE, 0);
    snncc_transpose_weights(n_out, n_in, w, wt);
    snncc_product_dense(rows, n_out, ys, xs, d_y, wt, NULL, d_x);
    for (int first = 0; first < xs; first += SNNCC_PANEL) {
        const int vectors = snncc_panel_width(n_in, first) / SNNCC_LANES;
        SNNCC_SPECIALISE(snncc_input_gradient_panel, vectors, first, rows, n_out, n_in, ys, xs, d_y, w, slice,
                         d_x2 + first)
    }
    if (memcmp(d_x, d_x2, (size_t)(rows * xs) * sizeof *d_x)) abort();
    while (count) free(kept[--count]);
}
int main(void)
{
    static const int tiles[] = {0, 1, 5, 17, 200}, sizes[] = {2, 16, 65, 130, 300};
    for (int vectors = 1; vectors <= SNNCC_PANEL_VECTORS; vectors++)
        for (int i = 0; i < 25; i++) check(vectors, tiles[i / 5], sizes[i % 5], i % 3 * 45, i % 2);
    for (int i = 0; i < 25; i++) back(i % 4, i % 5 ? sizes[i / 5] : 1, sizes[i % 5]);
    return 0;
}
