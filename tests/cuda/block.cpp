/* See block.h. */
#include "block.h"

#include <utility>

#include "fibers.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace snncc_host {

uint64_t blocks_run = 0;
size_t dynamic_bytes = 0;
Shared dynamic_shared;

constexpr unsigned FULL_MASK = 0xffffffffu;

enum Waits : uint8_t { NOT, FOR_BLOCK, FOR_WARP };

/* What others need of a thread that waits. */
struct Thread {
    Fiber *fiber = nullptr;
    Waits waits = NOT;
    Operation operation = SYNC;
    unsigned mask = 0;
    int source = 0;             // the lane that a shuffle reads
    uint64_t value = 0, result = 0;
    void *meeting = nullptr;    // anchor of the lanes that met
    char arrival = 0, met[2] = {0, 0}; // anchors: it came; it came last
    unsigned meetings = 0;
};

static struct {
    void (*call)(void *) = nullptr; // runs the kernel for the current thread
    void *arguments = nullptr;
    unsigned threads = 0, started = 0, finished = 0;
    unsigned thread = 0; // the running one, by threadIdx.x + blockDim.x * (threadIdx.y + ...)
    unsigned number = 0; // of the block in its launch
    uint3 place[MOST_THREADS];
    unsigned order[MOST_THREADS];
    Thread waiting[MOST_THREADS];
    unsigned ready[MOST_THREADS], first_ready = 0, end_ready = 0; // who may go on
#if defined(__SANITIZE_THREAD__)
    Fiber *fibers[2][MOST_THREADS] = {};
#else
    Fiber *idle[MOST_THREADS];
    unsigned n_idle = 0;
#endif
    // The barrier that threads wait at: where it is, how many came, sum of their predicates, and the last sum.
    const char *barrier = nullptr;
    unsigned at_barrier = 0, barriers = 0;
    int sum = 0, last_sum = 0;
    unsigned at_warp[MOST_THREADS / 32] = {}; // lanes that wait
    bool in_kernel = false;
} block;

static char launched, done, barrier_passed[2], fenced; // anchors

[[noreturn]] void fail(const char *what)
{
    std::fprintf(stderr, "snncc host: %s (block %u,%u,%u thread %u,%u,%u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z,
                 threadIdx.x, threadIdx.y, threadIdx.z);
    std::abort();
}

SNNCC_UNSEEN static void enter(unsigned thread)
{
    block.thread = thread;
    threadIdx = block.place[thread];
}

SNNCC_UNSEEN void fence()
{
    release(&fenced);
    acquire(&fenced);
}

/* Whether the running fiber begins another thread, which is then the current one. */
SNNCC_UNSEEN static bool start()
{
    if (block.first_ready != block.end_ready || block.started == block.threads)
        return false;
    enter(block.order[block.started++]);
    acquire(&launched);
    return true;
}

