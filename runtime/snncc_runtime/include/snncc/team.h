/* Threads. Each slot of the batch is worked on by a crew of one or more threads, which share the panels of a layer, and
 * the rows of what lies between such loops, and meet where one reads what others have made; what is not worth sharing
 * runs on the first of them. Without OpenMP there is one thread. */
#ifndef SNNCC_TEAM_H
#define SNNCC_TEAM_H

#include "target.h"
#include "profile.h"

#ifdef _OPENMP
#include <omp.h>
#define SNNCC_PARALLEL(threads) SNNCC_PRAGMA(omp parallel num_threads(threads))
#define SNNCC_WORKER omp_get_thread_num()
#define SNNCC_WORKERS omp_get_num_threads()
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
long syscall(long number, ...); /* as in unistd.h, which has it only beyond standard C */
#elif defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif
#else
#define SNNCC_PARALLEL(threads)
#define SNNCC_WORKER 0
#define SNNCC_WORKERS 1
#endif

/* What the threads of a slot share: one cache line. */
typedef struct {
    int32_t arrived, turn, asleep, status, unused[12];
} snncc_team;

/* One thread's place in its team, and what it counts. fresh: nothing was added to the slot's weight gradients so far. */
typedef struct {
    snncc_team *team;
    int part, parts, fresh;
    snncc_profile *profile;
} snncc_crew;

/* Turns of a waiting loop, about 25 microseconds, before a thread sleeps: what others of its crew do alone mostly takes
 * less, and on busy cores whoever spins for longer keeps the one that it waits for from running. */
#define SNNCC_SPINS 1000

SNNCC_INLINE void snncc_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

#ifdef _OPENMP
/* Sleeps until *turn is no longer `old`; may return before. */
SNNCC_INLINE void snncc_sleep(int32_t *turn, int32_t old)
{
#ifdef __linux__
    syscall(SYS_futex, turn, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
#else
    (void)turn, (void)old;
#if defined(__unix__) || defined(__APPLE__)
    sched_yield();
#endif
#endif
}

SNNCC_INLINE void snncc_wake(int32_t *turn)
{
#ifdef __linux__
    syscall(SYS_futex, turn, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
#else
    (void)turn;
#endif
}

/* Nobody is lost: who sleeps counts itself before it looks at the turn, who wakes looks at the count after. */
SNNCC_FUNCTION void snncc_await(snncc_team *team, int32_t old)
{
    for (int spins = 0; spins < SNNCC_SPINS; spins++) {
        if (__atomic_load_n(&team->turn, __ATOMIC_ACQUIRE) != old) return;
        snncc_pause();
    }
    __atomic_add_fetch(&team->asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&team->turn, __ATOMIC_SEQ_CST) == old) snncc_sleep(&team->turn, old);
    __atomic_sub_fetch(&team->asleep, 1, __ATOMIC_SEQ_CST);
}
#endif

/* All threads of the crew have come here. What they wrote before is visible to the others after. */
SNNCC_FUNCTION void snncc_meet(const snncc_crew *crew)
{
#ifdef _OPENMP
    snncc_team *const team = crew->team;
    if (crew->parts == 1) return;
    const int32_t turn = __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) < crew->parts) {
        const int64_t since = snncc_now(crew->profile);
        snncc_await(team, turn);
        snncc_waited(crew->profile, since);
        return;
    }
    __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&team->turn, turn + 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&team->asleep, __ATOMIC_SEQ_CST)) snncc_wake(&team->turn);
#else
    (void)crew;
#endif
}

/* Keeps a bad status of a slot; of several the highest, whichever thread found it first. */
SNNCC_INLINE void snncc_note(snncc_team *team, int32_t status)
{
    int32_t known = __atomic_load_n(&team->status, __ATOMIC_RELAXED);
    while (known < status && !__atomic_compare_exchange_n(&team->status, &known, status, 0, __ATOMIC_RELAXED,
                                                          __ATOMIC_RELAXED)) {}
}

/* Where part `part` of `count` things begins; it ends where the next part begins. */
SNNCC_INLINE size_t snncc_share(size_t count, int part, int parts)
{
    return count * (size_t)part / (size_t)parts;
}

/* Things begin .. end of some. */
typedef struct {
    int begin, end;
} snncc_range;

/* This thread's part of `count` things that the crew shares. */
SNNCC_INLINE snncc_range snncc_part(const snncc_crew *crew, int count)
{
    snncc_range mine;
    mine.begin = (int)snncc_share((size_t)count, crew->part, crew->parts);
    mine.end = (int)snncc_share((size_t)count, crew->part + 1, crew->parts);
    return mine;
}

/* A crew of this thread alone, for what it does not share. */
SNNCC_INLINE snncc_crew snncc_alone(const snncc_crew *crew)
{
    snncc_crew alone = *crew;
    alone.part = 0;
    alone.parts = 1;
    return alone;
}

/* counts[0] + .. + counts[end - 1], of which each thread has written its part; they may be overwritten after. */
SNNCC_INLINE int32_t snncc_sum_before(const snncc_crew *crew, const int32_t *counts, int end)
{
    int32_t sum = 0;
    snncc_meet(crew);
    for (int k = 0; k < end; k++) sum += counts[k];
    snncc_meet(crew);
    return sum;
}

/* Threads for each slot: all of them, evenly, but at least one. */
SNNCC_INLINE int snncc_crew_size(int workers, int slots)
{
    return workers > slots ? workers / slots : 1;
}

#endif
