"""From an optimiser's equations to the sweep that updates every learnable parameter in place."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InternalError
from ..graph import Builder, Graph, Node, Stage, Type
from ..names import Names
from ..ops import Value
from ..ops.leaf import Parameter, Scalar
from ..optim import Optimizer
from ..passes.simplify import Simplify
from ..program import Buffer, Sweep
from .sweep import SweepBuilder

ELEMENTS = (2,)  # any number but one: the loop runs over all elements of all parameters


def trace_update(optimizer: Optimizer) -> Graph:
    """The graph of one update; its outputs are called after what they replace."""
    builder = Builder()

    def array(name: str) -> Value:
        type = Type(ELEMENTS)
        return Value(builder, builder.add(Parameter(name, ELEMENTS), name=name, type=type))

    def number(name: str) -> Value:
        return Value(builder, builder.add(Scalar(name), name=name))

    moments = {name: array(name) for name in optimizer.moments}
    powers = {name: number(f"{name}_power") for name in optimizer.powers}
    following, changed = optimizer.update(
        array("parameter"), array("gradient"), moments, number("learning_rate"), powers
    )
    builder.output("parameter", "gradient", following.node)
    for name in optimizer.moments:
        builder.output(name, "gradient", changed[name].node)
    return Simplify().run(builder.graph())


def lower_update(optimizer: Optimizer) -> Sweep:
    """The sweep, a loop over all elements; its buffers are labelled parameter, gradient, and by moment."""
    graph = trace_update(optimizer).map(_placed)
    nodes = [graph[n] for n in graph.order if graph[n].kernel]
    sweep = SweepBuilder(graph, _InPlace(graph), nodes).build()
    return replace(
        sweep, name="update_parameters", comment=(f"{type(optimizer).__name__}: all parameters, in place",)
    )


def _placed(node: Node) -> Node:
    if node.op.name in ("parameter", "constant", "scalar") or node.type.dtype in ("scalar", "number"):
        return replace(node, stage=Stage("once"))
    return replace(node, stage=Stage("once"), kernel="update")


class _InPlace:
    """What a sweep asks of its lowering; here every result replaces what it was made from."""

    def __init__(self, graph: Graph) -> None:
        self.names = Names()
        self.stepped: dict[str, int] = {}
        self.segmented = self.one_round = False
        self.updated: dict[str, str] = {}
        self.results = {o.value: o.name for o in graph.outputs}

    def buffer(self, name: str, layout: str = "real") -> Buffer:
        label = self.results.get(name, name)
        return Buffer(label, "parameter", ELEMENTS, label=label)

    def wanted(self, node: Node) -> list[str]:
        return ["real"] if node.name in self.results else []

    def length(self, node: Node) -> int:
        return node.type.size

    def state(self, node: Node) -> Buffer:
        raise InternalError(f"%{node.name}: an update has no states")

    def reads_state(self, reader: Node, node: Node) -> bool:
        return False

    before = passing = state

    def group(self, node: Node) -> str:
        raise InternalError(f"%{node.name}: an update has no groups of features")
