"""Which loops over time a GPU runs as one kernel, and where in a step its blocks meet.

Such a loop has all blocks for all steps. Values of a width are shared alike: a thread has the same elements
of them, samples and features, at each step. So an item that reads the elements that it writes waits for
nobody; one that reads others (a product reads the whole row) waits for all blocks, if any of them may have
written there since all met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from .program import Buffer, Call, Entry, Item, Loop, Phase, Pointer, Segments, Sweep

ROWS = -1  # in the place of a width: blocks have samples, whole rows of them
APART = ("sparse_rows", "late_step")  # calls by such blocks
# Calls that make an element of several of the same row: the thread's own, or any.
GATHERED = (
    *("take", "scatter_add", "sum_features", "sparse_input_gradient", "late_input_gradient_step", "matmul"),
    *("conv_groups", "conv_transpose_groups", "reorder", "zero_rows"),
    *("max_pool", "max_place", "sum_pool", "max_unpool", "sum_unpool"),
)
MOVED = ("move", "move_sum")
# Products of rows with a matrix whose columns stay with the block; of convolutions a pixel is a row, and its
# channels are the columns.
CONVOLUTIONS = ("conv_dense", "conv_transpose_dense")
PRODUCTS = ("product_dense", *CONVOLUTIONS)


@dataclass(frozen=True)
class Turn:
    """Items of one width between which nobody waits. meet: whether all blocks meet before; channels: into how
    many a row's features are split, as many as there are if they are no pixels."""

    meet: bool
    width: int
    channels: int
    items: tuple[Sweep | Call, ...]


@dataclass(frozen=True)
class Access:
    """What an item does with a buffer. step: whose row, 0 for this step's, -k for that of k steps before.
    own: whether a thread touches its own elements only."""

    buffer: Buffer
    step: int
    own: bool
    written: bool

    def row(self, step: int) -> int:
        """Which of the buffer's rows this is at a step, counted in the loop's direction."""
        if self.buffer.ring:
            return (step + self.step) % self.buffer.ring
        return step + self.step if self.buffer.time else 0


def persistent(loop: Loop) -> bool:
    """Whether each item is one that tiles of samples and features can share."""
    alike = all(len(made) == 1 for made in _channels(loop).values())
    return alike and all(width(item) for item in loop.items)


def _channels(loop: Loop) -> dict[int, set[int]]:
    """For each width what products make of it: rows of so many columns."""
    found: dict[int, set[int]] = {}
    for item in loop.items:
        if isinstance(item, Call) and item.kind in PRODUCTS:
            found.setdefault(width(item), set()).add(columns(item))
    return found


def columns(product: Call) -> int:
    """Of the matrix that it multiplies rows by."""
    if product.kind == "product_dense":
        return product.numbers[1]
    _, _, _, channels, outputs, *_ = product.numbers
    return channels if product.kind == "conv_transpose_dense" else outputs


def width(item: Item) -> int:
    """Features of what an item makes, of which a thread has some, of some samples; ROWS; or 0 of what is
    shared in another way."""
    match item:
        case Sweep():
            return item.size if _by_elements(item) else 0
        case Call() if item.kind in PRODUCTS:
            return item.numbers[1]
        case Call() if item.kind in APART:
            return ROWS
        case Call() if item.kind in MOVED and not item.numbers[1]:
            return sum(prod(n for n, _, to in nest.loops if to) for nest in item.nests)
        case Call() if item.kind in GATHERED:
            made = item.buffers[-1]
            return made.count if made and made.batch else 0
    return 0


def _by_elements(sweep: Sweep) -> bool:
    """Whether all that a sweep writes is elements of its own, without numbers that the host computes, bits of
    several elements, or an initial state that may not be there."""
    packed = any(p.buffer.layout == "bits" or p.buffer.place == "state" for p in sweep.pointers)
    shared = any(p.written and not p.buffer.batch for p in sweep.pointers)
    other = any(p.steps for p in sweep.pointers)
    return sweep.batch and not (sweep.scalars or packed or shared or other)


