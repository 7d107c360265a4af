"""simplify: fold numbers, drop what changes nothing or is not read, share equal nodes, move reductions.

before:  %a = mul(%x, 1.0)   %b = sum_time(%a)   %c = neg(%y)   %d = add(%b, %c)
after:   %b = sum_time(%x)   %d = sub(%b, %y)

All rules but the last group give the same bits. The last moves a sum over time towards its source,
past what does not vary over time, so that the work is done once instead of at every step; there the
sum is rounded in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Builder, Graph, Node, Output
from ..ops.elementwise import Elementwise, Expand
from ..ops.leaf import Constant
from ..ops.views import whole
from .base import Pass

STATEFUL = ("delay", "memorize", "advance", "carry", "input", "state", "parameter", "table", "random")


@dataclass(frozen=True)
class Simplify(Pass):
    """reductions: also move sums over time (changes rounding, not meaning)."""

    reductions: bool = True

    def run(self, graph: Graph) -> Graph:
        text = ""
        while str(graph) != text:
            text = str(graph)
            graph = live(_Rewrite(graph, self.reductions).run())
        return graph


class _Rewrite:
    """One sweep in topological order; every node is replaced by a rule's result or kept."""

    def __init__(self, graph: Graph, reductions: bool) -> None:
        self.graph = graph
        self.builder = Builder()
        self.rules = (*EXACT, *REDUCTIONS) if reductions else EXACT
        self.names: dict[str, str] = {}  # old node: new node
        self.seen: dict[Any, str] = {}

    def run(self) -> Graph:
        for name in self.graph.order:
            self.names[name] = self._place(self.graph[name])
        for node in list(self.builder.nodes.values()):  # loops were closed under the old names
            if node.op.name in STATEFUL and node.inputs and node.name in self.graph.nodes:
                old = self.graph[node.name]
                self.builder.connect(node.name, *(self.names[i] for i in old.inputs))
        outputs = (Output(o.name, o.role, self.names[o.value]) for o in self.graph.outputs)
        return Graph(_in_order(self.graph, self.builder.nodes), tuple(outputs))

    def _place(self, node: Node) -> str:
        if node.op.name in STATEFUL:
            self.builder.nodes[node.name] = node
            return node.name
        node = replace(node, inputs=tuple(self.names[i] for i in node.inputs))
        for rule in self.rules:
            result = rule(self, node)
            if isinstance(result, str):
                return result
            node = result or node
        key = (node.op, node.inputs)
        if key not in self.seen:
            self.seen[key] = node.name
            self.builder.nodes[node.name] = node
        return self.seen[key]

    def value(self, name: str) -> float | None:
        op: Any = self.builder.nodes[name].op
        return op.value if op.name == "constant" else None

    def node(self, name: str) -> Node:
        return self.builder.nodes[name]

    def add(self, like: Node, op: Any, *inputs: str) -> str:
        """A new node beside `like`, in its half and with its line, or an equal one."""
        if (op, inputs) not in self.seen:
            self.builder.half, self.builder.where = like.half, like.where
            self.seen[(op, inputs)] = self.builder.add(op, inputs, name=like.name + "." + op.name)
        return self.seen[(op, inputs)]


Rule = Callable[[_Rewrite, Node], "Node | str | None"]


def fold(work: _Rewrite, node: Node) -> str | None:
    """A function of numbers is a number."""
    values = [work.value(i) for i in node.inputs]
    if not isinstance(node.op, Elementwise) or None in values:
        return None
    number = float(node.op.evaluate(*(np.float64(v) for v in values)))
    name = f"const {number!r}"
    if name not in work.builder.nodes:
        work.builder.add(Constant(number), name=name)
    return name


