/* Where the time of a call goes. Each thread counts for itself, in memory of the caller; where the caller gives none, a
 * tick is one comparison. */
#ifndef SNNCC_PROFILE_H
#define SNNCC_PROFILE_H

#include "target.h"
#include "events.h"

#if defined(__unix__) || defined(__APPLE__)
#include <time.h>
#endif

/* What is counted of a kernel: nanoseconds, calls, events that it read or listed, calls that chose the dense product. */
#define SNNCC_COUNTS 4

/* The kernel whose time threads pass waiting for each other. */
#define SNNCC_WAITING 0

/* One thread's counts, [kernels][SNNCC_COUNTS] or NULL, and when its last kernel ended. */
typedef struct {
    int64_t *counts, last;
} snncc_profile;

/* Nanoseconds since some time; 0 where there is no clock. */
SNNCC_FUNCTION int64_t snncc_now(void)
{
#ifdef TIME_UTC
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#else
    return 0;
#endif
}

/* The profile of thread `worker`, whose first kernel begins now. counts: [threads][kernels][SNNCC_COUNTS], or NULL. */
SNNCC_INLINE snncc_profile snncc_profile_start(int64_t *counts, int kernels, int worker)
{
    snncc_profile profile = {NULL, 0};
    if (counts) {
        profile.counts = counts + (size_t)worker * kernels * SNNCC_COUNTS;
        profile.last = snncc_now();
    }
    return profile;
}

SNNCC_FUNCTION SNNCC_NOINLINE void snncc_count(snncc_profile *profile, int kernel, int64_t events, int dense)
{
    int64_t *const counts = profile->counts + (size_t)kernel * SNNCC_COUNTS;
    const int64_t now = snncc_now();
    counts[0] += now - profile->last;
    counts[1] += 1;
    counts[2] += events;
    counts[3] += dense;
    profile->last = now;
}

/* After a kernel: all since the last tick was its time. */
SNNCC_INLINE void snncc_tick(snncc_profile *profile, int kernel)
{
    if (profile->counts) snncc_count(profile, kernel, 0, 0);
}

/* After a kernel that reads or makes the events of `rows` rows. */
SNNCC_INLINE void snncc_tick_events(snncc_profile *profile, int kernel, snncc_events events, int rows)
{
    if (profile->counts) snncc_count(profile, kernel, events.offsets[rows], 0);
}

/* After a product of `rows` rows of n features that is dense from a density of `crossover` on. */
SNNCC_INLINE void snncc_tick_counted(snncc_profile *profile, int kernel, snncc_events events, int rows, int n,
                                     double crossover)
{
    if (profile->counts)
        snncc_count(profile, kernel, events.offsets[rows], events.offsets[rows] >= crossover * rows * n);
}

#endif
