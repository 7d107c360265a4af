/* Where the time of a call goes. Each thread counts for itself, in memory of the caller; where the caller gives none, a
 * tick is one comparison. */
#ifndef SNNCC_PROFILE_H
#define SNNCC_PROFILE_H

#include "target.h"

/* A clock that counts evenly on all cores and needs no library; the caller finds out how fast. 0 where there is none:
 * define SNNCC_NOW to have another one. */
#ifndef SNNCC_NOW
#if defined(__x86_64__) || defined(__i386__)
#define SNNCC_NOW() (int64_t) __builtin_ia32_rdtsc()
#elif defined(__aarch64__)
#define SNNCC_NOW() snncc_virtual_counter()
#else
#define SNNCC_NOW() (int64_t)0
#endif
#endif

#ifdef __aarch64__
SNNCC_INLINE int64_t snncc_virtual_counter(void)
{
    int64_t now;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
}
#endif

/* What is counted of a kernel: ticks of the clock, calls, events that it read or listed, calls that went dense. */
#define SNNCC_COUNTS 4

/* The kernel whose time threads pass waiting for each other. */
#define SNNCC_WAITING 0

/* One thread's counts, [kernels][SNNCC_COUNTS] or NULL, and when its last kernel ended. */
typedef struct {
    int64_t *counts, last;
} snncc_profile;

/* The profile of thread `worker`, whose first kernel begins now. counts: [threads][kernels][SNNCC_COUNTS], or NULL. */
SNNCC_INLINE snncc_profile snncc_profile_start(int64_t *counts, int kernels, int worker)
{
    snncc_profile profile = {NULL, 0};
    if (counts) {
        profile.counts = counts + (size_t)worker * kernels * SNNCC_COUNTS;
        profile.last = SNNCC_NOW();
    }
    return profile;
}

/* All since the last count was the kernel's time. */
SNNCC_FUNCTION SNNCC_NOINLINE void snncc_count(snncc_profile *profile, int kernel, int calls, int64_t events, int dense)
{
    int64_t *const counts = profile->counts + (size_t)kernel * SNNCC_COUNTS;
    const int64_t now = SNNCC_NOW();
    counts[0] += now - profile->last;
    counts[1] += calls;
    counts[2] += events;
    counts[3] += dense;
    profile->last = now;
}

/* After a kernel. */
SNNCC_INLINE void snncc_tick(snncc_profile *profile, int kernel)
{
    if (profile->counts) snncc_count(profile, kernel, 1, 0, 0);
}

/* The time, where it is wanted. */
SNNCC_INLINE int64_t snncc_now(const snncc_profile *profile)
{
    return profile->counts ? SNNCC_NOW() : 0;
}

/* After waiting for other threads, maybe within a kernel: its time goes on as if there had been no wait. */
SNNCC_INLINE void snncc_waited(snncc_profile *profile, int64_t since)
{
    if (!profile->counts) return;
    const int64_t waited = SNNCC_NOW() - since;
    int64_t *const counts = profile->counts + (size_t)SNNCC_WAITING * SNNCC_COUNTS;
    counts[0] += waited;
    counts[1] += 1;
    profile->last += waited;
}

#endif
