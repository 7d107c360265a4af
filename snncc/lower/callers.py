"""Rows of the caller's arrays that are read and written where they lie, so that nothing is copied.

    load(x, 512, 528, user x, all steps)
    sweep lif(x, spk)                           sweep lif(x, spk)  # x: rows of user x, spk: of user out
    store(spk, 512, 528, user out, all steps)

A copy takes each element through the core once more, and room in scratch. A buffer can be the caller's if it
holds all steps and only sweeps touch it beside its one load or store; if its features lie in the caller's
order; and if its rows have no pads, as sweeps compute whole vectors. What a load checks, the first sweep that
reads all of it does. An input may also be read by what lists its nonzeros, among which it finds what is not
finite, and by the products that have the list; where no sweep reads it, pads do not matter.
Segments of time keep their copies: a buffer is theirs for one segment after the other.

On a GPU rows have no pads anywhere, so all kernels read and write the caller's, also of what has no time
axis. An input that no sweep reads whole is checked by a kernel of its own. An initial state that sweeps alone
read is theirs as well: they know what it is where the caller gives none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..program import Buffer, Call, Item, Loop, Panels, Segments, Sweep
from .layout import LISTS, Layout
from .panels import Section

COPIES = ("load", "store", "load_state")
LISTING = "events_from_rows"
# What reads rows of features that are as far apart as the caller's.
READERS = (LISTING, "product", "wide_gradient_counted", "narrow_gradient_counted")


def in_place(sections: Mapping[Section, Sequence[Item]], layout: Layout) -> dict[Section, tuple[Item, ...]]:
    """The items without loads and stores of what sweeps can read and write in the caller's arrays."""
    uses: dict[Buffer, list[Item]] = {}  # the sweeps, calls and loops that touch a buffer, in order
    for items in sections.values():
        for item, touched in _touching(items):
            for buffer in dict.fromkeys(touched):
                uses.setdefault(buffer, []).append(item)
    rows = _rows if layout.device else _all_steps
    found = [_Move.of(buffer, items, layout) for buffer, items in uses.items() if rows(buffer)]
    moves = list(_checked_once(move for move in found if move))
    return {name: tuple(_rewritten(items, moves)) for name, items in sections.items()}


@dataclass(frozen=True)
class _Move:
    """A buffer that becomes the caller's, by the load or store that it no longer needs.

    checker: where nothing lists its nonzeros, the sweep that sees to it that elements are finite, and
    `element` as its text has it. checked: whether a kernel of its own does.
    """

    old: Buffer
    copy: Call
    checker: Sweep | None = None
    element: str = ""
    checked: bool = False

    @classmethod
    def of(cls, buffer: Buffer, items: Sequence[Item], layout: Layout) -> _Move | None:
        """The move of a buffer that these items touch, if there can be one."""
        sweeps = [item for item in items if isinstance(item, Sweep)]
        copying = COPIES if layout.device else COPIES[:2]
        copies = [i for i in items if isinstance(i, Call) and i.kind in copying]
        calls = [i for i in items if isinstance(i, Call) and i.kind not in copying]
        readers = [i for i in calls if i.kind in READERS or layout.device]
        if len(copies) != 1 or len(sweeps) + len(readers) != len(items) - 1:
            return None
        if layout.device and copies[0].kind == "load_state":
            return None if calls else cls._state(buffer, copies[0], sweeps)
        if not _plain(copies[0], buffer.time):
            return None
        if layout.device and copies[0].kind == "load":
            return cls._checking(buffer, copies[0], sweeps) or cls(buffer, copies[0], checked=True)
        if layout.device:
            return cls(buffer, copies[0])
        if sweeps and layout.stride(buffer.count) != buffer.count:
            return None
        if readers:
            return cls(buffer, copies[0]) if _listed(copies[0], readers) else None
        return (
            cls(buffer, copies[0]) if copies[0].kind == "store" else cls._checking(buffer, copies[0], sweeps)
        )

    @classmethod
    def _checking(cls, buffer: Buffer, copy: Call, sweeps: Sequence[Sweep]) -> _Move | None:
        """The move of an input that a sweep reads whole."""
        for sweep in sweeps:
            for p in sweep.pointers:
                if p.buffer == buffer and sweep.size == buffer.count and not (p.steps or p.whole):
                    return cls(buffer, copy, sweep, f"{p.name}_at" + "[i]" * (buffer.count > 1))
        return None

    @classmethod
    def _state(cls, buffer: Buffer, copy: Call, sweeps: Sequence[Sweep]) -> _Move | None:
        """The move of an initial state that each neuron reads for itself."""
        for sweep in sweeps:
            pointers = [p for p in sweep.pointers if buffer in (p.buffer, p.initial)]
            own = all(p.steps == (1 if p.initial == buffer else 0) and not p.whole for p in pointers)
            if sweep.size != buffer.count or not own:
                return None
        return cls._checking(buffer, copy, sweeps) if copy.buffers[1] is None else None

    @property
    def new(self) -> Buffer:
        optional = self.copy.field.startswith("d_")  # a cotangent
        place = {"store": "result", "load_state": "state"}.get(self.copy.kind, "")
        place = place or ("optional" if optional else "given")
        value, channels = self.copy.value, (*self.copy.numbers[2:], 0)[0]
        return replace(self.old, place=place, label=self.copy.field, value=value, channels=channels)


