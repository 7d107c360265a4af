/* Products with a weight matrix in panels, [panel][n_in][width]: see layout.h. Sums run over the inputs in ascending
 * order, one multiplication and one addition each, so that the dense and the event-driven product give the same bits
 * (for finite weights): an input of 0 would add 0, which changes nothing once a sum is not -0.
 *
 * Panels are the outer loop: a panel (64 float outputs, n_in inputs) stays in the L2 cache while all rows pass, and
 * the sums of a row stay in registers. Call with constant sizes: everything is inlined and specialised. */
#ifndef SNNCC_PRODUCT_H
#define SNNCC_PRODUCT_H

#include "target.h"
#include "events.h"

/* Density from which the dense product is faster than the event-driven one. Measured on Zen 4 for 10, 128 and 1000
 * outputs and 100 rows: 0.66 to 0.72 in float, 0.57 to 0.66 in double. At most SNNCC_LISTED. */
#ifndef SNNCC_CROSSOVER
#define SNNCC_CROSSOVER 0.625
#endif

/* Kernels take panels of 1 to 8 vectors, whatever the width of the panels of whole matrices. */
#define SNNCC_MOST_VECTORS 8

/* Sums start at the bias, or 0; adding 0 turns a bias of -0 into 0. With `add` they go on from `start`. */
SNNCC_INLINE void snncc_start(int vectors, int add, const snncc_real *start, snncc_vec *sum)
{
    for (int k = 0; k < vectors; k++) {
        const snncc_vec zero = {0};
        sum[k] = zero;
        if (add) sum[k] = ((const snncc_vec *)start)[k];
        else if (start) sum[k] += ((const snncc_vec *)start)[k];
    }
}

/* A row of the table that an entry names, times the entry's value, onto the sums. */
SNNCC_INLINE void snncc_add_entry(int vectors, int valued, snncc_events lists, int32_t entry, int table_stride,
                                  const snncc_real *table, snncc_vec *sum)
{
    const snncc_vec *const row = (const snncc_vec *)(table + (ptrdiff_t)lists.index[entry] * table_stride);
    if (valued)
        for (int k = 0; k < vectors; k++) sum[k] += lists.value[entry] * row[k];
    else
        for (int k = 0; k < vectors; k++) sum[k] += row[k];
}

/* Sums over lists that are gathered together where a sum is one vector: each addition waits for the one before, so the
 * chains of several lists are run side by side. */
#define SNNCC_CHAINS 4

SNNCC_INLINE void snncc_gather_chains(int valued, int add, snncc_events lists, int first, int table_stride,
                                      int out_stride, const snncc_real *table, const snncc_real *start, snncc_real *out)
{
    const int32_t *const begin = lists.offsets + first;
    snncc_vec sum[SNNCC_CHAINS];
    int32_t shared = begin[1] - begin[0];
    for (int c = 0; c < SNNCC_CHAINS; c++) {
        snncc_start(1, add, add ? out + (size_t)(first + c) * out_stride : start, sum + c);
        if (begin[c + 1] - begin[c] < shared) shared = begin[c + 1] - begin[c];
    }
    for (int32_t e = 0; e < shared; e++)
        for (int c = 0; c < SNNCC_CHAINS; c++)
            snncc_add_entry(1, valued, lists, begin[c] + e, table_stride, table, sum + c);
    for (int c = 0; c < SNNCC_CHAINS; c++) {
        for (int32_t e = begin[c] + shared; e < begin[c + 1]; e++)
            snncc_add_entry(1, valued, lists, e, table_stride, table, sum + c);
        *(snncc_vec *)(out + (size_t)(first + c) * out_stride) = sum[c];
    }
}

/* Lists first .. first + count go on from the entries `next` to those that name row `limit` or a later one. The first
 * part of a list starts its sums, the others add to them. */
