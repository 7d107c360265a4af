"""What a drawing of a network shows: a box a layer, with its states, and links between them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx

from ...frontend.foreign import shown
from ...graph import Graph, Node
from ...nn.module import Module
from ...nn.neuron import Neuron
from ...ops.elementwise import Detach, Elementwise, Expand, Spike, Substitute
from ...ops.time import Delay

HIDDEN = ("constant", "parameter", "state", "last", "vector")  # no values that flow
LIGHT = 3  # operators that the box of loose arithmetic names
SIGNS = {"add": "+", "mul": "×", "sub": "−"}
COEFFICIENTS = ("alpha", "beta", "tau", "threshold", "v_threshold")


@dataclass(frozen=True)
class Box:
    """One box. kind: input, output, layer, neuron, delay, or sum (a small circle).

    detail: a line below the title. states: name and shape of each. parameters: how many numbers it learns or
    holds.
    """

    name: str
    kind: str
    title: str
    detail: str = ""
    states: tuple[str, ...] = ()
    parameters: int = 0


@dataclass(frozen=True)
class Link:
    """A value from one box to another. back: it closes a loop over time, and comes `steps` later."""

    source: str
    target: str
    shape: str
    spikes: bool
    steps: int = 0
    back: bool = False


def boxes_of(
    network: Module, graph: Graph, neurons: Mapping[str, str] | None = None
) -> tuple[list[Box], list[Link]]:
    """The boxes of a traced network, in the order of the graph, and the links between them.

    neurons: what a state was recognised to be of, where the network has no modules that say so.
    """
    known = {} if neurons is None else neurons
    graph = _alive(graph)
    groups = _groups(network, graph)
    members: dict[str, list[Node]] = {}
    for node in graph:
        if node.name in groups:
            members.setdefault(groups[node.name], []).append(node)
    modules = dict(network.named_modules())
    parameters = _parameters(graph, groups)
    boxes = [_box(name, nodes, modules.get(name), parameters) for name, nodes in members.items()]
    boxes = [_recognised(box, members[box.name], graph, known) for box in boxes]
    links = list(_links(graph, groups))
    for output in graph.outputs:
        if output.role == "output":
            node = graph[output.value]
            end = f"output {output.name}"
            boxes.append(Box(end, "output", shown(output.name, 40), _shape(node)))
            source = groups.get(output.value)
            if source is not None:
                links.append(Link(source, end, _shape(node), _is_spike(graph, node)))
    return boxes, _with_loops(boxes, links)


def _alive(graph: Graph) -> Graph:
    """The graph without what nothing reads."""
    network = graph.network
    alive = {name for o in graph.outputs for name in (o.value, *nx.ancestors(network, o.value))}
    return replace(graph, nodes={name: node for name, node in graph.nodes.items() if name in alive})


def _groups(network: Module, graph: Graph) -> dict[str, str]:
    """The box of each node that is drawn: a layer's path, or the first node of loose arithmetic."""
    paths = dict(_owners(network))
    found: dict[str, str] = {}
    loose = nx.Graph()
    for node in graph:
        if node.op.name in HIDDEN:
            continue
        if node.op.name == "input":
            found[node.name] = f"input {node.name}"
            continue
        owner = next((paths[p] for p in _prefixes(node.name) if p in paths), None)
        if owner is not None:
            found[node.name] = owner
        else:
            loose.add_node(node.name)
    for name in loose:
        if _is_light(graph[name]):
            loose.add_edges_from((name, s) for s in graph[name].inputs if s in loose and _is_light(graph[s]))
    for part in nx.connected_components(loose):
        first = min(part, key=list(graph.nodes).index) if len(part) < LIGHT else sorted(part)[0]
        found |= dict.fromkeys(part, f"loose {first}")
    return found


def _is_light(node: Node) -> bool:
    return isinstance(node.op, (Elementwise, Expand, Detach, Spike, Substitute, Delay))


def _owners(network: Module) -> Iterator[tuple[str, str]]:
    """For each module its box: itself, or the neuron that it is part of."""
    neurons: list[str] = []
    for path, module in network.named_modules():
        inside = next((p for p in neurons if path.startswith(f"{p}.")), None)
        if inside is not None:
            yield path, inside
        elif path and (isinstance(module, Neuron) or not any(module.children())):
            neurons += [path] * isinstance(module, Neuron)
            yield path, path


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:k]) for k in range(len(parts), 0, -1))


def _parameters(graph: Graph, groups: Mapping[str, str]) -> dict[str, int]:
    """Numbers that each box holds; a parameter belongs to the first box that reads it."""
    total: dict[str, int] = {}
    for name, readers in graph.readers().items():
        if graph[name].op.name == "parameter":
            owner = next((groups[r.name] for r in readers if r.name in groups), "")
            total[owner] = total.get(owner, 0) + math.prod(graph[name].type.features)
    return total


