/* Sparse rows: packed spike bits, and lists of the nonzeros ("events") of each row of a tile. */
#ifndef SNNCC_EVENTS_H
#define SNNCC_EVENTS_H

#include "target.h"
#include "team.h"
#include "layout.h"

/* Places in a list: features, or rows of a tile where a list is by input. 16 bits halve what is read of a list of spikes;
 * generated code asks for 32 where a list would name a place beyond 65535. */
#ifndef SNNCC_INDEX_BITS
#define SNNCC_INDEX_BITS 16
#endif
#if SNNCC_INDEX_BITS == 16
typedef uint16_t snncc_index;
#elif SNNCC_INDEX_BITS == 32
typedef int32_t snncc_index;
#else
#error "SNNCC_INDEX_BITS must be 16 or 32"
#endif

/* Forms of lists: of ones, of numbers, and of numbers that kernels read only where few are not 0. */
enum { SNNCC_ONES, SNNCC_VALUED, SNNCC_COUNTED };

/* Row r holds the entries offsets[r] .. offsets[r + 1] of index (ascending feature numbers) and value. Without value
 * all entries are ones. A counted list ends early where it has no room for a row: see snncc_is_dense. */
typedef struct {
    int32_t *offsets;
    snncc_index *index;
    snncc_real *value;
    int form;
} snncc_events;

/* The density that a counted list has room for: dense kernels are faster from there on at the latest. */
#define SNNCC_LISTED 0.625

/* Entries that a list of `rows` rows of n features has room for. A counted one ends before the row that might not fit,
 * and is then denser than SNNCC_LISTED. */
SNNCC_INLINE size_t snncc_list_room(size_t rows, size_t n, int form)
{
    return form == SNNCC_COUNTED ? (rows * n * 5 + 7) / 8 + n : rows * n;
}

/* Bytes for so many entries of `size` bytes, and for one more vector: entries are appended a vector at a time. */
SNNCC_INLINE size_t snncc_event_room(size_t entries, size_t size)
{
    return snncc_align(entries * size + 64);
}

/* Bytes for the events of `rows` rows of n features. */
SNNCC_INLINE size_t snncc_events_bytes(size_t rows, size_t n, int form)
{
    const size_t entries = snncc_list_room(rows, n, form);
    return snncc_align((rows + 1) * sizeof(int32_t)) + snncc_event_room(entries, sizeof(snncc_index)) +
           (form != SNNCC_ONES ? snncc_event_room(entries, sizeof(snncc_real)) : 0);
}

/* Events in the snncc_events_bytes at `base`, which is aligned to 64 bytes. */
SNNCC_INLINE snncc_events snncc_events_at(void *base, int rows, int n, int form)
{
    char *const bytes = (char *)base;
    const size_t index = snncc_align(((size_t)rows + 1) * sizeof(int32_t));
    const size_t room = snncc_list_room((size_t)rows, (size_t)n, form);
    const size_t value = index + snncc_event_room(room, sizeof(snncc_index));
    snncc_events events;
    events.offsets = (int32_t *)(void *)bytes;
    events.index = (snncc_index *)(void *)(bytes + index);
    events.value = form != SNNCC_ONES ? (snncc_real *)(void *)(bytes + value) : NULL;
    events.form = form;
    return events;
}

SNNCC_INLINE int32_t snncc_events_count(snncc_events events, int rows)
{
    return events.offsets[rows];
}

/* Whether the dense kernel is the faster one for the events of rows of n features. A counted list that ended early is
 * dense whatever the crossover, and so never read. */
SNNCC_INLINE int snncc_is_dense(snncc_events events, int rows, int n, double crossover)
{
    return snncc_events_count(events, rows) >= (crossover < SNNCC_LISTED ? crossover : SNNCC_LISTED) * rows * n;
}

#if defined(__AVX512F__) && defined(__AVX512VL__) && !defined(SNNCC_PORTABLE)
#define SNNCC_AVX512
#endif

