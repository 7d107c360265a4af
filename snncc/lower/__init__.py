"""From graphs to the program: which memory values live in, which kernels run, and in which order.

layout.py   sizes in memory, names of the caller's arrays
buffers.py  the buffer of a value
callers.py  which rows of the caller's arrays sweeps touch where they lie
sweep.py    elementwise kernels from the nodes that `fuse` put together
calls.py    hand-written kernels: products, loads, softmax
entry.py    one entry point: items, loops over time, order
update.py   the optimiser's update
"""

from .entry import lower
from .layout import Layout, layout_of, user_field
from .update import lower_update

__all__ = ["Layout", "layout_of", "lower", "lower_update", "user_field"]
