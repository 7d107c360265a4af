/* Between the caller's arrays and the rows of a call, and reductions over the features of a row or over samples.
 *
 * Rows are [step][sample] without pads, as the caller's are; only images, whose channels lie last here, are turned. */
#ifndef SNNCC_CUDA_ROWS_H
#define SNNCC_CUDA_ROWS_H

#include "../math.h"
#include "device.h"

/* What a kernel found; of several the largest code stays. */
static inline __device__ void snncc_report(int32_t *status, int bad, int32_t code)
{
    if (bad) atomicMax(status, code);
}

static inline __device__ int snncc_not_finite(snncc_real x)
{
    const snncc_bits exponent = (snncc_bits)(2 * SNNCC_BIAS + 1) << SNNCC_MANTISSA;
    return (snncc_to_bits(x) & exponent) == exponent;
}

/* ---- loads and stores */

static __global__ void snncc_load_kernel(int32_t *status, size_t count, int n, int channels, const snncc_real *user,
                                         snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const size_t row = at / (size_t)n * (size_t)n;
    const snncc_real value = user[row + (size_t)snncc_row_major((int)(at - row), n, channels)];
    x[at] = value;
    snncc_report(status, snncc_not_finite(value), SNNCC_FINITE);
}

/* User array to rows; SNNCC_FINITE if a number is NaN or infinite. channels: of an image, 0 of what is none. */
static inline void snncc_load(cudaStream_t stream, int32_t *status, int rows, int n, int channels, const snncc_real *user,
                              snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_load_kernel, count, stream, status, count, n, channels, user, x);
}

static __global__ void snncc_check_finite_kernel(int32_t *status, size_t count, const snncc_real *user)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_report(status, snncc_not_finite(user[at]), SNNCC_FINITE);
}

/* SNNCC_FINITE if one of the user's numbers is NaN or infinite. */
static inline void snncc_check_finite(cudaStream_t stream, int32_t *status, size_t count, const snncc_real *user)
{
    SNNCC_EACH(snncc_check_finite_kernel, count, stream, status, count, user);
}

/* A cotangent, or zeros where the caller gives none. */
static inline void snncc_load_optional(cudaStream_t stream, int32_t *status, int rows, int n, int channels,
                                       const snncc_real *user, snncc_real *x)
{
    if (user) snncc_load(stream, status, rows, n, channels, user, x);
    else snncc_clear(stream, x, (size_t)rows * (size_t)n);
}

static __global__ void snncc_fill_kernel(size_t count, int n, const snncc_real *vector, snncc_real value, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count) x[at] = vector ? vector[at % (size_t)n] : value;
}

/* Initial states: the caller's [batch][n], or else the default vector, or else the default value. */
static inline void snncc_load_state(cudaStream_t stream, int32_t *status, int rows, int n, int channels,
                                    const snncc_real *user, const snncc_real *vector, snncc_real value, snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)n;
    if (user) snncc_load(stream, status, rows, n, channels, user, x);
    else SNNCC_EACH(snncc_fill_kernel, count, stream, count, n, vector, value, x);
}

static __global__ void snncc_check_spikes_kernel(int32_t *status, size_t count, const snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at < count) snncc_report(status, x[at] != 0 && x[at] != 1, SNNCC_SPIKES);
}

/* SNNCC_SPIKES unless initial states that stand for spikes are zeros and ones. */
static inline void snncc_check_spikes(cudaStream_t stream, int32_t *status, int rows, int n, const snncc_real *x)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_check_spikes_kernel, count, stream, status, count, x);
}

static __global__ void snncc_load_labels_kernel(int32_t *status, int count, int classes, const int64_t *user, int32_t *labels)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)count) return;
    const int64_t label = user[at];
    const int bad = label < 0 || label >= classes;
    snncc_report(status, bad, SNNCC_LABEL);
    labels[at] = bad ? 0 : (int32_t)label;
}

/* Whole numbers from 0 to classes - 1; SNNCC_LABEL if one is none of these, which counts as 0. */
static inline void snncc_load_labels(cudaStream_t stream, int32_t *status, int count, int classes, const int64_t *user,
                                     int32_t *labels)
{
    SNNCC_EACH(snncc_load_labels_kernel, (size_t)count, stream, status, count, classes, user, labels);
}

static __global__ void snncc_load_lengths_kernel(int32_t *status, int rows, int steps, const int64_t *user, snncc_real *x)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)rows) return;
    const int64_t length = user ? user[at] : steps;
    snncc_report(status, length < 1 || length > steps, SNNCC_LENGTH);
    x[at] = (snncc_real)length;
}

