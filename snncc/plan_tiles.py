"""How a batch is cut up: samples of a tile, and slots whose gradients are summed apart.

Both change the last bits of gradients, so they are chosen once, when a network is compiled, and by what
does not depend on how many threads will run it.
"""

from __future__ import annotations

from .lower.layout import LISTS, layout_of
from .program import Call, Entry, Item, Loop, Panels, Program, Region

MOST_SAMPLES = 64  # of a tile, for networks of few steps: slots should have several tiles
# Of a tile with a loop over time: samples, and rows that its steps may be. Each step reads all weights in the
# loop for so many samples. Of matrices (measured, 128 to 1024 neurons) 12, the rows of a block of the dense
# kernel, are 5 to 15 % faster than 4, 7 or many more; but what a tile keeps grows with its rows. Of
# convolutions, whose weights meet many places of a sample, 4 are a fifth faster than 1.
MULTIPLIED_SAMPLES, MULTIPLIED_ROWS = 12, 400
CONVOLVED_SAMPLES, CONVOLVED_ROWS = 4, 800
MOST_ROWS = 384  # of a slot whose threads share it; more gain little and take memory
SLOT_BYTES = 8 << 20  # of gradients; measured between 3 MiB (two slots are faster) and 16 MiB (one is)


def choose_slots(program: Program) -> int | None:
    """1 where gradients are large: clearing and adding up those of each slot would take longer than the
    threads of one slot wait for each other. None: as many as the machine has processors."""
    learnable = sum(t.length for t in program.tensors if t.learnable) * program.real_bits // 8
    trains = any(e.trains for e in program.entries)
    return 1 if trains and learnable > SLOT_BYTES else None


def choose_tile(program: Program, steps: int, cache: int) -> int:
    """Samples of a tile, for a second-level cache of so many bytes.

    Where tiles multiply by large matrices: while a panel of a layer is at work, its weights and what it
    computes for the rows (samples times steps) should stay in that cache. More rows would be read from
    further away, fewer would read the weights more often. Where each slot has one thread, half of the
    cache is left to what is kept for the backward half. Elsewhere: all that a tile holds should stay. Loops
    over time around products want several samples, whatever that takes.
    """
    loops = [item for entry in program.entries for item in entry.tile if isinstance(item, Loop)]
    least, most = 1, MOST_SAMPLES
    if any(map(_multiplies, loops)):
        least, most = min(MULTIPLIED_SAMPLES, MULTIPLIED_ROWS // steps), MULTIPLIED_SAMPLES
    elif loops:
        least = min(CONVOLVED_SAMPLES, CONVOLVED_ROWS // steps)
    rows = min(_rows(program, entry, cache) for entry in program.entries)
    return max(1, least, min(most, rows // steps))


def _multiplies(item: Item) -> bool:
    """Whether there is a product by a matrix."""
    if isinstance(item, Loop | Panels):
        return any(map(_multiplies, item.items))
    return isinstance(item, Call) and item.kind.startswith("product")


def _rows(program: Program, entry: Entry, cache: int) -> int:
    layout = layout_of(program)
    loops = [item for item in entry.tile if isinstance(item, Panels)]
    calls = [call for loop in loops for call in loop.items if isinstance(call, Call)]
    inputs = max((call.numbers[0] for call in calls if call.kind != "input_gradient"), default=0)
    if inputs == 0:
        given = sum(b.size.seq for b in entry.buffers if b.place == "given")
        return cache // max(1, given + sum(map(_row, (*entry.regions, *entry.panels))))
    weights = inputs * layout.panel * layout.real_bytes
    shared = 1 if choose_slots(program) == 1 else 2
    fitting = max(0, cache - weights) // max(1, sum(map(_row, entry.panels)))
    return min(fitting, MOST_ROWS) // shared


def _row(region: Region) -> int:
    """Bytes of a row that are touched; lists have room for any density and are seldom half full."""
    return max(b.size.seq // (2 if b.layout in LISTS else 1) for b in region.buffers)
