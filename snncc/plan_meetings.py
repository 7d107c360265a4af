"""Which loops over time a GPU runs as one kernel, and where in a step its blocks meet.

Such a loop has all blocks for all steps. Values of a width are shared alike: a thread has the same elements
of them, samples and features, at each step. So an item that reads the elements that it writes waits for
nobody; one that reads others (a product reads the whole row) waits for all blocks, if any of them may have
written there since all met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .program import Buffer, Call, Item, Loop, Pointer, Sweep

ROWS = -1  # in the place of a width: blocks have samples, whole rows of them
# Calls that make an element of several of the same row: the thread's own, or any.
GATHERED = ("take", "scatter_add", "sum_features", "sparse_input_gradient")
MOVED = ("move", "move_sum")


@dataclass(frozen=True)
class Turn:
    """Items of one width between which nobody waits. meet: whether all blocks meet before."""

    meet: bool
    width: int
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
    return all(width(item) for item in loop.items)


def width(item: Item) -> int:
    """Features of what an item makes, of which a thread has some, of some samples; ROWS; or 0 of what is
    shared in another way."""
    match item:
        case Sweep():
            return item.size if _by_elements(item) else 0
        case Call(kind="product_dense"):
            return item.numbers[1]
        case Call(kind="sparse_rows"):
            return ROWS
        case Call() if item.kind in GATHERED or (item.kind in MOVED and not item.numbers[1]):
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


def turns(loop: Loop) -> list[Turn]:
    """The items of a step in order."""
    meetings = _meetings([list(accesses(item, loop)) for item in loop.items])
    found: list[Turn] = []
    for number, item in enumerate(loop.items):
        assert isinstance(item, (Sweep, Call))
        meet = number in meetings
        if found and not meet and found[-1].width == width(item):
            found[-1] = Turn(found[-1].meet, found[-1].width, (*found[-1].items, item))
        else:
            found.append(Turn(meet, width(item), (item,)))
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
    return 2 * max([2, *(a.buffer.ring for a in every), *(1 - a.step for a in every)])


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
        if buffer in starts:
            yield Access(starts[buffer].value, -starts[buffer].steps, own, written)
        yield Access(buffer, 0, own, written)


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
            yield made, item.kind not in (*MOVED, "sparse_rows"), True