/* Compiler built-ins rather than <immintrin.h>, which would take longer to compile than most models. */
#ifdef SNNCC_AVX512
typedef int32_t snncc_lane_index __attribute__((vector_size(SNNCC_LANES * sizeof(int32_t))));
typedef snncc_index snncc_places
    __attribute__((vector_size(SNNCC_LANES * sizeof(snncc_index)), aligned(sizeof(snncc_index)), may_alias));
#if SNNCC_REAL_BITS == 32
#define SNNCC_NOT_ZERO(x) (uint16_t) __builtin_ia32_cmpps512_mask(x, (snncc_vec){0}, 4, -1, 4)
#define SNNCC_COMPRESS_INDEX(x, mask) __builtin_ia32_compresssi512_mask(x, (snncc_lane_index){0}, mask)
#define SNNCC_COMPRESS(x, mask) __builtin_ia32_compresssf512_mask(x, (snncc_vec){0}, mask)
#define SNNCC_NARROW_INDEX(x) __builtin_ia32_pmovdw512_mask(x, (snncc_short_index){0}, -1)
#else
#define SNNCC_NOT_ZERO(x) (uint8_t) __builtin_ia32_cmppd512_mask(x, (snncc_vec){0}, 4, -1, 4)
#define SNNCC_COMPRESS_INDEX(x, mask) __builtin_ia32_compresssi256_mask(x, (snncc_lane_index){0}, mask)
#define SNNCC_COMPRESS(x, mask) __builtin_ia32_compressdf512_mask(x, (snncc_vec){0}, mask)
#define SNNCC_NARROW_INDEX(x) __builtin_ia32_pmovdw256_mask(x, (snncc_short_index){0}, -1)
#endif
#if SNNCC_INDEX_BITS == 16
typedef int16_t snncc_short_index __attribute__((vector_size(SNNCC_LANES * sizeof(int16_t))));
#else
#undef SNNCC_NARROW_INDEX
#define SNNCC_NARROW_INDEX(x) (x)
#endif
#endif

/* Bit i: x[i] is not 0, for one vector of x. */
SNNCC_INLINE uint32_t snncc_nonzeros(const snncc_real *x)
{
#if defined(SNNCC_AVX512)
    return SNNCC_NOT_ZERO(*(const snncc_vec *)x);
#elif defined(__AVX__) && SNNCC_REAL_BITS == 32 && !defined(SNNCC_PORTABLE)
    typedef float half __attribute__((vector_size(32), aligned(4), may_alias));
    const half zero = {0};
    const half *const halves = (const half *)x;
    const uint32_t low = (uint32_t)__builtin_ia32_movmskps256((half)(halves[0] != zero));
    const uint32_t high = (uint32_t)__builtin_ia32_movmskps256((half)(halves[1] != zero));
    return low | high << 8;
#else
    uint32_t bits = 0;
    for (int i = 0; i < SNNCC_LANES; i++) bits |= (uint32_t)(x[i] != (snncc_real)0) << i;
    return bits;
#endif
}

/* Bits of up to 64 spikes: bit i of *word is set where spikes[i] is not 0, for i < width; the others are 0. */
SNNCC_INLINE void snncc_pack(const snncc_real *spikes, int width, uint64_t *word)
{
    uint64_t bits = 0;
    int i = 0;
    for (; i + SNNCC_LANES <= width; i += SNNCC_LANES) bits |= (uint64_t)snncc_nonzeros(spikes + i) << i;
    for (; i < width; i++) bits |= (uint64_t)(spikes[i] != (snncc_real)0) << i;
    *word = bits;
}

/* x[i] = bit i as 0.0 or 1.0, for i < n. */
SNNCC_FUNCTION void snncc_unpack(const uint64_t *bits, int n, snncc_real *x)
{
    int i = 0;
    for (; i + SNNCC_LANES <= n; i += SNNCC_LANES) {
        const uint32_t lanes = (uint32_t)(bits[i / 64] >> i % 64);
        for (int k = 0; k < SNNCC_LANES; k++) x[i + k] = (snncc_real)(int32_t)(lanes >> k & 1u);
    }
    if (i < n) {
        const uint32_t lanes = (uint32_t)(bits[i / 64] >> i % 64);
        for (int k = 0; i + k < n; k++) x[i + k] = (snncc_real)(int32_t)(lanes >> k & 1u);
    }
}

