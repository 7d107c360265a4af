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
only. All kernels add in the same order, so the choice never changes a bit. Sparse synapses are always
driven by events, those of any input's nonzeros; in a loop over time by the nonzeros of the row at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import located, user_line
from ..graph import Graph, Node, Stage
from ..ops.conv import SLIDING
from ..ops.linear import Events
from .base import Pass
from .zeros import with_zeros

SPARSE = ("sparse_linear", "sparse_weight_gradient")  # driven by events, whatever they are of
CHOICES = ("auto", "dense", "events")
GRADIENTS = ("weight_gradient", "conv_gradient")
STEPS = ("spike", "greater", "greater_equal")


@dataclass(frozen=True)
class ChooseKernels(Pass):
    """products: "auto", or one kernel wherever there is a choice: "dense" or "events" (for tests)."""

    products: str = "auto"

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
                place = (
                    1 if node.op.name in (*GRADIENTS, SPARSE[1]) else 0
                )  # of the operand that may be listed
                listed, inputs = _list(nodes, graph[node.inputs[place]]), list(node.inputs)
                inputs[place:] = (
                    [listed, *inputs[place + 1 :]] if kernel == "events" else [*inputs[place:], listed]
                )
                node = replace(node, inputs=tuple(inputs))
            if kernel:
                op: Any = node.op
                node = replace(node, op=replace(op, kernel=kernel))
            if node.op.name == "matmul" and self.products != "dense":
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
        if getattr(node.op, "groups", 1) > 1:
            return "dense"  # each output reads few channels: there is not enough to leave out
        looped = node.stage is not None and node.stage.kind in ("scan", "reverse")
        if node.op.name in SPARSE:
            return "rows" if looped else "events"
        if node.op.name in GRADIENTS:
            return self._gradient(graph, node)
        if node.op.name not in ("linear", *SLIDING):
            return ""
        if looped:  # a list of all steps cannot be had before the loop is done
            return "dense"
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
    """Whether a value is 0 or 1 by construction, and of a sweep, which packs it into bits."""
    node = origin(graph, name)
    chosen = node.op.name == "mul" and all(_is_binary(graph, i) for i in node.inputs)
    return node.op.name in STEPS or chosen


def _is_binary(graph: Graph, name: str) -> bool:
    return is_spike(graph, name) or origin(graph, name).op.name == "first_maximum"


def _list(nodes: dict[str, Node], source: Node) -> str:
    """The event list of a value, made once for all its readers."""
    name = f"{source.name}.events"
    if name not in nodes:
        stage = Stage("parallel" if source.type.time else "tile")  # after a loop that makes the value
        nodes[name] = Node(name, Events(), (source.name,), source.type, source.half, source.where, stage)
    return name
