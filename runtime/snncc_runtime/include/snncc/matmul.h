/* Products of two matrices of a row of features, for each row by itself: attention. Sums run over the terms in
 * ascending order, one multiplication and one addition each, whichever kernel makes them. */
#ifndef SNNCC_MATMUL_H
#define SNNCC_MATMUL_H

#include "target.h"
#include "events.h"
#include "product.h"
#include "team.h"

/* Densities from which dense products are faster: measured on Zen 4, float, matrices of 32 and 64 rows. Of a transposed
 * product results are copied to their places one by one. */
#ifndef SNNCC_TURNED_CROSSOVER
#define SNNCC_TURNED_CROSSOVER 0.4
#endif

#define SNNCC_MATMUL_VECTORS 4 /* columns of y at a time: sums of a row that stay in registers */
#define SNNCC_MATMUL_TERMS 64  /* terms at a time: the columns of b for them are copied next to each other */
#define SNNCC_MATMUL_ROWS 32   /* rows of y at a time where nonzeros are listed or rows are no whole vectors */
enum { SNNCC_MATMUL_COLUMNS = SNNCC_MATMUL_VECTORS * SNNCC_LANES };

/* A matrix: elements `row` and `column` apart. */
typedef struct {
    const snncc_real *at;
    int row, column;
} snncc_matrix;

typedef struct {
    snncc_real *at;
    int row, column;
} snncc_result;

/* columns[t][j] = b[t][j] for t < terms, j < width, and 0 up to whole vectors. */
SNNCC_INLINE void snncc_matmul_gather(int terms, int width, int vectors, snncc_matrix b, snncc_real *columns)
{
    const int stride = vectors * SNNCC_LANES;
    for (int t = 0; t < terms; t++) {
        const snncc_real *const from = b.at + (size_t)t * b.row;
        for (int j = 0; j < width; j++) columns[t * stride + j] = from[(size_t)j * b.column];
        for (int j = width; j < stride; j++) columns[t * stride + j] = 0;
    }
}

/* The nonzeros of each of `rows` rows of a, as lists of their places. Rows of a lie in memory one after the other. */
SNNCC_INLINE void snncc_matmul_list(int rows, int terms, snncc_matrix a, snncc_events lists)
{
    for (int row = 0; row < rows; row++) {
        const snncc_real *const from = a.at + (size_t)row * a.row;
        int32_t end = lists.offsets[row];
        int t = 0;
        for (; t + SNNCC_LANES <= terms; t += SNNCC_LANES)
            end = snncc_append(lists, end, t, snncc_nonzeros(from + t), lists.value ? from : NULL);
        for (; t < terms; t++) {
            lists.index[end] = (snncc_index)t;
            if (lists.value) lists.value[end] = from[t];
            end += from[t] != (snncc_real)0;
        }
        lists.offsets[row + 1] = end;
    }
}

/* The same where it is the columns of a that lie one after the other: all lists grow side by side. */
SNNCC_INLINE void snncc_matmul_list_turned(int rows, int terms, snncc_matrix a, snncc_events lists)
{
    int32_t next[SNNCC_MATMUL_ROWS] = {0};
    for (int t = 0; t < terms; t++) {
        const snncc_real *const from = a.at + (size_t)t * a.column;
        for (int row = 0; row < rows; row++) next[row] += from[row] != (snncc_real)0;
    }
    for (int row = 0; row < rows; row++) {
        lists.offsets[row + 1] = lists.offsets[row] + next[row];
        next[row] = lists.offsets[row];
    }
    for (int t = 0; t < terms; t++) {
        const snncc_real *const from = a.at + (size_t)t * a.column;
        for (int first = 0; first < rows; first += SNNCC_LANES) {
            const int whole = rows - first >= SNNCC_LANES;
            uint32_t lanes = whole ? snncc_nonzeros(from + first) : 0;
            for (int i = 0; !whole && first + i < rows; i++)
                lanes |= (uint32_t)(from[first + i] != (snncc_real)0) << i;
            for (; lanes; lanes &= lanes - 1) {
                const int row = first + __builtin_ctz(lanes);
                if (lists.value) lists.value[next[row]] = from[row];
                lists.index[next[row]++] = (snncc_index)t;
            }
        }
    }
}

/* y (or += with add) = a columns for up to SNNCC_MATMUL_ROWS rows, by the nonzeros of a where they are few. */
SNNCC_INLINE void snncc_matmul_counted(int valued, double crossover, int vectors, int add, int rows, int terms,
                                       snncc_matrix a, const snncc_real *columns, int y_stride, snncc_real *y)
{
    enum { ROOM = SNNCC_MATMUL_ROWS * SNNCC_MATMUL_TERMS + SNNCC_LANES };
    const int stride = vectors * SNNCC_LANES;
    int32_t offsets[SNNCC_MATMUL_ROWS + 1] = {0};
    snncc_index index[ROOM];
    snncc_real value[ROOM];
    const snncc_events lists = {offsets, index, valued ? value : NULL, valued};
    if (a.column == 1)
        snncc_matmul_list(rows, terms, a, lists);
    else
        snncc_matmul_list_turned(rows, terms, a, lists);
    if (offsets[rows] >= crossover * rows * terms)
        snncc_dense(vectors, add, rows, terms, a.row, a.column, stride, y_stride, a.at, columns, NULL, y);
    else
        snncc_gather(vectors, valued, add, lists, rows, 1, stride, y_stride, columns, NULL, y);
}

