"""split_time: in which part of a tile each node runs, where time is cut into segments.

before:  %mem.prev = memorize<mem>(%mem, %mem.initial)  @ scan 1
         %d_w = weight_gradient(%d_cur, %x.events)  @ tile
after:   %mem.prev = memorize<mem>(%mem, %mem.initial)  @ scan 1, forward
         %d_w = weight_gradient(%d_cur, %x.events)  @ tile, backward

What has a time axis runs segment by segment: the forward half from the first segment to the last, the
backward half from the last to the first. What has none runs before the segments (`start`), between the
two halves (`turn`: a loss of sums over time), or after them (`end`). A value at a step that needs a sum
over all steps would need a third round of segments; that is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import located
from ..graph import Graph, Node, layer_of
from ..ops.sparse import SYNAPSE_SUMS
from ..ops.time import REDUCTIONS
from .base import Pass

PARTS = ("start", "forward", "turn", "backward", "end")
LATER = {"forward": "turn", "backward": "end"}  # where the sums of all segments are known


@dataclass(frozen=True)
class SplitTime(Pass):
    def run(self, graph: Graph) -> Graph:
        _check_phases(graph)
        parts: dict[str, str] = {}
        for name in graph.order:
            node = graph[name]
            parts[name] = _part(graph, node, parts)
            _check(graph, node, parts)
        return graph.map(lambda n: replace(n, stage=n.stage and replace(n.stage, part=parts[n.name])))


def _check_phases(graph: Graph) -> None:
    waiting = [n for n in graph if n.stage and n.stage.phase]
    if waiting:
        node = next((n for n in waiting if n.op.name != "input"), waiting[0])  # inputs are of no layer
        raise located(
            f"{layer_of(node)} waits for statistics of all steps and samples, so it cannot be computed "
            "segment by segment; compile without checkpoint_every, with rule='bptt' or 'dsr'",
            node.where,
        )


def _part(graph: Graph, node: Node, parts: dict[str, str]) -> str:
    if node.stage is None or node.stage.kind in ("once", "finish"):
        return ""  # not in a tile
    kept = ("first_steps", "last_steps")
    summed = node.op.name in (*REDUCTIONS, *kept, "weight_gradient", "conv_gradient", *SYNAPSE_SUMS)
    if node.type.time or (summed and any(graph[i].type.time for i in node.inputs)):
        return node.half
    waits = [LATER.get(parts[i], parts[i]) for i in node.inputs]
    return max([w for w in waits if w], key=PARTS.index, default="start")


def _check(graph: Graph, node: Node, parts: dict[str, str]) -> None:
    """What a node of a segment reads must be known when the first segment runs."""
    part = parts[node.name]
    for source in node.inputs if part in LATER else ():
        known = parts.get(source) or "start"  # a loop's own values come later
        if not graph[source].type.time:
            known = LATER.get(known, known)
        if PARTS.index(known) > PARTS.index(part):
            raise located(
                f"%{node.name} of a step needs %{source}, which is known only after all steps, so steps "
                "cannot be computed segment by segment; compile without checkpoint_every, and with a rule "
                "that has no windows (rule='bptt' or 'dsr')",
                node.where,
            )
