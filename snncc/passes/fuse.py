"""fuse: put elementwise neighbours into one kernel, a sweep over samples, neurons and steps.

before:  %u = sub(%mem, 1.0)           %spk = spike(%u)
after:   %u = sub(%mem, 1.0)  @ parallel, in lif1      %spk = spike(%u)  @ parallel, in lif1

A sweep can hold a whole loop over time, if everything on the loop is elementwise. Nodes belong
together when they are connected, have the same number of features, and no other kernel has to run
between them: every node gets a level, one more than what it reads from another kernel. Nodes are then
moved to the level of their readers, so that what is cheap to compute is computed where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..graph import Graph, Node, Stage, scope_of
from ..ops.elementwise import IN_PLACE
from ..ops.groups import SWEPT
from ..ops.time import REDUCTIONS, Carry, Memorize, Shift
from .base import Pass


@dataclass(frozen=True)
class Fuse(Pass):
    def run(self, graph: Graph) -> Graph:
        work = _Levels(graph)
        kernels = _name(graph, work.groups())
        return _made_in_place(graph.map(lambda n: replace(n, kernel=kernels.get(n.name, ""))))


def _made_in_place(graph: Graph) -> Graph:
    """Random numbers, tables, step numbers, and what is spread over features once a call, made in each kernel
    that reads them: they are in no memory."""
    readers, left = graph.readers(), {o.value for o in graph.outputs}
    copies: dict[tuple[str, str], Node] = {}
    for node in graph:
        for reader in readers[node.name] if in_place(node) else ():
            if reader.kernel in ("", node.kernel) or reader.op.name == "spread":
                left.add(node.name)
            else:
                name = f"{node.name}.here" + (f".{len(copies) + 1}" if copies else "")
                copy = replace(
                    node, name=name, half=reader.half, kernel=reader.kernel, stage=_beside(node, reader)
                )
                copies.setdefault((node.name, reader.kernel), copy)
    nodes: dict[str, Node] = {}
    for node in graph:
        made = [copies.get((i, node.kernel)) for i in node.inputs]
        inputs = tuple(c.name if c else i for c, i in zip(made, node.inputs, strict=True))
        nodes |= {c.name: c for c in made if c}
        if not in_place(node) or node.name in left or not readers[node.name]:
            nodes[node.name] = replace(node, inputs=inputs)
    return replace(graph, nodes=nodes)


def in_place(node: Node) -> bool:
    """Whether each kernel that reads a value makes it for itself."""
    return isinstance(node.op, IN_PLACE) or (
        node.op.name == "spread" and not (node.type.time or node.type.batch)
    )


def _beside(node: Node, reader: Node) -> Stage | None:
    """The stage of a copy in the kernel of its reader, outside of loops."""
    if reader.stage is None or reader.stage.kind in ("once", "finish"):
        return reader.stage
    kind = "parallel" if node.type.time else "tile"
    return Stage(kind, part=reader.stage.part, phase=reader.stage.phase)


INLINE = ("number", "scalar")  # dtypes of what is written out where it is used


def sweepable(node: Node) -> bool:
    """Whether a node can be part of a sweep."""
    fits = isinstance(node.op, (*SWEPT, Shift)) or node.op.name in (*REDUCTIONS, "sum_batch")
    return fits and node.type.dtype not in INLINE


Key = tuple[str, str, str, int, int, int]


class _Levels:
    """Levels of all nodes; kernels are the connected parts of a level with one key."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.level: dict[str, int] = {}
        self.stepped: dict[str, int] = {}  # nodes of loops that hold products: their loop
        self.unit: dict[str, frozenset[str]] = {}
        self.late: set[str] = set()  # known only when the loop over time of their kernel is done
        for members in graph.components:
            self._component(members)
        self._sink()

    def _component(self, members: tuple[str, ...]) -> None:
        nodes = [self.graph[m] for m in members]
        loop = len(nodes) > 1
        if loop and not all(map(sweepable, nodes)):
            self.stepped |= {n.name: n.stage.loop if n.stage else 0 for n in nodes}
            start = max((self._after(n, i) for n in nodes for i in n.inputs if i not in members), default=0)
            for node in nodes:  # in the order of a step; what a delay is fed comes later
                inside = [i for i in _this_step(node) if i in members]
                self.level[node.name] = max([start, *(self._after(node, i) for i in inside)])
            return
        start = max((self._after(n, i) for n in nodes for i in n.inputs if i not in members), default=0)
        unit = frozenset(members)
        for node in nodes:
            self.level[node.name] = start
            self.unit[node.name] = unit
            self._note_late(node)

    def _note_late(self, node: Node) -> None:
        """Whether a node is a reduction over time, or made of one that may come to be in its kernel."""
        made = any(i in self.late and self._joins(node, self.graph[i]) for i in node.inputs)
        if node.op.name in REDUCTIONS or (not node.type.time and made):
            self.late.add(node.name)

    def key(self, node: Node) -> Key:
        """What the nodes of one kernel have in common: half, place, part, phase, loop, number of features."""
        kind = node.stage.kind if node.stage else ""
        place = kind if kind in ("once", "finish") else "tile"
        part, phase = (node.stage.part, node.stage.phase) if node.stage else ("", 0)
        return node.half, place, part, phase, self.stepped.get(node.name, 0), node.type.size

    def _after(self, node: Node, source: str) -> int:
        """The earliest level at which `node` can read `source`."""
        other = self.graph[source]
        return self.level.get(source, 0) + (not self._joins(node, other))

    def _joins(self, node: Node, other: Node) -> bool:
        """Whether `node` may read `other` within one kernel."""
        if other.type.dtype in INLINE or other.op.name == "parameter":
            return True
        if not self._swept(node) or not self._swept(other) or self.key(node) != self.key(other):
            return False
        if other.op.name == "sum_batch":
            return False  # known only when all tiles are done
        return not (other.name in self.late and node.type.time)

    def _swept(self, node: Node) -> bool:
        """Whether a node is part of a sweep: not the end of a loop around products, which is a row of it."""
        return sweepable(node) and not (node.op.name == "last" and node.inputs[0] in self.stepped)

    def _sink(self) -> None:
        """Move single nodes down to their readers' level, where all readers are of their kind."""
        readers = self.graph.readers()
        leaves = {o.value for o in self.graph.outputs}
        for name in reversed(self.graph.order):
            node, after = self.graph[name], readers[name]
            if not after or not self._swept(node) or name in leaves or not self._alone(node):
                continue
            if all(self._joins(r, node) for r in after):
                self.level[name] = max(self.level[name], min(self.level[r.name] for r in after))

    def _alone(self, node: Node) -> bool:
        """Whether a node may move by itself. A loop that is one sweep stays together; in a loop around
        products, states are read from memory that changes only when the step is done."""
        if node.name in self.stepped:
            return True
        return len(self.unit[node.name]) == 1 and not isinstance(node.op, (Memorize, Carry))

    def groups(self) -> list[list[str]]:
        """The kernels, as lists of nodes."""
        import networkx

        links = networkx.Graph()
        links.add_nodes_from(n.name for n in self.graph if self._swept(n))
        for node in self.graph:
            for source in node.inputs if self._swept(node) else ():
                other = self.graph[source]
                same = source in self.level and self.level[source] == self.level[node.name]
                if same and self._swept(other) and self._joins(node, other):
                    links.add_edge(node.name, source)
        for node, other in self._carried_and_last():
            if self.level[node.name] == self.level[other.name] and self.key(node) == self.key(other):
                links.add_edge(node.name, other.name)
        for unit in self.unit.values():
            links.add_edges_from((a, b) for a, b in zip(sorted(unit), sorted(unit)[1:], strict=False))
        position = {name: i for i, name in enumerate(self.graph.nodes)}
        groups = [sorted(g, key=position.__getitem__) for g in networkx.connected_components(links)]
        return sorted(groups, key=lambda g: position[g[0]])

    def _carried_and_last(self) -> Iterator[tuple[Node, Node]]:
        """States of one step, each with what wants the last value that goes in: that stays in the state."""
        readers = self.graph.readers()
        for node in self.graph:
            if isinstance(node.op, Memorize) and node.op.steps == 1 and self._swept(node):
                for other in readers[node.inputs[0]]:
                    if other.op.name == "last" and self._swept(other):
                        yield node, other