/* Steps of the samples, or all steps where the caller gives no lengths; SNNCC_LENGTH if one is not in 1 .. steps. */
static inline void snncc_load_lengths(cudaStream_t stream, int32_t *status, int rows, int steps, const int64_t *user,
                                      snncc_real *x)
{
    SNNCC_EACH(snncc_load_lengths_kernel, (size_t)rows, stream, status, rows, steps, user, x);
}

static __global__ void snncc_store_kernel(size_t count, int n, int channels, const snncc_real *x, snncc_real *user)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    const size_t row = at / (size_t)n * (size_t)n;
    user[row + (size_t)snncc_row_major((int)(at - row), n, channels)] = x[at];
}

/* Rows to the user's array. */
static inline void snncc_store(cudaStream_t stream, int rows, int n, int channels, const snncc_real *x, snncc_real *user)
{
    const size_t count = (size_t)rows * (size_t)n;
    if (channels) SNNCC_EACH(snncc_store_kernel, count, stream, count, n, channels, x, user);
    else snncc_copy(stream, count, x, user);
}

static __global__ void snncc_store_loss_kernel(const snncc_real *x, double *user)
{
    if (snncc_thread() == 0) *user = (double)*x;
}

static inline void snncc_store_loss(cudaStream_t stream, const snncc_real *x, double *user)
{
    SNNCC_EACH(snncc_store_loss_kernel, 1, stream, x, user);
}

/* ---- sums */

static __global__ void snncc_add_samples_kernel(int add, int steps, int rows, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)steps * (size_t)n) return;
    const snncc_real *from = x + at / (size_t)n * (size_t)rows * (size_t)n + at % (size_t)n;
    snncc_real sum = add ? y[at] : (snncc_real)0;
    for (int row = 0; row < rows; row++, from += n) sum += *from;
    y[at] = sum;
}

/* y[step] += the sum of the samples, in ascending order; where `add` is 0, y[step] = it. x: [steps][rows][n], y: [steps][n]. */
static inline void snncc_add_samples(cudaStream_t stream, int add, int steps, int rows, int n, const snncc_real *x,
                                     snncc_real *y)
{
    SNNCC_EACH(snncc_add_samples_kernel, (size_t)steps * (size_t)n, stream, add, steps, rows, n, x, y);
}

/* The sum of n numbers side by side, as the C kernels add it up: in SNNCC_LANES parts, then these. */
static inline __device__ snncc_real snncc_sum_run(int n, const snncc_real *x)
{
    const int whole = n / SNNCC_LANES * SNNCC_LANES;
    snncc_real sum = 0;
    for (int k = 0; k < SNNCC_LANES && k < n; k++) {
        snncc_real lane = 0;
        for (int i = k; i < whole; i += SNNCC_LANES) lane += x[i];
        if (whole + k < n) lane += x[whole + k];
        sum += lane;
    }
    return sum;
}

static inline __device__ void snncc_sum_row(size_t row, int n, const snncc_real *x, snncc_real *y)
{
    y[row] = snncc_sum_run(n, x + row * (size_t)n);
}

enum { SNNCC_SUMS = 16 }; /* at most, of a call */

/* Terms [rows][n] and their sums [n]. */
typedef struct {
    const snncc_real *x;
    snncc_real *y;
    int n;
} snncc_sum;

typedef struct {
    snncc_sum of[SNNCC_SUMS];
} snncc_sums;

static __global__ void snncc_add_all_samples_kernel(int rows, int count, snncc_sums sums)
{
    size_t at = snncc_thread();
    int k = 0;
    while (k < count && at >= (size_t)sums.of[k].n) at -= (size_t)sums.of[k++].n;
    if (k == count) return;
    const snncc_real *from = sums.of[k].x + at;
    snncc_real sum = 0;
    for (int row = 0; row < rows; row++, from += sums.of[k].n) sum += *from;
    sums.of[k].y[at] = sum;
}

/* snncc_add_samples of several, each of one step, whose sums start here. */
static inline void snncc_add_all_samples(cudaStream_t stream, int rows, int count, snncc_sums sums)
{
    size_t elements = 0;
    for (int k = 0; k < count; k++) elements += (size_t)sums.of[k].n;
    SNNCC_EACH(snncc_add_all_samples_kernel, elements, stream, rows, count, sums);
}

static __global__ void snncc_sum_features_kernel(int rows, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < (size_t)rows) snncc_sum_row(at, n, x, y);
}

/* y[row] = snncc_sum_run of the n features. */
static inline void snncc_sum_features(cudaStream_t stream, int rows, int n, int, const snncc_real *x, snncc_real *y)
{
    SNNCC_EACH(snncc_sum_features_kernel, (size_t)rows, stream, rows, n, x, y);
}