def without_scratch(entry: Entry) -> Entry:
    """In one kernel, what a convolution's adjoint adds up is in registers: no memory is planned for it."""

    def items(given: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(map(item, given))

    def item(given: Item) -> Item:
        if isinstance(given, Segments):
            return replace(given, items=items(given.items), again=items(given.again))
        if isinstance(given, Loop) and persistent(given):
            return replace(given, items=tuple(map(_without_scratch, given.items)))
        return given

    phases = (map(items, (p.before, p.tile, p.after, p.finish)) for p in entry.phases)
    return replace(entry, phases=tuple(Phase(*parts) for parts in phases))


def _without_scratch(item: Item) -> Item:
    if not isinstance(item, Call):
        return item
    kept = (None if b and b.layout == "scratch" else b for b in item.buffers)
    return replace(item, buffers=tuple(kept))


def turns(loop: Loop) -> list[Turn]:
    """The items of a step in order."""
    meetings = _meetings([list(accesses(item, loop)) for item in loop.items])
    channels = {width: min(made) for width, made in _channels(loop).items()}
    found: list[Turn] = []
    for number, item in enumerate(loop.items):
        assert isinstance(item, (Sweep, Call))
        meet = number in meetings
        if found and not meet and found[-1].width == width(item):
            found[-1] = replace(found[-1], items=(*found[-1].items, item))
        else:
            found.append(Turn(meet, width(item), channels.get(width(item), width(item)), (item,)))
    return found


def _meetings(accesses: list[list[Access]]) -> set[int]:
    """Before which items of a step the blocks meet."""
    found: set[int] = set()
    while (late := _conflict(accesses, found)) is not None:
        found.add(late)
    return found


def _conflict(accesses: list[list[Access]], meetings: set[int]) -> int | None:
    """The first item that touches what another thread may have touched since all met."""
    touched: dict[tuple[Buffer, int], set[Access]] = {}
    for step in range(_period(accesses)):
        for number, mine in enumerate(accesses):
            if number in meetings:
                touched = {}
            rows = [(access.buffer, access.row(step)) for access in mine]
            for access, row in zip(mine, rows, strict=True):
                if any(_clash(before, access) for before in touched.get(row, ())):
                    return number
            for access, row in zip(mine, rows, strict=True):
                touched.setdefault(row, set()).add(access)
    return None


def _period(accesses: list[list[Access]]) -> int:
    """After how many steps nothing new happens: rows have taken turns, and what was written has been read."""
    every = [a for mine in accesses for a in mine]
    return 2 * max([2, *(a.buffer.ring for a in every), *(1 + abs(a.step) for a in every)])


def _clash(before: Access, now: Access) -> bool:
    """Whether two threads may have touched the same row, one of them to write it."""
    return (before.written or now.written) and not (before.own and now.own)


def alike(pointer: Pointer, width: int) -> bool:
    """Whether a buffer has an element for each of a sweep of that width."""
    return not pointer.whole and pointer.buffer.batch and pointer.buffer.count == width


def accesses(item: Item, loop: Loop) -> Iterator[Access]:
    """What an item of a loop does with buffers."""
    starts = {s.start: s for s in loop.states}
    for buffer, own, written in _touched(item):
        for step in _steps(item, buffer):
            if buffer in starts:
                yield Access(starts[buffer].value, step - starts[buffer].steps, own, written)
            yield Access(buffer, step, own, written)


def _steps(item: Item, buffer: Buffer) -> range:
    """Which rows of a buffer an item touches, counted from this step in the loop's direction: late synapses
    lead to steps to come, which the loop backward has done."""
    if isinstance(item, Call) and item.kind == "late_step" and buffer == item.buffers[-1]:
        return range(item.numbers[0] + 1)
    if isinstance(item, Call) and item.kind == "late_input_gradient_step" and buffer == item.buffers[-2]:
        return range(-item.numbers[0], 1)
    return range(1)


def _touched(item: Item) -> Iterator[tuple[Buffer, bool, bool]]:
    """Buffers, whether a thread touches its own elements only, and whether they are written."""
    if isinstance(item, Sweep):
        for p in item.pointers:
            yield p.buffer, alike(p, item.size), p.written
    elif isinstance(item, Call):
        *read, made = item.buffers
        for buffer in read:
            if buffer is not None:
                yield buffer, False, False
        if made is not None:
            yield made, item.kind not in (*MOVED, *APART), True
