/* The threads of a block: they run one after another, each until it ends or has to wait for others.
 *
 * Only a thread that waits, at a barrier or for its warp, keeps its fiber; the next one then starts on another. So a
 * kernel without barriers is a loop of calls on one stack. Threads start, and go on behind a barrier, in the order
 * of SNNCC_HOST_ORDER: `forward`, `reverse`, or a number that seeds a permutation; blocks likewise. A result that
 * depends on it lacks a barrier. */
#ifndef SNNCC_HOST_BLOCK_H
#define SNNCC_HOST_BLOCK_H

#include <stddef.h>
#include <stdint.h>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace snncc_host {

constexpr unsigned MOST_THREADS = 1024;

enum Operation : uint8_t { SHUFFLE, BALLOT, ANY, ALL, SYNC };

[[noreturn]] void fail(const char *what);

struct Grid {
    dim3 grid, size;
    size_t shared_bytes;
    bool together; // whether blocks may wait for each other
};

/* Runs all blocks; `call` runs one thread. The caller holds the device. */
void run_grid(const Grid &wanted, void (*call)(void *), void *arguments);

/* Waits for all threads of the block; the sum of their predicates. `place` is the same for the same barrier. */
int barrier(int predicate, const char *place);

/* Waits for all blocks. `state` is what a GPU counts them with: zero at first. */
void grid_barrier(unsigned *state);

/* What every lane of the mask gets when the last of them has come. `source` is the lane that a shuffle reads. */
uint64_t warp(Operation operation, unsigned mask, uint64_t value, int source);

unsigned lane();

/* Orders what the thread wrote before with what others read after theirs. */
void fence();

extern uint64_t blocks_run;  // names the block that an array in shared memory belongs to
extern size_t dynamic_bytes; // of the launch

/* An array of the block in shared memory. Each block finds it filled with ones: NaN, or -1. It has an allocation of
 * its own, so AddressSanitizer knows its bounds. */
struct Shared {
    uint64_t owner; // a number of `blocks_run`
    size_t bytes;
    void *memory, *own; // that of the running block; that of blocks which run one after another

    void *of_block(size_t wanted)
    {
        if (owner != blocks_run || bytes != wanted)
            renew(wanted);
        return memory;
    }
    void renew(size_t wanted);
};

extern Shared dynamic_shared;

} // namespace snncc_host

#endif
