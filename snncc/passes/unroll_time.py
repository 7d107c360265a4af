"""unroll_time: say when each node runs, and how many steps one turn of each loop over time does.

before:  %mem.prev = delay(%mem, %mem.initial)       %fc1 = linear(%x, %w, %b)
after:   %mem.prev = delay(%mem, %mem.initial)  @ scan 1 unroll=4
         %fc1 = linear(%x, %w, %b)  @ tile

The strongly connected components of the graph are the loops over time; a delay outside of any is a
loop of its own, for it carries something. (One of several steps does not: it reads an earlier row of a
stored sequence, unless what is stored is a segment of time.) What is outside
of the loops runs for all steps at once (`parallel`), once a tile if it does not vary over time (`tile`),
or once a call if it does not vary over the batch either: before the tiles (`once`) or after them
(`finish`).

What varies over the batch and reads a sum over the batch (batch normalisation) waits for all tiles: it
runs in a later phase, when the tiles are gone through again.

before:  %mean = sum_batch(%x)           %y = sub(%x, %mean)
after:   %mean = sum_batch(%x)  @ tile   %y = sub(%x, %mean)  @ parallel, phase 1
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import CompileError, located
from ..graph import Graph, Node, Stage
from ..ops.sparse import SYNAPSE_SUMS
from ..ops.steps import STEP_SUMS
from .base import Pass

SHIFTS = {"delay": "scan", "memorize": "scan", "advance": "reverse", "carry": "reverse"}
SUMS = ("sum_batch", "weight_gradient", "conv_gradient", *STEP_SUMS, *SYNAPSE_SUMS)  # over the batch


@dataclass(frozen=True)
class UnrollTime(Pass):
    """unroll: steps that one turn of a loop does. segmented: whether time is cut into segments."""

    unroll: int = 1
    segmented: bool = False

    def __post_init__(self) -> None:
        if self.unroll < 1:
            raise CompileError(
                f"unroll must be 'none', 'full' or a positive number of steps, got {self.unroll}"
            )

    def run(self, graph: Graph) -> Graph:
        stages: dict[str, Stage] = {}
        loops = 0
        for members in graph.components:
            all_carry = self.segmented or len(members) > 1
            shifts: list[Any] = [graph[m].op for m in members if graph[m].op.name in SHIFTS]
            kinds = {SHIFTS[op.name] for op in shifts if all_carry or op.steps == 1}
            phase = _phase(graph, members, stages)
            if kinds:
                loops += 1
                _check(graph, members)
                stages |= dict.fromkeys(members, Stage(kinds.pop(), loops, self.unroll, phase=phase))
            else:
                stages[members[0]] = _outside(graph, graph[members[0]], stages, phase)
        stages |= _given_late(graph, stages)
        stages |= _finished_late(graph, stages)
        return graph.map(lambda n: replace(n, stage=stages[n.name]))


def _late(graph: Graph, name: str, stages: dict[str, Stage]) -> bool:
    """Whether a value is known only after the tiles of its phase: a sum over the batch, or made of one."""
    return graph[name].op.name in SUMS or stages[name].kind == "finish"


def _in_tiles(node: Node) -> bool:
    return node.type.time or node.type.batch or node.op.name in SUMS


def _phase(graph: Graph, members: tuple[str, ...], stages: dict[str, Stage]) -> int:
    """The longest chain of sums over the batch that tiles read, before these nodes."""
    waits = any(_in_tiles(graph[m]) for m in members)
    known = (i for m in members for i in graph[m].inputs if i in stages)
    return max((stages[i].phase + (waits and _late(graph, i, stages)) for i in known), default=0)


def _check(graph: Graph, members: tuple[str, ...]) -> None:
    """A loop over time cannot wait for the other tiles at each of its steps."""
    for node in (graph[m] for m in members if graph[m].op.name in SUMS):
        raise located(
            f"%{node.name}: a sum over the whole batch within a feedback loop; normalise what comes into the "
            "loop, or use nn.LayerNorm there",
            node.where,
        )


def _outside(graph: Graph, node: Node, stages: dict[str, Stage], phase: int) -> Stage:
    if node.op.name in SUMS:
        return Stage("tile", phase=phase)  # each tile adds its part
    if node.type.time or node.type.batch:
        return Stage("parallel" if node.type.time else "tile", phase=phase)
    late = any(_late(graph, i, stages) for i in node.inputs)
    changed = any(o.value == node.name and o.role == "parameter" for o in graph.outputs)
    return Stage("finish", phase=phase) if late or changed else Stage("once")


def _given_late(graph: Graph, stages: dict[str, Stage]) -> dict[str, Stage]:
    """What the caller gave, and what is made of that alone, waits for the first phase that reads it."""
    given: set[str] = set()
    for name in graph.order:
        node, kind = graph[name], stages[name].kind
        if node.op.name not in SUMS and kind in ("parallel", "tile"):
            made = all(i in given or stages[i].kind == "once" for i in node.inputs)
            given |= {name} if made else set()
    found: dict[str, Stage] = {}
    readers = graph.readers()
    for name in reversed(graph.order):
        if name in given and readers[name]:
            first = min(found.get(r.name, stages[r.name]).phase for r in readers[name])
            found[name] = replace(stages[name], phase=first)
    return found


def _finished_late(graph: Graph, stages: dict[str, Stage]) -> dict[str, Stage]:
    """What no later tile reads is computed when all phases are done."""
    early: set[str] = set()
    for name in reversed(graph.order):
        reads = _in_tiles(graph[name]) or name in early
        early |= {i for i in graph[name].inputs if reads and stages[i].kind == "finish"}
    last = max((s.phase for s in stages.values()), default=0)
    ends = (n for n, s in stages.items() if s.kind == "finish" and n not in early)
    return {name: replace(stages[name], phase=last) for name in ends}
