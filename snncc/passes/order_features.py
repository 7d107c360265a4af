"""order_features: in which order the features of each value lie in memory.

before:  %conv = conv<5x5>(%x, %w) : f32[T, B, 12, 24, 24]
after:   %conv = conv<5x5>(%x, %w) : f32[T, B, 12, 24, 24]  @ parallel, 12 channels last

Kernels of convolutions and pooling want all channels of a pixel side by side; users' arrays have all pixels
of a channel. Which order an elementwise kernel, a state, a reshape or a list sees does not matter, as long
as all of its operands agree: so one order runs through a network, from load to store, and the columns of a
matrix behind a flattened image are ordered like the image. Only where two orders meet is a value copied, by
`reorder`. Nothing of what a graph means changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..graph import Graph, Node, Output, Type
from ..ops.conv import SLIDING
from ..ops.elementwise import ELEMENTWISE, IN_PLACE, Detach
from ..ops.layout import Reorder
from ..ops.pool import POOLS, UNPOOLS
from ..ops.time import REDUCTIONS, Delay, Previous, Shift
from .base import Pass
from .unroll_time import SUMS

# Operators whose result has the order of its operands, whatever that is.
SAME = ("context", "reshape", "events", "state", "sum_batch", *REDUCTIONS)
# Operators whose kernels deal with any order of operand and result.
FREE = ("input", "parameter", "take", "scatter_add")
# Those that walk along axes: of a whole image with its channels first, or row-major.
VIEWS = ("strided", "strided_sum", "concat")
RESULT = -1  # the place of a node's result, beside those of its operands


@dataclass(frozen=True)
class OrderFeatures(Pass):
    """known: channels of parameters that lie last, by label, as the entry points before this have them."""

    known: tuple[tuple[str, int], ...] = ()

    def run(self, graph: Graph) -> Graph:
        known = dict(self.known)
        if not any(known.values()) and not any(n.op.name in (*SLIDING, *POOLS, *UNPOOLS) for n in graph):
            return graph
        return _Orders(graph, known).ordered()


def orders_of(graph: Graph) -> dict[str, int]:
    """How many channels of each parameter lie last, by label."""
    found: list[Any] = [n for n in graph if n.op.name == "parameter" and n.type.size > 1]
    return {node.op.label: node.channels for node in found}


def channels_of(features: tuple[int, ...]) -> int:
    """How many channels of an image [channels, *space] lie side by side; 0 where both orders are the same."""
    pixels = 1
    for n in features[1:]:
        pixels *= n
    return features[0] if features and features[0] > 1 and pixels > 1 else 0


def _of_tokens(node: Node, operands: list[Type]) -> bool:
    """Whether a product has the rows of tokens, which lie one after the other, and not whole images."""
    return node.op.name in ("linear", "weight_gradient") and len(operands[0].features) > 1


class _Orders:
    """Groups of values that have one order, and which that is.

    An operator with an order of its own for a result or an operand votes for it; it is copied if its group's
    differs.
    """

    def __init__(self, graph: Graph, known: Mapping[str, int]) -> None:
        self.graph, self.known = graph, known
        self.parent = {name: name for name in graph.nodes}
        self.turned = {n.name for n in graph if n.op.name == "transpose"}
        self.wanted = {(n.name, place): order for n in graph for place, order in self._wants(n).items()}
        for node in graph:
            for group in self._agreeing(node):
                for name in group[1:]:
                    self.parent[self._find(name)] = self._find(group[0])
        for output in graph.outputs:
            self._join_gradient(output)
        self.order = self._choice()

    def _find(self, name: str) -> str:
        while self.parent[name] != name:
            name = self.parent[name]
        return name

    def _join_gradient(self, output: Output) -> None:
        """A matrix and its gradient have one order of columns: only rows can be copied to another."""
        for node in self.graph if output.role == "gradient" else ():
            op: Any = node.op
            if op.name == "parameter" and op.panels and op.label == output.name:
                self.parent[self._find(output.value)] = self._find(node.name)

    def _wants(self, node: Node) -> dict[int, int]:
        """The orders that an operator has of its own, by place."""
        op, types = node.op.name, [self.graph[i].type for i in node.inputs]
        images = {RESULT: channels_of(node.type.features)}
        images |= {k: channels_of(t.features) for k, t in enumerate(types)}
        if op in (*POOLS, *UNPOOLS):
            return images
        if op in SLIDING:  # a weight's columns are places of so many channels
            place = RESULT if op == "conv_gradient" else 1
            weight = node.type.features if place == RESULT else types[1].features
            return images | {place: channels_of(weight[:-1] if op == "conv_transpose" else weight[1:])}
        if op in ("spread", "sum_groups"):
            return self._groups(node)
        if isinstance(node.op, Delay) and node.op.steps > 1:
            return dict.fromkeys(images, 0)  # of the rows before the first, [steps, *features]
        if op in ("linear", "weight_gradient") and _of_tokens(node, types):
            return dict.fromkeys(images, 0)
        if op == "linear" and node.inputs[1] in self.turned:
            return {0: 0}
        if op == "linear":
            bias = [k for k, i in enumerate(node.inputs) if k > 1 and self.graph[i].op.name != "events"]
            return dict.fromkeys((RESULT, *bias), 0)
        if op == "weight_gradient":
            return {0: 0}
        if self._orderless(node):
            return {}
        return dict.fromkeys(images, 0)

    def _groups(self, node: Node) -> dict[int, int]:
        """Groups of whole channels are found in either order."""
        op: Any = node.op
        longer, shorter = (RESULT, 0) if op.name == "spread" else (0, RESULT)
        features = (node if longer == RESULT else self.graph[node.inputs[0]]).type.features
        groups = (node if shorter == RESULT else self.graph[node.inputs[0]]).type.size
        whole = not op.trailing and features and features[0] % groups == 0
        return {shorter: 0} if whole else {shorter: 0, longer: 0}

    def _orderless(self, node: Node) -> bool:
        elementwise = (*ELEMENTWISE, Shift, Previous, *IN_PLACE)
        return isinstance(node.op, elementwise) or node.op.name in (*SAME, *FREE, *VIEWS, "transpose")

    def _agreeing(self, node: Node) -> Iterator[tuple[str, ...]]:
        """Values that a node makes have one order: columns of a matrix and what they are applied to."""
        op, sizes = node.op.name, {i: self.graph[i].type.size for i in node.inputs}
        if _of_tokens(node, [self.graph[i].type for i in node.inputs]):
            return
        if op == "linear" and node.inputs[1] in self.turned:
            yield node.name, node.inputs[1]
        elif op == "linear":
            yield node.inputs[:2]
            yield node.inputs[0], *(i for i in node.inputs[2:] if self.graph[i].op.name == "events")
        elif op == "weight_gradient":
            yield node.name, *node.inputs[1:]
        elif self._orderless(node) and op not in (*FREE, *VIEWS):
            yield node.name, *(i for i in node.inputs if sizes[i] == node.type.size > 1)

    def _choice(self) -> dict[str, int]:
        """By group: the order that most want, channels last before row-major."""
        votes: dict[str, Counter[int]] = {}
        for (name, place), order in self.wanted.items():
            value = name if place == RESULT else self.graph[name].inputs[place]
            votes.setdefault(self._find(value), Counter())[order] += self.graph[value].type.size > 1
        chosen = {group: max(found, key=lambda c: (c > 0, found[c], -c)) for group, found in votes.items()}
        parameters: list[Any] = [n for n in self.graph if n.op.name == "parameter" and n.type.size > 1]
        fixed = (n for n in sorted(parameters, key=lambda n: n.op.panels) if n.op.label in self.known)
        return chosen | {self._find(n.name): self.known[n.op.label] for n in fixed}

    def ordered(self) -> Graph:
        """The graph with the orders on its nodes, and copies where an operator wants another one."""
        nodes: dict[str, Node] = {}
        late: dict[str, str] = {}  # by result with an order of its own: its copy in the order of its group
        copies: set[str] = set()
        kept = {self._alias_of(n.name) for n in self.graph if getattr(n.op, "format", "")}
        for node in self.graph:
            inputs = tuple(self._read(nodes, node, k) for k in range(len(node.inputs)))
            own = self.wanted.get((node.name, RESULT), self._walkable(node, node))
            nodes[node.name] = replace(node, inputs=inputs, channels=own)
            if own != self._of(node.name) and node.type.size > 1:
                copy = _copy(f"{node.name}.ordered", node, Reorder(own, self._of(node.name)))
                nodes[copy.name] = copy
                copies.add(copy.name)
                # Another format is what a kernel stores, not a copy.
                last = self._plain(nodes, copy, copy.channels) if node.name in kept else copy
                late[node.name] = last.name
        for node in nodes.values():
            if node.name not in copies:
                nodes[node.name] = replace(node, inputs=tuple(late.get(i, i) for i in node.inputs))
        outputs = (replace(o, value=late.get(o.value, o.value)) for o in self.graph.outputs)
        return Graph(nodes, tuple(self._as_parameter(nodes, o) for o in outputs))

    def _as_parameter(self, nodes: dict[str, Node], output: Output) -> Output:
        """A gradient or a new value of a parameter lies in memory as the parameter does."""
        labels = {n.op.label: n for n in self.graph if n.op.name == "parameter"}  # type: ignore[attr-defined]
        if output.role not in ("gradient", "parameter") or output.name not in labels:
            return output
        made, order = nodes[output.value], self._of(labels[output.name].name)
        if made.channels == order or made.type.size == 1:
            return output
        name = f"{made.name}.as_parameter"
        nodes[name] = _copy(name, made, Reorder(made.channels, order))
        return replace(output, value=name)

    def _walkable(self, node: Node, value: Node) -> int:
        """The order of an operand or the result of a node, if the node can deal with it: else row-major."""
        order, features = self._of(value.name), value.type.features
        return order if node.op.name not in VIEWS or order == channels_of(features) else 0

    def _of(self, name: str) -> int:
        """The order of a value's group."""
        return self.order.get(self._find(name), 0)

    def _read(self, nodes: dict[str, Node], node: Node, place: int) -> str:
        """The operand, or a copy of it in the order that the node wants."""
        source = self.graph[node.inputs[place]]
        return self._in_order(
            nodes, source, self.wanted.get((node.name, place), self._walkable(node, source))
        )

    def _in_order(self, nodes: dict[str, Node], source: Node, order: int) -> str:
        """A value, or a copy of it in another order, made once for all who want it. Lists are not copied but
        made again, of a copy."""
        have = self._of(source.name)
        if order == have or source.type.size == 1:
            return source.name
        name = f"{source.name}.{'last' if order else 'rows'}"
        if name not in nodes and self._is_list(source):
            inputs = tuple(self._in_order(nodes, self.graph[i], order) for i in source.inputs)
            nodes[name] = replace(source, name=name, inputs=inputs, channels=order)
        elif name not in nodes:
            plain = self._unpacked(nodes, source, have)
            nodes[name] = _copy(name, plain, Reorder(have, order))
        return name

    def _unpacked(self, nodes: dict[str, Node], source: Node, order: int) -> Node:
        """A value that is kept in another format, as plain numbers."""
        kept = source
        while kept.op.name == "reshape":
            kept = self.graph[kept.inputs[0]]
        return self._plain(nodes, source, order) if getattr(kept.op, "format", "") else source

    def _plain(self, nodes: dict[str, Node], source: Node, order: int) -> Node:
        """The same numbers, made by a kernel."""
        name = f"{source.name}.plain"
        nodes[name] = replace(source, name=name, op=Detach(), inputs=(source.name,), channels=order)
        return nodes[name]

    def _alias_of(self, name: str) -> str:
        """The value that a context is of."""
        while self.graph[name].op.name in ("context", "reshape"):
            name = self.graph[name].inputs[0]
        return name

    def _is_list(self, node: Node) -> bool:
        while node.op.name == "context":
            node = self.graph[node.inputs[0]]
        return node.op.name == "events"


def _copy(name: str, source: Node, op: Reorder) -> Node:
    """A copy is made where its source is; of a sum over the batch when the parts of all tiles are there."""
    stage = source.stage
    if stage is not None and source.op.name in SUMS:
        stage = replace(stage, kind="finish")
    return replace(source, name=name, op=op, inputs=(source.name,), stage=stage, channels=op.after)
