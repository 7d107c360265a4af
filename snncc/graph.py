"""The graph: operators over sequences, as an immutable networkx graph with a text form.

A value has three kinds of axes: time, batch, features. `Type` says which it varies over. A `Graph`
is a tuple of frozen `Node`s in order of definition; only `delay` and `advance` may close a cycle.
Passes take a graph and return a new one, usually by filling a `Builder`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import CompileError, InternalError, located, user_line

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True)
class Type:
    """Dtype, feature shape, and whether a value varies over time and batch.

    dtype is "real" until `infer_types` makes it "f32" or "f64". Class labels are "i32". "scalar" is one
    double-precision number that every kernel computes for itself (steps, samples, learning rate, and
    what is made of them alone); "number" is a literal.
    """

    features: tuple[int, ...] = ()
    time: bool = False
    batch: bool = False
    dtype: str = "real"

    @property
    def size(self) -> int:
        """Number of features of one sample at one step."""
        count = 1
        for length in self.features:
            count *= length
        return count

    def __str__(self) -> str:
        axes = ["T"] * self.time + ["B"] * self.batch + [str(n) for n in self.features]
        return f"{self.dtype}[{', '.join(axes)}]"


class Op:
    """What a node computes. Subclasses are frozen dataclasses; their fields are the attributes.

    An operator knows four things, and this is the only place where they are known: its shape rule
    (`infer`), its NumPy meaning (`evaluate`), its gradient (`vjp`), and, for elementwise ones, how C
    prints it (`c`).
    """

    name: ClassVar[str] = ""
    spans: ClassVar[bool] = False  # whether its first operand is read at other steps than the result's

    def infer(self, *types: Type) -> Type:
        """The result's type; raises `CompileError` for operands that do not fit."""
        raise NotImplementedError

    def evaluate(self, *arrays: Any) -> Any:
        """The meaning on NumPy arrays shaped [T?, B?, *features], axes as the types say."""
        raise NotImplementedError

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        """Cotangents of the inputs given the output's, as values; None where there is none."""
        return (None,) * len(inputs)

    def attributes(self) -> str:
        shown = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr]  # type: ignore[arg-type]
        return f"<{', '.join(shown)}>" if shown else ""

    def __str__(self) -> str:
        return self.name + self.attributes()


@dataclass(frozen=True)
class Stage:
    """When a node runs: `once`, `tile` (once a tile), `parallel`, `scan` or `reverse`, or `finish`.

    loop numbers the scan; unroll is how many steps one turn of its loop does. part: of a tile whose
    steps run in segments; see `split_time`. phase: tiles of a phase wait for the sums of the one before.
    """

    kind: str
    loop: int = 0
    unroll: int = 1
    part: str = ""
    phase: int = 0

    def __str__(self) -> str:
        part = f", {self.part}" if self.part else f", phase {self.phase}" if self.phase else ""
        if self.kind not in ("scan", "reverse"):
            return self.kind + part
        return f"{self.kind} {self.loop}" + (f" unroll={self.unroll}" if self.unroll > 1 else "") + part


