"""A NIR graph without nested graphs, and the edges that carry the value of the step before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...errors import CompileError
from ..foreign import shown
from .primitives import SPIKING, STATEFUL
from .read import RawNode

Edge = tuple[str, str]


@dataclass(frozen=True)
class FlatGraph:
    """Nodes by path, edges between them, the inputs and outputs of the whole.

    An edge in `delayed` carries the value of the step before.
    """

    nodes: Mapping[str, RawNode]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    delayed: frozenset[Edge] = frozenset()

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """What each node reads, in the order of the edges."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for a, b in self.edges:
            found[b].append(a)
        return found

    @property
    def order(self) -> list[str]:
        """The nodes of one step, each after what it reads in that step."""
        import networkx as nx  # here, because it takes 0.1 s to load

        graph = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(edge for edge in self.edges if edge not in self.delayed)
        place = {name: i for i, name in enumerate(self.nodes)}
        return list(nx.lexicographical_topological_sort(graph, key=place.__getitem__))


def flatten(graph: RawNode, source: str) -> FlatGraph:
    """The graph without nested ones. Raises CompileError for edges that lead nowhere."""
    if graph.type != "NIRGraph":
        return flatten(_alone(graph), source)
    nodes: dict[str, RawNode] = {}
    edges: list[Edge] = []
    try:
        _flatten(graph, "", nodes, edges)
    except ValueError as error:
        raise CompileError(f"{source}: {error}") from None
    inputs, outputs = (_named(graph, kind) for kind in ("Input", "Output"))
    return FlatGraph(nodes, tuple(dict.fromkeys(edges)), inputs, outputs)


def _named(graph: RawNode, kind: str) -> tuple[str, ...]:
    return tuple(name for name, node in graph.nodes.items() if node.type == kind)


def _alone(node: RawNode) -> RawNode:
    """A file that holds one node and no graph: between an input and an output."""
    ends = {"input": RawNode("Input"), "node": node, "output": RawNode("Output")}
    return RawNode("NIRGraph", {}, ends, (("input", "node"), ("node", "output")))


def _flatten(graph: RawNode, prefix: str, nodes: dict[str, RawNode], edges: list[Edge]) -> None:
    """Adds a graph's nodes and edges under its path."""
    if not graph.nodes:
        raise ValueError(f"{shown(prefix.rstrip('/')) or 'the graph'} has no nodes")
    for name, node in graph.nodes.items():
        if node.type == "NIRGraph":
            _flatten(node, f"{prefix}{name}/", nodes, edges)
        else:
            nodes[prefix + name] = node
    for source, target in graph.edges:
        pair = f"edge ({shown(prefix + source)}, {shown(prefix + target)})"
        for name in (source, target):
            if name not in graph.nodes:
                known = ", ".join(shown(n) for n in list(graph.nodes)[:12])
                raise ValueError(f"{pair}: there is no node {shown(name)!r}; there are {known}")
        leaving = _port(graph.nodes[source], prefix + source, "Output", pair)
        edges.append((leaving, _port(graph.nodes[target], prefix + target, "Input", pair)))


def _port(node: RawNode, path: str, kind: str, pair: str) -> str:
    """The node at which an edge ends; in a nested graph, its one input or output."""
    if node.type != "NIRGraph":
        return path
    ports = _named(node, kind)
    if len(ports) != 1:
        raise ValueError(
            f"{pair}: {shown(path)} is a graph with {len(ports)} {kind} nodes; an edge can only say which if "
            "there is one"
        )
    return f"{path}/{ports[0]}"


def delay_cycles(graph: FlatGraph, dt: float, source: str) -> FlatGraph:
    """The graph with a delay of one step in each cycle: behind what spikes, or else behind what has a state.

    A Delay node of a step or more is delay enough: what leaves it is delayed, and it delays a step less
    itself. Raises CompileError for a cycle without any of these.
    """
    late = {a for a, _ in _in_cycles(graph, set()) if _steps(graph.nodes[a], dt) >= 1}
    delayed = {edge for edge in graph.edges if edge[0] in late}
    for kinds in (SPIKING, STATEFUL):
        delayed |= {e for e in _in_cycles(graph, delayed) if graph.nodes[e[0]].type in kinds}
    if left := _in_cycles(graph, delayed):
        import networkx as nx

        cycle = nx.find_cycle(nx.DiGraph(left))
        path = " -> ".join(shown(name) for name in [*(e[0] for e in cycle), cycle[0][0]])
        raise CompileError(f"{source}: cycle without a state: {path}; a neuron or a Delay must be in it")
    return replace(graph, delayed=frozenset(delayed))


def _in_cycles(graph: FlatGraph, without: set[Edge]) -> list[Edge]:
    """Edges within a strongly connected component."""
    import networkx as nx

    network = nx.DiGraph([edge for edge in graph.edges if edge not in without])
    member = {name: k for k, part in enumerate(nx.strongly_connected_components(network)) for name in part}
    return [(a, b) for a, b in network.edges if member[a] == member[b]]


def _steps(node: RawNode, dt: float) -> float:
    """The shortest delay of a Delay node, in steps; 0 for others."""
    return float(np.min(np.rint(np.asarray(node.values["delay"]) / dt))) if node.type == "Delay" else 0.0


def loose_ends(graph: FlatGraph) -> Iterator[str]:
    """What is wrong with the edges as a whole, a sentence each."""
    for kind, found in (("Input", graph.inputs), ("Output", graph.outputs)):
        if not found:
            yield f"there is no {kind} node"
    fed, read = {b for _, b in graph.edges}, {a for a, _ in graph.edges}
    for name, node in graph.nodes.items():
        label = f"{shown(name)} ({shown(node.type)})"
        if (name in fed) == (name in graph.inputs):
            yield f"{label} has {'an' if name in fed else 'no'} edge into it"
        if (name in read) == (name in graph.outputs) and not (name in graph.inputs and name not in read):
            yield f"{label} has {'an' if name in read else 'no'} edge out of it"
