"""split_delays: a delay of several steps as a chain of delays of one, where its sequence is not stored.

before:  %y = delay<2 steps>(%x, %y.initial)        %y.last = last_steps(%x, %y.initial)
after:   %y.1 = delay(%x, take(%y.initial, second row))    %y = delay(%y.1, take(%y.initial, first row))
         %y.last = scatter_add(last(%y.1), first row) + scatter_add(last(%x), second row)

A delay of several steps reads an earlier row of its operand. On a loop over time, and where the values of
a segment of time alone are held, there is no such row: then each step of the delay is a state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..graph import Builder, Graph, Node
from ..ops import Value, scatter_add, take
from ..ops.time import Delay, Last
from ..ops.value import apply
from .base import Pass


@dataclass(frozen=True)
class SplitDelays(Pass):
    """everywhere: not only on loops over time."""

    everywhere: bool = False

    def run(self, graph: Graph) -> Graph:
        looped = {m for members in graph.components if len(members) > 1 for m in members}
        split = [n for n in graph if _moves_far(n) and (self.everywhere or n.name in looped)]
        return _Split(graph).run(split) if split else graph


def _moves_far(node: Node) -> bool:
    op: Any = node.op
    return bool(op.name == "delay" and op.steps > 1)


class _Split:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.builder = graph, Builder(graph)

    def run(self, delays: list[Node]) -> Graph:
        replaced: dict[str, str] = {}
        for node in delays:
            links = self._chain(node)
            for last in self.graph:
                if last.op.name == "last_steps" and last.inputs == node.inputs:
                    replaced[last.name] = self._held(last, links).node
        for name, node in list(self.builder.nodes.items()):
            self.builder.connect(name, *(replaced.get(i, i) for i in node.inputs))
        for name in replaced:
            del self.builder.nodes[name]
        outputs = [(o.name, o.role, replaced.get(o.value, o.value)) for o in self.graph.outputs]
        self.builder.outputs = []
        for output in outputs:
            self.builder.output(*output)
        return self.builder.graph()

    def _chain(self, node: Node) -> list[str]:
        """The delay's operand and what each link makes of it; the last link keeps the delay's name."""
        op: Any = node.op
        source, initial = node.inputs
        self.builder.half, self.builder.where, self.builder.scope = node.half, node.where, ""
        links = [source]
        for k in range(op.steps):
            start = take(
                Value(self.builder, initial), _row(op.steps - 1 - k, node.type.size), node.type.features
            )
            if k < op.steps - 1:
                link = self.builder.add(Delay(op.features), [links[-1], start.node], f"{node.name}.{k + 1}")
                links.append(link)
            else:
                self.builder.connect(node.name, links[-1], start.node)
                self.builder.nodes[node.name] = replace(self.builder.nodes[node.name], op=Delay(op.features))
        return links

    def _held(self, last: Node, links: list[str]) -> Value:
        """What the links hold at the end, a row each, the last link's in front."""
        self.builder.half, self.builder.where, self.builder.scope = last.half, last.where, last.name
        rows = []
        for k, link in enumerate(reversed(links)):
            held = apply(Last(), Value(self.builder, link))
            rows.append(scatter_add(held, _row(k, last.type.size // len(links)), last.type.features))
        total: Value = rows[0]
        for row in rows[1:]:
            total = total + row
        return total


def _row(k: int, n: int) -> range:
    """Where row k of n features lies."""
    return range(k * n, (k + 1) * n)
