"""What a program for a GPU does otherwise: sums over the batch.

There every sample and neuron has a thread of its own, so no sweep can add to what samples share. It writes
its terms, a row for each sample, and a kernel adds the rows, in the order in which a tile of all samples
would: same bits as the C backend with one tile and one slot.
"""

from __future__ import annotations

from dataclasses import replace

from ..program import Buffer, Call, Entry, Item, Loop, Phase, Pointer, Segments, Size, Statement, Sweep
from .layout import Layout


def sums_apart(entry: Entry, layout: Layout) -> Entry:
    """The entry with terms of sums over the batch in rows, and calls that add them."""
    taken = {buffer.name for buffer in entry.buffers}

    def items(given: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(made for item in given for made in _apart(item, layout, taken))

    phases = (Phase(items(p.before), items(p.tile), items(p.after), items(p.finish)) for p in entry.phases)
    return replace(entry, prepare=items(entry.prepare), phases=tuple(phases))


def _apart(item: Item, layout: Layout, taken: set[str]) -> tuple[Item, ...]:
    match item:
        case Sweep():
            return _sweep(item, layout, taken)
        case Loop():
            inner = tuple(made for i in item.items for made in _apart(i, layout, taken))
            return (replace(item, items=inner),)
        case Segments():
            again, inner = (
                tuple(made for i in some for made in _apart(i, layout, taken))
                for some in (item.again, item.items)
            )
            return (replace(item, items=inner, again=again),)
    return (item,)


def _sweep(sweep: Sweep, layout: Layout, taken: set[str]) -> tuple[Item, ...]:
    added = {
        s.target.partition("[")[0] for s in (*sweep.before, *sweep.body, *sweep.after) if s.kind == "add"
    }
    sums = [p for p in sweep.pointers if f"{p.name}_at" in added and not p.buffer.batch]
    if not sums or not sweep.batch:
        return (sweep,)
    rows = {p: _terms(p.buffer, layout, taken) for p in sums}
    names = {f"{p.name}_at": f"{rows[p].name}_at" for p in sums}

    def statements(given: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(_set(s, names) for s in given)

    changed = replace(
        sweep,
        pointers=tuple(Pointer(rows[p], rows[p].name, True) if p in rows else p for p in sweep.pointers),
        before=statements(sweep.before),
        body=statements(sweep.body),
        after=statements(sweep.after),
    )
    calls = (
        Call("add_samples", (rows[p], p.buffer), (p.buffer.count,), p.buffer.time, layer=sweep.layer)
        for p in sums
    )
    return (changed, *calls)


def _set(statement: Statement, names: dict[str, str]) -> Statement:
    """The same term, written into a row of its own."""
    name, _, index = statement.target.partition("[")
    if statement.kind != "add" or name not in names:
        return statement
    return Statement("set", f"{names[name]}[{index}", statement.value)


def _terms(buffer: Buffer, layout: Layout, taken: set[str]) -> Buffer:
    """A row of terms for each sample."""
    base = name = f"{buffer.name}_terms"
    while name in taken:
        name = f"{base}_{len(taken)}"
    taken.add(name)
    row = layout.stride(buffer.count) * layout.real_bytes
    size = Size(seq=row) if buffer.time else Size(row=row)
    return Buffer(name, "tile", buffer.features, buffer.time, True, size=size)
