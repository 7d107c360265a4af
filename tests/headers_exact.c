/* Calls everything on arrays of exactly the size that the headers ask for, for the sanitizers to watch. The build
 * puts a #define of SNNCC_REAL_BITS before. */
#include "exact.h"
static void check(int rows, int n_in, int n_out, int percent, int valued)
{
    const int xs = snncc_stride(n_in), ys = snncc_stride(n_out), words = (n_in + 63) / 64;
    real *const matrix = numbers(n_out, n_in, 100), *const user = numbers(rows, n_in, percent);
    real *const w = numbers(ys, n_in, 0), *const d_w = numbers(ys, n_in, 0);
    real *const wt = numbers(xs, n_out, 0);
    real *const x = numbers(rows, xs, 0), *const y = numbers(rows, ys, 0), *const y2 = numbers(rows, ys, 0);
    real *const bias = numbers(1, ys, 0), *const each = numbers(rows, 1, 0);
    uint64_t *const bits = exact((size_t)(rows * words) * sizeof *bits);
    int32_t *const labels = exact((size_t)rows * sizeof *labels);
    void *const memory = exact(snncc_events_bytes((size_t)rows, (size_t)n_in, valued));
    void *const scratch = exact(snncc_transposed_bytes((size_t)rows, (size_t)n_in, valued));
    const snncc_events events = snncc_events_at(memory, rows, n_in, valued);
    snncc_panels_from_matrix(n_out, n_in, 0, matrix, w);
    snncc_transpose_weights(n_out, n_in, w, wt);
    snncc_matrix_from_panels(n_in, n_out, 0, wt, matrix);
    snncc_vector_from_array(n_out, ys, 0, matrix, bias);
    snncc_array_from_vector(n_out, 0, bias, matrix);
    if (snncc_load(1, rows, rows, 0, n_in, xs, user, x, &ALONE)) abort();
    snncc_store(1, rows, rows, 0, n_in, xs, x, user, &ALONE);
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < n_in; i += 64)
            snncc_pack(x + row * xs + i, n_in - i < 64 ? n_in - i : 64, bits + row * words + i / 64);
    snncc_events_from_bits(events, rows, n_in, bits, &ALONE);
    snncc_events_from_rows(events, rows, n_in, xs, x, &ALONE);
    for (int row = 0; row < rows && !valued; row++) snncc_unpack(bits + row * words, n_in, x + row * xs);
    snncc_product_dense(rows, n_in, xs, ys, x, w, bias, y);
    snncc_product_events(events, rows, n_in, ys, w, bias, y2);
    if (memcmp(y, y2, (size_t)(rows * ys) * sizeof *y)) abort();
    snncc_product(events, rows, n_in, xs, ys, x, w, NULL, y);
    const snncc_events counted = snncc_events_at(exact(snncc_events_bytes((size_t)rows, (size_t)n_in, SNNCC_COUNTED)),
                                                 rows, n_in, SNNCC_COUNTED);
    snncc_events_from_rows(counted, rows, n_in, xs, x, &ALONE);
    if (!snncc_is_dense(counted, rows, n_in, 1))
        snncc_transpose_events(counted, rows, n_in,
                               exact(snncc_transposed_bytes((size_t)rows, (size_t)n_in, SNNCC_COUNTED)), &ALONE);
    snncc_product(counted, rows, n_in, xs, ys, x, w, NULL, y2);
    if (memcmp(y, y2, (size_t)(rows * ys) * sizeof *y)) abort();
    snncc_weight_gradient(events, rows, n_in, ys, y, scratch, d_w);
    snncc_one_hot(rows, n_out, ys, labels, y2, &ALONE);
    snncc_log_softmax(rows, n_out, n_out, ys, ys, y, y2, &ALONE);
    snncc_sum_features(rows, n_out, ys, y, each, &ALONE);
    snncc_max_last(rows, n_out, n_out, ys, 1, y, each, &ALONE);
    while (count) free(kept[--count]);
}
int main(void)
{
    static const int sizes[] = {1, 3, 16, 65, 128, 250}, densities[] = {0, 10, 100}, tiles[] = {0, 1, 5, 17};
    for (int i = 0; i < 36; i++)
        for (int k = 0; k < 12; k++)
            check(tiles[k % 4], sizes[i / 6], sizes[i % 6], densities[k / 4], (i + k) % 2);
    const real x[] = {-1, 0, 1, 1000, (real)__builtin_inf(), -(real)__builtin_inf(), (real)__builtin_nan("")};
    real sum = 0;
    for (int i = 0; i < 7; i++)
        sum += snncc_exp(x[i]) + snncc_log(x[i]) + snncc_tanh(x[i]) + snncc_sigmoid(x[i]) + snncc_cos(x[i]);
    return sum == 0;
}