SNNCC_INLINE void snncc_gather_part(int vectors, int valued, int add, snncc_events lists, int first, int count,
                                    int32_t limit, int32_t *next, int table_stride, int out_stride,
                                    const snncc_real *table, const snncc_real *start, snncc_real *out)
{
    for (int list = 0; list < count; list++) {
        const int32_t end = lists.offsets[first + list + 1];
        int32_t e = next[list];
        if (add && (e == end || lists.index[e] >= limit)) continue;
        snncc_vec *const to = (snncc_vec *)(out + (size_t)(first + list) * out_stride);
        snncc_vec sum[SNNCC_MOST_VECTORS];
        snncc_start(vectors, add, add ? (const snncc_real *)to : start, sum);
        for (; e < end && lists.index[e] < limit; e++)
            snncc_add_entry(vectors, valued, lists, e, table_stride, table, sum);
        for (int k = 0; k < vectors; k++) to[k] = sum[k];
        next[list] = e;
    }
}

/* Rows of a table that are gathered from at a time, of n: what stays in a first-level cache of 32 KiB for the most
 * part. All n where rows are used about once, where a list has few entries in a block, or where rows that are far apart
 * share few sets of the cache. */
SNNCC_INLINE int snncc_gather_block(int vectors, int64_t entries, int lists, int n, int table_stride)
{
    const int room = 49152 / (64 * vectors), blocks = (n + room / 2) / room;
    const int apart = table_stride < 0 ? -table_stride : table_stride; /* negative: from the last row up */
    const int spread = apart == vectors * SNNCC_LANES || (size_t)apart * sizeof(snncc_real) % 1024 != 0;
    if (vectors < 3 || blocks < 2 || !spread || entries < (int64_t)2 * n || entries * room < (int64_t)6 * lists * n)
        return n;
    return (n + blocks - 1) / blocks;
}

/* out[list] = start + the rows of the table that the list names, in ascending order; with `add`, added to out[list].
 * The table has n rows; n = 1 says that they are not to go in blocks. out, start (or NULL) and rows have `vectors`
 * vectors. */
SNNCC_INLINE void snncc_gather(int vectors, int valued, int add, snncc_events lists, int count, int n,
                               int table_stride, int out_stride, const snncc_real *table, const snncc_real *start,
                               snncc_real *out)
{
    enum { LISTS = 128 };
    int first = 0;
    for (; vectors == 1 && first + SNNCC_CHAINS <= count; first += SNNCC_CHAINS)
        snncc_gather_chains(valued, add, lists, first, table_stride, out_stride, table, start, out);
    const int block = snncc_gather_block(vectors, lists.offsets[count], count, n, table_stride);
    for (; first < count; first += LISTS) {
        const int lot = count - first < LISTS ? count - first : LISTS;
        int32_t next[LISTS];
        memcpy(next, lists.offsets + first, (size_t)lot * sizeof *next);
        int from = 0;
        do {
            const int32_t limit = from < n - block ? from + block : INT32_MAX;
            snncc_gather_part(vectors, valued, add || from > 0, lists, first, lot, limit, next, table_stride,
                              out_stride, table, start, out);
        } while ((from += block) < n);
    }
}

/* Rows of a dense block. Its sums, one vector of a row each, stay in registers, and so do many that no addition waits for
 * another one: on Zen 4 a fifth faster than fewer rows of several vectors, which load more weights than they use. */
#ifdef SNNCC_AVX512
#define SNNCC_DENSE_ROWS 12
#else
#define SNNCC_DENSE_ROWS 6
#endif
#define SNNCC_DENSE_SUMS (SNNCC_DENSE_ROWS > 4 * SNNCC_MOST_VECTORS ? SNNCC_DENSE_ROWS : 4 * SNNCC_MOST_VECTORS)

/* A sum of `terms` outer products, with the strides of both operands free so that the weight gradient is the same
 * kernel: y[row][] = start + sum over t of x[row * x_row + t * x_term] * w[t * w_stride ..]. */
