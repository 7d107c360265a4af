"""unroll_time: say when each node runs, and how many steps one turn of each loop over time does.

before:  %mem.prev = delay(%mem, %mem.initial)       %fc1 = linear(%x, %w, %b)
after:   %mem.prev = delay(%mem, %mem.initial)  @ scan 1 unroll=4
         %fc1 = linear(%x, %w, %b)  @ tile

The strongly connected components of the graph are the loops over time; a delay outside of any is a
loop of its own, for it carries something. What is outside of the loops runs for all steps at once
(`parallel`), once a tile if it does not vary over time (`tile`), or once a call if it does not vary
over the batch either: before the tiles (`once`) or after them (`finish`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import CompileError
from ..graph import Graph, Node, Stage
from ..ops.steps import STEP_SUMS
from .base import Pass

SHIFTS = {"delay": "scan", "memorize": "scan", "advance": "reverse", "carry": "reverse"}


SUMS = ("sum_batch", "weight_gradient", "conv_gradient", *STEP_SUMS)  # over the batch


@dataclass(frozen=True)
class UnrollTime(Pass):
    """unroll: steps that one turn of a loop does."""

    unroll: int = 1

    def __post_init__(self) -> None:
        if self.unroll < 1:
            raise CompileError(
                f"unroll must be 'none', 'full' or a positive number of steps, got {self.unroll}"
            )

    def run(self, graph: Graph) -> Graph:
        stages = self._loops(graph)
        summed = _depends_on_batch(graph)
        return graph.map(lambda n: replace(n, stage=stages.get(n.name) or _outside(n, summed)))

    def _loops(self, graph: Graph) -> dict[str, Stage]:
        stages: dict[str, Stage] = {}
        number = 0
        for members in graph.components:
            kinds = {SHIFTS[graph[m].op.name] for m in members if graph[m].op.name in SHIFTS}
            if kinds:
                number += 1
                stages |= dict.fromkeys(members, Stage(kinds.pop(), number, self.unroll))
        return stages


def _depends_on_batch(graph: Graph) -> set[str]:
    """What is known only after all tiles: sums over the batch, and what is made of them."""
    late: set[str] = set()
    for name in graph.order:
        node = graph[name]
        if node.op.name in SUMS or any(i in late for i in node.inputs):
            late.add(name)
    return late


def _outside(node: Node, late: set[str]) -> Stage:
    if node.op.name in SUMS and not any(i in late for i in node.inputs):
        return Stage("tile")  # each tile adds its part
    if node.type.time or node.type.batch:
        if node.name in late:
            raise CompileError(f"%{node.name} needs a sum over the whole batch before the batch is done")
        return Stage("parallel" if node.type.time else "tile")
    return Stage("finish" if node.name in late else "once")
