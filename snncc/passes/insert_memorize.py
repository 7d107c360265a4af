"""insert_memorize: a buffer for each value that a loop carries from a step to the next.

before:  %mem.prev = delay(%mem, %mem.initial)      %d_mem.prev.next = advance(%d_mem.prev)
after:   %mem.prev = memorize<mem>(%mem, %mem.initial)
         %d_mem.prev.next = carry<d_mem>(%d_mem.prev)

A buffer is one row of features a sample. When one kernel both reads and writes it, the rows stay in
registers for the whole scan. What moves by several steps carries nothing: it reads rows of a stored sequence.

before:  %x.prev = delay<3 steps>(%x, %x.initial)
after:   %x.prev = previous<3 steps>(%x, %x.initial)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..graph import Graph, Node
from ..ops.time import Carry, Following, Memorize, Previous
from .base import Pass


@dataclass(frozen=True)
class InsertMemorize(Pass):
    def run(self, graph: Graph) -> Graph:
        return graph.map(_buffered)


def _buffered(node: Node) -> Node:
    op: Any = node.op
    features, name = node.type.features, node.name
    if op.name == "delay" and op.steps > 1:
        return replace(node, op=Previous(features, op.steps))
    if op.name == "advance" and op.steps > 1:
        return replace(node, op=Following(features, op.steps))
    if op.name == "delay":
        return replace(node, op=Memorize(features, buffer=name.removesuffix(".prev")))
    if op.name == "advance":
        return replace(node, op=Carry(features, every=op.every, buffer=name.removesuffix(".prev.next")))
    return node
