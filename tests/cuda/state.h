/* What is known of the running kernel and its blocks. Only host.cpp, the one file that is compiled, sees it. */
#ifndef SNNCC_HOST_STATE_H
#define SNNCC_HOST_STATE_H

#include <vector>

#include "block.h"
#include "fibers.h"

namespace snncc_host {

enum Waits : uint8_t { NOT, FOR_WARP, FOR_BLOCK, FOR_GRID };

/* What others need of a thread that waits. */
struct Thread {
    Fiber *fiber = nullptr;
    Waits waits = NOT;
    Operation operation = SYNC;
    unsigned mask = 0;
    int source = 0; // the lane that a shuffle reads
    uint64_t value = 0, result = 0;
    void *meeting = nullptr; // anchor of the lanes that met
    unsigned meetings = 0;
};

/* What orders the threads of a block for ThreadSanitizer. Blocks have their own, which they leave to nobody. */
struct Anchors {
    char barrier[2];
    char came[MOST_THREADS], met[MOST_THREADS][2]; // to the warp's meeting; as the last, who tells the others
};

/* A copy of an array in shared memory, where several blocks are under way. */
struct Copy {
    Shared *array;
    void *memory;
};

/* How far a block is. */
struct Block {
    uint3 index = {0, 0, 0};
    uint64_t id = 0;         // see `blocks_run`
    unsigned set = 0, turn = 0; // which fibers it uses under ThreadSanitizer
    unsigned started = 0, finished = 0;
    unsigned thread = 0; // the running one, by threadIdx.x + blockDim.x * (threadIdx.y + ...)
    Thread waiting[MOST_THREADS];
    unsigned ready[MOST_THREADS], first_ready = 0, end_ready = 0; // who may go on
    // The barrier that threads wait at: where it is, how many came, sum of their predicates, and the last sum.
    const char *barrier = nullptr;
    unsigned at_barrier = 0, barriers = 0, at_grid = 0;
    int sum = 0, last_sum = 0;
    unsigned at_warp[MOST_THREADS / 32] = {}; // lanes that wait
    Anchors *anchors = nullptr;
    std::vector<Copy> copies;
};

static Block *block = nullptr; // the running one

static struct {
    void (*call)(void *) = nullptr; // runs the kernel for the current thread
    void *arguments = nullptr;
    unsigned threads = 0; // of a block
    bool together = false;
    unsigned grid_barriers = 0;
    uint3 place[MOST_THREADS];
    unsigned order[MOST_THREADS];
} kernel;

#if defined(__SANITIZE_THREAD__)
/* Never destroyed: what ends at exit has no order that the sanitizer knows. */
static std::vector<std::vector<Fiber *>> &fibers = *new std::vector<std::vector<Fiber *>>; // of a block, sets
#else
static std::vector<Fiber *> &idle = *new std::vector<Fiber *>;
#endif

static char launched, done, grid_passed[2], fenced; // anchors

SNNCC_UNSEEN static void wait_for(Waits whom);
SNNCC_UNSEEN static void make_ready(unsigned thread);
static void forget_copies(std::vector<Copy> &copies);

} // namespace snncc_host

#endif