/* Appends first + i for each bit i of `lanes`, at `end`, and the values x[first + i] where both are given. May write a
 * vector at the end, whatever the number of bits. Returns the new end. */
SNNCC_INLINE int32_t snncc_append(snncc_events events, int32_t end, int32_t first, uint32_t lanes, const snncc_real *x)
{
#ifdef SNNCC_AVX512
    /* Compressing in a register: no loop whose length the processor would have to guess. */
#if SNNCC_REAL_BITS == 32
    const snncc_lane_index lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#else
    const snncc_lane_index lane = {0, 1, 2, 3, 4, 5, 6, 7};
#endif
    const snncc_lane_index set = SNNCC_COMPRESS_INDEX(lane + first, lanes);
    *(snncc_places *)(events.index + end) = (snncc_places)SNNCC_NARROW_INDEX(set);
    if (x) *(snncc_vec *)(events.value + end) = (snncc_vec)SNNCC_COMPRESS(*(const snncc_vec *)(x + first), lanes);
    return end + __builtin_popcount(lanes);
#else
    for (; lanes; lanes &= lanes - 1, end++) {
        const int32_t i = first + __builtin_ctz(lanes);
        events.index[end] = (snncc_index)i;
        if (x) events.value[end] = x[i];
    }
    return end;
#endif
}

#if defined(SNNCC_AVX512) && defined(__AVX512VBMI2__) && defined(__AVX512BW__)
#define SNNCC_AVX512_BYTES
typedef char snncc_bytes __attribute__((vector_size(64)));
/* 64 bytes of indices, and as many of bytes. */
enum { SNNCC_WIDE = 64 / (int)sizeof(snncc_index) };
typedef snncc_index snncc_indices __attribute__((vector_size(64), aligned(sizeof(snncc_index)), may_alias));

/* index[k] = first + byte k, for SNNCC_WIDE bytes. */
SNNCC_INLINE void snncc_widen(const char *bytes, int32_t first, snncc_index *index)
{
    typedef char part __attribute__((vector_size(64 / sizeof(snncc_index)), aligned(1), may_alias));
#ifdef __clang__
    *(snncc_indices *)index = __builtin_convertvector(*(const part *)bytes, snncc_indices) + (snncc_index)first;
#elif SNNCC_INDEX_BITS == 16
    /* Converting a vector is scalar code in gcc 12. */
    typedef int16_t shorts __attribute__((vector_size(64)));
    const snncc_indices set = (snncc_indices)__builtin_ia32_pmovzxbw512_mask(*(const part *)bytes, (shorts){0}, -1);
    *(snncc_indices *)index = set + (snncc_index)first;
#else
    const snncc_indices set = (snncc_indices)__builtin_ia32_pmovzxbd512_mask(*(const part *)bytes, (snncc_indices){0}, -1);
    *(snncc_indices *)index = set + first;
#endif
}
#endif

/* Appends first + i for each bit i of `word`; otherwise as snncc_append. */
SNNCC_INLINE int32_t snncc_append_word(snncc_events events, int32_t end, int32_t first, uint64_t word)
{
#ifdef SNNCC_AVX512_BYTES
    /* One instruction compresses the places of 64 bits, as bytes. Few words have more than SNNCC_WIDE. */
    const snncc_bytes places = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
                                44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const int count = __builtin_popcountll(word);
    const snncc_bytes set = __builtin_ia32_compressqi512_mask(places, (snncc_bytes){0}, word);
    snncc_widen((const char *)&set, first, events.index + end);
    for (int done = SNNCC_WIDE; done < count; done += SNNCC_WIDE)
        snncc_widen((const char *)&set + done, first, events.index + end + done);
    return end + count;
#else
    for (int i = 0; i < 64 && word >> i; i += SNNCC_LANES)
        end = snncc_append(events, end, first + i, (uint32_t)(word >> i) & ((1u << SNNCC_LANES) - 1u), NULL);
    return end;
#endif
}

