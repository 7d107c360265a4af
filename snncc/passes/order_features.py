"""order_features: in which order the features of each value lie in memory.

before:  %conv = conv<5x5>(%x, %w) : f32[T, B, 12, 24, 24]
after:   %conv = conv<5x5>(%x, %w) : f32[T, B, 12, 24, 24]  @ parallel, 12 channels last

Kernels of convolutions and pooling want all channels of a pixel side by side; users' arrays have all pixels of a
channel. Which elements an elementwise kernel, a state, a reshape or a list sees in which order does not matter, as
long as all of its operands agree: so one order runs through a network, from the load to the store, and the columns
of a matrix behind a flattened image are ordered like the image. Only where two orders meet is a value copied, by
`reorder`. Nothing of what a graph means changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..graph import Graph, Node, Stage
from ..ops.conv import SLIDING
from ..ops.elementwise import ELEMENTWISE, IN_PLACE
from ..ops.layout import Reorder
from ..ops.pool import POOLS, UNPOOLS
from ..ops.time import REDUCTIONS, Previous, Shift
from .base import Pass

# Whatever order the features of these have, it is that of their operands.
SAME = ("context", "reshape", "events", "sum_batch", *REDUCTIONS)
# These have one order of their own, and kernels that can deal with any.
FREE = ("input", "state", "parameter", "vector", "uniform", "take", "scatter_add")
IMAGES = (*POOLS, *UNPOOLS)
BIAS = 2  # the operand's place


@dataclass(frozen=True)
class OrderFeatures(Pass):
    def run(self, graph: Graph) -> Graph:
        if not any(_channels(s.features) for n in graph for s in _slots(graph, n).values() if s):
            return graph
        return _Orders(graph).ordered()


@dataclass(frozen=True)
class Image:
    """Features [channels, *space] that lie channels last."""

    features: tuple[int, ...]


def _channels(features: tuple[int, ...]) -> int:
    """How many channels lie side by side; 0 where both orders are the same."""
    if len(features) < 2:
        return 0
    pixels = 1
    for n in features[1:]:
        pixels *= n
    return features[0] if features[0] > 1 and pixels > 1 else 0


RESULT = -1
ROWS = Image(())  # row-major


def _slots(graph: Graph, node: Node) -> dict[int, Image | None]:
    """The order that a node wants of its result (-1) and of its operands by place; None: that of the weight."""
    types = [graph[i].type for i in node.inputs]
    op = node.op.name
    if op in IMAGES:
        return {RESULT: Image(node.type.features)} | {k: Image(t.features) for k, t in enumerate(types)}
    if op == "conv_gradient":
        return {RESULT: _taps(node.type.features)} | {k: Image(t.features) for k, t in enumerate(types)}
    if op in SLIDING:
        weight = types[1].features
        turned = (weight[-1], *weight[:-1]) if op == "conv_transpose" else weight
        wanted = {RESULT: Image(node.type.features), 0: Image(types[0].features), 1: _taps(turned)}
        listed = {k: Image(types[k].features) for k in range(BIAS, len(types)) if len(types[k].features) > 1}
        return wanted | {k: ROWS for k in range(BIAS, len(types))} | listed
    if op == "linear":
        return {BIAS: ROWS} if len(types) > BIAS and len(types[BIAS].features) == 1 else {}
    if op == "sum_space":
        return {RESULT: ROWS, 0: Image(types[0].features)}
    if op == "spread":
        return {RESULT: Image(node.type.features), 0: ROWS}
    return {}


def _taps(weight: tuple[int, ...]) -> Image:
    """The columns of a convolution's weight: the channels of a place side by side."""
    return Image(weight[1:])


