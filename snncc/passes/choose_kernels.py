"""choose_kernels: how each product is computed.

before:  %fc2 = linear(%spk, %w, %b)
after:   %spk.events = events(%spk)
         %fc2 = linear<events>(%spk.events, %w, %b)

Spikes are 0 or 1: the rows of the weights of those that fired are added ("events"). Inputs may be sparse:
their nonzeros are counted while they are listed, and the density decides at run time ("counted"). So are
those of graded spikes and of what else is often exactly zero, forward, and backward those of cotangents
behind a surrogate with compact support, which is exactly zero beyond. Everything else, other cotangents
above all, takes the dense product ("dense"). Weight gradients are driven by spikes as well, or by the
density of what else they read. Spikes are not counted: dense kernels win above a density of 0.57 to 0.72
only. In a loop over time spikes are listed step by step. All kernels add in the same order, so the choice
never changes a bit. Sparse synapses are always driven by events, those of any input's nonzeros; in a loop
over time by the nonzeros of the row at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import located, user_line
from ..graph import Graph, Node, Stage
from ..ops.conv import SLIDING, in_narrow_groups
from ..ops.linear import Events
from .base import Pass
from .zeros import with_zeros

SPARSE = (
    "sparse_linear",
    "delayed_linear",
    "sparse_weight_gradient",
    "delayed_gradient",
)  # driven by events, whatever they are of
CHOICES = ("auto", "dense", "events")
GRADIENTS = ("weight_gradient", "conv_gradient")
STEPS = ("spike", "greater", "greater_equal")


@dataclass(frozen=True)
class ChooseKernels(Pass):
    """products: "auto", or one kernel wherever there is a choice: "dense" or "events" (for tests). lists:
    whether there are kernels driven by events; on a GPU all products are dense."""

    products: str = "auto"
    lists: bool = True

    def __post_init__(self) -> None:
        if self.products not in CHOICES:
            shown = f"products must be one of {', '.join(CHOICES)}, got {self.products!r}"
            raise located(shown, user_line())

    def run(self, graph: Graph) -> Graph:
        nodes: dict[str, Node] = {}
        zeros = with_zeros(graph)
        for node in graph:
            kernel = self._kernel(graph, node, zeros)
            if kernel in ("events", "counted"):
                place = 1 if node.op.name in (*GRADIENTS, *SPARSE[2:]) else 0  # of what may be listed
                listed, inputs = _list(nodes, graph[node.inputs[place]], node), list(node.inputs)
                inputs[place:] = (
                    [listed, *inputs[place + 1 :]] if kernel == "events" else [*inputs[place:], listed]
                )
                node = replace(node, inputs=tuple(inputs))
            if kernel:
                op: Any = node.op
                node = replace(node, op=replace(op, kernel=kernel))
            if node.op.name == "matmul" and self.products != "dense" and self.lists:
                node = self._with_zeros(graph, node, zeros)
            nodes[node.name] = node
        return Graph(nodes, graph.outputs)

    def _with_zeros(self, graph: Graph, node: Node, zeros: set[str]) -> Node:
        """The operand whose nonzeros drive a product of values: spikes, else what may be zero."""
        given = [getattr(_viewed(graph, i).op, "role", "") == "input" for i in node.inputs]
        sparse = [k for k, i in enumerate(node.inputs) if i in zeros or given[k]]
        spikes = [k for k in sparse if is_spike(graph, _viewed(graph, node.inputs[k]).name)]
        op: Any = node.op
        found = [*spikes, *sparse][:1]
        return replace(node, op=replace(op, zeros="".join("ab"[k] for k in found), ones=bool(spikes)))

    def _kernel(self, graph: Graph, node: Node, zeros: set[str]) -> str:
        if node.op.name in SLIDING and in_narrow_groups(graph, node):
            return "dense"
        if not self.lists:
            chosen = {"linear": "dense", **dict.fromkeys((*SLIDING, *GRADIENTS), "dense")}
            return chosen.get(node.op.name, "rows" if node.op.name in SPARSE else "")
        if node.op.name in SPARSE:
            return "rows" if looped(node) else "events"
        if node.op.name in GRADIENTS:
            return self._gradient(graph, node)
        if node.op.name not in ("linear", *SLIDING):
            return ""
        if looped(node):  # what is often zero but no spike would be listed and counted for a step at a time
            spikes = self.products != "dense" and is_spike(graph, node.inputs[0])
            return "events" if spikes else "dense"
        if node.half == "backward":
            sparse = node.inputs[0] in zeros and self.products != "dense"
            return {"auto": "counted"}.get(self.products, self.products) if sparse else "dense"
        if self.products != "auto":
            return self.products
        if is_spike(graph, node.inputs[0]):
            return "events"
        sparse = node.inputs[0] in zeros or _undelayed(graph, node.inputs[0]).op.name == "input"
        return "counted" if sparse else "dense"

    def _gradient(self, graph: Graph, node: Node) -> str:
        """A single output has no dense kernel: its weights are no vectors."""
        single = node.op.name == "weight_gradient" and node.type.features[0] == 1
        if single or is_spike(graph, node.inputs[1]):
            return "events"
        return {"auto": "counted"}.get(self.products, self.products)


def origin(graph: Graph, name: str) -> Node:
    """The node behind reshapes, contexts and lists: what a value really is."""
    node = graph[name]
    while node.op.name in ("reshape", "context", "events"):
        node = graph[node.inputs[0]]
    return node


def _undelayed(graph: Graph, name: str) -> Node:
    """The node behind reshapes, and behind delays, whose initial values may be no spikes."""
    node = origin(graph, name)
    while node.op.name == "previous":
        node = origin(graph, node.inputs[0])
    return node


def _viewed(graph: Graph, name: str) -> Node:
    """The node behind reshapes and views, which leave numbers as they are."""
    node = origin(graph, name)
    while node.op.name == "strided":
        node = origin(graph, node.inputs[0])
    return node


def is_spike(graph: Graph, name: str) -> bool:
    """Whether a value is 0 or 1 by construction, and of a sweep, which packs it into bits; or was so a step
    before."""
    node, passed = origin(graph, name), set[str]()
    while is_spike_state(graph, node) and node.name not in passed:
        passed.add(node.name)
        node = origin(graph, node.inputs[0])
    chosen = node.op.name == "mul" and all(_is_binary(graph, i) for i in node.inputs)
    return node.op.name in STEPS or chosen


def is_spike_state(graph: Graph, node: Node) -> bool:
    """Whether a value of the step before starts at 0 or 1, as long as the caller's array does: see
    `needs_spikes`. Of several steps before only in a loop, where nothing else is as fast as a list, and not
    of images, as what was before the first step has another order."""
    op: Any = node.op
    late = op.name in ("delay", "memorize", "previous")
    if not late or (op.steps > 1 and (len(node.type.features) > 1 or node.name not in graph.looped)):
        return False
    start: Any = graph[node.inputs[1]]
    start = graph[start.inputs[0]] if start.op.name == "state" else start
    return start.op.name == "constant" and start.op.value in (0.0, 1.0)


def needs_spikes(graph: Graph, state: Node) -> bool:
    """Whether an initial state of the caller must be zeros and ones: it is listed as spikes are."""
    late = {n.name: n for n in graph if is_spike_state(graph, n) and is_spike(graph, n.name)}
    names = {name for name, n in late.items() if state.name in n.inputs[1:]}
    while more := {name for name, n in late.items() if origin(graph, n.inputs[0]).name in names} - names:
        names |= more  # after a further delay
    products = ("linear", "matmul", "events", *SLIDING, *SPARSE, *GRADIENTS)
    readers = (n for n in graph if n.op.name in products)
    return any(_viewed(graph, i).name in names for n in readers for i in n.inputs)


def spike_states(graph: Graph) -> set[str]:
    """Labels of the states that a caller must give as zeros and ones."""
    states: list[Any] = [n for n in graph if n.op.name == "state" and needs_spikes(graph, n)]
    return {node.op.label for node in states}


def looped(node: Node) -> bool:
    """Whether a node runs step by step."""
    return node.stage is not None and node.stage.kind in ("scan", "reverse")


def _is_binary(graph: Graph, name: str) -> bool:
    return is_spike(graph, name) or origin(graph, name).op.name == "first_maximum"


def _list(nodes: dict[str, Node], source: Node, reader: Node) -> str:
    """The event list of a value, made once for all its readers; those in a loop have one of a step."""
    name = f"{source.name}.events" + ".now" * looped(reader)
    if name not in nodes:
        phase = source.stage.phase if source.stage else 0
        after = Stage("parallel" if source.type.time else "tile", phase=phase)  # a loop that makes the value
        stage = reader.stage if looped(reader) else after
        nodes[name] = Node(name, Events(), (source.name,), source.type, source.half, source.where, stage)
    return name
