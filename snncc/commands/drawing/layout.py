"""Where the boxes of a drawing stand: in rows by the longest way from the inputs, with few crossings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .boxes import Box, Link

GAP, ROW_GAP = 36.0, 46.0  # between boxes of a row, and between rows
BEND = 18.0  # width of the room that a line takes where it passes a row
SWEEPS = 8


@dataclass
class Place:
    """The middle of a box, or of the bend of a line, and its size."""

    x: float = 0.0
    y: float = 0.0
    width: float = BEND
    height: float = 0.0


@dataclass(frozen=True)
class Layout:
    """Places of boxes by name, and the bends of each link that passes rows."""

    places: Mapping[str, Place]
    bends: Mapping[Link, list[Place]]


@dataclass
class _Rows:
    rows: list[list[str]]
    before: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    after: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def arrange(boxes: Sequence[Box], links: Sequence[Link], sizes: Mapping[str, tuple[float, float]]) -> Layout:
    """Rows from top to bottom; sizes are width and height of each box."""
    forward = [link for link in links if not link.back]
    row = _row_of(boxes, forward)
    table = _Rows([[] for _ in range(max(row.values(), default=0) + 1)])
    places = {box.name: Place(0.0, 0.0, *sizes[box.name]) for box in boxes}
    for box in boxes:
        table.rows[row[box.name]].append(box.name)
    bends = {link: _route(link, row, table, places, k) for k, link in enumerate(forward)}
    _untangle(table)
    _spread(table, places)
    _stack(table, places)
    return Layout({b.name: places[b.name] for b in boxes}, bends)


def _row_of(boxes: Sequence[Box], links: Sequence[Link]) -> dict[str, int]:
    """The longest way from a start; what has no way in but loops stands right above what reads it."""
    row = {box.name: 0 for box in boxes}
    for _ in boxes:
        for link in links:
            row[link.target] = max(row[link.target], row[link.source] + 1)
    last = max(row.values(), default=0)
    fed = {link.target for link in links}
    for box in boxes:
        readers = [row[link.target] for link in links if link.source == box.name]
        if box.kind == "output":
            row[box.name] = last
        elif box.kind != "input" and box.name not in fed and readers:
            row[box.name] = min(readers) - 1
    return row


def _route(
    link: Link, row: Mapping[str, int], table: _Rows, places: dict[str, Place], number: int
) -> list[Place]:
    """Bends of a line in the rows that it passes."""
    names = [link.source]
    for k in range(row[link.source] + 1, row[link.target]):
        name = f"bend {number} {k}"
        places[name] = Place()
        table.rows[k].append(name)
        names.append(name)
    names.append(link.target)
    for a, b in pairwise(names):
        table.after[a].append(b)
        table.before[b].append(a)
    return [places[name] for name in names[1:-1]]


def _untangle(table: _Rows) -> None:
    """Order each row by the middle of what it is linked with, down and up in turn."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        rows = table.rows if down else table.rows[::-1]
        for other, current in pairwise(rows):
            place = {name: k for k, name in enumerate(other)}
            linked = table.before if down else table.after
            current.sort(key=lambda name: _mean([place[n] for n in linked[name] if n in place], -1.0))


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _spread(table: _Rows, places: Mapping[str, Place]) -> None:
    """Middle each row, then move boxes under what they are linked with, as far as there is room."""
    for names in table.rows:
        total = sum(places[n].width for n in names) + GAP * (len(names) - 1)
        x = -total / 2
        for name in names:
            places[name].x = x + places[name].width / 2
            x += places[name].width + GAP
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        linked = table.before if down else table.after
        for names in table.rows if down else table.rows[::-1]:
            wanted = [_mean([places[n].x for n in linked[name]], places[name].x) for name in names]
            _settle([places[name] for name in names], wanted)


def _settle(row: Sequence[Place], wanted: Sequence[float]) -> None:
    """Put the boxes of a row where they want to be, none closer than the gap to its neighbour."""
    for place, x in zip(row, wanted, strict=True):
        place.x = x
    for _ in range(len(row)):
        for a, b in pairwise(row):
            missing = (a.width + b.width) / 2 + GAP - (b.x - a.x)
            if missing > 1e-6:
                a.x -= missing / 2
                b.x += missing / 2
    for a, b in pairwise(row):  # whatever is left
        b.x = max(b.x, a.x + (a.width + b.width) / 2 + GAP)


def _stack(table: _Rows, places: Mapping[str, Place]) -> None:
    y = 0.0
    for names in table.rows:
        height = max((places[name].height for name in names), default=0.0)
        for name in names:
            places[name].y = y + height / 2
        y += height + ROW_GAP
