"""Random numbers for a network, and what the reference interpreter makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..driver import Stages, entry_stages
from ..frontend.dsl import Network
from ..graph import Graph, Type
from ..passes.choose_kernels import spike_states
from ..passes.differentiate import Differentiate
from ..passes.infer_types import InferTypes
from ..reference import Call, evaluate
from ..target import Target

Key = tuple[str, str]  # role and name
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Draw:
    """Arrays of one call: inputs, initial states, cotangents and targets, and the batch axis of each."""

    arrays: Mapping[Key, np.ndarray]
    axes: Mapping[Key, int]
    batch: int

    def of(self, role: str) -> Arrays:
        return {name: array for (r, name), array in self.arrays.items() if r == role}

    def only(self, kept: np.ndarray) -> Draw:
        """The same numbers of some of the samples."""
        arrays = {key: np.compress(kept, array, self.axes[key]) for key, array in self.arrays.items()}
        return Draw(arrays, self.axes, int(kept.sum()))


@dataclass(frozen=True)
class Subject:
    """A network to check, and what for it is compiled."""

    network: Network
    target: Target

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """Each entry point after the passes that say what it means, before those that make it fast."""
        return {s.name: _meaning(s, self.target) for s in entry_stages(self.network, self.target)}

    @cached_property
    def spikes(self) -> set[str]:
        """States that are zeros and ones."""
        return spike_states(self.graphs["forward"])

    @cached_property
    def rounding(self) -> dict[str, Graph]:
        """Each entry point with its contexts, where what they round is part of the meaning."""
        stages = entry_stages(self.network, self.target)
        return {s.name: [graph for _, graph in s.run(self.target.options)][-1] for s in stages}

    def draw(self, batch: int, seed: int) -> Draw:
        """Seeded numbers that make neurons fire."""
        random = np.random.default_rng([seed, batch])
        arrays, axes = {}, {}
        for role, name, type in self._ports():
            shape = (*[self.target.num_steps] * type.time, batch, *type.features)
            key = role, name
            axes[key] = int(type.time)
            arrays[key] = self._values(random, role, type, shape)
            if role == "state" and name in self.spikes:
                arrays[key] = np.round(arrays[key])
        return Draw(arrays, axes, batch)

    def reference(self, entry: str, draw: Draw) -> dict[Key, np.ndarray]:
        """Outputs of an entry point by role and name; training starts from fresh states."""
        given = draw.of("input") | draw.of("target")
        given |= {f"d_{name}": array for name, array in draw.of("cotangent").items()}
        states = draw.of("state") if entry != "train" else {}
        parameters, steps = self.network.parameters, int(self.target.num_steps)
        call = Call(given, parameters, states, steps, draw.batch, np.dtype(self.target.dtype))
        graphs = self.rounding if self.target.options.context else self.graphs
        return evaluate(graphs[entry], call)

    def _ports(self) -> Iterator[tuple[str, str, Type]]:
        graph = self.graphs.get("train") or self.graphs["forward"]
        for node in graph:
            op: Any = node.op
            if op.name == "input":
                yield op.role, op.label, node.type
        graph = self.graphs["forward"]
        for o in graph.outputs:
            type = graph[o.value].type
            yield ("state" if o.role == "state_out" else "cotangent"), o.name, type

    def _values(
        self, random: np.random.Generator, role: str, type: Type, shape: tuple[int, ...]
    ) -> np.ndarray:
        if type.dtype == "i32":
            assert self.target.loss is not None
            graph = self.network.graph
            sizes = {o.name: graph[o.value].type.size for o in graph.outputs if o.role == "output"}
            return random.integers(0, self.target.loss.classes(sizes), shape)
        values = random.random(shape) if role == "state" else random.normal(0.25, 1, shape)
        return values.astype(self.target.dtype)


def _meaning(stages: Stages, target: Target) -> Graph:
    graph = stages.graph
    for step, after in stages.run(target.options):
        if not isinstance(step, (InferTypes, Differentiate)):
            break
        graph = after
    return graph
