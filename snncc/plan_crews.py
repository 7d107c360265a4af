"""How the threads of a crew share the items of a tile, and where they meet.

Loops over panels are shared by panels, calls on wide rows by rows: each thread takes a part of them, the
same one in every such call. All else is the first thread's. Threads meet before an item that touches what
another thread may have touched since they last met: the same buffer shared in another way, or another
buffer in the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .lower.layout import BY_ROW, Layout
from .program import CALLERS, Buffer, Call, Entry, Item, Panels, Segments, used

FIRST = "first"  # the first thread's alone
TOUCHED = ("tile", "block", "whole", *CALLERS, "sum", "gradient")  # what threads make for each other
BY_ROWS = (
    *("load", "load_missing", "load_state", "store", "store_repeated"),
    *("copy_rows", "zero_rows", "keep_rows", "restore_rows"),
    *("copy_last", "copy_first", "pack_rows"),
    *("events_from_bits", "events_from_rows", "sum_features", "sum_groups", "one_hot"),
    *("softmax", "log_softmax", "first_maximum", "max_last", "move", "move_sum", "matmul"),
    *(
        "first_steps",
        "last_steps",
        "keep_first",
        "keep_last",
        "start_ring",
        "start_ring_bits",
        "embedding",
        "sparse_rows",
        "sparse_input_gradient",
    ),
    *("reorder", "max_pool", "max_place", "sum_pool", "max_unpool", "sum_unpool"),
)
BY_STEPS = {"mix_steps": "columns", "mix_steps_transposed": "columns", "steps_gradient": "steps"}
BY_EVENTS = ("sparse_events",)  # a row's list ends where the next one's begins, which another thread wrote
BY_SAMPLES = ("late_events", "late_before", "late_input_gradient")
BY_INPUTS = ("transpose_events", "transpose_counted", "sparse_gradient", "late_gradient")


@dataclass(frozen=True)
class Turn:
    """Items between which nobody waits, all of them shared or all the first thread's.

    meet: whether the threads meet before.
    """

    meet: bool
    shared: bool
    items: tuple[Item, ...]


def sharing(item: Item, layout: Layout) -> str:
    """What an item is shared by: "panels", "rows" (all steps of all samples), "rows of events", "samples",
    "all steps of samples", "inputs", "columns" (features of samples), "places" (of a window), "steps"; or
    FIRST.

    Rows as narrow as a panel are quicker done by one thread than waited for.
    """
    if isinstance(item, Panels):
        return "panels"
    if isinstance(item, Call) and item.kind.startswith("conv"):
        wide = max(item.numbers[:2]) > layout.panel
        by = "places" if item.kind.startswith("conv_gradient") else "rows" if item.time else "samples"
        return by if wide else FIRST
    if isinstance(item, Call) and item.numbers and item.numbers[0] > layout.panel:
        if item.kind in BY_SAMPLES:
            return "all steps of samples"
        if item.kind in BY_EVENTS:
            return "rows of events"
        if item.kind in BY_INPUTS:
            return "inputs"
        if item.kind in BY_ROWS:
            return "rows" if item.time else "samples"
    if isinstance(item, Call) and item.kind in BY_STEPS and item.numbers[1] > layout.panel:
        return BY_STEPS[item.kind]
    return FIRST


def turns(entry: Entry, items: tuple[Item, ...], layout: Layout) -> list[Turn]:
    """The items in order. A loop over segments of time is a turn of its own and ends with all threads met;
    after any other last turn they have yet to meet."""
    regions = (*entry.regions, *entry.whole)
    memory = {b: k for k, region in enumerate(regions) for b in region.buffers}
    touched: dict[object, tuple[Buffer, str]] = {}  # since the threads met, by memory
    found: list[Turn] = []
    for item in items:
        if isinstance(item, Segments):
            found.append(Turn(bool(touched), True, (item,)))
            touched = {}
            continue
        by, mine = sharing(item, layout), dict[object, tuple[Buffer, str]]()
        for buffer in (b for b in used(item) if b.place in TOUCHED):
            mine[memory.get(buffer, buffer)] = (buffer, by)
        meet = any(_conflict(touched[k], mine[k]) for k in mine.keys() & touched.keys())
        touched = mine if meet else {**touched, **mine}
        last = found[-1] if found and not isinstance(found[-1].items[0], Segments) else None
        if last and not meet and last.shared is (by != FIRST):
            found[-1] = replace(last, items=(*last.items, item))
        else:
            found.append(Turn(meet, by != FIRST, (item,)))
    return found


def _conflict(before: tuple[Buffer, str], now: tuple[Buffer, str]) -> bool:
    """Whether another thread may have touched what this item does: (buffer, what it is shared by) of both.

    Where a row's list begins is known to the thread that made the list of the row before.
    """
    if before[1] == now[1] == FIRST:
        return False
    return before != now or now[1] == "panels" or now[0].layout in BY_ROW
