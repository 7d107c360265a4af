"""The items of a tile whose steps run in segments: what is held of a value is one segment.

    start                              what has no time axis
    segments of time:                  the forward half; states go on from segment to segment
    turn                               what has no time axis and waits for sums over time
    segments of time in reverse:       the forward half again, from the states at the segment's start,
                                       then the backward half; cotangents and sums go on
    end                                what has no time axis and waits for the backward half

The last segment's values are still there when the backward half begins, so it is not run again.

Where the learning rule lets no gradient go from a segment to the one before (truncated, or online), and no
value waits for sums over all steps, one loop is enough: each segment runs forward, then backward. Segments
that only save memory never do: sums over time would be added in another order than without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..graph import Graph, Node
from ..passes.fuse import in_place
from ..program import Call, Item, Segments
from .buffers import SHIFTS, Buffers
from .schedule import Unit


class Lowering(Protocol):
    """What lowers units to items."""

    graph: Graph
    buffers: Buffers
    windows: bool

    def units(self, names: Iterable[str]) -> dict[str, Unit]: ...
    def ordered(self, units: Mapping[str, Unit]) -> list[Item]: ...


class Segmented:
    """Puts the items of a tile in order."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering, self.graph, self.buffers = lowering, lowering.graph, lowering.buffers

    def items(self, units: Mapping[str, Unit], stores: list[tuple[str, Item]]) -> list[Item]:
        """The tile's items, from its units and the stores of values to the caller."""
        parts = {p: {k: u for k, u in units.items() if u.part == p} for p in ("start", "turn", "end")}
        timed = {h: {k: u for k, u in units.items() if u.part == h} for h in ("forward", "backward")}
        given = {h: [s for v, s in stores if self._stored_in(v) == h] for h in timed}
        last = [s for v, s in stores if self._stored_in(v) not in timed]
        self.buffers.one_round = self._one_round(timed["backward"], parts["turn"])
        rounds = self._together if self.buffers.one_round else self._there_and_back
        return [
            *self.lowering.ordered(parts["start"]),
            *self._started(timed["forward"]),
            *rounds(timed, given, parts["turn"]),
            *self.lowering.ordered(parts["end"]),
            *last,
        ]

    def _one_round(self, backward: Mapping[str, Unit], turn: Mapping[str, Unit]) -> bool:
        """Whether the backward half of a segment waits for nothing of later ones."""
        waits = any(k in turn for unit in backward.values() for k in unit.needs)
        nodes = self._nodes(backward)
        later = any(n.op.name == "carry" and not _cut(n) for n in nodes)
        return self.lowering.windows and bool(nodes) and not waits and not later

    def _together(
        self, timed: Mapping[str, dict[str, Unit]], given: Mapping[str, list[Item]], turn: dict[str, Unit]
    ) -> list[Item]:
        """Each segment forward and backward, from the first to the last."""
        before = self._read_before(timed["backward"])
        kept = [
            Call("copy_rows", (self.buffers.state(n), self.buffers.start(n)), (self.buffers.held(n),))
            for n in before
        ]
        items = [*kept, *self.lowering.ordered({**timed["forward"], **timed["backward"]})]
        firsts = [n for n in self._nodes(timed["backward"]) if n.op.name == "first"]
        stores = [*self._of_first(firsts), *given["forward"], *given["backward"]]
        return [
            *self._started(timed["backward"]),
            Segments((*items, *stores)),
            *self.lowering.ordered(turn),
        ]

    def _of_first(self, nodes: Iterable[Node]) -> list[Item]:
        """Copies of what the first segment left; the others leave something, too."""
        buffers = self.buffers
        return [
            Call("copy_if_first", (buffers.passing(n), buffers.buffer(n.name)), (buffers.pitch(n),))
            for n in nodes
        ]

    def _there_and_back(
        self, timed: Mapping[str, dict[str, Unit]], given: Mapping[str, list[Item]], turn: dict[str, Unit]
    ) -> list[Item]:
        """All segments forward, then all backward, from the last to the first."""
        again = self._needed(timed["backward"])
        states = [n for n in self._nodes(timed["forward"]) if n.op.name == "memorize"]
        before = self._read_before(timed["backward"])
        saved = [n for n in states if n.name in again or n in before]
        forward = [
            *self._copies("keep_rows", saved),
            *self.lowering.ordered(timed["forward"]),
            *given["forward"],
        ]
        repeated = [
            *self._copies("restore_rows", [n for n in saved if n.name in again]),
            *self._again(again),
        ]
        backward = [
            *self._copies("restore_rows", before),
            *self.lowering.ordered(timed["backward"]),
            *given["backward"],
        ]
        return [
            *([Segments(tuple(forward))] if forward else []),
            *self.lowering.ordered(turn),
            *self._started(timed["backward"]),
            *([Segments(tuple(backward), True, tuple(repeated))] if backward else []),
        ]

    def _stored_in(self, value: str) -> str:
        """The part in which a value with a time axis is stored; the others are stored when all is done."""
        node = self.graph[value]
        return node.half if node.type.time else ""

    def _nodes(self, units: Mapping[str, Unit]) -> list[Node]:
        return [node for unit in units.values() for node in unit.nodes]

    def _started(self, units: Mapping[str, Unit]) -> list[Item]:
        """What states and sums are before the first segment."""
        lasting = (*SHIFTS, "sum_time", "first_steps", "last_steps")
        return [self.buffers.started(n) for n in self._nodes(units) if n.op.name in lasting and not _cut(n)]

    def _copies(self, kind: str, states: Iterable[Node]) -> list[Item]:
        """Copies of states to or from the rows of the segment at hand."""
        buffers = self.buffers
        return [Call(kind, (buffers.state(n), buffers.marks(n)), (buffers.held(n),)) for n in states]

    def _read_before(self, units: Mapping[str, Unit]) -> list[Node]:
        """States whose rows at the start of a segment the backward half reads."""
        previous = [
            n for n in self._nodes(units) if n.op.name == "previous" or getattr(n.op, "previous", False)
        ]
        return list({n.name: n for n in map(self.buffers.carrier, previous)}.values())

    def _needed(self, units: Mapping[str, Unit]) -> set[str]:
        """Forward values that the backward half reads, and what they are made of: those with a time axis, and
        what their kernels make for themselves."""
        needed: set[str] = set()
        work = [i for node in self._nodes(units) for i in node.inputs]
        while work:
            node = self.graph[work.pop()]
            held = node.type.time or (node.kernel and in_place(node))
            if node.name not in needed and node.half == "forward" and held:
                needed.add(node.name)
                work += node.inputs
        return needed

    def _again(self, needed: set[str]) -> list[Item]:
        return self.lowering.ordered(self.lowering.units(n for n in self.graph.order if n in needed))


def _cut(node: Node) -> bool:
    """A carry that ends where its segment does."""
    return getattr(node.op, "every", 0) > 0