def drop(work: _Rewrite, node: Node) -> str | None:
    """What gives its operand back: x * 1, x / 1, x - 0, detach, an expand of nothing, and what differs from
    it only backward: a substitute, a normalised value."""
    op, inputs = node.op, node.inputs
    if op.name in ("detach", "substitute", "normalized", "affine") or (
        isinstance(op, Expand) and work.node(inputs[0]).type == node.type
    ):
        return inputs[0]
    if op.name == "reshape" and work.node(inputs[0]).type.features == node.type.features:
        return inputs[0]
    if op.name == "transpose" and work.node(inputs[0]).op.name == "transpose":
        source = work.node(inputs[0]).inputs[0]
        return source if work.node(source).type == node.type else None
    neutral = {"mul": 1.0, "div": 1.0, "sub": 0.0}.get(op.name)
    if neutral is None:
        return None
    if work.value(inputs[1]) == neutral and work.node(inputs[0]).type == node.type:
        return inputs[0]
    if op.name == "mul" and work.value(inputs[0]) == neutral and work.node(inputs[1]).type == node.type:
        return inputs[1]
    return None


def signs(work: _Rewrite, node: Node) -> Node | str | None:
    """a + -b is a - b, a - -b is a + b, -(-a) is a: exact in floating point."""
    if node.op.name not in ("add", "sub", "neg"):
        return None
    last = work.node(node.inputs[-1])
    if last.op.name == "neg":
        if node.op.name == "neg":
            return last.inputs[0]
        other = Elementwise("sub" if node.op.name == "add" else "add")
        return replace(node, op=other, inputs=(node.inputs[0], last.inputs[0]))
    if node.op.name == "add" and work.node(node.inputs[0]).op.name == "neg":
        return replace(
            node, op=Elementwise("sub"), inputs=(node.inputs[1], work.node(node.inputs[0]).inputs[0])
        )
    return None


def pull_out_of_sum(work: _Rewrite, node: Node) -> Node | None:
    """sum_time(-x) is -sum_time(x); sum_time(a x) is a sum_time(x) if a does not vary over time."""
    if node.op.name != "sum_time":
        return None
    inner = work.node(node.inputs[0])
    if inner.op.name == "neg":
        return replace(node, op=inner.op, inputs=(work.add(node, node.op, inner.inputs[0]),))
    if inner.op.name not in ("mul", "div", "linear") or len(inner.inputs) > 2:
        return None
    still = [not work.node(i).type.time for i in inner.inputs]
    if still == [False, True]:
        return replace(node, op=inner.op, inputs=(work.add(node, node.op, inner.inputs[0]), inner.inputs[1]))
    if still == [True, False] and inner.op.name == "mul":
        return replace(node, op=inner.op, inputs=(inner.inputs[0], work.add(node, node.op, inner.inputs[1])))
    return None


def look_through(work: _Rewrite, node: Node) -> Node | str | None:
    """A view of a view is one view; so is what is written through two, unless both sum."""
    op: Any = node.op
    if op.name not in ("strided", "strided_sum"):
        return None
    inner = work.node(node.inputs[0])
    below: Any = inner.op
    if below.name != op.name or (op.name == "strided_sum" and op.view.sums and below.view.sums):
        return None
    outer, first = (op.view, below.view) if op.name == "strided" else (below.view, op.view)
    joined = outer.of(first)
    return (
        inner.inputs[0]
        if joined == whole(joined.source)
        else replace(node, op=replace(op, view=joined), inputs=inner.inputs)
    )


EXACT: tuple[Rule, ...] = (fold, drop, signs, look_through)
REDUCTIONS: tuple[Rule, ...] = (pull_out_of_sum,)


def _in_order(graph: Graph, nodes: dict[str, Node]) -> dict[str, Node]:
    """The nodes in their old order of definition; new ones before their first reader's place."""
    position = {name: i for i, name in enumerate(graph.nodes)}
    keys, last = {}, -1
    for name in nodes:
        last = position.get(name, last)
        keys[name] = last
    return {name: nodes[name] for name in sorted(nodes, key=keys.__getitem__)}


def live(graph: Graph, also: Iterable[str] = ()) -> Graph:
    """Only what the outputs, or `also`, depend on; inputs of the network stay, and initial states: who has a
    state may give it back, read or not."""
    keep: set[str] = set()
    work = [*also, *(o.value for o in graph.outputs)]
    work += [n.name for n in graph if n.op.name == "input" and getattr(n.op, "role", "") == "input"]
    work += [n.name for n in graph if n.op.name == "state"]
    while work:
        name = work.pop()
        if name not in keep:
            keep.add(name)
            work.extend(graph[name].inputs)
    return Graph({name: node for name, node in graph.nodes.items() if name in keep}, graph.outputs)