SNNCC_INLINE void snncc_dense_block(int block, int vectors, int add, int terms, int x_row, int x_term, int w_stride,
                                    int y_stride, const snncc_real *x, const snncc_real *w, const snncc_real *start,
                                    snncc_real *y)
{
    snncc_vec sum[SNNCC_DENSE_SUMS];
    for (int b = 0; b < block; b++)
        snncc_start(vectors, add, add ? y + (size_t)b * y_stride : start, sum + b * vectors);
    for (int t = 0; t < terms; t++) {
        const snncc_vec *const weight = (const snncc_vec *)(w + (ptrdiff_t)t * w_stride);
        const snncc_real *const factor = x + (ptrdiff_t)t * x_term;
        for (int b = 0; b < block; b++)
            for (int k = 0; k < vectors; k++) sum[b * vectors + k] += factor[(size_t)b * x_row] * weight[k];
    }
    for (int b = 0; b < block; b++)
        for (int k = 0; k < vectors; k++) ((snncc_vec *)(y + (size_t)b * y_stride))[k] = sum[b * vectors + k];
}

/* One block of rows, `wide` vectors of the panel at a time. */
SNNCC_INLINE void snncc_dense_rows(int block, int wide, int vectors, int add, int row, int terms, int x_row, int x_term,
                                   int w_stride, int y_stride, const snncc_real *x, const snncc_real *w,
                                   const snncc_real *start, snncc_real *y)
{
    for (int k = 0; k < vectors; k += wide) {
        const int first = k * SNNCC_LANES;
        snncc_dense_block(block, wide, add, terms, x_row, x_term, w_stride, y_stride, x + (size_t)row * x_row, w + first,
                          start ? start + first : NULL, y + (size_t)row * y_stride + first);
    }
}

/* In blocks of rows, so that a weight is loaded once for all of them; the rows that are left over take all vectors at
 * once, which keeps enough sums going. */
SNNCC_INLINE void snncc_dense(int vectors, int add, int rows, int terms, int x_row, int x_term, int w_stride,
                              int y_stride, const snncc_real *x, const snncc_real *w, const snncc_real *start,
                              snncc_real *y)
{
    enum { MOST = SNNCC_DENSE_ROWS, LESS = SNNCC_DENSE_ROWS * 2 / 3 };
    int row = 0;
#define SNNCC_DENSE(block, wide) \
    snncc_dense_rows(block, wide, vectors, add, row, terms, x_row, x_term, w_stride, y_stride, x, w, start, y)
    for (; row + MOST <= rows; row += MOST) SNNCC_DENSE(MOST, 1);
    for (; row + LESS <= rows; row += LESS) SNNCC_DENSE(LESS, 1);
    for (; row + 4 <= rows; row += 4) SNNCC_DENSE(4, vectors);
    for (; row + 2 <= rows; row += 2) SNNCC_DENSE(2, vectors);
    if (row < rows) SNNCC_DENSE(1, vectors);
#undef SNNCC_DENSE
}

/* All rows times one panel: y[row][] = x[row][] w + bias, for `vectors` vectors of outputs. w, bias (or NULL) and y
 * point at the panel, w: [n_in][vectors]. */
SNNCC_INLINE void snncc_dense_panel(int vectors, int rows, int n_in, int x_stride, int y_stride, const snncc_real *x,
                                    const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_dense(vectors, 0, rows, n_in, x_stride, 1, vectors * SNNCC_LANES, y_stride, x, w, bias, y);
}

/* The same of rows of the caller's array. A block of them is copied, some terms at a time, so that its rows are as far
 * apart as constants say; sums go on from what y holds. */
SNNCC_INLINE void snncc_dense_given(int vectors, int rows, int n_in, int y_stride, snncc_rows x, const snncc_real *w,
                                    const snncc_real *bias, snncc_real *y)
{
    enum { ROWS = 2 * SNNCC_DENSE_ROWS, TERMS = 8 * SNNCC_LANES };
    snncc_real block[ROWS * TERMS];
    for (int row = 0; row < rows; row += ROWS) {
        const int lot = rows - row < ROWS ? rows - row : ROWS;
        for (int from = 0; from < n_in; from += TERMS) {
            const int terms = n_in - from < TERMS ? n_in - from : TERMS;
            for (int b = 0; b < lot; b++)
                memcpy(block + b * TERMS, snncc_row(x, row + b) + from, (size_t)terms * sizeof *block);
            snncc_dense(vectors, from > 0, lot, terms, TERMS, 1, vectors * SNNCC_LANES, y_stride, block,
                        w + (size_t)from * vectors * SNNCC_LANES, bias, y + (size_t)row * y_stride);
        }
    }
}