@dataclass(frozen=True)
class Node:
    """One value of the graph."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    type: Type
    half: str = "forward"  # or "backward"
    where: str = field(default="", compare=False)  # the user's file:line
    stage: Stage | None = None
    kernel: str = ""  # name of the kernel that `fuse` put it in
    channels: int = 0  # how many lie side by side in memory, last in an image; 0: features are row-major

    def __str__(self) -> str:
        text = f"%{self.name} = {self.op}({', '.join('%' + i for i in self.inputs)}) : {self.type}"
        notes = [str(self.stage)] * (self.stage is not None) + [f"in {self.kernel}"] * bool(self.kernel)
        notes += [f"{self.channels} channels last"] * bool(self.channels)
        return f"{text}  @ {', '.join(notes)}" if notes else text


@dataclass(frozen=True)
class Output:
    """A value that leaves the graph.

    role: output, state_out, loss, sum, gradient (of a parameter), d_input, d_state; parameter: what that
    parameter is after the call.
    """

    name: str
    role: str
    value: str


@dataclass(frozen=True)
class Graph:
    """Nodes in order of definition, and what leaves the graph. Checked at construction."""

    nodes: Mapping[str, Node]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        for node in self.nodes.values():
            for source in node.inputs:
                if source not in self.nodes:
                    raise InternalError(f"%{node.name} reads %{source}, which no node makes")
        for output in self.outputs:
            if output.value not in self.nodes:
                raise InternalError(f"output {output.name} is %{output.value}, which no node makes")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def network(self) -> networkx.MultiDiGraph:
        """Every edge from an input to its reader; the edge's key is the operand's position."""
        import networkx  # here, because a cached build never needs it and it takes 0.1 s to load

        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((s, n.name, k) for n in self for k, s in enumerate(n.inputs))
        return graph

    @cached_property
    def step_network(self) -> networkx.MultiDiGraph:
        """The network within one time step: what goes into a `delay` or `advance` comes later."""
        import networkx

        graph = networkx.MultiDiGraph()
        graph.add_nodes_from(self.nodes)
        for node in self:
            shifts = node.op.name in ("delay", "memorize", "advance", "carry")
            graph.add_edges_from((s, node.name, k) for k, s in enumerate(node.inputs) if k or not shifts)
        return graph

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Topological order within one step, stable in the order of definition."""
        import networkx

        position = {name: i for i, name in enumerate(self.nodes)}
        try:
            return tuple(
                networkx.lexicographical_topological_sort(self.step_network, key=position.__getitem__)
            )
        except networkx.NetworkXUnfeasible:
            raise self._cycle_error() from None

    @cached_property
    def components(self) -> tuple[tuple[str, ...], ...]:
        """Strongly connected components, each before what reads it; members in the order of a step.

        One with several members is a loop over time.
        """
        import networkx

        position = {name: i for i, name in enumerate(self.order)}
        condensed = networkx.condensation(self.network)
        members = {c: sorted(condensed.nodes[c]["members"], key=position.__getitem__) for c in condensed}
        order = networkx.lexicographical_topological_sort(condensed, key=lambda c: position[members[c][0]])
        return tuple(tuple(members[c]) for c in order)

    @cached_property
    def looped(self) -> frozenset[str]:
        """The nodes on loops over time."""
        return frozenset(m for members in self.components if len(members) > 1 for m in members)

    @cached_property
    def layers(self) -> frozenset[str]:
        """The layers that forward values belong to: their names without the last part."""
        unnamed = ("events", "context")
        names = (n.name for n in self if n.half == "forward" and n.op.name not in unnamed)
        return frozenset(map(scope_of, names)) - {""}

    def _cycle_error(self) -> CompileError:
        import networkx

        cycle = [edge[0] for edge in networkx.find_cycle(self.step_network)]
        path = " -> ".join("%" + name for name in [*cycle, cycle[0]])
        where = next((self[name].where for name in cycle if self[name].where), "")
        return located(f"feedback loop without a delay: {path}; put snncc.delay in the loop", where)

    def verify(self) -> Graph:
        """Check what construction cannot: no cycle without a delay, types that the rules allow."""
        for name in self.order:
            node = self[name]
            inferred = node.op.infer(*(self[i].type for i in node.inputs))
            if (inferred.features, inferred.time, inferred.batch) != (
                node.type.features,
                node.type.time,
                node.type.batch,
            ):
                raise InternalError(f"%{name} is {node.type}, its operands make it {inferred}")
        return self

    def readers(self) -> dict[str, list[Node]]:
        """For each value the nodes that read it, in order of definition."""
        result: dict[str, list[Node]] = {name: [] for name in self.nodes}
        for node in self:
            for source in dict.fromkeys(node.inputs):
                result[source].append(node)
        return result

    def map(self, change: Callable[[Node], Node]) -> Graph:
        """The same graph with each node changed in place (names and inputs stay)."""
        return replace(self, nodes={name: change(node) for name, node in self.nodes.items()})

    def __str__(self) -> str:
        lines = [print_node(self, node) for node in self if node.op.name != "constant"]
        lines += [f"{o.role} {o.name} = %{o.value}" for o in self.outputs]
        return "\n".join(lines) + "\n"


