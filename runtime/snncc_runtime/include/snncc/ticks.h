/* What the profile counts after a kernel that reads or lists events, and after one that the threads of a crew share:
 * time of every thread, but one call. */
#ifndef SNNCC_TICKS_H
#define SNNCC_TICKS_H

#include "target.h"
#include "profile.h"
#include "team.h"
#include "events.h"

/* After a kernel that reads the events of `rows` rows. */
SNNCC_INLINE void snncc_tick_events(snncc_profile *profile, int kernel, snncc_events events, int rows)
{
    if (profile->counts) snncc_count(profile, kernel, 1, events.offsets[rows], 0);
}

/* After a product of `rows` rows of n features that is dense from a density of `crossover` on. */
SNNCC_INLINE void snncc_tick_counted(snncc_profile *profile, int kernel, snncc_events events, int rows, int n,
                                     double crossover)
{
    if (profile->counts)
        snncc_count(profile, kernel, 1, events.offsets[rows], snncc_is_dense(events, rows, n, crossover));
}

/* After a shared kernel that made `listed` events in this thread. */
SNNCC_INLINE void snncc_tick_listed(const snncc_crew *crew, int kernel, int32_t listed)
{
    if (crew->profile->counts) snncc_count(crew->profile, kernel, crew->part == 0, listed, 0);
}

/* After any other shared kernel. */
SNNCC_INLINE void snncc_tick_shared(const snncc_crew *crew, int kernel)
{
    snncc_tick_listed(crew, kernel, 0);
}

/* Shared, and as snncc_tick_events. */
SNNCC_INLINE void snncc_tick_shared_events(const snncc_crew *crew, int kernel, snncc_events events, int rows)
{
    snncc_tick_listed(crew, kernel, crew->part == 0 ? events.offsets[rows] : 0);
}

/* Shared, and as snncc_tick_counted. */
SNNCC_INLINE void snncc_tick_shared_counted(const snncc_crew *crew, int kernel, snncc_events events, int rows, int n,
                                            double crossover)
{
    if (crew->part == 0)
        snncc_tick_counted(crew->profile, kernel, events, rows, n, crossover);
    else
        snncc_tick_shared(crew, kernel);
}

#endif