/* The current thread has ended; whether its fiber may try another. ThreadSanitizer knows threads by their stacks. */
SNNCC_UNSEEN static bool finish()
{
    ++block.finished;
    release(&done);
#if defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

[[noreturn]] SNNCC_UNSEEN static void fail_waiting()
{
    for (unsigned i = 0; i < block.threads; i++)
        if (block.waiting[i].waits != NOT) {
            enter(i);
            fail(block.waiting[i].waits == FOR_BLOCK ? "a barrier is not reached by every thread of the block"
                                                     : "a warp operation: a lane of the mask never arrives");
        }
    fail("no thread can go on");
}

SNNCC_UNSEEN static void work();

/* Under ThreadSanitizer thread t of block b has fiber (t + b / 2) mod n of set b mod 2: blocks that follow each other
 * share no fiber, so their races are found, and nobody finds traces of another thread on its stack. */
SNNCC_UNSEEN static Fiber *fiber_of_next_start()
{
#if defined(__SANITIZE_THREAD__)
    return block.fibers[block.number % 2][(block.order[block.started] + block.number / 2) % block.threads];
#else
    return block.n_idle ? block.idle[--block.n_idle] : new_fiber(work);
#endif
}

/* Who runs when the running fiber cannot: a thread that may go on, a new one, or the launcher. */
SNNCC_UNSEEN static Fiber *next_fiber()
{
    if (block.first_ready != block.end_ready) {
        const unsigned thread = block.ready[block.first_ready++ % MOST_THREADS];
        enter(thread);
        return block.waiting[thread].fiber;
    }
    if (block.started < block.threads)
        return fiber_of_next_start();
    if (block.finished < block.threads)
        fail_waiting();
    return &launcher;
}

/* What every fiber of a kernel does, for ever: threads, until others are to go on first. */
SNNCC_UNSEEN static void work()
{
    arrived(nullptr);
    for (;;) {
        while (start()) {
            block.call(block.arguments);
            if (!finish())
                break;
        }
#if !defined(__SANITIZE_THREAD__)
        block.idle[block.n_idle++] = running;
#endif
        switch_to(next_fiber());
    }
}

SNNCC_UNSEEN static void run_block()
{
    block.started = block.finished = block.first_ready = block.end_ready = 0;
    ++blocks_run;
    switch_to(next_fiber());
    ++block.number;
}

SNNCC_UNSEEN static void wait_for(Waits whom)
{
    Thread &self = block.waiting[block.thread];
    self.fiber = running;
    self.waits = whom;
    switch_to(next_fiber());
    self.waits = NOT;
}

SNNCC_UNSEEN static void make_ready(unsigned thread)
{
    block.ready[block.end_ready++ % MOST_THREADS] = thread;
}

/* The last one to come goes on first. */
SNNCC_UNSEEN int barrier(int predicate, const char *place)
{
    if (!block.in_kernel)
        fail("a barrier outside of a kernel");
    if (block.at_barrier++ == 0)
        block.barrier = place;
    else if (block.barrier != place && std::strcmp(block.barrier, place))
        fail("threads of one block wait at different barriers");
    block.sum += predicate;
    void *anchor = &barrier_passed[block.barriers & 1]; // nobody comes to the next but one before all have left
    release(anchor);
    if (block.at_barrier < block.threads) {
        wait_for(FOR_BLOCK);
    } else {
        for (unsigned i = 0; i < block.threads; i++)
            if (block.order[i] != block.thread)
                make_ready(block.order[i]);
        block.last_sum = block.sum;
        block.sum = 0;
        block.at_barrier = 0;
        ++block.barriers;
    }
    acquire(anchor);
    return block.last_sum;
}

SNNCC_UNSEEN unsigned lane()
{
    return block.thread & 31u;
}

/* Results for the lanes of a mask, all of which have come; the caller is the last. */
SNNCC_UNSEEN static void meet(unsigned first, unsigned lanes)
{
    Thread &self = block.waiting[block.thread];
    void *anchor = &self.met[self.meetings++ & 1];
    unsigned ballot = 0;
    for (unsigned i = 0; i < 32; i++) {
        Thread &other = block.waiting[first + i];
        if (!(lanes >> i & 1u))
            continue;
        if (other.mask != self.mask || other.operation != self.operation)
            fail("a warp operation: lanes disagree on the mask or on the operation");
        ballot |= unsigned(other.value != 0) << i;
        acquire(&other.arrival);
    }
    release(anchor);
    for (unsigned i = 0; i < 32; i++) {
        Thread &other = block.waiting[first + i];
        if (!(lanes >> i & 1u))
            continue;
        const unsigned source = unsigned(other.source) & 31u;
        switch (self.operation) {
        case SHUFFLE: // a lane that takes no part has no value: all bits set
            other.result = lanes >> source & 1u ? block.waiting[first + source].value : ~uint64_t(0);
            break;
        case BALLOT: other.result = ballot; break;
        case ANY: other.result = ballot != 0; break;
        case ALL: other.result = ballot == lanes; break;
        case SYNC: break;
        }
        other.meeting = anchor;
        if (first + i != block.thread)
            make_ready(first + i);
    }
}

SNNCC_UNSEEN uint64_t warp(Operation operation, unsigned mask, uint64_t value, int source)
{
    if (!block.in_kernel)
        fail("a warp operation outside of a kernel");
    const unsigned first = block.thread & ~31u, in_block = block.threads - first;
    const unsigned lanes = mask & (in_block >= 32 ? FULL_MASK : (1u << in_block) - 1u);
    if (!(mask >> lane() & 1u))
        fail("a warp operation: the caller is not in its own mask");
    if (lanes != mask && mask != FULL_MASK)
        fail("a warp operation: the mask names a lane past the end of the block");
    Thread &self = block.waiting[block.thread];
    self.operation = operation, self.mask = mask, self.value = value, self.source = source;
    release(&self.arrival);
    unsigned &waiting = block.at_warp[first / 32];
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

SNNCC_UNSEEN void Shared::renew(size_t wanted)
{
    const Ignored here;
#if !defined(__SANITIZE_THREAD__) // which forgets who used the memory before only if it is allocated again
    if (memory == nullptr || bytes != wanted)
#endif
    {
        std::free(memory);
        memory = std::malloc(wanted ? wanted : 1);
        if (memory == nullptr)
            fail("no memory for an array in shared memory");
    }
    bytes = wanted;
    owner = blocks_run;
    std::memset(memory, 0xff, wanted);
}

/* The orders in which threads start, and blocks: block i is number step * i + offset, modulo the blocks. */
struct Order {
    uint64_t step = 1, offset = 0;
};

static Order choose_order(unsigned threads, uint64_t blocks)
{
    const char *wish = std::getenv("SNNCC_HOST_ORDER");
    for (unsigned i = 0; i < threads; i++)
        block.order[i] = i;
    if (wish == nullptr || *wish == '\0' || !std::strcmp(wish, "forward"))
        return {};
    if (!std::strcmp(wish, "reverse")) {
        for (unsigned i = 0; i < threads; i++)
            block.order[i] = threads - 1 - i;
        return {blocks - 1, blocks - 1};
    }
    char *end;
    uint64_t state = std::strtoull(wish, &end, 10) * 2 + 1;
    if (*end)
        fail("SNNCC_HOST_ORDER must be forward, reverse or a number");
    const auto draw = [&state](uint64_t below) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (state >> 33) % below;
    };
    for (unsigned i = threads; i > 1; i--)
        std::swap(block.order[i - 1], block.order[draw(i)]);
    uint64_t step = blocks > 2 ? 1 + draw(blocks - 1) : 1, a = step, b = blocks;
    while (b)
        a = std::exchange(b, a % b);
    return {a == 1 ? step : 1, draw(blocks)};
}

SNNCC_UNSEEN void run_grid(dim3 grid, dim3 size, size_t shared_bytes, void (*call)(void *), void *arguments)
{
    const unsigned threads = size.x * size.y * size.z;
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    if (block.in_kernel)
        fail("a launch inside of a kernel");
    const Order order = choose_order(threads, blocks);
    for (unsigned i = 0; i < threads; i++)
        block.place[i] = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    gridDim = grid, blockDim = size;
    block.threads = threads, block.number = 0, dynamic_bytes = shared_bytes;
    block.call = call, block.arguments = arguments;
    block.in_kernel = true;
    begin_fibers();
#if defined(__SANITIZE_THREAD__)
    for (unsigned i = 0; i < 2 * threads; i++) // here, as a fiber begins after all that its maker has done
        if (Fiber *&fiber = block.fibers[i % 2][i / 2]; fiber == nullptr)
            fiber = new_fiber(work);
#endif
    release(&launched);
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t which = (order.step * i + order.offset) % blocks;
        blockIdx = {unsigned(which % grid.x), unsigned(which / grid.x % grid.y), unsigned(which / grid.x / grid.y)};
        run_block();
    }
    acquire(&done);
    block.in_kernel = false;
}

} // namespace snncc_host
