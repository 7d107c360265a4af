/* Stacks that take turns on one processor thread, and what the sanitizers have to be told of them.
 *
 * A fiber is a stack and the place where its code stopped. Switching takes ten instructions; the portable way,
 * swapcontext, makes a system call and takes 20 times as long. ThreadSanitizer sees each fiber as a thread of its own,
 * and a switch orders nothing: only `release` before `acquire` on the same anchor does. */
#ifndef SNNCC_HOST_FIBERS_H
#define SNNCC_HOST_FIBERS_H

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
/* Functions that keep the books of this header: what they read and write is no business of the kernels' races. */
#define SNNCC_UNSEEN __attribute__((no_sanitize("thread"), noinline))
extern "C" {
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#else
#define SNNCC_UNSEEN
#endif

namespace snncc_host {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t STACK_BYTES = 512 << 10;
#else
constexpr size_t STACK_BYTES = 128 << 10;
#endif
constexpr size_t GUARD_BYTES = 4096;

struct Fiber {
    void *top = nullptr;         // the stack pointer while others run
    const void *stack = nullptr; // lowest address
    size_t bytes = 0;
    void *fake = nullptr;        // AddressSanitizer's second stack
    void *thread = nullptr;      // ThreadSanitizer's
    ucontext_t context;
};

static Fiber launcher;            // who launched the kernel, on a stack of its own
static Fiber *running = nullptr;

#if defined(__x86_64__)
extern "C" void snncc_host_switch(void **save, void *load);
__asm__(".pushsection .text\n"
        ".type snncc_host_switch, @function\n"
        "snncc_host_switch:\n"
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, (%rdi)\n mov %rsi, %rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
        "pop %rcx\n jmp *%rcx\n" // a `ret` would be predicted from the other stack's calls
        ".size snncc_host_switch, . - snncc_host_switch\n"
        ".popsection\n");
#endif

/* To be called first on every stack that was switched to. The launcher's bounds are known only by leaving it. */
SNNCC_UNSEEN inline void arrived([[maybe_unused]] void *fake)
{
#if defined(__SANITIZE_ADDRESS__)
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fake, &stack, &bytes);
    if (launcher.stack == nullptr)
        launcher.stack = stack, launcher.bytes = bytes;
#endif
}

/* Goes on with `next` where it stopped; returns when someone switches back. */
SNNCC_UNSEEN inline void switch_to(Fiber *next)
{
    Fiber *self = running;
    if (next == self)
        return;
    running = next;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&self->fake, next->stack, next->bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(next->thread, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
    snncc_host_switch(&self->top, next->top);
#else
    swapcontext(&self->context, &next->context);
#endif
    arrived(self->fake);
}

/* A fiber that starts with `body`, which never returns. An overflow of its stack runs into a guard page. */
SNNCC_UNSEEN inline Fiber *new_fiber(void (*body)())
{
    Fiber *fiber = new Fiber;
    void *memory = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE)) {
        std::fprintf(stderr, "snncc host: no memory for the stack of a thread\n");
        std::abort();
    }
    char *stack = static_cast<char *>(memory) + GUARD_BYTES;
    fiber->stack = stack;
    fiber->bytes = STACK_BYTES;
#if defined(__SANITIZE_THREAD__)
    fiber->thread = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
    static unsigned fibers = 0; // tops of stacks in different sets of the cache, or 8 of them fill it
    const size_t shift = 64 * (fibers++ * 5 % 64);
    void **top = reinterpret_cast<void **>(stack + STACK_BYTES - shift) - 2; // aligned as behind a call
    top[0] = reinterpret_cast<void *>(body);
    fiber->top = top - 6;
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber->context, body, 0);
#endif
    return fiber;
}

/* The calling thread becomes the launcher. */
SNNCC_UNSEEN inline void begin_fibers()
{
    launcher.stack = nullptr;
    running = &launcher;
#if defined(__SANITIZE_THREAD__)
    launcher.thread = __tsan_get_current_fiber();
#endif
}

SNNCC_UNSEEN inline void release([[maybe_unused]] void *anchor)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_release(anchor);
#endif
}

SNNCC_UNSEEN inline void acquire([[maybe_unused]] void *anchor)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(anchor);
#endif
}

/* While one exists, ThreadSanitizer ignores what the running fiber reads, writes and allocates. */
struct Ignored {
#if defined(__SANITIZE_THREAD__)
    Ignored() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__), AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
    ~Ignored() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__), AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
    Ignored() {}
#endif
};

} // namespace snncc_host

#endif
