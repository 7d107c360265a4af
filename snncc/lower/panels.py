"""Loops over panels, and what lives only inside of one: a panel of it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..program import ROUNDED, Buffer, Call, Item, Loop, Panels, Pointer, Sweep, used
from .layout import Layout


def narrowed(sections: Mapping[str, Sequence[Item]], layout: Layout) -> dict[str, tuple[Item, ...]]:
    """The items with buffers of a single loop over panels as wide as a panel."""
    users: dict[Buffer, set[int]] = {}
    items = [item for section in sections.values() for item in section]
    for number, item in enumerate(items):
        for buffer in used(item):
            users.setdefault(buffer, set()).add(number if isinstance(item, Panels) else -1)
    narrow: dict[Buffer, Buffer] = {}
    for buffer, where in users.items():
        rows = buffer.place in ("tile", "block") and buffer.layout in ("real", *ROUNDED)
        if len(where) == 1 and -1 not in where and rows:
            size = layout.panel_size(buffer)
            narrow[buffer] = replace(buffer, place="panel", size=size)
    return {name: tuple(_replaced(i, narrow) for i in section) for name, section in sections.items()}


def _replaced(item: Item, narrow: Mapping[Buffer, Buffer]) -> Item:
    match item:
        case Panels():
            return replace(item, items=tuple(_replaced(i, narrow) for i in item.items))  # type: ignore[misc]
        case Call():
            return replace(item, buffers=tuple(b and narrow.get(b, b) for b in item.buffers))
        case Sweep():
            return replace(item, pointers=tuple(_pointer(p, narrow) for p in item.pointers))
        case Loop():
            return item


def _pointer(pointer: Pointer, narrow: Mapping[Buffer, Buffer]) -> Pointer:
    return replace(pointer, buffer=narrow.get(pointer.buffer, pointer.buffer))
