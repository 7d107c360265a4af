"""Writes the drawing of a network as SVG: no scripts, no fonts to load, the same network the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from math import inf

from ...graph import Graph
from ...nn.module import Module
from .boxes import Box, Link, boxes_of
from .layout import Layout, Place, arrange

MARGIN, LANE, TOP = 28.0, 20.0, -66.0
TITLE, TEXT = 14.0, 11.0  # sizes of letters
WIDE, NARROW = "mwMW@×→", "fijlrt.,:;'|!()[] "
CIRCLE = 26.0
FILL = {  # ground and frame
    "input": ("#f1f3f5", "#868e96"),
    "output": ("#f1f3f5", "#868e96"),
    "layer": ("#e7f0fb", "#4c7dbf"),
    "neuron": ("#fdf0e3", "#d9822b"),
    "delay": ("#f2ebfa", "#8458b3"),
    "sum": ("#ffffff", "#495057"),
}
SPIKES, NUMBERS, TIME = "#d9822b", "#5c6773", "#8458b3"
STYLE = (
    "text{font-family:ui-sans-serif,system-ui,'Helvetica Neue',Arial,sans-serif;font-size:12px;fill:#343a40}"
    ".t{font-weight:600;font-size:14px;fill:#212529}.s{font-size:11px;fill:#5c6773}"
    ".l{font-size:11px;fill:#868e96}"
    ".p{fill:#6b4596;font-size:11px}path{fill:none}"
)


def draw(network: Module, graph: Graph, title: str, neurons: Mapping[str, str] | None = None) -> str:
    """The SVG text of a network and its traced graph. neurons: see `boxes_of`."""
    boxes, links = boxes_of(network, graph, neurons)
    layout = arrange(boxes, links, {box.name: _size(box) for box in boxes})
    back = [link for link in links if link.back]
    places = layout.places.values()
    left = min(p.x - p.width / 2 for p in places) - MARGIN
    right = max(p.x + p.width / 2 for p in places) + MARGIN + LANE * len(back) + (118.0 if back else 0.0)
    bottom = max(p.y + p.height / 2 for p in places) + MARGIN
    body = [
        *(line for link in links if not link.back for line in _line(link, links, layout)),
        *_labels(links, layout),
        *(line for lane, link in enumerate(back) for line in _loop(link, layout.places, lane)),
        *(line for box in boxes for line in _box(box, layout.places[box.name])),
    ]
    width, height = max(right - left, 260.0), bottom + 40.0 - TOP
    view = f"{left:.1f} {TOP:.1f} {width:.1f} {height:.1f}"
    arrows = "".join(_arrow(name, colour) for name, colour in (("n", NUMBERS), ("s", SPIKES), ("d", TIME)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" '
            f'width="{width:.0f}" height="{height:.0f}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{arrows}</defs>",
            f'<rect x="{left:.1f}" y="{TOP:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#fff"/>',
            f'<text class="t" x="{left + MARGIN:.1f}" y="{TOP + 28:.1f}">{escape(title)}</text>',
            *body,
            *_legend(left + MARGIN, bottom + 8.0),
            "</svg>",
            "",
        ]
    )


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" style="fill:{colour}"/></marker>'
    )


def _size(box: Box) -> tuple[float, float]:
    if box.kind == "sum":
        return CIRCLE, CIRCLE
    if box.kind in ("input", "output"):
        return max(_width(box.title, TITLE) + _width(box.detail, TEXT) + 40, 90.0), 30.0
    lines = [_width(box.title, TITLE), _width(_second(box), TEXT), _pills(box)]
    return max(*(n + 32 for n in lines), 168.0), 50.0 + (24.0 if box.states else 0.0)


def _width(text: str, size: float) -> float:
    """About how wide a text is, in the widest of usual fonts."""
    return size * sum(0.98 if c in WIDE else 0.42 if c in NARROW else 0.68 for c in text)


def _second(box: Box) -> str:
    return " · ".join([box.detail, *([_count(box.parameters)] if box.parameters else [])])


def _count(number: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:.3g}{unit} parameters"
    return f"{number} parameter{'s' * (number != 1)}"


def _pills(box: Box) -> float:
    return sum(_width(state, TEXT) + 34 for state in box.states)


def _box(box: Box, place: Place) -> Iterator[str]:
    ground, frame = FILL[box.kind]
    x, y, w, h = place.x - place.width / 2, place.y - place.height / 2, place.width, place.height
    colours = f'fill="{ground}" stroke="{frame}"'
    if box.kind == "sum":
        yield f'<circle cx="{place.x:.1f}" cy="{place.y:.1f}" r="{w / 2:.1f}" {colours}/>'
        yield _text(place.x, place.y + 5, box.title, "t")
        return
    radius = 15 if box.kind in ("input", "output") else 7
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}" {colours}/>'
    if box.kind in ("input", "output"):
        at = place.x - (_width(box.title, TITLE) + _width(box.detail, TEXT) + 8) / 2
        yield f'<text class="t" x="{at:.1f}" y="{place.y + 5:.1f}">{escape(box.title)}</text>'
        at += _width(box.title, TITLE) + 8
        yield f'<text class="s" x="{at:.1f}" y="{place.y + 5:.1f}">{escape(box.detail)}</text>'
        return
    yield _text(place.x, y + 20, box.title, "t")
    yield _text(place.x, y + 38, _second(box), "s")
    at = place.x - _pills(box) / 2
    for state in box.states:
        yield from _pill(at + 4, y + h - 23, state)
        at += _width(state, TEXT) + 34


def _pill(x: float, y: float, state: str) -> Iterator[str]:
    """A state with the loop that it goes round once a step."""
    width = _width(state, TEXT) + 26
    at = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="17"'
    yield f'<rect {at} rx="8.5" fill="#fff" stroke="{TIME}"/>'
    cx, cy = x + 10.5, y + 8.5
    yield (
        f'<path d="M{cx + 3.6:.1f} {cy - 2.2:.1f}A4.2 4.2 0 1 0 {cx + 4:.1f} {cy + 1.4:.1f}'
        f'M{cx + 4.9:.1f} {cy - 5:.1f}v3.6h-3.6" stroke="{TIME}" stroke-width="1.3"/>'
    )
    yield f'<text class="p" x="{x + 19:.1f}" y="{y + 12.5:.1f}">{escape(state)}</text>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'


def _port(link: Link, links: Sequence[Link], layout: Layout, entry: bool) -> float:
    """Where a line meets its box: lines beside each other, in the order of where they lead."""
    name = link.target if entry else link.source
    place = layout.places[name]
    beside = [k for k in links if not k.back and (k.target if entry else k.source) == name]

    def leads(k: Link) -> float:
        bends = layout.bends[k]
        if bends:
            return bends[-1 if entry else 0].x
        return layout.places[k.source if entry else k.target].x

    order = sorted(range(len(beside)), key=lambda i: (leads(beside[i]), i))
    rank = next(r for r, i in enumerate(order) if beside[i] is link)
    step = min(28.0, 0.7 * place.width / max(len(beside), 1))
    return place.x + (rank - (len(beside) - 1) / 2) * step


def _line(link: Link, links: Sequence[Link], layout: Layout) -> Iterator[str]:
    """A smooth line from the bottom of a box through its bends to the top of another."""
    start, end = layout.places[link.source], layout.places[link.target]
    points = [(_port(link, links, layout, False), start.y + start.height / 2)]
    points += [(bend.x, bend.y) for bend in layout.bends[link]]
    points.append((_port(link, links, layout, True), end.y - end.height / 2 - 2))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        path += f"C{ax:.1f} {middle:.1f} {bx:.1f} {middle:.1f} {bx:.1f} {by:.1f}"
    colour, mark = (SPIKES, "s") if link.spikes else (NUMBERS, "n")
    dash = ' stroke-dasharray="5 4"' if link.steps else ""
    yield f'<path d="{path}" stroke="{colour}" stroke-width="1.6"{dash} marker-end="url(#{mark})"/>'


def _labels(links: Sequence[Link], layout: Layout) -> Iterator[str]:
    """What leaves a box, once for each shape, beside its first line."""
    first: dict[tuple[str, str], tuple[float, Link]] = {}
    for link in links:
        if not link.back:
            label = link.shape + (f", {_later(link)}" if link.steps else "")
            x = _port(link, links, layout, False)
            if x < first.get((link.source, label), (inf, link))[0]:
                first[link.source, label] = x, link
    for (source, label), (x, link) in first.items():
        y = layout.places[source].y + layout.places[source].height / 2 + 15
        then = (*layout.bends[link], layout.places[link.target])[0].x
        side, anchor = (7, "start") if then < x - 8 else (-7, "end")
        yield f'<text class="l" x="{x + side:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'


def _loop(link: Link, places: Mapping[str, Place], lane: int) -> Iterator[str]:
    """A line from below a box, on the right of all, to above another: a step later."""
    start, end = places[link.source], places[link.target]
    x0, x1 = start.x + 0.36 * start.width, end.x + 0.36 * end.width
    y0, y1 = start.y + start.height / 2, end.y - end.height / 2 - 2
    low, high = y0 + 24 + 3 * (lane % 4), y1 - 16 - 3 * (lane % 4)
    far = max(p.x + p.width / 2 for p in places.values()) + LANE * (lane + 1)
    path = (
        f"M{x0:.1f} {y0:.1f}V{low - 6:.1f}Q{x0:.1f} {low:.1f} {x0 + 6:.1f} {low:.1f}"
        f"H{far - 8:.1f}Q{far:.1f} {low:.1f} {far:.1f} {low - 8:.1f}"
        f"V{high + 8:.1f}Q{far:.1f} {high:.1f} {far - 8:.1f} {high:.1f}"
        f"H{x1 + 6:.1f}Q{x1:.1f} {high:.1f} {x1:.1f} {high + 6:.1f}V{y1:.1f}"
    )
    yield f'<path d="{path}" stroke="{TIME}" stroke-width="1.6" stroke-dasharray="5 4" marker-end="url(#d)"/>'
    label = f"{link.shape}, {_later(link)}" if link.steps else link.shape
    y = (low + high) / 2 + 14 * (lane % 3)
    yield f'<text class="l" x="{far + 6:.1f}" y="{y + 4:.1f}">{escape(label)}</text>'


def _later(link: Link) -> str:
    return f"{link.steps} step{'s' * (link.steps != 1)} later"


def _legend(x: float, y: float) -> Iterator[str]:
    for text, colour, dash in (
        ("numbers", NUMBERS, ""),
        ("spikes", SPIKES, ""),
        ("a step later", TIME, ' stroke-dasharray="5 4"'),
    ):
        yield f'<path d="M{x:.1f} {y + 12:.1f}h22" stroke="{colour}" stroke-width="1.6"{dash}/>'
        yield f'<text class="s" x="{x + 28:.1f}" y="{y + 16:.1f}">{text}</text>'
        x += 44 + _width(text, TEXT)