/* The same for the places of a word's bits alone, with the values x[first + i] where x is given: nothing is written
 * after the new end. */
SNNCC_INLINE int32_t snncc_append_exactly(snncc_events events, int32_t end, int32_t first, uint64_t word,
                                          const snncc_real *x)
{
    for (; word; word &= word - 1, end++) {
        const int32_t i = first + __builtin_ctzll(word);
        events.index[end] = (snncc_index)i;
        if (x) events.value[end] = x[i];
    }
    return end;
}

/* The most entries that are written after those of a row. */
#define SNNCC_SPILL (64 / (int)sizeof(snncc_index))

/* Events of a row of spike bits. */
SNNCC_INLINE int32_t snncc_list_bits(snncc_events events, int32_t end, int n, const uint64_t *bits, int exactly)
{
    for (int i = 0; i < n; i += 64)
        end = exactly ? snncc_append_exactly(events, end, i, bits[i / 64], NULL)
                      : snncc_append_word(events, end, i, bits[i / 64]);
    return end;
}

/* Events of the nonzeros of a row. */
SNNCC_INLINE int32_t snncc_list_row(snncc_events events, int32_t end, int n, const snncc_real *x, int exactly)
{
    int i = 0;
    for (; (exactly || !events.value) && i < n; i += 64) {
        uint64_t word;
        snncc_pack(x + i, n - i < 64 ? n - i : 64, &word);
        end = exactly ? snncc_append_exactly(events, end, i, word, events.value ? x : NULL)
                      : snncc_append_word(events, end, i, word);
    }
    for (; i + SNNCC_LANES <= n; i += SNNCC_LANES) end = snncc_append(events, end, i, snncc_nonzeros(x + i), x);
    for (; i < n; i++) {
        events.index[end] = (snncc_index)i;
        events.value[end] = x[i];
        end += x[i] != (snncc_real)0;
    }
    return end;
}

SNNCC_INLINE int32_t snncc_count_bits(size_t words, const uint64_t *bits)
{
    int32_t count = 0;
    for (size_t w = 0; w < words; w++) count += __builtin_popcountll(bits[w]);
    return count;
}

/* How many nonzeros the rows begin .. end have, in offsets of their own. x and bits: as in snncc_list. */
SNNCC_INLINE int32_t snncc_count_rows(snncc_events events, snncc_range rows, int n, snncc_rows x, const uint64_t *bits)
{
    const int words = (n + 63) / 64;
    int32_t all = 0;
    for (int row = rows.begin; row < rows.end; row++) {
        int32_t count = bits ? snncc_count_bits((size_t)words, bits + (size_t)row * words) : 0;
        for (int i = 0; !bits && i < n; i += 64) {
            uint64_t word;
            snncc_pack(snncc_row(x, row) + i, n - i < 64 ? n - i : 64, &word);
            count += __builtin_popcountll(word);
        }
        events.offsets[row] = count;
        all += count;
    }
    return all;
}

/* Lists rows of nonzeros, or of spike bits where there are any. Threads that share them count first, to know where their
 * own begin: nonzeros each of its own rows, bits, which is quicker than to meet, also of all rows before. A thread's
 * last rows leave the next one's first entries alone. Returns where this thread's events lie; the list ends with them
 * where the next row might not fit. */
SNNCC_INLINE snncc_range snncc_list(snncc_events events, int rows, int n, snncc_rows x, const uint64_t *bits,
                                    const snncc_crew *crew)
{
    const int words = (n + 63) / 64, shared = crew->parts > 1;
    const int32_t last = (int32_t)snncc_list_room((size_t)rows, (size_t)n, events.form) - n;
    const snncc_range mine = snncc_part(crew, rows);
    int32_t begin = 0, limit = 0;
    if (shared) {
        const int32_t count = snncc_count_rows(events, mine, n, x, bits);
        begin = bits ? snncc_count_bits((size_t)mine.begin * words, bits)
                     : snncc_sum_before(crew, events.offsets, mine.begin);
        limit = begin + count;
    }
    int32_t end = begin;
    for (int row = mine.begin; row < mine.end && end <= last; row++) {
        const int exactly = shared && end + events.offsets[row] + SNNCC_SPILL > limit;
        events.offsets[row] = end;
        end = bits ? snncc_list_bits(events, end, n, bits + (size_t)row * words, exactly)
                   : snncc_list_row(events, end, n, snncc_row(x, row), exactly);
    }
    if (crew->part == crew->parts - 1) events.offsets[rows] = end;
    return (snncc_range){begin, end};
}