def print_node(graph: Graph, node: Node) -> str:
    """One line of the text form: constants are printed where they are read."""

    def operand(name: str) -> str:
        op = graph[name].op
        return op.attributes()[1:-1].removeprefix("value=") if op.name == "constant" else "%" + name

    text = str(node)
    arguments = f"({', '.join('%' + i for i in node.inputs)})"
    return text.replace(arguments, f"({', '.join(map(operand, node.inputs))})", 1)


class Builder:
    """Collects nodes, infers their types as they come, and hands out unique names."""

    def __init__(self, graph: Graph | None = None) -> None:
        self.nodes: dict[str, Node] = dict(graph.nodes) if graph else {}
        self.outputs: list[Output] = list(graph.outputs) if graph else []
        self.counts: dict[str, int] = {}  # where the search for a free number goes on
        self.half = "forward"
        self.where = ""
        self.scope = ""
        self.title = ""  # of the network: what an error outside of its layers names

    def unique(self, name: str) -> str:
        """`name`, or `name.2`, `name.3` ... where it is taken."""
        candidate, count = name, self.counts.get(name, 1)
        while candidate in self.nodes:
            count += 1
            candidate = f"{name}.{count}"
        self.counts[name] = count
        return candidate

    def add(self, op: Op, inputs: Iterable[str] = (), name: str = "", type: Type | None = None) -> str:
        """Append a node and return its name; an error of the shape rule gets the user's line."""
        inputs = tuple(inputs)
        if type is None:
            try:
                type = op.infer(*(self.nodes[i].type for i in inputs))
            except CompileError as error:
                layer = self.scope or self.title
                message = f"{layer}: {error}" if layer else str(error)
                # The line of the equation where there is one, else the one that made the layer.
                raise located(message, user_line(within="trace") or self.where) from None
        name = self.unique(name or (f"{self.scope}.{op.name}" if self.scope else op.name))
        self.nodes[name] = Node(name, op, inputs, type, self.half, self.where)
        return name

    def connect(self, name: str, *inputs: str) -> None:
        """Give a node its inputs late: how a feedback loop is closed."""
        self.nodes[name] = replace(self.nodes[name], inputs=inputs)

    def output(self, name: str, role: str, value: str) -> None:
        self.outputs.append(Output(name, role, value))

    def graph(self) -> Graph:
        return Graph(self.nodes, tuple(self.outputs))


def scope_of(name: str) -> str:
    """The layer that a value's name says, all but its last part: `lif1` of `lif1.mem`."""
    return re.sub(r"(\.prev|\.here(\.\d+)?)$", "", name).rpartition(".")[0]


def layer_of(node: Node) -> str:
    """What a message calls the layer of a node."""
    scope = scope_of(node.name)
    return f"layer {scope}" if scope else f"%{node.name}"


def constant_value(graph: Graph, name: str) -> float | None:
    """The number a node stands for, or None if it is not a constant."""
    op = graph[name].op
    return op.value if op.name == "constant" else None  # type: ignore[attr-defined]


def stable_order(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """The names such that every edge points forward, otherwise as they come; InternalError for a cycle."""
    import networkx

    position = {name: i for i, name in enumerate(names)}
    graph = networkx.DiGraph()
    graph.add_nodes_from(position)
    graph.add_edges_from(edges)
    try:
        return list(networkx.lexicographical_topological_sort(graph, key=position.__getitem__))
    except networkx.NetworkXUnfeasible:
        cycle = " -> ".join(edge[0] for edge in networkx.find_cycle(graph))
        raise InternalError(f"these wait for each other: {cycle}") from None


def renamed(graph: Graph, wanted: Mapping[str, str]) -> Graph:
    """The same graph with some nodes under other names; clashes get numbers."""
    taken = set(graph.nodes) - set(wanted)
    names = {name: name for name in graph.nodes}
    for old, new in wanted.items():
        candidate, count = new, 1
        while candidate in taken:
            count += 1
            candidate = f"{new}.{count}"
        taken.add(candidate)
        names[old] = candidate
    nodes = {}
    for node in graph:
        changed = replace(node, name=names[node.name], inputs=tuple(names[i] for i in node.inputs))
        nodes[changed.name] = changed
    return Graph(nodes, tuple(Output(o.name, o.role, names[o.value]) for o in graph.outputs))
