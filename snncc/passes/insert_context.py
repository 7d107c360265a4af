"""insert_context: keep exactly the forward values that the backward half needs.

before:  %u = sub(%mem, 1.0)                    %d_u = mul(%d_spk, %u)           (backward)
after:   %ctx_mem = context(%mem)               %u.again = sub(%ctx_mem, 1.0)
                                                %d_u = mul(%d_spk, %u.again)

What a product reads backward is kept as it is. For what elementwise operators read, a minimum cut of
the forward graph finds the cheapest set of values from which all of it can be computed again without
running a loop or a product a second time; values are priced by their bytes a step. What takes a
polynomial (exp, sigmoid) costs more to compute again than a number costs to keep. A delayed value
is read from the kept sequence, one row earlier.

A list of events has room for any density. It is not kept through the products of later layers, but made again
from the spikes, a bit each, or from the numbers that are listed.

before:  %spk.events = events(%spk)             %d_w = weight_gradient<events>(%d_y, %spk.events)
after:   %ctx_spk.bits = context<bits>(%spk)    %spk.events.again = events(%ctx_spk.bits)
                                                %d_w = weight_gradient<events>(%d_y, %spk.events.again)

With a format (float32 of a double, float16, bfloat16) elementwise operators read rounded values:

after:   %ctx_mem = context<float16>(%mem)      %u.again = sub(%ctx_mem, 1.0)

The forward half stays as it is, and so does what products read. Whether a neuron has fired must not be
computed again from a rounded membrane: spikes and comparisons are kept, a bit each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..graph import Graph, Node, Stage
from ..ops.groups import SWEPT
from ..ops.linear import Context, Events
from ..ops.time import Memorize, Previous
from .base import Pass
from .choose_kernels import is_spike
from .simplify import live

if TYPE_CHECKING:
    import networkx

PRODUCTS = ("linear", "sparse_linear", "delayed_linear")
LONG = 2  # later products through which a list of numbers is not kept; of spikes, which is made faster: 1
ONCE_A_TILE = 16  # a value without a time axis costs this much less than one with


STEPS = ("spike", "greater", "greater_equal", "floor")  # a small change of an operand may change everything
REALS = ("real", "f32", "f64")
POLYNOMIALS = ("exp", "log", "sin", "cos", "tanh", "sigmoid")
AGAIN = 1.5  # numbers kept that cost as much as one polynomial: a few times a load and a store
BITS = {"": 32, "float32": 32, "float16": 16, "bfloat16": 16, "bits": 1}


@dataclass(frozen=True)
class InsertContext(Pass):
    """format: of the values that elementwise operators read backward; "" for the network's own."""

    format: str = ""

    def run(self, graph: Graph) -> Graph:
        work = _Context(graph, self.format)
        return work.rebuild(work.kept())


