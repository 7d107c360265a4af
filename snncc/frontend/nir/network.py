"""A NIR graph as a network of modules, and its import."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn.module import Input, Loop, Module
from ...nn.nir import dialect as reading
from ...nn.surrogate import Surrogate
from ...ops import Value
from ..foreign import plain_names, shown, shown_path
from ..report import Report
from .build import Options, Part, build
from .flat import FlatGraph, delay_cycles, flatten, loose_ends
from .primitives import fault, unsupported
from .read import RawNode, is_graph, read_file, read_object
from .shapes import Shapes, infer_shapes

FASTEST = 1.0  # dt / tau above which a step leaps over the time constant
SLOWEST = 1e-4  # dt / tau below which a membrane hardly moves
NO_DT = (
    "NIR files do not say the time step: give dt in seconds (--dt), say 1e-4 for files of snnTorch and "
    "SpikingJelly, 1e-3, or 1 where time constants count steps; or the dialect of the system that wrote the "
    "file (--dialect)"
)
SNNTORCH_RESET = (
    "snnTorch does not write its reset: this is right for reset_mechanism='zero'; a network with 'subtract', "
    "snnTorch's default, needs reset='subtract_delayed'"
)


class NIRNetwork(Module):
    """A network that was read from NIR. `report` says what became of each node.

    A single input is called x and a single output y; several have the names of their nodes.
    """

    def __init__(self, graph: FlatGraph, shapes: Shapes, parts: Mapping[str, Part], report: Report) -> None:
        self.graph, self.shapes, self.report = graph, shapes, report
        self.names = plain_names(graph.nodes, taken=dir(Module))
        self.modules = {n: part.module for n, part in parts.items() if part.module is not None}
        self.outputs = _ports("y", graph.outputs, self.names)
        self.inputs = {
            name: Input(*shapes.entering[node])
            for name, node in zip(_ports("x", graph.inputs, self.names), graph.inputs, strict=True)
        }

    @property
    def imported(self) -> dict[str, Any]:
        """For a model's manifest."""
        return self.report.record()

    def rename(self, outputs: Mapping[str, str]) -> None:
        """Gives outputs other names, those that losses know, say {"y": "spk"}. Raises CompileError."""
        for name, other in outputs.items():
            taken = other in (*self.outputs, *self.inputs) or not other.isidentifier()
            if name not in self.outputs or taken:
                raise CompileError(
                    f"output {shown(name)}={shown(other)}: expected an output of the file "
                    f"({', '.join(self.outputs)}) and a name that is free"
                )
            self.outputs = [other if name == known else known for known in self.outputs]

    def children(self) -> Iterator[tuple[str, Module]]:
        yield from ((self.names[node], module) for node, module in self.modules.items())

    def forward(self, *given: Value) -> dict[str, Value]:
        values = dict(zip(self.graph.inputs, given, strict=True))
        loops = {node: self._loop(node) for node in dict.fromkeys(a for a, _ in sorted(self.graph.delayed))}
        for node in self.graph.order:
            if node in values:
                continue
            sources = [
                loops[a].value if (a, node) in self.graph.delayed else values[a]
                for a in self.graph.sources[node]
            ]
            entering = reduce(add, sources)
            module = self.modules.get(node)
            result: Any = entering if module is None else module(entering)
            values[node] = result[0] if isinstance(result, tuple) else result
        for node, loop in loops.items():
            loop.feed(values[node])
        return {name: values[node] for name, node in zip(self.outputs, self.graph.outputs, strict=True)}

    def _loop(self, node: str) -> Loop:
        return Loop(self.shapes.leaving[node], 0.0, f"{self.names[node]}.spk", 1)


def _ports(alone: str, nodes: tuple[str, ...], names: Mapping[str, str]) -> list[str]:
    return [alone] if len(nodes) == 1 else [names[node].replace(".", "_") for node in nodes]