def _box(name: str, nodes: list[Node], module: Module | None, parameters: Mapping[str, int]) -> Box:
    delays = [n for n in nodes if n.op.name == "delay"]
    states = tuple(f"{_last_name(n, name)} {_shape(n)}".rstrip() for n in delays)
    count = parameters.get(name, 0)
    if name.startswith("input "):
        return Box(name, "input", shown(name.removeprefix("input "), 40), _shape(nodes[0]))
    if module is None:
        return _loose(name, nodes, states, count)
    kind = "neuron" if isinstance(module, Neuron) else "delay" if delays else "layer"
    return Box(name, kind, shown(name, 40), _detail(module, nodes), states, count)


def _loose(name: str, nodes: list[Node], states: tuple[str, ...], count: int) -> Box:
    """The box of arithmetic between layers; a single sum or product is a small circle."""
    names = [n.op.name for n in nodes if n.op.name != "expand"]
    if not states and len(set(names)) == 1 and names[0] in SIGNS:
        return Box(name, "sum", SIGNS[names[0]])
    heavy = [n for n in nodes if not _is_light(n)]
    spikes = any(n.op.name == "spike" for n in nodes)
    kind = "neuron" if states and spikes else "delay" if states else "layer"
    distinct = list(dict.fromkeys(names))
    listed = ", ".join(distinct[:LIGHT]) + (", ..." if len(distinct) > LIGHT else "")
    last = nodes[-1].name.removesuffix(".prev")
    title = heavy[0].name if heavy else "neuron" if kind == "neuron" else last
    return Box(name, kind, shown(title, 40), listed, states, count)


def _recognised(box: Box, nodes: list[Node], graph: Graph, neurons: Mapping[str, str]) -> Box:
    """A box of loose arithmetic with the neuron that it is, called after the layer that fires in it."""
    states = [graph[n.inputs[1]].op for n in nodes if n.op.name == "delay"]
    labels = [getattr(state, "label", "") for state in states]
    found = [neurons[label] for label in labels if label in neurons]
    if not found:
        return box
    spike = next((n.name for n in reversed(nodes) if n.op.name == "spike"), "")
    layer = re.sub(r"\.?spike(\.\d+)?$", "", spike)
    return replace(box, title=shown(layer or labels[0], 40), detail=" · ".join(found))


def _last_name(node: Node, group: str) -> str:
    """The state of a delay: `mem` of `lif1.mem.prev`."""
    label = node.name.removesuffix(".prev").removeprefix(f"{group}.")
    steps = getattr(node.op, "steps", 1)
    return shown(label, 24) + (f" ×{steps}" if steps > 1 else "")


def _detail(module: Module, nodes: list[Node]) -> str:
    """What a module is: its class, sizes and fixed numbers."""
    kind, own = type(module).__name__, vars(module)
    if "in_features" in own and "out_features" in own:
        return f"{kind} {own['in_features']} → {own['out_features']}"
    if "in_channels" in own:
        return f"{kind} {own['in_channels']} → {own['out_channels']}, {_by(own['kernel_size'])}"
    if "kernel_size" in own:
        return f"{kind} {_by(own['kernel_size'])}"
    numbers = [f"{n} {own[n]:.3g}" for n in COEFFICIENTS if isinstance(own.get(n), float)]
    return " · ".join([kind, *numbers])


def _by(sizes: Any) -> str:
    return "×".join(str(n) for n in (sizes if isinstance(sizes, Iterable) else [sizes]))


def _shape(node: Node) -> str:
    return _by(node.type.features) if node.type.features else "1"


def _links(graph: Graph, groups: Mapping[str, str]) -> Iterator[Link]:
    """One link for each value that a box reads of another."""
    seen = set()
    for node in graph:
        for source in node.inputs:
            start, end = groups.get(source), groups.get(node.name)
            if start is None or end is None or start == end or (source, end) in seen:
                continue
            seen.add((source, end))
            read = graph[source]
            steps = getattr(read.op, "steps", 1) if read.op.name == "delay" else 0
            yield Link(start, end, _shape(read), _is_spike(graph, read), steps)


def _is_spike(graph: Graph, node: Node) -> bool:
    """Whether a value is a spike, which may wait, be copied, or times 1, as snnTorch exports it."""
    while node.op.name in ("delay", "expand", "detach", "mul"):
        sources = [graph[name] for name in node.inputs]
        if node.op.name == "mul":
            sources = [s for s in sources if getattr(s.op, "value", None) != 1.0]
        if not sources or (node.op.name == "mul" and len(sources) != 1):
            return False
        node = sources[0]
    return node.op.name == "spike"


def _with_loops(boxes: list[Box], links: list[Link]) -> list[Link]:
    """The links, with those marked that close a loop: delayed ones first, then whichever is met again."""
    network = nx.DiGraph()
    network.add_nodes_from(box.name for box in boxes)
    network.add_edges_from((k.source, k.target) for k in links)
    member = {n: i for i, part in enumerate(nx.strongly_connected_components(network)) for n in part}
    done = [replace(k, back=bool(k.steps) and member[k.source] == member[k.target]) for k in links]
    while True:
        forward = nx.DiGraph([(k.source, k.target) for k in done if not k.back])
        try:
            cycle = nx.find_cycle(forward, [b.name for b in boxes if b.name in forward])
        except nx.NetworkXNoCycle:
            return done
        closing = cycle[-1][:2]
        done = [replace(k, back=k.back or (k.source, k.target) == closing) for k in done]
