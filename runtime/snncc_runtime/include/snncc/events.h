/* Sparse rows: packed spike bits, and lists of the nonzeros ("events") of each row of a tile. */
#ifndef SNNCC_EVENTS_H
#define SNNCC_EVENTS_H

#include "target.h"
#include "team.h"

/* Row r holds the entries offsets[r] .. offsets[r + 1] of index (ascending feature numbers) and value. Without value
 * all entries are ones. */
typedef struct {
    int32_t *offsets;
    int32_t *index;
    snncc_real *value;
} snncc_events;

/* Room for `entries` and for one more vector of indices: entries are appended a vector at a time. */
#define SNNCC_EVENT_ROOM(entries) ((entries) + 16)

/* Bytes for the events of `rows` rows of n features at any density. */
SNNCC_INLINE size_t snncc_events_bytes(size_t rows, size_t n, int valued)
{
    const size_t room = SNNCC_EVENT_ROOM(rows * n);
    return snncc_align((rows + 1) * sizeof(int32_t)) + snncc_align(room * sizeof(int32_t)) +
           (valued ? snncc_align(room * sizeof(snncc_real)) : 0);
}

/* Events in the snncc_events_bytes at `base`, which is aligned to 64 bytes. */
SNNCC_INLINE snncc_events snncc_events_at(void *base, int rows, int n, int valued)
{
    char *const bytes = (char *)base;
    const size_t index = snncc_align(((size_t)rows + 1) * sizeof(int32_t));
    const size_t value = index + snncc_align(SNNCC_EVENT_ROOM((size_t)rows * n) * sizeof(int32_t));
    snncc_events events;
    events.offsets = (int32_t *)(void *)bytes;
    events.index = (int32_t *)(void *)(bytes + index);
    events.value = valued ? (snncc_real *)(void *)(bytes + value) : NULL;
    return events;
}

SNNCC_INLINE int32_t snncc_events_count(snncc_events events, int rows)
{
    return events.offsets[rows];
}

#if defined(__AVX512F__) && defined(__AVX512VL__) && !defined(SNNCC_PORTABLE)
#define SNNCC_AVX512
#endif

/* Compiler built-ins rather than <immintrin.h>, which would take longer to compile than most models. */
#ifdef SNNCC_AVX512
typedef int32_t snncc_lane_index
    __attribute__((vector_size(SNNCC_LANES * sizeof(int32_t)), aligned(sizeof(int32_t)), may_alias));
#if SNNCC_REAL_BITS == 32
#define SNNCC_NOT_ZERO(x) (uint16_t) __builtin_ia32_cmpps512_mask(x, (snncc_vec){0}, 4, -1, 4)
#define SNNCC_COMPRESS_INDEX(x, mask) __builtin_ia32_compresssi512_mask(x, (snncc_lane_index){0}, mask)
#define SNNCC_COMPRESS(x, mask) __builtin_ia32_compresssf512_mask(x, (snncc_vec){0}, mask)
#else
#define SNNCC_NOT_ZERO(x) (uint8_t) __builtin_ia32_cmppd512_mask(x, (snncc_vec){0}, 4, -1, 4)
#define SNNCC_COMPRESS_INDEX(x, mask) __builtin_ia32_compresssi256_mask(x, (snncc_lane_index){0}, mask)
#define SNNCC_COMPRESS(x, mask) __builtin_ia32_compressdf512_mask(x, (snncc_vec){0}, mask)
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
    *(snncc_lane_index *)(events.index + end) = (snncc_lane_index)SNNCC_COMPRESS_INDEX(lane + first, lanes);
    if (x) *(snncc_vec *)(events.value + end) = (snncc_vec)SNNCC_COMPRESS(*(const snncc_vec *)(x + first), lanes);
    return end + __builtin_popcount(lanes);
#else
    for (; lanes; lanes &= lanes - 1, end++) {
        const int32_t i = first + __builtin_ctz(lanes);
        events.index[end] = i;
        if (x) events.value[end] = x[i];
    }
    return end;
#endif
}

#if defined(SNNCC_AVX512) && defined(__AVX512VBMI2__)
#define SNNCC_AVX512_BYTES
typedef char snncc_bytes __attribute__((vector_size(64)));
typedef int32_t snncc_indices __attribute__((vector_size(64), aligned(4), may_alias));

