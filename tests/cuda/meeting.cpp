/* Where threads meet: barriers of a block and of all blocks, the operations of a warp. See block.h. */
#include "state.h"

namespace snncc_host {

constexpr unsigned FULL_MASK = 0xffffffffu;

SNNCC_UNSEEN void fence()
{
    release(&fenced);
    acquire(&fenced);
}

/* The last one to come goes on first. */
SNNCC_UNSEEN int barrier(int predicate, const char *place)
{
    if (!block)
        fail("a barrier outside of a kernel");
    if (block->at_barrier++ == 0)
        block->barrier = place;
    else if (block->barrier != place && std::strcmp(block->barrier, place))
        fail("threads of one block wait at different barriers");
    block->sum += predicate;
    void *anchor = &block->anchors->barrier[block->barriers & 1]; // nobody comes to the next but one before all have left
    release(anchor);
    if (block->at_barrier < kernel.threads) {
        wait_for(FOR_BLOCK);
    } else {
        for (unsigned i = 0; i < kernel.threads; i++)
            if (kernel.order[i] != block->thread)
                make_ready(kernel.order[i]);
        block->last_sum = block->sum;
        block->sum = 0;
        block->at_barrier = 0;
        ++block->barriers;
    }
    acquire(anchor);
    return block->last_sum;
}

SNNCC_UNSEEN unsigned lane()
{
    return block->thread & 31u;
}

/* As `barrier`, for all blocks: the launcher lets them go when each has come. */
SNNCC_UNSEEN void grid_barrier(unsigned *state)
{
    if (!block || !kernel.together)
        fail("a barrier of all blocks in a kernel that was not launched with SNNCC_LAUNCH_TOGETHER");
    if (*state & 0x7fffffffu)
        fail("the word of a barrier of all blocks was not zero at first");
    void *anchor = &grid_passed[kernel.grid_barriers & 1];
    release(anchor);
    if (++block->at_grid == 1 && block->index.x + block->index.y + block->index.z == 0)
        *state ^= 0x80000000u;
    wait_for(FOR_GRID);
    acquire(anchor);
}

/* Results for the lanes of a mask, all of which have come; the caller is the last. */
SNNCC_UNSEEN static void meet(unsigned first, unsigned lanes)
{
    Thread &self = block->waiting[block->thread];
    void *anchor = &block->anchors->met[block->thread][self.meetings++ & 1];
    unsigned ballot = 0;
    for (unsigned i = 0; i < 32; i++) {
        Thread &other = block->waiting[first + i];
        if (!(lanes >> i & 1u))
            continue;
        if (other.mask != self.mask || other.operation != self.operation)
            fail("a warp operation: lanes disagree on the mask or on the operation");
        ballot |= unsigned(other.value != 0) << i;
        acquire(&block->anchors->came[first + i]);
    }
    release(anchor);
    for (unsigned i = 0; i < 32; i++) {
        Thread &other = block->waiting[first + i];
        if (!(lanes >> i & 1u))
            continue;
        const unsigned source = unsigned(other.source) & 31u;
        switch (self.operation) {
        case SHUFFLE: // a lane that takes no part has no value: all bits set
            other.result = lanes >> source & 1u ? block->waiting[first + source].value : ~uint64_t(0);
            break;
        case BALLOT: other.result = ballot; break;
        case ANY: other.result = ballot != 0; break;
        case ALL: other.result = ballot == lanes; break;
        case SYNC: break;
        }
        other.meeting = anchor;
        if (first + i != block->thread)
            make_ready(first + i);
    }
}

SNNCC_UNSEEN uint64_t warp(Operation operation, unsigned mask, uint64_t value, int source)
{
    if (!block)
        fail("a warp operation outside of a kernel");
    const unsigned first = block->thread & ~31u, in_block = kernel.threads - first;
    const unsigned lanes = mask & (in_block >= 32 ? FULL_MASK : (1u << in_block) - 1u);
    if (!(mask >> lane() & 1u))
        fail("a warp operation: the caller is not in its own mask");
    if (lanes != mask && mask != FULL_MASK)
        fail("a warp operation: the mask names a lane past the end of the block");
    Thread &self = block->waiting[block->thread];
    self.operation = operation, self.mask = mask, self.value = value, self.source = source;
    release(&block->anchors->came[block->thread]);
    unsigned &waiting = block->at_warp[first / 32];
    waiting |= 1u << lane();
    if ((waiting & lanes) == lanes) {
        waiting &= ~lanes;
        meet(first, lanes);
    } else {
        wait_for(FOR_WARP);
    }
    acquire(self.meeting);
    return self.result;
}

} // namespace snncc_host
