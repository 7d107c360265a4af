"""`snncc inspect`: a network or a compiled model, at any stage, as text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snncc_runtime import Model, load
from snncc_runtime.cpu import default_slots, default_threads
from snncc_runtime.files import write_file
from snncc_runtime.kernels import load_of

from ..driver import Compiled, Stages, entry_stages, generate, text_of
from ..errors import CompileError
from ..frontend.dsl import Network
from ..graph import Graph, Type
from ..nn.module import Module
from ..passes.infer_types import InferTypes
from ..plan_memory import describe
from ..target import Target
from .cost import parse_densities, predict
from .drawing import draw
from .options import Choices
from .source import Source, load_source
from .weights import traced

TRACE = "trace"
MOST_LINES = 60  # of a part of the summary of a file


@dataclass(frozen=True)
class View:
    """What to show; nothing: a summary."""

    after: str | None = None
    entry: str | None = None
    memory: bool = False
    program: bool = False
    c: bool = False
    cost: bool = False
    batch: int = 128
    density: tuple[str, ...] = ()
    svg: Path | None = None


def inspect_source(text: str, view: View, choices: Choices) -> str:
    """The view of a network or of a model folder. Raises CompileError or ModelError."""
    if Path(text).is_dir():
        return _inspect_folder(Path(text), view)
    if view.entry is not None and view.after is None and not view.cost:
        raise CompileError("--entry chooses what --after and --cost show: give one of them as well")
    target, source = choices.wanted(), load_source(text, choices)
    network, target, _ = traced(source, target, choices)
    if view.svg is not None:
        graph = InferTypes(target.options.dtype).run(network.graph)
        neurons = source.report.neurons if source.report is not None else None
        write_file(view.svg, draw(source.network, graph, source.label, neurons).encode())
        return f"{view.svg}: {source.label} as a drawing"
    if view.after is not None:
        stages = _entry(entry_stages(network, target), view.entry or "forward")
        return graph_after(view.after, stages, target)
    if not (view.memory or view.program or view.c or view.cost):
        return summary(source, network, target, view)
    compiled = generate(network, target, source.label)
    parts = []
    if view.cost:
        parts.append(_cost(text_of(compiled).manifest, view))
    if view.memory:
        parts.append(_memory(compiled, view.batch))
    if view.program:
        parts.append(str(compiled.program))
    if view.c:
        parts.append(compiled.sources.files["model.c"])
    return "\n".join(parts)


def graph_after(name: str, stages: Stages, target: Target) -> str:
    """The text of an entry point's graph after the pass of that name, or before any (`trace`).

    `unroll_time`, as the pass's file is called, is `unroll-time`.
    """
    name = name.replace("_", "-")
    if name == TRACE:
        return str(stages.graph)
    titles = [TRACE, *(step.title() for step in stages.passes(target.options))]
    if name not in titles:
        raise CompileError(f"--after: {stages.name} has no pass {name!r}; its passes are {', '.join(titles)}")
    for step, graph in stages.run(target.options):
        if step.title() == name:
            return str(graph)
    raise AssertionError(name)


def _cost(manifest: Mapping[str, Any], view: View) -> str:
    """Operations, bytes and time by kernel, for the configuration that the model would be loaded with."""
    memory, assumed = manifest["memory"], parse_densities(view.density)
    slots, threads = memory.get("slots") or default_slots(), default_threads()
    load = load_of(manifest, view.batch, manifest["num_steps"], memory["tile"], slots)
    return f"{predict(manifest, view.entry or 'forward', load, assumed, threads)}\n"


def _memory(compiled: Compiled, batch: int) -> str:
    """The memory plan for the steps, tile, slots and threads that the model would be loaded with."""
    slots, threads = compiled.slots or default_slots(), default_threads()
    return describe(compiled.program, compiled.target.num_steps, compiled.tile, slots, threads, batch)


def _entry(found: Sequence[Stages], name: str) -> Stages:
    for stages in found:
        if stages.name == name:
            return stages
    names = [stages.name for stages in found]
    remedy = "" if "train" in names else "; give --loss for train and evaluate"
    raise CompileError(f"--entry must be one of {', '.join(names)}, got {name!r}{remedy}")


def summary(source: Source, network: Network, target: Target, view: View) -> str:
    """Layers, parameters, states, ports, entry points; of a file what became of its nodes, graph and cost."""
    graph = InferTypes(target.options.dtype).run(network.graph)
    total = sum(a.size for a in network.parameters.values() if a.dtype.kind == "f")
    fixed = sum(math.prod(op.features) for op in _parameters(graph) if not op.learnable)
    entries = [stages.name for stages in entry_stages(network, target)]
    lines = [
        f"{source.label}: {type(source.network).__name__}, {target.dtype}, {target.num_steps} steps",
        *([str(source.report)] if source.report else []),
        *_ports(graph),
        *_layers(source.network, network),
        f"parameters    {total:,}" + (f", {fixed:,} of them fixed" if fixed else ""),
        f"entry points  {', '.join([*entries, 'step', *(['update'] if target.optimizer else [])])}",
    ]
    if source.report is not None:
        manifest = text_of(generate(network, target, source.label)).manifest
        lines += _bounded("graph", str(graph).splitlines(), "--after trace")
        lines += _bounded("cost", _cost(manifest, view).splitlines(), "--cost")
    return "\n".join(lines)


def _bounded(title: str, lines: Sequence[str], option: str) -> Iterator[str]:
    yield title
    yield from (f"  {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"  ... and {len(lines) - MOST_LINES} more lines: {option} shows all"


def _parameters(graph: Graph) -> list[Any]:
    return [n.op for n in graph if n.op.name == "parameter"]


def _ports(graph: Graph) -> Iterator[str]:
    inputs: list[Any] = [n for n in graph if n.op.name == "input"]
    yield from _rows("inputs", [(n.op.label, n.type) for n in inputs])
    for title, role in (("outputs", "output"), ("states", "state_out")):
        yield from _rows(title, [(o.name, graph[o.value].type) for o in graph.outputs if o.role == role])


def _rows(title: str, rows: list[tuple[str, Type]]) -> Iterator[str]:
    yield from ([title] if rows else [])
    yield from (f"  {name:<22} {_axes(type)}" for name, type in rows)


def _axes(type: Type) -> str:
    return f"[{', '.join([*['T'] * type.time, *['B'] * type.batch, *map(str, type.features)])}]"


def _layers(module: Module, network: Network) -> Iterator[str]:
    """Layers with their parameters, or the parameters of what has no layers."""
    if not any(module.children()):
        held = [f"{name:<22} {list(a.shape)}" for name, a in network.parameters.items()]
        yield from _bounded("arrays", held, "--after trace")
        return
    yield "layers"
    for path, layer in module.named_modules():
        if any(layer.children()):
            continue
        own = {n: a for n, a in network.parameters.items() if n.rpartition(".")[0] == path}
        arrays = ", ".join(f"{n.removeprefix(f'{path}.')} {list(a.shape)}" for n, a in own.items())
        yield f"  {path:<22} {type(layer).__name__:<12} {arrays}".rstrip()


def _inspect_folder(folder: Path, view: View) -> str:
    model = load(folder)
    if view.c:
        return (folder / "model.c").read_text()
    if view.cost:
        return _cost(model.manifest, view)
    if view.after or view.memory or view.program:
        raise CompileError(f"{folder}: --after, --memory and --program need the network: give file.py:name")
    return _folder_summary(folder, model)


def _folder_summary(folder: Path, model: Model) -> str:
    manifest = model.manifest
    lines = [f"{folder}: {manifest['name']}, {manifest['dtype']}, {manifest['num_steps']} steps"]
    for title, role in (("inputs", "input"), ("outputs", "output"), ("states", "state")):
        rows = [a for a in manifest["io"] if a["role"] == role]
        lines += _rows(title, [(a["name"], Type(tuple(a["shape"]), a["time"], a["batch"])) for a in rows])
    lines.append("parameters")
    for tensor in manifest["tensors"]:
        if tensor["role"] == "parameter":
            note = "" if tensor.get("learnable", True) else "  fixed"
            lines.append(f"  {tensor['name']:<22} {tensor['shape']}{note}")
    optimizer = manifest["optimizer"]
    lines += [
        f"loss          {manifest['loss'] or 'none'}",
        f"optimiser     {json.dumps(optimizer) if optimizer else 'none'}",
        f"entry points  {', '.join(manifest['entries'])}",
        f"compiler      {manifest['build']['compiler']}",
        f"command       {' '.join(manifest['build']['command'])}",
    ]
    return "\n".join(lines)
