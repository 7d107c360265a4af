"""Rows of the caller's arrays that sweeps read and write where they lie, so that nothing is copied.

    load(x, 512, 528, user x, all steps)
    sweep lif(x, spk)                           sweep lif(x, spk)  # x: rows of user x, spk: of user out
    store(spk, 512, 528, user out, all steps)

A copy takes each element through the core once more. A buffer can be the caller's if it holds all steps and
only sweeps touch it beside its one load or store; if its features lie in the caller's order; and if its rows
have no pads, as sweeps compute whole vectors. What a load checks, the first sweep that reads all of it does.
Segments of time keep their copies: a buffer is theirs for one segment after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..program import Buffer, Call, Item, Loop, Panels, Segments, Sweep
from .layout import Layout
from .panels import Section


def in_place(sections: Mapping[Section, Sequence[Item]], layout: Layout) -> dict[Section, tuple[Item, ...]]:
    """The items without loads and stores of what sweeps can read and write in the caller's arrays."""
    uses: dict[Buffer, list[Item]] = {}  # the sweeps, calls and loops that touch a buffer, in order
    for items in sections.values():
        for item, touched in _touching(items):
            for buffer in dict.fromkeys(touched):
                uses.setdefault(buffer, []).append(item)
    found = [_Move.of(buffer, items) for buffer, items in uses.items() if _alike(buffer, layout)]
    moves = [move for move in found if move]
    return {name: tuple(_rewritten(items, moves)) for name, items in sections.items()}


@dataclass(frozen=True)
class _Move:
    """A buffer that becomes the caller's, by the load or store that it no longer needs.

    checker: the sweep that sees to it that elements are finite, and `element` as its text has it.
    """

    old: Buffer
    copy: Call
    checker: Sweep | None = None
    element: str = ""

    @classmethod
    def of(cls, buffer: Buffer, items: Sequence[Item]) -> _Move | None:
        """The move of a buffer that these items touch, if there can be one."""
        sweeps = [item for item in items if isinstance(item, Sweep)]
        copies = [i for i in items if isinstance(i, Call) and i.kind in ("load", "store")]
        if len(copies) != 1 or len(sweeps) != len(items) - 1 or not _plain(copies[0]):
            return None
        if copies[0].kind == "store":
            return cls(buffer, copies[0])
        for sweep in sweeps:
            for p in sweep.pointers:
                if p.buffer == buffer and sweep.size == buffer.count and not (p.steps or p.whole):
                    return cls(buffer, copies[0], sweep, f"{p.name}_at" + "[i]" * (buffer.count > 1))
        return None

    @property
    def new(self) -> Buffer:
        optional = self.copy.field.startswith("d_")  # a cotangent
        place = "result" if self.copy.kind == "store" else "optional" if optional else "given"
        return replace(self.old, place=place, label=self.copy.field)


def _plain(copy: Call) -> bool:
    """Whether all steps are copied, in the caller's order of features."""
    return copy.time and len(copy.numbers) == 2


def _alike(buffer: Buffer, layout: Layout) -> bool:
    """Whether rows of all steps lie as the caller's do."""
    rows = buffer.place == "tile" and buffer.layout == "real" and buffer.time and buffer.batch
    return rows and layout.stride(buffer.count) == buffer.count


def _touching(items: Sequence[Item]) -> Iterator[tuple[Item, Sequence[Buffer]]]:
    """Sweeps and calls with their buffers, and loops with those that are no item's alone."""
    for item in items:
        match item:
            case Sweep():
                yield item, item.buffers
            case Call():
                yield item, [b for b in item.buffers if b is not None]
            case Panels():
                yield from _touching(item.items)
            case Loop():
                yield item, [b for pair in item.states for b in pair]
                yield from _touching(item.items)
            case Segments():
                inner = (*item.again, *item.items)
                yield from ((item, touched) for _, touched in _touching(inner))


def _rewritten(items: Sequence[Item], moves: Sequence[_Move]) -> Iterator[Item]:
    for item in items:
        match item:
            case Sweep():
                yield _moved(item, moves)
            case Call():
                move = next((m for m in moves if m.copy is item), None)
                if move is None:
                    yield item
                elif move.new.place == "optional":
                    yield replace(item, kind="load_missing", buffers=(move.new,), numbers=item.numbers[:1])
            case Panels() | Loop():
                yield replace(item, items=tuple(_rewritten(item.items, moves)))  # type: ignore[arg-type]
            case Segments():
                yield item


def _moved(sweep: Sweep, moves: Sequence[_Move]) -> Sweep:
    new = {m.old: m.new for m in moves}
    pointers = (replace(p, buffer=new.get(p.buffer, p.buffer)) for p in sweep.pointers)
    checked = tuple(m.element for m in moves if m.checker is sweep)
    return replace(sweep, pointers=tuple(pointers), checked=checked)