class _Context:
    def __init__(self, graph: Graph, format: str) -> None:
        self.graph, self.format = graph, format
        self.formats: dict[str, str] = {}  # of the values to keep
        self.backward = [n for n in graph if n.half == "backward"]
        self.spread = {n.inputs[0] for n in graph if n.op.name == "spread"}  # read one by one, so as they are
        self.loop_values = {n.inputs[0] for n in graph if isinstance(n.op, (Memorize, Previous))}
        self.looped = {m for members in graph.components if len(members) > 1 for m in members}
        self.nodes: dict[str, Node] = {}

    def crosses(self, name: str) -> bool:
        """Whether a value is made forward, for each tile anew."""
        node = self.graph[name]
        return node.half == "forward" and (node.type.time or node.type.batch)

    def kept(self) -> list[str]:
        """Values to keep, in order of definition."""
        needed: dict[str, None] = {}
        kept: set[str] = set()
        for node in self.backward:
            for source in filter(self.crosses, node.inputs):
                if isinstance(node.op, SWEPT):
                    needed[source] = None
                else:
                    kept.add(source)
        for name in [name for name in kept if self._listed_again(self.graph[name])]:
            kept.remove(name)
            listed = self.graph[self.graph[name].inputs[0]]
            if not is_spike(self.graph, name):
                kept.add(listed.name)
            elif self._on_loop(listed):
                kept |= set(filter(self.crosses, listed.inputs[1:]))
        cut = self._cut(list(needed), kept)
        self.formats = {name: self._format(self.graph[name]) for name in cut - kept}
        return [name for name in self.graph.nodes if name in kept | cut]

    def _listed_again(self, node: Node) -> bool:
        """Whether a list is not worth its memory until the backward half: other products run before."""
        if node.op.name != "events" or not node.type.time:
            return False
        readers = [node.name in n.inputs for n in self.graph if n.half == "forward" and n.op.name in PRODUCTS]
        later = readers[::-1].index(True) if any(readers) else LONG
        return later >= (1 if is_spike(self.graph, node.name) else LONG)

    def _cut(self, needed: list[str], kept: set[str]) -> set[str]:
        import networkx

        network = networkx.DiGraph()
        network.add_nodes_from(["source", "sink"])
        work, position = list(needed), {name: i for i, name in enumerate(self.graph.nodes)}
        while work:
            name = work.pop()
            if (name, "in") in network:
                continue
            price = 0 if name in kept else self._price(self.graph[name])
            # Of equal cuts the earlier one, where the user's own values are.
            network.add_edge((name, "in"), (name, "out"), capacity=price * 2**20 + position[name])
            inputs = self._ingredients(self.graph[name])
            if inputs is None:
                network.add_edge("source", (name, "in"))
            elif self.graph[name].op.name in POLYNOMIALS and not self.format:
                network.add_edge("source", (name, "in"), capacity=int(AGAIN * price) * 2**20)
            for source in inputs or ():
                network.add_edge((source, "out"), (name, "in"))
                work.append(source)
        for name in needed:
            network.add_edge((name, "out"), "sink")
        return _cut_nodes(network)

    def _price(self, node: Node) -> int:
        return node.type.size * BITS[self._format(node)] * (ONCE_A_TILE if node.type.time else 1)

    def _format(self, node: Node) -> str:
        """What a sweep can store; inputs, products and reductions over features stay as they are."""
        swept = isinstance(node.op, (*SWEPT, Memorize, Previous)) and node.type.dtype in REALS
        if not self.format or not swept or node.name in self.spread:
            return ""
        return "bits" if node.type.time and node.op.name in STEPS[:-1] else self.format

    def _ingredients(self, node: Node) -> list[str] | None:
        """What a value can be computed from again; None if it cannot."""
        if node.name in self.loop_values or not isinstance(node.op, (*SWEPT, Memorize, Previous)):
            return None
        if self.format and node.op.name in STEPS:
            return None
        return list(filter(self.crosses, node.inputs))

    def rebuild(self, kept: list[str]) -> Graph:
        """The graph with contexts, and with what is computed again."""
        self.contexts = {name: f"ctx_{name}" for name in kept}
        self.again: dict[str, str] = {}
        # A list that only the backward half reads is not made before.
        unread = {n.name for n in self.graph if n.op.name == "events" and n.half == "forward"} - {*kept}
        unread -= {i for n in self.graph if n.half == "forward" for i in n.inputs}
        for node in self.graph:
            if node.half == "backward":
                inputs = tuple(self._read(i) if self.crosses(i) else i for i in node.inputs)
                node = replace(node, inputs=inputs)
            if node.name in unread:
                continue
            self.nodes[node.name] = node
            if node.name in self.contexts:
                name = self.contexts[node.name]
                op = Context(self.formats.get(node.name, ""))
                self.nodes[name] = replace(node, name=name, op=op, inputs=(node.name,), stage=_stage(node))
        return live(Graph(self.nodes, self.graph.outputs))  # forward values may be read by nothing any more

    def _read(self, name: str) -> str:
        """The backward half's copy of a forward value."""
        if name in self.contexts:
            return self.contexts[name]
        node = self.graph[name]
        if name not in self.again and node.op.name == "events":
            self.again[name] = again = f"{name}.again"
            events, inputs = self._listed(node)
            self.nodes[again] = replace(node, name=again, op=events, inputs=inputs, half="backward")
        elif name not in self.again:
            op = Previous(node.type.features) if isinstance(node.op, Memorize) else node.op
            inputs = tuple(self._read(i) if self.crosses(i) else i for i in node.inputs)
            self.again[name] = again = f"{name}.again"
            self.nodes[again] = replace(
                node, name=again, op=op, inputs=inputs, half="backward", stage=_stage(node)
            )
        return self.again[name]

    def _listed(self, node: Node) -> tuple[Events, tuple[str, ...]]:
        """The list that the backward half makes: its operator, and what it is made from."""
        source = self.graph[node.inputs[0]]
        if not is_spike(self.graph, source.name):
            return Events(), (self._read(source.name),)
        if self._on_loop(source):  # the spikes are kept once, however many read the step before
            return Events(previous=True), (self._bits(source.inputs[0]), self._read(source.inputs[1]))
        return Events(), (self._bits(source.name),)

    def _on_loop(self, node: Node) -> bool:
        """Whether a value is that of the step before of what depends on it."""
        return isinstance(node.op, Memorize) and node.name in self.looped

    def _bits(self, name: str) -> str:
        """Spikes kept as bits."""
        source, bits = self.graph[name], f"ctx_{name}.bits"
        self.nodes[bits] = replace(
            source, name=bits, op=Context("bits"), inputs=(name,), stage=_stage(source)
        )
        return bits


def _stage(node: Node) -> Stage:
    """Outside of the loops."""
    return Stage("parallel" if node.type.time else "tile")


def _cut_nodes(network: networkx.DiGraph) -> set[str]:
    import networkx

    if network.in_degree("sink") == 0:
        return set()
    _, (before, after) = networkx.minimum_cut(network, "source", "sink")
    return {
        name for name, side in (n for n in before if n != "source") if side == "in" and (name, "out") in after
    }
