"""Runs neurons on golden vectors, interpreted, in C and on CUDA, and says where they differ.

A module's neurons lie side by side in one network, each with an input, parameters and states of its own. A
run of the tests compiles it once for a dtype and backend, and calls it once; each case looks at its part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import build, nn
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from snncc.target import Target
from snncc_runtime import Model
from tests import cuda_host, once
from tests.cuda_pairs import BACKENDS
from tests.networks import difference
from tests.vectors import Array, NeuronCase

DTYPES = ("float32", "float64")
BOUND = {"float32": 1e-5, "float64": 1e-10}    # relative to max(1, largest reference value)

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Subject:
    """A neuron and the case that says what it does.

    names: of outputs, states and parameters, the case's where they are not ours ({"v": "mem"}).
    """

    case: NeuronCase
    neuron: nn.Module
    names: Mapping[str, str] = field(default_factory=dict)

    def ours(self, name: str) -> str:
        return self.names.get(name, name)


Subjects = Callable[[str], Mapping[str, Subject]]    # of a dtype


@dataclass(frozen=True)
class Run:
    """What came of a network, by name; gradients of everything, and of the spikes alone."""

    outputs: Arrays
    gradients: Arrays
    spike_gradients: Arrays
    learnable: frozenset[str]


class Beside(nn.Module):
    """Neurons side by side; the current of each is an input."""

    def __init__(self, subjects: Mapping[str, Subject]) -> None:
        self.inputs = {name: nn.Input(*subject.case.x.shape[2:]) for name, subject in subjects.items()}
        self.neurons = {name: subject.neuron for name, subject in subjects.items()}

    def forward(self, *currents: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for (name, neuron), current in zip(self.neurons.items(), currents, strict=True):
            found = neuron(current)
            named = found._asdict() if hasattr(found, "_asdict") else {"out": found}
            outputs |= {f"{key}_of_{name}": value for key, value in named.items()}
        return outputs


class Group:
    """The cases of a module in one dtype, as one call.

    It has the steps and samples of the longest and the largest. What comes later than a case's own steps, or
    belongs to other samples than its own, gets zeros for input and cotangent, and changes nothing.
    """

    def __init__(self, subjects: Mapping[str, Subject], dtype: str) -> None:
        self.subjects, self.dtype = subjects, dtype
        extents = [subject.case.x.shape[:2] for subject in subjects.values()]
        self.steps, self.batch = (max(sizes) for sizes in zip(*extents, strict=True))
        self.network = Beside(subjects)

    @property
    def inputs(self) -> Arrays:
        return {name: self._sequence(s.case.x) for name, s in self.subjects.items()}

    @property
    def initial(self) -> Arrays:
        return {
            _inside(name, s.ours(state)): _padded(array, self.batch)
            for name, s in self.subjects.items()
            for state, array in s.case.init.items()
        }

    def parameters(self, values: Mapping[str, Array]) -> Arrays:
        """The cases' values of a network's parameters, in the shapes of `values`."""
        given = {
            _inside(name, s.ours(parameter)): array
            for name, s in self.subjects.items()
            for parameter, array in s.case.params.items()
        }
        return {name: given[name].reshape(np.shape(values[name])) for name in values if name in given}

    def cotangents(self, of_spikes: bool) -> Arrays:
        """Weights of all outputs, or of the first of each neuron (the spikes) alone."""
        found = {}
        for name, s in self.subjects.items():
            first = next(iter(s.case.outputs))
            for output, array in s.case.upstream.items():
                counted = output == first or not of_spikes
                found[f"{s.ours(output)}_of_{name}"] = self._sequence(array) * counted
        return found

    def _sequence(self, array: Array) -> Array:
        return _padded(array, self.steps, self.batch)


def _padded(array: Array, *sizes: int) -> Array:
    """With zeros behind, up to these sizes of the first axes."""
    behind = [(0, size - length) for size, length in zip(sizes, array.shape, strict=False)]
    return np.pad(array, [*behind, *[(0, 0)] * (array.ndim - len(sizes))])


def _inside(name: str, of_neuron: str) -> str:
    return f"neurons.{name}.{of_neuron}"


def interpreted(group: Group) -> Run:
    network, dtype = trace(group.network), group.dtype
    graphs = {s.name: s.graph for s in entry_stages(network, Target(dtype=dtype))}
    passes = (InferTypes("f32" if dtype == "float32" else "f64"), Differentiate("outputs", inputs=True))
    values = network.parameters | group.parameters(network.parameters)

    def run(entry: str, count: int, cotangents: Arrays) -> dict[tuple[str, str], Array]:
        graph = graphs[entry]
        for step in passes[:count]:
            graph = step.run(graph)
        given = group.inputs | {f"d_{name}": array for name, array in cotangents.items()}
        call = Call(given, values, group.initial, group.steps, group.batch, np.dtype(dtype))
        return evaluate(graph, call)

    out, everything, spikes = (
        run("forward", 1, {}), *(run("backward", 2, group.cotangents(alone)) for alone in (False, True)),
    )    # fmt: skip
    by_name = ({name: array for (_, name), array in found.items()} for found in (out, everything, spikes))
    return Run(*by_name, frozenset(name for kind, name in everything if kind == "gradient"))


def model_of(network: nn.Module, way: str, **options: Any) -> Model:
    """In C or on CUDA, built without optimising: it runs but a few times."""
    with tempfile.TemporaryDirectory(prefix="snncc-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "BuildOptions", partial(build.BuildOptions, level=0))
        patch.setitem(cuda_host.VARIANTS, "plain", ("-O0",))
        return BACKENDS[way](network, Path(folder), **options)


def compiled(way: str, group: Group) -> Run:
    model = model_of(group.network, way, num_steps=group.steps, dtype=group.dtype, name="neurons")
    model.params.update(group.parameters(model.params))
    given, state = group.inputs, group.initial

    out = model(given, state=state)
    outputs = {name: out[name] for name in model.output_names}
    everything, spikes = (
        model.backward(given, state=state, cotangents=group.cotangents(alone)) for alone in (False, True)
    )
    by_name = ({**found.inputs, **found.params, **found.state} for found in (everything, spikes))
    return Run(outputs, *by_name, frozenset(everything.params))


RUNS: dict[str, Callable[[Group], Run]] = {
    "interpreted": interpreted, **{way: partial(compiled, way) for way in BACKENDS},
}    # fmt: skip


@dataclass(frozen=True)
class Results:
    """Of a group, run in one way."""

    way: str
    group: Group
    run: Run

    def of(self, name: str) -> Run:
        """A case's own, under its names, with its steps and samples."""
        subject = self.group.subjects[name]
        case = subject.case
        steps, batch = case.x.shape[:2]
        cut = {"x": np.s_[:steps, :batch]} | {f"init.{state}": np.s_[:batch] for state in case.init}

        def gradients(expected: Arrays, found: Arrays) -> Arrays:
            return {key: found[_place(name, key, subject)][cut.get(key, ...)] for key in expected}

        found = {key: self.run.outputs[f"{subject.ours(key)}_of_{name}"] for key in case.outputs}
        return Run(
            {key: array[:steps, :batch] for key, array in found.items()},
            gradients(case.gradients, self.run.gradients),
            gradients(case.spike_gradients, self.run.spike_gradients),
            frozenset(place for place in self.run.learnable if place.startswith(_inside(name, ""))),
        )

    def disagreements(self, name: str) -> list[str]:
        """What of a case differs by more than the bound; spikes must be equal."""
        subject, found = self.group.subjects[name], self.of(name)
        case, bound = subject.case, BOUND[self.group.dtype]
        apart = {key: difference(found.outputs[key], expected) for key, expected in case.outputs.items()}
        for of, gradients, expected in (
            ("all", found.gradients, case.gradients), ("spk", found.spike_gradients, case.spike_gradients),
        ):    # fmt: skip
            for key, gradient in expected.items():
                apart[f"d_{key} of {of}"] = difference(gradients[key], gradient)
        learnable = {_place(name, key, subject) for key in case.learnable}
        return [
            *(["other parameters are learnable"] * (found.learnable != learnable)),
            *(["spikes"] * _other_spikes(found.outputs, case)),
            *(f"{key} differs by {distance:.3g}" for key, distance in apart.items() if not distance <= bound),
        ]


def outcome(title: str, subjects: Subjects, way: str, dtype: str) -> Results:
    """Of these subjects; `title` says which they are."""
    group = Group(subjects(dtype), dtype)
    return Results(way, group, once.result(f"{title}-{way}-{dtype}", lambda: RUNS[way](group)))


def results(title: str, subjects: Subjects, *dtypes: str) -> Any:
    """A fixture: their outcome in every way, in each dtype (both, if none is named)."""

    def run(request: pytest.FixtureRequest) -> Results:
        return outcome(title, subjects, *request.param)

    params = [(way, dtype) for dtype in dtypes or DTYPES for way in RUNS]
    return pytest.fixture(run, scope="module", params=params, ids="-".join)


def _place(name: str, key: str, subject: Subject) -> str:
    """Where the network has the gradient that the case calls so."""
    return name if key == "x" else _inside(name, subject.ours(key.removeprefix("init.")))


def _other_spikes(outputs: Arrays, case: NeuronCase) -> bool:
    """Whether spikes, unless they are graded, are not equal."""
    spikes = case.outputs.get("spk", np.zeros(1))
    return set(np.unique(spikes)) == {0, 1} and not np.array_equal(outputs["spk"], spikes)