static __global__ void snncc_sum_groups_kernel(int rows, int n, int groups, int inner, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)rows * (size_t)groups) return;
    const snncc_real *const from = x + at / (size_t)groups * (size_t)n + at % (size_t)groups * (size_t)inner;
    snncc_real sum = 0;
    for (int first = 0; first < n; first += groups * inner) sum += inner == 1 ? from[first] : snncc_sum_run(inner, from + first);
    y[at] = sum;
}

/* y[row][g] = the sum of those features i of the row whose group i / inner % groups is g. */
static inline void snncc_sum_groups(cudaStream_t stream, int rows, int n, int, int groups, int inner, int,
                                    const snncc_real *x, snncc_real *y)
{
    SNNCC_EACH(snncc_sum_groups_kernel, (size_t)rows * (size_t)groups, stream, rows, n, groups, inner, x, y);
}

static __global__ void snncc_sum_panels_kernel(int n_out, int n_in, const snncc_real *w, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= (size_t)n_out) return;
    snncc_real sum = 0;
    for (int i = 0; i < n_in; i++) sum += w[(size_t)i * (size_t)n_out + at];
    y[at] = sum;
}

/* y[output] = the sum over the inputs, in ascending order, of a matrix [n_in][n_out]. */
static inline void snncc_sum_panels(cudaStream_t stream, int n_out, int n_in, const snncc_real *w, snncc_real *y)
{
    SNNCC_EACH(snncc_sum_panels_kernel, (size_t)n_out, stream, n_out, n_in, w, y);
}

/* ---- groups of n features, a thread each */

static inline __device__ snncc_real snncc_largest(int n, const snncc_real *x)
{
    snncc_real largest = x[0];
    for (int i = 0; i < n; i++) largest = snncc_max(largest, x[i]);
    return largest;
}

static __global__ void snncc_max_last_kernel(size_t count, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < count) y[at] = snncc_largest(n, x + at * (size_t)n);
}

static __global__ void snncc_log_softmax_kernel(size_t count, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    x += at * (size_t)n, y += at * (size_t)n;
    const snncc_real largest = snncc_largest(n, x);
    snncc_real sum = 0;
    for (int i = 0; i < n; i++) sum += snncc_exp(x[i] - largest);
    const snncc_real log_sum = snncc_log(sum);
    for (int i = 0; i < n; i++) y[i] = (x[i] - largest) - log_sum;
}

static __global__ void snncc_softmax_kernel(size_t count, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    x += at * (size_t)n, y += at * (size_t)n;
    const snncc_real largest = snncc_largest(n, x);
    snncc_real sum = 0;
    for (int i = 0; i < n; i++) {
        y[i] = snncc_exp(x[i] - largest);
        sum += y[i];
    }
    for (int i = 0; i < n; i++) y[i] /= sum;
}

static __global__ void snncc_first_maximum_kernel(size_t count, int n, const snncc_real *x, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at >= count) return;
    x += at * (size_t)n, y += at * (size_t)n;
    const snncc_real largest = snncc_largest(n, x);
    int first = 0;
    while (first < n - 1 && !(x[first] == largest || x[first] != x[first])) first++;
    for (int i = 0; i < n; i++) y[i] = i == first;
}

/* The largest of each group of n features of rows of `size`, NaN if one is NaN. */
static inline void snncc_max_last(cudaStream_t stream, int rows, int size, int n, int, int, const snncc_real *x, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)(size / n);
    SNNCC_EACH(snncc_max_last_kernel, count, stream, count, n, x, y);
}

static inline void snncc_log_softmax(cudaStream_t stream, int rows, int size, int n, int, int, const snncc_real *x, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)(size / n);
    SNNCC_EACH(snncc_log_softmax_kernel, count, stream, count, n, x, y);
}

static inline void snncc_softmax(cudaStream_t stream, int rows, int size, int n, int, int, const snncc_real *x, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)(size / n);
    SNNCC_EACH(snncc_softmax_kernel, count, stream, count, n, x, y);
}

/* 1 at the first of the largest features of a group (NaN is larger than any number), all else 0. */
static inline void snncc_first_maximum(cudaStream_t stream, int rows, int size, int n, int, int, const snncc_real *x,
                                       snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)(size / n);
    SNNCC_EACH(snncc_first_maximum_kernel, count, stream, count, n, x, y);
}

static __global__ void snncc_one_hot_kernel(size_t count, int n, const int32_t *labels, snncc_real *y)
{
    const size_t at = snncc_thread();
    if (at < count) y[at] = labels[at / (size_t)n] == (int)(at % (size_t)n);
}

/* y[row][label] = 1, all else 0. */
static inline void snncc_one_hot(cudaStream_t stream, int rows, int n, int, const int32_t *labels, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_one_hot_kernel, count, stream, count, n, labels, y);
}

#endif
