"""One entry point: its items, loops over time around products, and the order in which all of it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..graph import Graph, Node, stable_order
from ..names import identifier
from ..program import Call, Entry, Item, Loop
from .buffers import ALIASES, SHIFTS, STORED, Buffers
from .calls import Calls
from .layout import Layout, user_field
from .sweep import SweepBuilder

SKIPPED = (*ALIASES, "parameter", "constant", "steps", "samples")  # nothing runs for these


def lower(graph: Graph, name: str, real_bytes: int) -> Entry:
    """The entry point `name` that computes the graph's outputs, in a dtype of so many bytes."""
    return _EntryBuilder(graph, name, Layout(real_bytes)).build()


class _EntryBuilder:
    def __init__(self, graph: Graph, name: str, layout: Layout) -> None:
        self.graph, self.name = graph, name
        self.buffers = Buffers(graph, layout)
        self.calls = Calls(graph, self.buffers)

    def build(self) -> Entry:
        units = self._units(self.graph.order)
        sections: dict[str, list[Item]] = {"once": [], "tile": [], "finish": []}
        for key in self._order(units):
            nodes = units[key]
            kind = nodes[-1].stage.kind if nodes[-1].stage else "once"
            if any(n.name in self.buffers.gradients for n in nodes) and kind == "once":
                kind = "finish"  # a gradient that depends on nothing; before, the sums are not there yet
            sections[kind if kind in sections else "tile"] += self._items(nodes)
        sections["tile"] += self._stores()
        sections["finish"] += [*self._copies(), *self._losses()]
        inputs: list[Any] = [n.op for n in self.graph if n.op.name == "input"]
        required = [op.label for op in inputs if op.role in ("input", "target")]
        return Entry(
            self.name,
            tuple(sections["once"]),
            tuple(sections["tile"]),
            tuple(sections["finish"]),
            tuple(map(identifier, required)),
        )

    def _units(self, names: Iterable[str], inside: bool = False) -> dict[str, list[Node]]:
        """What runs as one item: a loop over time, the nodes of a kernel, or a node alone."""
        units: dict[str, list[Node]] = {}
        for name in names:
            node = self.graph[name]
            if node.op.name in SKIPPED or node.type.dtype in ("scalar", "number"):
                continue
            loop = self.buffers.stepped.get(name, 0)
            key = f"loop {loop}" if loop and not inside else f"kernel {node.kernel}" if node.kernel else name
            units.setdefault(key, []).append(node)
        return units

    def _order(self, units: dict[str, list[Node]]) -> list[str]:
        """Items in an order in which everything is made before it is read."""
        unit_of = {node.name: key for key, nodes in units.items() for node in nodes}
        edges = []
        for key, nodes in units.items():
            for i in (self.buffers.source(i) for node in nodes for i in self._read_now(node)):
                if unit_of.get(i, key) != key:
                    edges.append((unit_of[i], key))
        return stable_order(units, edges)

    def _read_now(self, node: Node) -> Iterable[str]:
        """What must be there when a node runs; in a loop, not what its delay is fed."""
        return (
            node.inputs[1:] if node.name in self.buffers.stepped and node.op.name in SHIFTS else node.inputs
        )

    def _items(self, nodes: list[Node], inside: bool = False) -> list[Item]:
        if nodes[0].name in self.buffers.stepped and not inside:
            return self._loop(nodes)
        if nodes[0].kernel:
            return [SweepBuilder(self.graph, self.buffers, nodes).build()]
        return [self.calls.call(nodes[0])]

    def _loop(self, nodes: list[Node]) -> list[Item]:
        """A loop over time around products: states start, items run a step each, states move on."""
        units = self._units((n.name for n in nodes), inside=True)
        shifts = [n for n in nodes if n.op.name in SHIFTS]
        start: list[Item] = []
        for node in shifts:
            if node.op.name == "memorize":
                start.append(
                    Call(
                        "copy_rows",
                        (self.buffers.buffer(node.inputs[1]), self.buffers.state(node)),
                        (self.buffers.stride(node),),
                    )
                )
            else:
                start.append(Call("zero_rows", (self.buffers.state(node),), (self.buffers.stride(node),)))
        items = [item for key in self._order(units) for item in self._items(units[key], inside=True)]
        moves = tuple((self.buffers.state(n), self.buffers.buffer(n.inputs[0])) for n in shifts)
        stage = shifts[0].stage
        assert stage is not None
        return [*start, Loop(tuple(items), stage.kind == "reverse", stage.unroll, moves)]

    def _stores(self) -> list[Item]:
        stores: list[Item] = []
        for o in self.graph.outputs:
            if o.role in STORED:
                node = self.graph[o.value]
                numbers = (node.type.size, self.buffers.stride(node))
                field = user_field(o.role, o.name)
                stores.append(Call("store", (self.buffers.buffer(o.value),), numbers, node.type.time, field))
        return stores

    def _copies(self) -> list[Item]:
        """Where one value is the gradient of several parameters (added biases), the others get a copy."""
        copies: list[Item] = []
        for o in self.graph.outputs:
            if o.role == "gradient" and self.buffers.gradients[self.buffers.source(o.value)] != o.name:
                source = self.buffers.buffer(o.value)
                target = replace(source, name=self.buffers.names.new(f"d_{o.name}"), label=o.name)
                length = self.buffers.layout.parameter_length(source.features, source.layout == "panels")
                copies.append(Call("copy_gradient", (source, target), (length,)))
        return copies

    def _losses(self) -> list[Item]:
        losses = [o for o in self.graph.outputs if o.role == "loss"]
        return [Call("store_loss", (self.buffers.buffer(o.value),), field="loss") for o in losses]