/* index[k] = first + byte k, for 16 bytes. */
SNNCC_INLINE void snncc_widen(const char *bytes, int32_t first, int32_t *index)
{
    typedef char part __attribute__((vector_size(16), aligned(1), may_alias));
#ifdef __clang__
    *(snncc_indices *)index = __builtin_convertvector(*(const part *)bytes, snncc_indices) + first;
#else
    /* Converting a vector is scalar code in gcc 12. */
    const snncc_indices none = {0};
    *(snncc_indices *)index = (snncc_indices)__builtin_ia32_pmovzxbd512_mask(*(const part *)bytes, none, -1) + first;
#endif
}
#endif

/* Appends first + i for each bit i of `word`; otherwise as snncc_append. */
SNNCC_INLINE int32_t snncc_append_word(snncc_events events, int32_t end, int32_t first, uint64_t word)
{
#ifdef SNNCC_AVX512_BYTES
    /* One instruction compresses the places of 64 bits, as bytes. Few words have more than 16 of them. */
    const snncc_bytes places = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
                                44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const int count = __builtin_popcountll(word);
    const snncc_bytes set = __builtin_ia32_compressqi512_mask(places, (snncc_bytes){0}, word);
    snncc_widen((const char *)&set, first, events.index + end);
    for (int done = 16; done < count; done += 16)
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
        events.index[end] = i;
        if (x) events.value[end] = x[i];
    }
    return end;
}

/* The most entries that are written after those of a row. */
#define SNNCC_SPILL 16

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
        events.index[end] = i;
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
SNNCC_INLINE int32_t snncc_count_rows(snncc_events events, snncc_range rows, int n, int stride, const snncc_real *x,
                                      const uint64_t *bits)
{
    const int words = (n + 63) / 64;
    int32_t all = 0;
    for (int row = rows.begin; row < rows.end; row++) {
        int32_t count = x ? 0 : snncc_count_bits((size_t)words, bits + (size_t)row * words);
        for (int i = 0; x && i < n; i += 64) {
            uint64_t word;
            snncc_pack(x + (size_t)row * stride + i, n - i < 64 ? n - i : 64, &word);
            count += __builtin_popcountll(word);
        }
        events.offsets[row] = count;
        all += count;
    }
    return all;
}

/* Lists rows of nonzeros, or of spike bits where x is NULL. Threads that share them count first, to know where their
 * own begin: nonzeros each of its own rows, bits, which is quicker than to meet, also of all rows before. A thread's
 * last rows leave the next one's first entries alone. Returns where this thread's events lie. */
SNNCC_INLINE snncc_range snncc_list(snncc_events events, int rows, int n, int stride, const snncc_real *x,
                                    const uint64_t *bits, const snncc_crew *crew)
{
    const int words = (n + 63) / 64, shared = crew->parts > 1;
    const snncc_range mine = snncc_part(crew, rows);
    int32_t begin = 0, limit = 0;
    if (shared) {
        const int32_t count = snncc_count_rows(events, mine, n, stride, x, bits);
        begin = x ? snncc_sum_before(crew, events.offsets, mine.begin)
                  : snncc_count_bits((size_t)mine.begin * words, bits);
        limit = begin + count;
    }
    int32_t end = begin;
    for (int row = mine.begin; row < mine.end; row++) {
        const int exactly = shared && end + events.offsets[row] + SNNCC_SPILL > limit;
        events.offsets[row] = end;
        end = x ? snncc_list_row(events, end, n, x + (size_t)row * stride, exactly)
                : snncc_list_bits(events, end, n, bits + (size_t)row * words, exactly);
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
    const snncc_range mine = snncc_list(events, rows, n, 0, NULL, bits, crew);
    if (events.value)
        for (int32_t e = mine.begin; e < mine.end; e++) events.value[e] = 1;
    return mine.end - mine.begin;
}

/* The same of the nonzeros of rows of n features; without events.value only where they are. */
SNNCC_FUNCTION int32_t snncc_events_from_rows(snncc_events events, int rows, int n, int stride, const snncc_real *x,
                                              const snncc_crew *crew)
{
    const snncc_range mine = snncc_list(events, rows, n, stride, x, NULL, crew);
    return mine.end - mine.begin;
}

#endif