class _Orders:
    """Groups of values that have one order, and what each group is to have."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parent = {name: name for name in graph.nodes}
        self.turned = self._turned()
        self.wants: list[tuple[str, int, int]] = []  # node, slot, channels
        for node in graph:
            self._constrain(node)
        for o in graph.outputs:
            if o.role == "gradient":
                labels = (n.name for n in graph if n.op.name == "parameter" and n.op.label == o.name)  # type: ignore[attr-defined]
                for name in labels:
                    self._join(name, o.value)
        self.order = self._choice()

    def _turned(self) -> set[str]:
        """Values that are transposed matrices: their rows are what else are columns."""
        found: set[str] = set()
        for name in self.graph.order:
            node = self.graph[name]
            if node.op.name == "transpose" and node.inputs[0] not in found:
                found.add(name)
        return found

    def _find(self, name: str) -> str:
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def _join(self, a: str, b: str) -> None:
        self.parent[self._find(a)] = self._find(b)

    def _constrain(self, node: Node) -> None:
        for slot, image in _slots(self.graph, node).items():
            assert image is not None
            self.wants.append((node.name, slot, _channels(image.features)))
        for other in self._agreeing(node):
            self._join(node.name if isinstance(other, str) else other[0], other if isinstance(other, str) else other[1])
        if not self._known(node):
            slots = {RESULT: node.name, **dict(enumerate(node.inputs))}
            self.wants += [(node.name, k, 0) for k, name in slots.items() if self.graph[name].type.size > 1]

    def _known(self, node: Node) -> bool:
        op = node.op
        elementwise = isinstance(op, (*ELEMENTWISE, Shift, Previous, *IN_PLACE)) or op.name in (*SAME, *FREE)
        return elementwise or bool(_slots(self.graph, node)) or op.name in ("linear", "weight_gradient", "transpose")

    def _agreeing(self, node: Node) -> Iterator[str | tuple[str, str]]:
        """Values of the same order as the node's result, and pairs of operands with one order."""
        op, graph = node.op.name, self.graph
        if op == "linear":
            x, weight = node.inputs[:2]
            if weight in self.turned:
                yield weight
            else:
                yield x, weight
            yield from ((i, x) for i in node.inputs[2:] if graph[i].type.features == graph[x].type.features and graph[i].op.name == "events")
        elif op == "weight_gradient":
            yield from node.inputs[1:]
        elif op == "transpose":
            yield node.inputs[0]
        elif isinstance(node.op, (*ELEMENTWISE, Shift, Previous)) or op in SAME:
            yield from (i for i in node.inputs if graph[i].type.size == node.type.size > 1)

    def _fixed(self, name: str) -> Iterator[int]:
        """Orders that the operator of a value has for its result, and for its rows of a matrix."""
        yield from (channels for node, slot, channels in self.wants if node == name and slot == RESULT)

    def _choice(self) -> dict[str, int]:
        votes: dict[str, Counter[int]] = {}
        for name, slot, channels in self._wanted():
            votes.setdefault(self._find(self._value(name, slot)), Counter())[channels] += 1
        return {
            group: max(counted, key=lambda c: (c > 0, counted[c], -c)) for group, counted in votes.items()
        }

    def _wanted(self) -> Iterator[tuple[str, int, int]]:
        yield from self.wants
        for node in self.graph:
            op = node.op.name
            if op == "linear":
                if node.inputs[1] in self.turned:
                    yield node.name, 0, 0
                else:
                    yield node.name, RESULT, 0
            elif op == "weight_gradient":
                yield node.name, 0, 0

    def _value(self, name: str, slot: int) -> str:
        return name if slot == RESULT else self.graph[name].inputs[slot]

    def _of(self, name: str) -> int:
        return self.order.get(self._find(name), 0)

    def ordered(self) -> Graph:
        """The graph with orders on its nodes, and copies where an operator wants another one."""
        wanted = {(name, slot): channels for name, slot, channels in self._wanted()}
        nodes: dict[str, Node] = {}
        made: dict[tuple[str, int], str] = {}
        late: dict[str, str] = {}  # what others read in place of a result that has an order of its own
        for node in self.graph:
            own = wanted.get((node.name, RESULT), self._of(node.name))
            inputs = list(node.inputs)
            for k, source in enumerate(node.inputs):
                channels = wanted.get((node.name, k), self._of(source))
                if channels != self._of(source) and self.graph[source].type.size > 1:
                    inputs[k] = self._copy(nodes, made, node, source, channels)
            nodes[node.name] = replace(node, inputs=tuple(inputs), channels=own)
            if own != self._of(node.name):
                late[node.name] = self._after(nodes, node, own)
        changed = {
            name: replace(n, inputs=tuple(late.get(i, i) if n.name != late.get(i) else i for i in n.inputs))
            for name, n in nodes.items()
        }
        outputs = tuple(replace(o, value=late.get(o.value, o.value)) for o in self.graph.outputs)
        return Graph(changed, outputs)

    def _copy(
        self, nodes: dict[str, Node], made: dict[tuple[str, int], str], reader: Node, source: str, channels: int
    ) -> str:
        """A value in the order that a reader wants, made once for all of them."""
        key = (source, channels)
        if key not in made:
            made[key] = f"{source}.{'last' if channels else 'rows'}"
            node = self.graph[source]
            op = Reorder(self._of(source), channels)
            nodes[made[key]] = replace(
                node, name=made[key], op=op, inputs=(source,), stage=_beside(node, reader), half=reader.half,
                channels=channels, kernel="",
            )
        return made[key]

    def _after(self, nodes: dict[str, Node], node: Node, own: int) -> str:
        """A result in the order of its group."""
        name, group = f"{node.name}.ordered", self._of(node.name)
        nodes[name] = replace(
            node, name=name, op=Reorder(own, group), inputs=(node.name,), channels=group, kernel=""
        )
        return name


def _beside(source: Node, reader: Node) -> Stage | None:
    """When a copy runs: with its reader in a loop over time that makes the value, else when the value is there."""
    if source.stage is None or reader.stage is None:
        return reader.stage
    if source.stage.kind in ("scan", "reverse"):
        same = (source.stage.kind, source.stage.loop) == (reader.stage.kind, reader.stage.loop)
        return source.stage if same else replace(source.stage, kind="parallel", loop=0, unroll=1)
    return source.stage