/* What of y `terms` terms make, in so many columns of it: those that do not lie in whole vectors go through rows that
 * do. zeros: 0: a is dense; else many elements of it are 0, and the others 1 if zeros is 2. */
SNNCC_INLINE void snncc_matmul_part(int zeros, int vectors, int width, int add, int rows, int terms, snncc_matrix a,
                                    const snncc_real *columns, snncc_result y)
{
    enum { ROOM = SNNCC_MATMUL_ROWS * SNNCC_MATMUL_COLUMNS };
    snncc_real own[ROOM];
    const int stride = vectors * SNNCC_LANES, direct = width == stride && y.column == 1;
    const double crossover = y.column == 1 ? SNNCC_CROSSOVER : SNNCC_TURNED_CROSSOVER;
    const int lot = direct && !zeros ? rows : SNNCC_MATMUL_ROWS, step = direct ? y.row : stride;
    for (int first = 0; first < rows; first += lot) {
        const int count = rows - first < lot ? rows - first : lot;
        const snncc_matrix part = {a.at + (size_t)first * a.row, a.row, a.column};
        snncc_real *const to = y.at + (size_t)first * y.row, *const sums = direct ? to : own;
        if (add && !direct)
            for (int i = 0; i < count; i++)
                for (int j = 0; j < width; j++) own[i * stride + j] = to[(size_t)i * y.row + (size_t)j * y.column];
        if (zeros)
            snncc_matmul_counted(zeros == 1, crossover, vectors, add, count, terms, part, columns, step, sums);
        else
            snncc_dense(vectors, add, count, terms, a.row, a.column, stride, step, part.at, columns, NULL, sums);
        if (!direct)
            for (int i = 0; i < count; i++)
                for (int j = 0; j < width; j++) to[(size_t)i * y.row + (size_t)j * y.column] = own[i * stride + j];
    }
}

/* Columns of y = a b, so many of them. */
SNNCC_INLINE void snncc_matmul_columns(int zeros, int width, int n, int k, snncc_matrix a, snncc_matrix b,
                                       snncc_result y)
{
    enum { ROOM = SNNCC_MATMUL_TERMS * SNNCC_MATMUL_COLUMNS };
    snncc_real columns[ROOM];
    const int vectors = (width + SNNCC_LANES - 1) / SNNCC_LANES;
    for (int from = 0; from < k; from += SNNCC_MATMUL_TERMS) {
        const int terms = k - from < SNNCC_MATMUL_TERMS ? k - from : SNNCC_MATMUL_TERMS;
        const snncc_matrix left = {a.at + (size_t)from * a.column, a.row, a.column};
        const snncc_matrix right = {b.at + (size_t)from * b.row, b.row, b.column};
        snncc_matmul_gather(terms, width, vectors, right, columns);
        snncc_matmul_part(zeros, vectors, width, from > 0, n, terms, left, columns, y);
    }
}

/* y = a b; a: [n][k], b: [k][m], y: [n][m]. */
SNNCC_INLINE void snncc_matmul_one(int zeros, int n, int k, int m, snncc_matrix a, snncc_matrix b, snncc_result y)
{
    enum { WIDE = SNNCC_MATMUL_COLUMNS };
    for (int first = 0; first < m; first += WIDE) {
        const snncc_matrix right = {b.at + (size_t)first * b.column, b.row, b.column};
        const snncc_result part = {y.at + (size_t)first * y.column, y.row, y.column};
        if (m - first >= WIDE)
            snncc_matmul_columns(zeros, WIDE, n, k, a, right, part);
        else
            snncc_matmul_columns(zeros, m % WIDE, n, k, a, right, part);
    }
}

/* `matrices` products in each row. a: [n][k], or [k][n] if a_turned; b: [k][m], or [m][k] if b_turned. Rows are
 * a_pitch, b_pitch and y_pitch apart; pads of y become 0. a_zeros, b_zeros: as of snncc_matmul_part, at most one of them
 * not 0; if it is b, the transposed product is computed. Lists are not worth it where each entry adds one vector only,
 * or where both a and y would have to be turned. */
SNNCC_INLINE void snncc_matmul(int rows, int a_zeros, int b_zeros, int matrices, int n, int k, int m, int a_turned,
                               int b_turned, int a_pitch, int b_pitch, int y_pitch, const snncc_real *a,
                               const snncc_real *b, snncc_real *y, const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int a_row = a_turned ? 1 : k, a_column = a_turned ? n : 1;
    const int b_row = b_turned ? 1 : m, b_column = b_turned ? k : 1;
    for (int row = mine.begin; row < mine.end; row++) {
        snncc_real *const to = y + (size_t)row * y_pitch;
        for (int h = 0; h < matrices; h++) {
            const snncc_real *const a_at = a + (size_t)row * a_pitch + (size_t)h * n * k;
            const snncc_real *const b_at = b + (size_t)row * b_pitch + (size_t)h * k * m;
            snncc_real *const y_at = to + (size_t)h * n * m;
            if (b_zeros && n > SNNCC_LANES && (a_turned || b_turned))
                snncc_matmul_one(b_zeros, m, k, n, (snncc_matrix){b_at, b_column, b_row},
                                 (snncc_matrix){a_at, a_column, a_row}, (snncc_result){y_at, 1, m});
            else
                snncc_matmul_one(m > SNNCC_LANES ? a_zeros : 0, n, k, m, (snncc_matrix){a_at, a_row, a_column},
                                 (snncc_matrix){b_at, b_row, b_column}, (snncc_result){y_at, m, 1});
        }
        for (int i = matrices * n * m; i < y_pitch; i++) to[i] = 0;
    }
}

#endif
