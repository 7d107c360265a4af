"""Writes a network as a NIR file, exactly or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime.files import write_file

from ...errors import CompileError
from ...graph import Graph
from ...nn.module import Module
from ...nn.nir import Dialect
from ...nn.nir import dialect as reading_of
from ..dsl import Called, Network, trace
from ..foreign import shown_path
from ..report import Finding, Report
from .express import CannotError, Said, Site, express, is_layer
from .flat import Edge, FlatGraph, delay_cycles
from .network import NO_DT
from .read import RawNode, require_h5py

VERSION = "1.0.8"  # of NIR, whose format this is
Sources = tuple[tuple[str, bool], ...]  # nodes that add up, and whether each comes a step later


def export_nir(
    network: Module,
    path: str | os.PathLike[str],
    *,
    dt: float | None = None,
    dialect: str = "exact",
    reset: str | None = None,
    compare: str | None = None,
    v0: str | None = None,
    weights: Mapping[str, np.ndarray] | Network | None = None,
) -> Report:
    """Write a network as a NIR file, with its initial weights or others.

    dt [s]: length of a step, that time constants are multiples of. dialect, reset, compare, v0: how the file
    will be read, where NIR leaves it open (see `nn.nir`); a neuron that does otherwise is refused. weights:
    parameters by name, say `model.params`. What became of each layer, and which outputs NIR has no place for,
    is in the report. Raises CompileError that names what NIR cannot express; then nothing is written.
    """
    reading = reading_of(dialect, reset=reset, compare=compare, v0=v0)
    step = reading.dt if dt is None else dt
    if step is None or not 0 < step < inf:
        raise CompileError(
            f"export: {NO_DT}" if step is None else f"dt must be a positive number, got {dt!r}"
        )
    traced = weights if isinstance(weights, Network) else trace(network)
    parameters = {**traced.parameters, **(weights if isinstance(weights, Mapping) else {})}
    writing = _Writing(network, traced, parameters, float(step), reading)
    graph, findings, remarks = writing.graph()
    _write(Path(path), graph)
    options = {"dt": f"{step:g} s", **{n: v for n, v in reading.choices.items() if n != "integrator"}}
    return Report(shown_path(path), f"NIR {VERSION}", tuple(findings), options, tuple(remarks))


@dataclass
class _Writing:
    """Finds the layers of a traced network and what flows between them."""

    network: Module
    traced: Network
    parameters: Mapping[str, np.ndarray]
    dt: float
    reading: Dialect
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)  # value: the node that gives it, or none
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes: dict[str, RawNode] = {}
        self.edges: list[Edge] = []
        self.delayed: set[Edge] = set()
        self.values: Graph = self.traced.graph

    def graph(self) -> tuple[RawNode, list[Finding], list[str]]:
        """The NIR graph. Raises CompileError."""
        calls = list(self._layers())
        said = {call.path: self._said(call) for call in calls}
        for name, given in self.traced.inputs.items():
            self._add(name, RawNode("Input", {"shape": np.array(given.shape, np.int64)}))
            if given.static:
                raise CompileError(f"input {name}: is the same at every step, which NIR cannot say")
            self.made[name] = (name,)
        for call in calls:
            self._declare(call, said[call.path])
        for call in calls:
            self._connect(call.operands[0], call.path + said[call.path].entry, call.path)
        remarks = list(self._outputs())
        self._lengthen()
        self._check_delays()
        return RawNode("NIRGraph", {}, self.nodes, tuple(self.edges)), self.findings, remarks

    def _layers(self) -> Iterator[Called]:
        """Calls of layers and neurons, each once; not those within a neuron."""
        layers = {path for path, module in self.network.named_modules() if is_layer(module)}
        inner = {p for p in layers for q in layers if p.startswith(f"{q}.")} if "" not in layers else set()
        seen = set()
        for call in self.traced.calls:
            if call.path not in layers or call.path in inner or call.operands == call.results:
                continue
            if call.path in seen:
                raise CompileError(f"{call.path}: is called twice, and a node of NIR stands in one place")
            if len(call.operands) != 1:
                raise CompileError(
                    f"{call.path}: reads {len(call.operands)} values, a node of NIR adds them up"
                )
            seen.add(call.path)
            yield call

    def _said(self, call: Called) -> Said:
        prefix = f"{call.path}." if call.path else ""
        own = {n.removeprefix(prefix): a for n, a in self.parameters.items() if n.startswith(prefix)}
        entering, leaving = (self.values[n].type.features for n in (call.operands[0], call.results[0]))
        kind = type(call.module).__name__
        try:
            said = express(Site(call.module, own, entering, leaving, self.dt, self.reading))
        except CannotError as error:
            raise CompileError(f"{call.path or 'the network'} ({kind}): {error}") from None
        became = ", ".join(node.type for node in said.nodes.values())
        self.findings.append(Finding(call.path, kind, became=became))
        return said

    def _add(self, name: str, node: RawNode) -> None:
        if name in self.nodes or "/" in name or not name or name == ".":
            raise CompileError(f"{name!r}: is no name for a node of NIR, or is there twice; rename it")
        self.nodes[name] = node

    def _declare(self, call: Called, said: Said) -> None:
        path = call.path or "layer"
        for suffix, node in said.nodes.items():
            self._add(path + suffix, node)
        self.edges += [(path + a, path + b) for a, b in said.edges]
        self.delayed |= {(path + a, path + b) for a, b in said.delayed}
        self.made[call.results[0]] = (path + said.leaves,)
        self.made |= dict.fromkeys(call.results[1:], ())

    def _connect(self, value: str, target: str, label: str) -> None:
        for source, later in self._sources(value, label):
            edge = (source, target)
            if edge in self.edges:
                raise CompileError(f"{label}: reads {source} twice, and NIR adds an edge once")
            self.edges.append(edge)
            self.delayed |= {edge} if later else set()

    def _sources(self, value: str, label: str) -> Sources:
        """The nodes whose sum a value is."""
        if value in self.made:
            if not self.made[value]:
                raise CompileError(
                    f"{label}: reads %{value}; a node of NIR hands on one value, spikes if it fires"
                )
            return ((self.made[value][0], False),)
        node = self.values[value]
        if node.op.name == "expand":
            return self._sources(node.inputs[0], label)
        if node.op.name == "add":
            return tuple(source for i in node.inputs for source in self._sources(i, label))
        if node.op.name == "delay" and self._is_plain(value):
            before = self._sources(node.inputs[0], label)
            if not any(later for _, later in before):
                return tuple((source, True) for source, _ in before)
        raise CompileError(f"{label}: reads %{value} = {node.op}; outside of layers NIR only adds")

    def _is_plain(self, delay: str) -> bool:
        """One step, from 0."""
        node = self.values[delay]
        start = self.values[self.values[node.inputs[1]].inputs[0]].op
        return getattr(node.op, "steps", 1) == 1 and getattr(start, "value", None) == 0.0

    def _outputs(self) -> Iterator[str]:
        """Output nodes; what a neuron has beside its spikes is left out and said."""
        outputs = [o for o in self.values.outputs if o.role == "output"]
        hidden = [o for o in outputs if self.made.get(self._behind(o.value)) == ()]
        for o in outputs:
            if o in hidden:
                yield f"output {o.name} is left out: a node of NIR hands on one value"
                continue
            name = o.name if o.name not in self.nodes else f"output_{o.name}"
            self._add(
                name, RawNode("Output", {"shape": np.array(self.values[o.value].type.features, np.int64)})
            )
            self._connect(o.value, name, f"output {o.name}")
        if len(hidden) == len(outputs):
            raise CompileError("no output is one that NIR can name: return what a layer gives, or spikes")

    def _behind(self, value: str) -> str:
        while self.values[value].op.name == "expand" and value not in self.made:
            value = self.values[value].inputs[0]
        return value

    def _check_delays(self) -> None:
        """A reader delays what leaves a spiking node within a cycle: that must be what the network does."""
        names = tuple(self.traced.inputs)
        flat = FlatGraph(self.nodes, tuple(self.edges), names, ())
        found = delay_cycles(flat, self.dt, "the network").delayed
        for source, target in sorted(found ^ self.delayed):
            here, there = ("a step later", "at once")[:: 1 if (source, target) in self.delayed else -1]
            raise CompileError(
                f"{target}: reads {source} {here}, a reader of NIR would {there}: in a cycle, "
                "and only there, what spikes is delayed"
            )

    def _lengthen(self) -> None:
        """A Delay node in a cycle holds the step that the network has behind it."""
        for name in {source for source, _ in self.delayed}:
            node = self.nodes[name]
            if node.type == "Delay":
                values = {"delay": np.asarray(node.values["delay"]) + self.dt}
                self.nodes[name] = RawNode("Delay", values)


def _write(path: Path, graph: RawNode) -> None:
    """The file, whole or not at all."""
    h5py, memory = require_h5py(), io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        _write_node(h5py, file.create_group("node"), graph)
    write_file(path, memory.getvalue())


def _write_node(h5py: Any, group: Any, node: RawNode) -> None:
    text = h5py.string_dtype()
    group.create_dataset("type", data=node.type, dtype=text)
    for name, value in node.values.items():
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=text)
        else:
            group.create_dataset(name, data=np.array(value))
    if node.type == "NIRGraph":
        inner = group.create_group("nodes")
        for name, child in node.nodes.items():
            _write_node(h5py, inner.create_group(name), child)
        pairs = np.array(node.edges, dtype=object).reshape(-1, 2)
        group.create_dataset("edges", data=pairs, dtype=text)