/* Events of spike bits: rows of (n + 63) / 64 words, in which the bits from n on are 0. All values are 1: where the
 * events have room for values, they are filled in. All threads of the crew call it; returns how many events this one
 * has listed. */
SNNCC_FUNCTION int32_t snncc_events_from_bits(snncc_events events, int rows, int n, const uint64_t *bits,
                                              const snncc_crew *crew)
{
    const snncc_range mine = snncc_list(events, rows, n, (snncc_rows){0}, bits, crew);
    if (events.value)
        for (int32_t e = mine.begin; e < mine.end; e++) events.value[e] = 1;
    return mine.end - mine.begin;
}

/* Bits of the nonzeros of rows of n features. */
SNNCC_FUNCTION void snncc_pack_rows(int rows, int n, int stride, const snncc_real *x, uint64_t *bits,
                                    const snncc_crew *crew)
{
    const snncc_range mine = snncc_part(crew, rows);
    const int words = (n + 63) / 64;
    for (int row = mine.begin; row < mine.end; row++)
        for (int i = 0; i < n; i += 64)
            snncc_pack(x + (size_t)row * stride + i, n - i < 64 ? n - i : 64, bits + (size_t)row * words + i / 64);
}

/* Events of the spikes `count` steps before those of `bits`: first the nonzeros of `initial`, then the spikes of all steps
 * but the last ones, `all` rows together. initial: what comes out at step t, counted from `start` on, at t % count, samples
 * and steps as far apart as said. One thread's work. Returns how many there are. */
SNNCC_FUNCTION int32_t snncc_events_from_previous(snncc_events events, int all, int rows, int n, int count, int start,
                                                  int sample, int step, const snncc_real *initial, const uint64_t *bits)
{
    int32_t end = 0;
    for (int row = 0; row < all; row++) {
        const int t = row / rows;
        events.offsets[row] = end;
        if (t < count) {
            const snncc_real *const x = initial + (size_t)((start + t) % count) * step + (size_t)(row % rows) * sample;
            end = snncc_list_row(events, end, n, x, 0);
        } else {
            end = snncc_list_bits(events, end, n, bits + (size_t)(row - count * rows) * ((n + 63) / 64), 0);
        }
    }
    events.offsets[all] = end;
    return end;
}

/* The same of the nonzeros of rows of n features; without events.value only where they are. */
SNNCC_FUNCTION int32_t snncc_events_from_rows(snncc_events events, int rows, int n, int stride, const snncc_real *x,
                                              const snncc_crew *crew)
{
    const snncc_range mine = snncc_list(events, rows, n, (snncc_rows){x, stride, rows, rows}, NULL, crew);
    return mine.end - mine.begin;
}

/* The same of rows of the caller's array, with values; notes SNNCC_FINITE if a number is NaN or infinite, for those are
 * listed. */
SNNCC_FUNCTION int32_t snncc_events_from_given(snncc_events events, int rows, int n, snncc_rows x, const snncc_crew *crew)
{
    const snncc_range mine = snncc_list(events, rows, n, x, NULL, crew), of = snncc_part(crew, rows);
    const int ended = (size_t)mine.end + (size_t)n > snncc_list_room((size_t)rows, (size_t)n, events.form);
    int bad = 0;
    for (int32_t e = mine.begin; e < mine.end; e++) bad |= events.value[e] - events.value[e] != 0;
    for (int row = of.begin; ended && row < of.end; row++)
        for (int i = 0; i < n; i++) bad |= snncc_row(x, row)[i] - snncc_row(x, row)[i] != 0;
    if (bad) snncc_note(crew->team, SNNCC_FINITE);
    return mine.end - mine.begin;
}

#endif