def import_nir(
    source: str | os.PathLike[str] | Any,
    *,
    dt: float | None = None,
    dialect: str = "exact",
    reset: str | None = None,
    integrator: str | None = None,
    compare: str | None = None,
    v0: str | None = None,
    surrogate: Surrogate | str | None = "default",
    outputs: Mapping[str, str] | None = None,
) -> NIRNetwork:
    """A network from a NIR file, or from a `nir.NIRGraph`.

    dt [s]: length of a step; NIR does not say it, so it has no default unless the dialect gives one. dialect:
    "exact", or the system that wrote the file: "snntorch", "norse", "spikingjelly", "sinabs". reset,
    integrator, compare, v0: what NIR leaves open, in place of the dialect's choice; see `nn.nir`. surrogate:
    the derivative of spikes; default: the dialect's. outputs: other names for outputs, that losses know,
    say {"y": "spk"}. What became of each node is in the network's `report`.
    Raises CompileError for files that are not sound, and for what cannot be imported exactly.
    """
    chosen = reading(dialect, reset=reset, integrator=integrator, compare=compare, v0=v0)
    if is_graph(source):
        raw, version, label = read_object(source), "graph", "NIRGraph"
    else:
        path = Path(source)
        (raw, version), label = read_file(path), shown_path(path)
    graph = _checked(raw, Report(label, f"NIR {version}"))
    step = chosen.dt if dt is None else dt
    if step is None:
        raise CompileError(f"{label}: {NO_DT}")
    if not (isinstance(step, (int, float)) and not isinstance(step, bool) and 0 < step < math.inf):
        raise CompileError(f"dt must be a positive number of seconds, got {step!r}")
    said = {"dt": f"{step:g} s" + ("" if dt is not None else f" (of dialect {dialect})"), "dialect": dialect}
    report = Report(label, f"NIR {version}", (), {**said, **chosen.choices})
    network = _network(graph, Options(float(step), chosen, surrogate), report)
    try:
        network.rename(outputs or {})
    except CompileError as error:
        raise CompileError(f"{label}: {error}") from None
    return network


def _checked(raw: RawNode, report: Report) -> FlatGraph:
    """The graph without nested ones; a CompileError for nodes and edges that are not sound."""
    label = report.source
    graph = flatten(raw, label)
    unknown = [f for name, node in graph.nodes.items() if (f := unsupported(name, node))]
    replace(report, findings=tuple(unknown)).check()
    for name, node in graph.nodes.items():
        if wrong := fault(node):
            raise CompileError(f"{label}: node {shown(name)} ({node.type}) {wrong}")
    if wrong := "; ".join(list(loose_ends(graph))[:8]):
        raise CompileError(f"{label}: {wrong}")
    return graph


def _network(graph: FlatGraph, options: Options, report: Report) -> NIRNetwork:
    label = report.source
    graph = delay_cycles(graph, options.dt, label)
    late = replace(options, ahead=1)
    delayed = {source for source, _ in graph.delayed}
    shapes = infer_shapes(graph, label)
    try:
        parts = {
            n: build(n, node, shapes.entering[n], late if n in delayed else options)
            for n, node in graph.nodes.items()
        }
    except CompileError as error:
        raise CompileError(f"{label}: {error}") from None
    remarks = (*shapes.remarks, *_remarks(graph, options))
    findings = tuple(part.finding for part in parts.values())
    done = replace(report, findings=findings, remarks=remarks).check()
    return NIRNetwork(graph, shapes, parts, done)


def _remarks(graph: FlatGraph, options: Options) -> Iterator[str]:
    """What is worth a second look."""
    for a, b in sorted(graph.delayed):
        yield f"edge ({shown(a)}, {shown(b)}) is part of a cycle and carries the value of the step before"
    fired = [node for node in graph.nodes.values() if node.type in ("LIF", "CubaLIF")]
    if fired and options.dialect.name == "snntorch" and options.dialect.reset == "file":
        yield SNNTORCH_RESET
    for name, node in graph.nodes.items():
        for value in ("tau", "tau_syn", "tau_mem"):
            if value in node.values:
                yield from _pace(name, value, options.dt / np.asarray(node.values[value], np.float64))


def _pace(name: str, value: str, rate: np.ndarray) -> Iterator[str]:
    largest, smallest = float(rate.max()), float(rate.min())
    if largest > FASTEST:
        yield f"{shown(name)}: dt is {largest:.3g} times {value}: is dt in the same unit?"
    if smallest < SLOWEST:
        yield f"{shown(name)}: {value} is {1 / smallest:.3g} steps of dt: is dt in the same unit?"
