"""Runs a neuron on a golden vector, in the reference interpreter and compiled, and says where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import snncc
from snncc import nn
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from snncc.target import Target
from tests.networks import difference
from tests.vectors import Array, NeuronCase

DTYPES = ("float32", "float64")
BOUND = {"float32": 1e-5, "float64": 1e-10}    # relative to max(1, largest reference value)

# Outputs, and gradients: of everything, and of the spikes alone; by the case's own names.
Found = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]


class Around(nn.Module):
    """A neuron whose current is the network's input."""

    def __init__(self, case: NeuronCase, neuron: nn.Module) -> None:
        self.inputs = {"x": nn.Input(*case.x.shape[2:])}
        self.neuron = neuron

    def forward(self, x: Any) -> Any:
        return self.neuron(x)


def disagreements(
    case: NeuronCase, neuron: nn.Module, dtype: str, names: Mapping[str, str] | None = None
) -> list[str]:
    """What differs by more than the bound; spikes must be equal.

    names: of outputs, states and parameters, the case's where they are not ours ({"v": "mem"}).
    """
    table = dict(names or {})
    return [
        f"{how}: {line}"
        for how, run in (("interpreted", interpreted), ("compiled", compiled))
        for line in _apart(case, run(case, neuron, dtype, table), BOUND[dtype])
    ]


def interpreted(case: NeuronCase, neuron: nn.Module, dtype: str, table: Mapping[str, str]) -> Found:
    network = trace(Around(case, neuron))
    stages = {s.name: s for s in entry_stages(network, Target(dtype=dtype))}
    passes = (InferTypes("f32" if dtype == "float32" else "f64"), Differentiate("outputs", inputs=True))
    values = {**network.parameters, **_parameters(case, network.parameters, table)}

    def run(entry: str, count: int, upstream: dict[str, Array]) -> dict[str, Array]:
        graph = stages[entry].graph
        for step in passes[:count]:
            graph = step.run(graph)
        given = {"x": case.x, **{f"d_{name}": array for name, array in upstream.items()}}
        steps, batch = case.x.shape[:2]
        call = Call(given, values, _initial(case, table), steps, batch, np.dtype(dtype))
        return {name: array for (_, name), array in evaluate(graph, call).items()}

    everything, spikes = _upstreams(case, table)
    found = run("forward", 1, {})
    operators: list[Any] = [n.op for n in network.graph]
    learnable = {op.label for op in operators if op.name == "parameter" and op.learnable}
    assert learnable == {_place(name, table) for name in case.learnable}, "other parameters are learnable"
    gradients = (run("backward", 2, upstream) for upstream in (everything, spikes))
    return found_of(case, found, *gradients, table)


def compiled(case: NeuronCase, neuron: nn.Module, dtype: str, table: Mapping[str, str]) -> Found:
    model = snncc.compile(Around(case, neuron), num_steps=len(case.x), dtype=dtype, name="neuron")
    model.params.update(_parameters(case, model.params, table))

    def backward(upstream: dict[str, Array]) -> dict[str, Array]:
        found = model.backward(case.x, state=_initial(case, table), cotangents=upstream)
        return {**found.inputs, **found.params, **found.state}

    everything, spikes = _upstreams(case, table)
    out = model(case.x, state=_initial(case, table))
    outputs = {name: getattr(out, name) for name in everything}
    return found_of(case, outputs, backward(everything), backward(spikes), table)


def found_of(
    case: NeuronCase,
    outputs: dict[str, Array],
    everything: dict[str, Array],
    spikes: dict[str, Array],
    table: Mapping[str, str],
) -> Found:
    """Results under the case's names."""
    shown = {name: outputs[table.get(name, name)] for name in case.outputs}
    return shown, _named(case.gradients, everything, table), _named(case.spike_gradients, spikes, table)


def _named(names: Iterable[str], found: dict[str, Array], table: Mapping[str, str]) -> dict[str, Array]:
    return {name: found[_place(name, table)] for name in names}


def _place(name: str, table: Mapping[str, str]) -> str:
    """Where the model has what the case calls so."""
    inner = name.removeprefix("init.")
    return "x" if name == "x" else f"neuron.{table.get(inner, inner)}"


def _initial(case: NeuronCase, table: Mapping[str, str]) -> dict[str, Array]:
    return {_place(name, table): array for name, array in case.init.items()}


def _parameters(case: NeuronCase, names: Any, table: Mapping[str, str]) -> dict[str, Array]:
    """The case's values of a model's parameters."""
    back = {_place(name, table): name for name in case.params}
    return {name: case.params[back[name]].reshape(np.shape(names[name])) for name in names if name in back}


def _upstreams(case: NeuronCase, table: Mapping[str, str]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Weights of all outputs, and of the first alone (the spikes), by our names."""
    first = next(iter(case.outputs))
    return (
        {table.get(name, name): array for name, array in case.upstream.items()},
        {table.get(name, name): array * (name == first) for name, array in case.upstream.items()},
    )


def _apart(case: NeuronCase, found: Found, bound: float) -> Iterator[str]:
    outputs, everything, of_spikes = found
    distances = {name: difference(outputs[name], expected) for name, expected in case.outputs.items()}
    spikes = case.outputs.get("spk", np.zeros(1))
    if set(np.unique(spikes)) == {0, 1} and not np.array_equal(outputs["spk"], spikes):    # else graded
        yield "spikes"
    halves = (("all", everything, case.gradients), ("spk", of_spikes, case.spike_gradients))
    for title, results, expected in halves:
        for name, gradient in expected.items():
            assert results[name].shape == gradient.shape, f"d_{name} has shape {results[name].shape}"
            distances[f"d_{name} of {title}"] = difference(results[name], gradient)
    yield from (f"{name} differs by {d:.3g}" for name, d in distances.items() if not d <= bound)
