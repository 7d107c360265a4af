"""insert_memorize: a buffer for each value that a loop carries from a step to a later one.

before:  %mem.prev = delay(%mem, %mem.initial)      %d_mem.prev.next = advance(%d_mem.prev)
after:   %mem.prev = memorize<mem>(%mem, %mem.initial)
         %d_mem.prev.next = carry<d_mem>(%d_mem.prev)

A buffer is one row of features a sample. When one kernel both reads and writes it, the rows stay in
registers for the whole scan. Of several steps the buffer has a row for each: it is what was before the first
step, and later steps read what went in, a row of the stored sequence or of a ring.

What moves by several steps outside of loops carries nothing: it reads rows of a stored sequence.

before:  %x.prev = delay<3 steps>(%x, %x.initial)
after:   %x.prev = previous<3 steps>(%x, %x.initial)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..graph import Graph, Node, Op
from ..ops.time import Carry, Following, Memorize, Previous
from .base import Pass


@dataclass(frozen=True)
class InsertMemorize(Pass):
    def run(self, graph: Graph) -> Graph:
        return graph.map(_buffered)


def _buffered(node: Node) -> Node:
    op: Any = node.op
    if op.name not in ("delay", "advance"):
        return node
    features, name = node.type.features, node.name
    loop = op.steps == 1 or (node.stage is not None and node.stage.kind in ("scan", "reverse"))
    if op.name == "delay":
        buffer = name.removesuffix(".prev")
        made: Op = Memorize(features, op.steps, buffer) if loop else Previous(features, op.steps)
    else:
        buffer = name.removesuffix(".prev.next")
        moved = (features, op.steps, op.every)
        made = Carry(*moved, buffer) if loop else Following(*moved)
    return replace(node, op=made)