def _this_step(node: Node) -> Iterable[str]:
    return node.inputs[1:] if isinstance(node.op, (Memorize, Carry)) else node.inputs


def _name(graph: Graph, groups: list[list[str]]) -> dict[str, str]:
    """Kernels are called after the layer of most of their nodes, `.backward` if that is their half."""
    taken: set[str] = set()
    kernels: dict[str, str] = {}
    for group in groups:
        name, count = layer_of(graph, group), 1
        while name in taken:
            count += 1
            name = f"{layer_of(graph, group)}.{count}"
        taken.add(name)
        kernels |= dict.fromkeys(group, name)
    return kernels


def layer_of(graph: Graph, group: list[str]) -> str:
    """The layer that most of these nodes belong to, with `.backward` behind if that is their half."""
    scopes = [_layer(name, graph.layers) for name in group]
    best = max(dict.fromkeys(scopes), key=lambda s: (bool(s), scopes.count(s)))
    label = best or "network"
    return f"{label}.backward" if graph[group[0]].half == "backward" else label


def _layer(name: str, layers: frozenset[str]) -> str:
    """The layer that a value belongs to: `lif1` of `d_lif1.mem.prev.next`."""
    scope = scope_of(name.removeprefix("ctx_").removeprefix("d_"))
    while scope and scope not in layers:
        scope = scope.rpartition(".")[0]
    return scope
