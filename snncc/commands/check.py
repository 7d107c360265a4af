"""`snncc check`: a compiled network against the reference interpreter, on the same random numbers.

In float32 both add in different orders, so a membrane that comes within rounding of its threshold may fire
in one and not in the other, and from then on the sample is another one. Such samples are counted, and left
out of the differences. In float64 none may be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import Model, load

from .. import optim
from ..driver import Target, entry_stages, make
from ..errors import CompileError
from ..frontend.dsl import Network, trace
from ..graph import Graph
from ..passes.differentiate import Differentiate
from ..passes.infer_types import InferTypes
from ..reference import Call, evaluate
from .options import Choices
from .probe import with_probes
from .source import load_source

Arrays = dict[str, np.ndarray]
BOUNDS = {"float32": 3e-5, "float64": 1e-10}  # relative to max(1, largest value)
FLIPPED = {"float32": 0.25, "float64": 0.0}  # share of samples that may be left out


@dataclass(frozen=True)
class Report:
    """What was found, and whether all is within its bounds."""

    text: str
    sound: bool


@dataclass(frozen=True)
class Row:
    """One comparison: its name, the largest difference, and what else to say."""

    name: str
    difference: float
    note: str = ""


def check_source(text: str, batch: int, choices: Choices) -> Report:
    """Compiles the network and compares. Raises CompileError."""
    target, source = choices.target(), load_source(text)
    if target.loss is not None and target.optimizer is None:
        target = replace(target, optimizer=optim.SGD(0.1))  # what hands out the gradients of a loss
    network = trace(source.network, None, choices.seed)
    numbers = Numbers(network, target, batch, choices.seed)
    with tempfile.TemporaryDirectory(prefix="snncc-check-") as folder:
        flips, layers = _layers(numbers, Path(folder, "layers"))
        if flips.all():
            return _report(f"{source.label}: spikes differ in every sample", target, layers, flips)
        numbers = numbers.only(~flips)
        model = _compiled(network, target, Path(folder, "model"))
        rows = [*layers, *_streaming(numbers, model), *_backward(numbers, model)]
        rows += _training(numbers, model) if target.loss is not None else []
    title = f"{source.label}: {target.dtype}, {target.num_steps} steps, {batch} samples"
    return _report(title, target, rows, flips)


class Numbers:
    """Seeded random inputs, initial states, cotangents and targets of a call, and what the reference says."""

    def __init__(self, network: Network, target: Target, batch: int, seed: int) -> None:
        self.network, self.target, self.batch = network, target, batch
        random = np.random.default_rng([seed, batch])
        self.graphs = {stages.name: _typed(stages, target) for stages in entry_stages(network, target)}
        lead = {False: (batch,), True: (target.num_steps, batch)}
        self.inputs: Arrays = {
            name: self._real(random.normal(0.25, 1, (*lead[not declared.static], *declared.shape)))
            for name, declared in network.inputs.items()
        }
        forward = self.graphs["forward"]
        self.states = {
            o.name: self._real(random.random((batch, *forward[o.value].type.features)))
            for o in forward.outputs if o.role == "state_out"
        }  # fmt: skip
        self.cotangents = {
            o.name: self._real(random.normal(size=(*lead[forward[o.value].type.time], *forward[o.value].type.features)))
            for o in forward.outputs if o.role == "output"
        }  # fmt: skip
        self.targets = self._draw_targets(random)

    def _real(self, array: np.ndarray) -> np.ndarray:
        return array.astype(self.target.dtype)

    def _draw_targets(self, random: np.random.Generator) -> np.ndarray | None:
        loss = self.target.loss
        if loss is None:
            return None
        graph = self.graphs["train"]
        read = next(graph[o.value].type for o in self.network.graph.outputs if o.name == loss.reads)
        if loss.target_is_label():
            return random.integers(0, read.features[0], self.batch)
        return self._real(random.normal(size=(self.batch, *read.features)))

    def only(self, samples: np.ndarray) -> Numbers:
        """The same numbers of some of the samples."""
        chosen = Numbers.__new__(Numbers)
        vars(chosen).update(vars(self), batch=int(samples.sum()))
        static = {name for name, declared in self.network.inputs.items() if declared.static}
        chosen.inputs = {n: a[samples] if n in static else a[:, samples] for n, a in self.inputs.items()}
        chosen.states = {name: a[samples] for name, a in self.states.items()}
        timed = {o.name: self.graphs["forward"][o.value].type.time for o in self.network.graph.outputs}
        chosen.cotangents = {n: a[:, samples] if timed[n] else a[samples] for n, a in self.cotangents.items()}
        chosen.targets = None if self.targets is None else self.targets[samples]
        return chosen

    def reference(self, entry: str, further: Mapping[str, Any], states: Arrays) -> dict[tuple[str, str], np.ndarray]:
        call = Call(
            {**self.inputs, **further}, self.network.parameters, states, self.target.num_steps, self.batch,
            np.dtype(self.target.dtype),
        )  # fmt: skip
        return evaluate(self.graphs[entry], call)


def _typed(stages: Any, target: Target) -> Graph:
    """The graph after the passes that say what it means, and before those that only make it fast."""
    graph: Graph = stages.graph
    for step, after in stages.run(target.options):
        if not isinstance(step, (InferTypes, Differentiate)):
            break
        graph = after
    return graph


def _compiled(network: Network, target: Target, folder: Path) -> Model:
    make(network, target, "snncc check", folder)
    return load(folder)


def _layers(numbers: Numbers, folder: Path) -> tuple[np.ndarray, list[Row]]:
    """Which samples have spikes that differ, and the rows of all outputs, layers and final states."""
    alone = replace(numbers.target, loss=None, optimizer=None)
    probed = with_probes(numbers.network)
    try:
        model = _compiled(probed, alone, folder)
    except CompileError:  # say, two values that would have one name in C
        probed = numbers.network
        model = _compiled(probed, alone, folder)
    same = Numbers.__new__(Numbers)
    vars(same).update(vars(numbers), network=probed, target=alone)
    same.graphs = {stages.name: _typed(stages, alone) for stages in entry_stages(probed, alone)}
    expected = same.reference("forward", {}, same.states)
    out = model(same.inputs, state=same.states, num_steps=alone.num_steps)
    found = {("output", n): out[n] for n in model.output_names} | {("state_out", n): a for n, a in out.state.items()}
    spikes = {key for key, array in expected.items() if key[0] == "output" and _is_spikes(array)}
    flips = np.zeros(numbers.batch, bool)
    for key in spikes:
        flips |= _differ(found[key], expected[key])
    kept = ~flips
    rows = []
    for key, array in expected.items():
        place: Any = kept if array.shape[0] == len(kept) and key[0] == "state_out" else (..., kept, *_all(array))
        name = key[1] if key[0] == "output" else f"{key[1]}, final"
        note = f"{int(array.sum()):,} spikes, {_count(found[key], array)} flips" if key in spikes else ""
        rows.append(Row(name, difference(found[key][place], array[place]), note))
    return flips, rows
