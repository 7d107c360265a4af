/* Threads. Each slot of the batch is worked on by a crew of one or more threads, which share the panels of a layer
 * and meet between kernels; what is not worth sharing runs on the first of them. Without OpenMP there is one thread. */
#ifndef SNNCC_TEAM_H
#define SNNCC_TEAM_H

#include "target.h"
#include "profile.h"

#ifdef _OPENMP
#include <omp.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#define SNNCC_YIELD() sched_yield()
#else
#define SNNCC_YIELD() (void)0
#endif
#define SNNCC_PARALLEL(threads) SNNCC_PRAGMA(omp parallel num_threads(threads))
#define SNNCC_WORKER omp_get_thread_num()
#define SNNCC_WORKERS omp_get_num_threads()
#else
#define SNNCC_PARALLEL(threads)
#define SNNCC_WORKER 0
#define SNNCC_WORKERS 1
#endif

/* What the threads of a slot share: one cache line. */
typedef struct {
    int32_t arrived, turn, status, unused[13];
} snncc_team;

/* One thread's place in its team, and what it counts. */
typedef struct {
    snncc_team *team;
    int part, parts;
    snncc_profile *profile;
} snncc_crew;

/* Turns of a waiting loop, some tens of microseconds, before a thread leaves the processor to others. */
#define SNNCC_SPINS 2000

SNNCC_INLINE void snncc_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* All threads of the crew have come here. What they wrote before is visible to the others after. */
SNNCC_FUNCTION void snncc_meet(const snncc_crew *crew)
{
#ifdef _OPENMP
    snncc_team *const team = crew->team;
    if (crew->parts == 1) return;
    const int32_t turn = __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == crew->parts) {
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE) == turn; spins++) {
        if (spins < SNNCC_SPINS)
            snncc_pause();
        else
            SNNCC_YIELD();
    }
    snncc_tick(crew->profile, SNNCC_WAITING);
#else
    (void)crew;
#endif
}

/* Keeps the first bad status of a slot. */
SNNCC_INLINE void snncc_note(snncc_team *team, int32_t status)
{
    if (!team->status) team->status = status;
}

/* Where part `part` of `count` things begins; it ends where the next part begins. */
SNNCC_INLINE size_t snncc_share(size_t count, int part, int parts)
{
    return count * (size_t)part / (size_t)parts;
}

/* Threads for each slot: all of them, evenly, but at least one. */
SNNCC_INLINE int snncc_crew_size(int workers, int slots)
{
    return workers > slots ? workers / slots : 1;
}

#endif
