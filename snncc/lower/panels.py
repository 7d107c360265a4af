"""Loops over panels, and what lives only inside of one: a panel of it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..program import ROUNDED, Buffer, Call, Item, Loop, Panels, Pointer, Segments, Sweep, flat, used
from .layout import Layout

Section = tuple[int, str]  # phase, and section of it


def narrowed(sections: Mapping[Section, Sequence[Item]], layout: Layout) -> dict[Section, tuple[Item, ...]]:
    """The items with buffers as wide as a panel where every loop over panels that reads one has made it."""
    loops: dict[Buffer, list[bool]] = {}  # whether each loop over panels makes it; False for other items
    for item in flat(item for section in sections.values() for item in section):
        made = _made(item)
        for buffer in dict.fromkeys(used(item)):
            loops.setdefault(buffer, []).append(buffer in made)
    narrow: dict[Buffer, Buffer] = {}
    for buffer, made_there in loops.items():
        rows = buffer.place in ("tile", "block") and buffer.layout in ("real", *ROUNDED)
        if all(made_there) and rows:
            size = layout.panel_size(buffer)
            narrow[buffer] = replace(buffer, place="panel", size=size)
    return {name: tuple(_replaced(i, narrow) for i in section) for name, section in sections.items()}


def _made(item: Item) -> set[Buffer]:
    """What a loop over panels writes."""
    made: set[Buffer] = set()
    for inner in item.items if isinstance(item, Panels) else ():
        if isinstance(inner, Call):
            made |= {b for b in inner.buffers[-1:] if b is not None}
        else:
            made |= {p.buffer for p in inner.pointers if p.written}
    return made


def _replaced(item: Item, narrow: Mapping[Buffer, Buffer]) -> Item:
    match item:
        case Panels():
            return replace(item, items=tuple(_replaced(i, narrow) for i in item.items))  # type: ignore[misc]
        case Call():
            return replace(item, buffers=tuple(b and narrow.get(b, b) for b in item.buffers))
        case Sweep():
            return replace(item, pointers=tuple(_pointer(p, narrow) for p in item.pointers))
        case Segments():
            again, items = (tuple(_replaced(i, narrow) for i in part) for part in (item.again, item.items))
            return replace(item, again=again, items=items)
        case Loop():
            return item


def _pointer(pointer: Pointer, narrow: Mapping[Buffer, Buffer]) -> Pointer:
    return replace(pointer, buffer=narrow.get(pointer.buffer, pointer.buffer))
