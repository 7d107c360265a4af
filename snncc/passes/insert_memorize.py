"""insert_memorize: a buffer for each value that a loop carries from a step to the next.

before:  %mem.prev = delay(%mem, %mem.initial)      %d_mem.prev.next = advance(%d_mem.prev)
after:   %mem.prev = memorize<mem>(%mem, %mem.initial)
         %d_mem.prev.next = carry<d_mem>(%d_mem.prev)

A buffer is one row of features a sample. When one kernel both reads and writes it, the rows stay in
registers for the whole scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..graph import Graph, Node
from ..ops.time import Carry, Memorize
from .base import Pass


@dataclass(frozen=True)
class InsertMemorize(Pass):
    def run(self, graph: Graph) -> Graph:
        return graph.map(_buffered)


def _buffered(node: Node) -> Node:
    op: Any = node.op
    if op.name == "delay":
        return replace(node, op=Memorize(node.type.features, node.name.removesuffix(".prev")))
    if op.name == "advance":
        return replace(node, op=Carry(node.type.features, op.every, node.name.removesuffix(".prev.next")))
    return node
