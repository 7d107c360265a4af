"""What a program for a GPU does otherwise: the tile is the whole batch, and sums over the batch are apart.

What a block of tiles or all samples hold is then a tile's, and threads need no scratch of their own. Every
sample and neuron has a thread, so no sweep can add to what samples share: it writes its terms, a row for
each sample, and a kernel adds the rows, in the order in which a tile of all samples would. So the bits are
those of the C backend with one tile and one slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..program import (
    Buffer,
    Call,
    Entry,
    Item,
    Loop,
    Panels,
    Phase,
    Pointer,
    Segments,
    Size,
    Statement,
    Sweep,
)
from .layout import Layout
from .spikes import pack_spikes
from .split import Splitter
from .sums import start_sums
from .together import put_together


def for_device(entry: Entry, layout: Layout) -> Entry:
    """The entry as a GPU runs it."""
    return put_together(start_sums(pack_spikes(_Device(entry, layout).entry(), layout)))


class _Device:
    def __init__(self, entry: Entry, layout: Layout) -> None:
        self.given, self.layout = entry, layout
        self.taken = {buffer.name for buffer in entry.buffers}
        self.splitter = Splitter(self.taken)

    def entry(self) -> Entry:
        prepare = self.items(self.given.prepare)
        phases = tuple(
            Phase(*(self.items(items) for items in (p.before, p.tile, p.after, p.finish)))
            for p in self.given.phases
        )
        return replace(self.given, prepare=(*prepare, *self.splitter.prepared), phases=phases)

    def items(self, given: Iterable[Item]) -> tuple[Item, ...]:
        return tuple(made for item in given for made in self._item(item))

    def _item(self, item: Item) -> Iterator[Item]:
        match item:
            case Sweep():
                yield from self._sweep(item)
            case Call():
                buffers = (None if b is None or b.place == "panel" else _whole(b) for b in item.buffers)
                call = replace(item, buffers=tuple(buffers))
                yield from self.splitter.calls(call) if call.precision == "split" else (call,)
            case Loop():
                states = tuple(replace(s, start=_whole(s.start), value=_whole(s.value)) for s in item.states)
                inner = (made for given in item.items for made in _cleared(_exact(given)))
                yield replace(item, items=self.items(inner), states=states)
            case Segments():
                yield replace(item, items=self.items(item.items), again=self.items(item.again))
            case Panels():
                yield from self.items(item.items)

    def _sweep(self, sweep: Sweep) -> Iterator[Item]:
        """The sweep, and what adds up the terms that it leaves."""
        pointers = tuple(
            replace(p, buffer=_whole(p.buffer), initial=_whole(p.initial) if p.initial else None)
            for p in sweep.pointers
        )
        statements = (*sweep.before, *sweep.body, *sweep.after)
        added = {s.target.partition("[")[0] for s in statements if s.kind == "add"}
        sums = [p for p in pointers if f"{p.name}_at" in added and not p.buffer.batch and sweep.batch]
        rows = {p: self._terms(p.buffer) for p in sums}
        names = {f"{p.name}_at": f"{rows[p].name}_at" for p in sums}
        yield replace(
            sweep,
            pointers=tuple(Pointer(rows[p], rows[p].name, True) if p in rows else p for p in pointers),
            before=tuple(_apart(s, names) for s in sweep.before),
            body=tuple(_apart(s, names) for s in sweep.body),
            after=tuple(_apart(s, names) for s in sweep.after),
        )
        for p in sums:
            numbers = (p.buffer.count,)
            yield Call("add_samples", (rows[p], p.buffer), numbers, p.buffer.time, layer=sweep.layer)

    def _terms(self, buffer: Buffer) -> Buffer:
        """A row of terms for each sample."""
        base = name = f"{buffer.name}_terms"
        while name in self.taken:
            name = f"{base}_{len(self.taken)}"
        self.taken.add(name)
        row = self.layout.stride(buffer.count) * self.layout.real_bytes
        size = Size(seq=row) if buffer.time else Size(row=row)
        return Buffer(name, "tile", buffer.features, buffer.time, True, size=size)


def _exact(item: Item) -> Item:
    """A call in a loop over time: cuBLAS has none for all steps."""
    return replace(item, precision="") if isinstance(item, Call) else item


def _cleared(item: Item) -> Iterator[Item]:
    """A move in a loop over time that leaves elements out: a call of its own clears them, which other threads
    do in one kernel."""
    if isinstance(item, Call) and item.kind in ("move", "move_sum") and item.numbers[1]:
        n = item.numbers[0]
        yield Call("zero_rows", item.buffers[-1:], (n,), item.time, layer=item.layer)
        item = replace(item, numbers=(n, 0))
    yield item


def _whole(buffer: Buffer) -> Buffer:
    """A buffer of a block or of all samples as one of the tile."""
    place = "tile" if buffer.place in ("block", "whole") else buffer.place
    size = replace(buffer.size, row=buffer.size.row + buffer.size.block, block=0)
    return replace(buffer, place=place, size=size)


def _apart(statement: Statement, names: dict[str, str]) -> Statement:
    """The same term, written into a row of its own."""
    name, _, index = statement.target.partition("[")
    if statement.kind != "add" or name not in names:
        return statement
    return Statement("set", f"{names[name]}[{index}", statement.value)