def _checked_once(moves: Iterable[_Move]) -> Iterator[_Move]:
    """An input that several phases read is checked by the first of them."""
    fields: set[str] = set()
    for move in moves:
        yield replace(move, checked=False) if move.copy.field in fields else move
        fields.add(move.copy.field)


def _plain(copy: Call, time: bool) -> bool:
    """Whether all is copied, if there are steps of all of them, in the caller's order of features."""
    return copy.time == time and len(copy.numbers) == 2


def _listed(copy: Call, readers: Sequence[Call]) -> bool:
    """Whether an input's rows of all steps are read, and their nonzeros are listed with their values."""
    lists = [r.buffers[1] for r in readers if r.kind == LISTING]
    given = copy.kind == "load" and not copy.field.startswith("d_")
    valued = any(b is not None and LISTS.get(b.layout, 0) > 0 for b in lists)
    return given and valued and all(r.time for r in readers)


def _all_steps(buffer: Buffer) -> bool:
    """Whether it holds rows of numbers, of all steps of a tile."""
    return buffer.place == "tile" and buffer.layout == "real" and buffer.time and buffer.batch


def _rows(buffer: Buffer) -> bool:
    """Whether it holds rows of numbers."""
    return buffer.place in ("tile", "block", "whole") and buffer.layout == "real" and buffer.batch


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
                yield item, [b for s in item.states for b in (s.start, s.value)]
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
                    yield _given(item, moves)
                else:
                    kinds = ["load_missing"] * (move.new.place == "optional") + [
                        "check_finite"
                    ] * move.checked
                    for kind in kinds:
                        yield replace(item, kind=kind, buffers=(move.new,), numbers=item.numbers[:1])
            case Panels() | Loop():
                yield replace(item, items=tuple(_rewritten(item.items, moves)))  # type: ignore[arg-type]
            case Segments():
                yield item


def _given(call: Call, moves: Sequence[_Move]) -> Call:
    new = {m.old: m.new for m in moves}
    return replace(call, buffers=tuple(new.get(b, b) if b else None for b in call.buffers))


def _moved(sweep: Sweep, moves: Sequence[_Move]) -> Sweep:
    new = {m.old: m.new for m in moves}
    pointers = (
        replace(p, buffer=new.get(p.buffer, p.buffer), initial=p.initial and new.get(p.initial, p.initial))
        for p in sweep.pointers
    )
    checked = tuple(m.element for m in moves if m.checker is sweep)
    return replace(sweep, pointers=tuple(pointers), checked=checked)
