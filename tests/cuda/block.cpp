/* See block.h. */
#include "block.h"

#include <algorithm>
#include <utility>

#include "state.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace snncc_host {

uint64_t blocks_run = 0;
static uint64_t last_block = 0;
size_t dynamic_bytes = 0;

[[noreturn]] void fail(const char *what)
{
    std::fprintf(stderr, "snncc host: %s (block %u,%u,%u thread %u,%u,%u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z,
                 threadIdx.x, threadIdx.y, threadIdx.z);
    std::abort();
}

SNNCC_UNSEEN static void enter(unsigned thread)
{
    block->thread = thread;
    threadIdx = kernel.place[thread];
}

/* Whether the running fiber begins another thread, which is then the current one. */
SNNCC_UNSEEN static bool start()
{
    if (block->first_ready != block->end_ready || block->started == kernel.threads)
        return false;
    enter(kernel.order[block->started++]);
    acquire(&launched);
    return true;
}

/* The current thread has ended; whether its fiber may try another. ThreadSanitizer knows threads by their stacks. */
SNNCC_UNSEEN static bool finish()
{
    ++block->finished;
    release(&done);
#if defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

[[noreturn]] SNNCC_UNSEEN static void fail_waiting()
{
    for (unsigned i = 0; i < kernel.threads; i++)
        if (const Waits waits = block->waiting[i].waits; waits != NOT) {
            enter(i);
            fail(waits == FOR_WARP ? "a warp operation: a lane of the mask never arrives"
                                   : "a barrier is not reached by every thread of the block");
        }
    fail("no thread can go on");
}

SNNCC_UNSEEN static void work();

/* Under ThreadSanitizer a thread has the fiber of its turn in a set: blocks that follow each other share none, so their
 * races are found, and nobody finds traces of another thread on its stack. */
SNNCC_UNSEEN static Fiber *fiber_of_next_start()
{
#if defined(__SANITIZE_THREAD__)
    return fibers[block->set][(kernel.order[block->started] + block->turn) % kernel.threads];
#else
    if (idle.empty())
        return new_fiber(work);
    Fiber *fiber = idle.back();
    idle.pop_back();
    return fiber;
#endif
}

/* Who runs when the running fiber cannot: a thread that may go on, a new one, or the launcher. */
SNNCC_UNSEEN static Fiber *next_fiber()
{
    if (block->first_ready != block->end_ready) {
        const unsigned thread = block->ready[block->first_ready++ % MOST_THREADS];
        enter(thread);
        return block->waiting[thread].fiber;
    }
    if (block->started < kernel.threads)
        return fiber_of_next_start();
    if (block->finished < kernel.threads && block->at_grid < kernel.threads)
        fail_waiting();
    return &launcher;
}

/* What every fiber of a kernel does, for ever: threads, until others are to go on first. */
SNNCC_UNSEEN static void work()
{
    arrived(nullptr);
    for (;;) {
        while (start()) {
            kernel.call(kernel.arguments);
            if (!finish())
                break;
        }
#if !defined(__SANITIZE_THREAD__)
        idle.push_back(running);
#endif
        switch_to(next_fiber());
    }
}

SNNCC_UNSEEN static void wait_for(Waits whom)
{
    Thread &self = block->waiting[block->thread];
    self.fiber = running;
    self.waits = whom;
    switch_to(next_fiber());
    self.waits = NOT;
}

SNNCC_UNSEEN static void make_ready(unsigned thread)
{
    block->ready[block->end_ready++ % MOST_THREADS] = thread;
}

/* The orders in which threads start, and blocks: block i is number step * i + offset, modulo the blocks. */
struct Order {
    uint64_t step = 1, offset = 0;

    uint64_t block(uint64_t i, uint64_t blocks) const { return (step * i + offset) % blocks; }
};

static Order choose_order(unsigned threads, uint64_t blocks)
{
    const char *wish = std::getenv("SNNCC_HOST_ORDER");
    for (unsigned i = 0; i < threads; i++)
        kernel.order[i] = i;
    if (wish == nullptr || *wish == '\0' || !std::strcmp(wish, "forward"))
        return {};
    if (!std::strcmp(wish, "reverse")) {
        for (unsigned i = 0; i < threads; i++)
            kernel.order[i] = threads - 1 - i;
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
        std::swap(kernel.order[i - 1], kernel.order[draw(i)]);
    uint64_t step = blocks > 2 ? 1 + draw(blocks - 1) : 1, a = step, b = blocks;
    while (b)
        a = std::exchange(b, a % b);
    return {a == 1 ? step : 1, draw(blocks)};
}

#if defined(__SANITIZE_THREAD__)
/* By the launcher: a fiber begins after all that its maker has done. */
SNNCC_UNSEEN static void make_fibers(unsigned sets)
{
    const Ignored here;
    fibers.resize(std::max(fibers.size(), size_t(sets)));
    for (unsigned set = 0; set < sets; set++)
        while (fibers[set].size() < kernel.threads)
            fibers[set].push_back(new_fiber(work));
}
#endif

/* A block that begins: nothing of another one is left but the fibers. */
SNNCC_UNSEEN static void prepare(Block &next, uint64_t which, unsigned set, unsigned turn)
{
    const Ignored here;
    next.index = {unsigned(which % gridDim.x), unsigned(which / gridDim.x % gridDim.y),
                  unsigned(which / gridDim.x / gridDim.y)};
    next.id = ++last_block;
    next.set = set, next.turn = turn;
    next.started = next.finished = next.first_ready = next.end_ready = next.at_grid = 0;
#if defined(__SANITIZE_THREAD__) // which forgets who used an anchor if its memory is freed
    std::free(next.anchors);
    next.anchors = nullptr;
#endif
    if (next.anchors == nullptr)
        next.anchors = static_cast<Anchors *>(std::calloc(1, sizeof(Anchors)));
}

/* Until the block has ended, or all of its threads wait for other blocks. */
SNNCC_UNSEEN static void go_on_with(Block &next)
{
    block = &next;
    blockIdx = next.index;
    blocks_run = next.id;
    switch_to(next_fiber());
}

/* All blocks are under way, in turns from one barrier of all to the next. */
SNNCC_UNSEEN static void run_together(const Order &order, uint64_t blocks)
{
    static std::vector<Block> all;
    all.resize(std::max(all.size(), size_t(blocks)));
    for (uint64_t i = 0; i < blocks; i++)
        prepare(all[i], order.block(i, blocks), unsigned(i), 0);
    uint64_t ended = 0;
    while (ended == 0) {
        uint64_t waiting = 0;
        for (uint64_t i = 0; i < blocks; i++) {
            go_on_with(all[i]);
            waiting += all[i].at_grid == kernel.threads;
        }
        ended = blocks - waiting;
        if (ended && waiting)
            fail("a barrier of all blocks is not reached by every block");
        ++kernel.grid_barriers;
        for (uint64_t i = 0; i < blocks && !ended; i++) {
            block = &all[i];
            block->at_grid = 0;
            for (unsigned thread = 0; thread < kernel.threads; thread++)
                make_ready(kernel.order[thread]);
        }
    }
    for (Block &each : all)
        forget_copies(each.copies);
}

SNNCC_UNSEEN void run_grid(const Grid &wanted, void (*call)(void *), void *arguments)
{
    static Block *const only = new Block;
    const dim3 size = wanted.size;
    const unsigned threads = size.x * size.y * size.z;
    const uint64_t blocks = uint64_t(wanted.grid.x) * wanted.grid.y * wanted.grid.z;
    if (block)
        fail("a launch inside of a kernel");
    const Order order = choose_order(threads, blocks);
    for (unsigned i = 0; i < threads; i++)
        kernel.place[i] = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    gridDim = wanted.grid, blockDim = size, dynamic_bytes = wanted.shared_bytes;
    kernel.threads = threads, kernel.together = wanted.together;
    kernel.call = call, kernel.arguments = arguments;
    begin_fibers();
#if defined(__SANITIZE_THREAD__)
    make_fibers(wanted.together ? unsigned(blocks) : 2);
#endif
    release(&launched);
    if (wanted.together)
        run_together(order, blocks);
    else
        for (uint64_t i = 0; i < blocks; i++) {
            prepare(*only, order.block(i, blocks), i % 2, unsigned(i / 2 % threads));
            go_on_with(*only);
        }
    acquire(&done);
    block = nullptr;
}

} // namespace snncc_host
