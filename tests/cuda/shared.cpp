/* Arrays in shared memory. See block.h. */
#include <utility>

#include "state.h"

namespace snncc_host {

Shared dynamic_shared;

/* Memory for an array, which nobody is known to have used. */
static void *fresh(size_t bytes)
{
    void *memory = std::malloc(bytes ? bytes : 1);
    if (memory == nullptr)
        fail("no memory for an array in shared memory");
    return memory;
}

SNNCC_UNSEEN void Shared::renew(size_t wanted)
{
    const Ignored here;
    owner = blocks_run;
    if (kernel.together) {
        for (const Copy &copy : block->copies)
            if (copy.array == this) {
                memory = copy.memory;
                return;
            }
        memory = fresh(wanted);
        block->copies.push_back({this, memory});
    } else {
#if defined(__SANITIZE_THREAD__) // which forgets who used the memory before only if it is allocated again
        std::free(std::exchange(own, nullptr));
#endif
        if (own == nullptr || bytes != wanted) {
            std::free(own);
            own = fresh(wanted);
        }
        memory = own;
    }
    bytes = wanted;
    std::memset(memory, 0xff, wanted);
}

/* The arrays themselves find that their owner is gone. */
static void forget_copies(std::vector<Copy> &copies)
{
    const Ignored here;
    for (const Copy &copy : copies)
        std::free(copy.memory);
    copies.clear();
}

} // namespace snncc_host