/* The case of a single output, whose weights are n_in scalars. */
SNNCC_INLINE void snncc_dense_single(int rows, int n_in, int x_stride, const snncc_real *x, const snncc_real *w,
                                     const snncc_real *bias, snncc_real *y)
{
    for (int row = 0; row < rows; row++, x += x_stride) {
        snncc_real sum = bias ? bias[0] + (snncc_real)0 : (snncc_real)0;
        for (int i = 0; i < n_in; i++) sum += x[i] * w[i];
        y[row] = sum;
    }
}

/* y = x w + bias of one panel from the events of x; `valued`: they have values. In blocks of inputs whose weights stay in
 * the first-level cache where that is faster: from a density of some percent. */
SNNCC_INLINE void snncc_event_blocks(int vectors, int valued, snncc_events x, int rows, int n_in, int y_stride,
                                     const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    snncc_gather(vectors, valued, 0, x, rows, n_in, vectors * SNNCC_LANES, y_stride, w, bias, y);
}

/* The same by whichever is faster at the density of x; x_events are the events of x. */
SNNCC_INLINE void snncc_counted_panel(int vectors, snncc_events x_events, int rows, int n_in, int x_stride,
                                      int y_stride, const snncc_real *x, const snncc_real *w, const snncc_real *bias,
                                      snncc_real *y)
{
    if (snncc_is_dense(x_events, rows, n_in, SNNCC_CROSSOVER))
        snncc_dense_panel(vectors, rows, n_in, x_stride, y_stride, x, w, bias, y);
    else if (x_events.value)
        snncc_event_blocks(vectors, 1, x_events, rows, n_in, y_stride, w, bias, y);
    else
        snncc_event_blocks(vectors, 0, x_events, rows, n_in, y_stride, w, bias, y);
}

/* The same of rows of the caller's array. */
SNNCC_INLINE void snncc_counted_given(int vectors, snncc_events x_events, int rows, int n_in, int y_stride,
                                      snncc_rows x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (snncc_is_dense(x_events, rows, n_in, SNNCC_CROSSOVER))
        snncc_dense_given(vectors, rows, n_in, y_stride, x, w, bias, y);
    else
        snncc_event_blocks(vectors, 1, x_events, rows, n_in, y_stride, w, bias, y);
}

SNNCC_INLINE void snncc_event_single(snncc_events x, int rows, const snncc_real *w, const snncc_real *bias,
                                     snncc_real *y)
{
    for (int row = 0; row < rows; row++) {
        snncc_real sum = bias ? bias[0] + (snncc_real)0 : (snncc_real)0;
        for (int32_t e = x.offsets[row]; e < x.offsets[row + 1]; e++)
            sum += x.value ? x.value[e] * w[x.index[e]] : w[x.index[e]];
        y[row] = sum;
    }
}

/* The case of a single output from x or its events, whichever is faster. */
SNNCC_INLINE void snncc_counted_single(snncc_events x_events, int rows, int n_in, int x_stride, const snncc_real *x,
                                       const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (!snncc_is_dense(x_events, rows, n_in, SNNCC_CROSSOVER))
        snncc_event_single(x_events, rows, w, bias, y);
    else
        snncc_dense_single(rows, n_in, x_stride, x, w, bias, y);
}

/* The same of rows of the caller's array. */
SNNCC_INLINE void snncc_counted_single_given(snncc_events x_events, int rows, int n_in, snncc_rows x,
                                             const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    const int dense = snncc_is_dense(x_events, rows, n_in, SNNCC_CROSSOVER);
    if (!dense) snncc_event_single(x_events, rows, w, bias, y);
    for (int row = 0; dense && row < rows; row++)
        snncc_dense_single(1, n_in, n_in, snncc_row(x, row), w, bias, y + row);
}

#endif
