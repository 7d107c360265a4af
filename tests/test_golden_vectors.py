"""snnTorch's numbers: neurons and losses, in the reference interpreter and compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.driver import Target, entry_stages
from snncc.frontend.dsl import add_loss, trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from tests import vectors
from tests.networks import difference
from tests.vectors import Array, LossCase, NeuronCase

DTYPES = ("float32", "float64")
BOUND = {"float32": 1e-5, "float64": 1e-10}    # relative to max(1, largest reference value)
SURROGATES = {"atan": nn.surrogate.ATan, "fast_sigmoid": nn.surrogate.FastSigmoid}
LOSSES: dict[str, loss.Loss] = {
    "ce_count": loss.cross_entropy("count"),
    "ce_rate": loss.cross_entropy("rate"),
    "mse_count": loss.mse("count", on=0.8, off=0.2),
    "mse_membrane": loss.mse("mem", on=1.5, off=0.2),
}

# What is found, by (role, name), once for the gradient of everything and once of the spikes alone.
Found = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]


class Neuron(nn.Module):
    """A neuron whose current is the network's input."""

    def __init__(self, case: NeuronCase) -> None:
        self.inputs = {"x": nn.Input(case.x.shape[-1])}
        name, arguments = case.surrogate
        options = case.options
        self.lif = nn.Leaky(
            options["beta"],
            options.get("threshold", 1.0),
            reset=options.get("reset_mechanism", "subtract"),
            reset_delay=options.get("reset_delay", True),
            learn_beta=options.get("learn_beta", False),
            learn_threshold=options.get("learn_threshold", False),
            surrogate=None if options.get("surrogate_disable") else SURROGATES[name](**arguments),
        )

    def forward(self, x: Any) -> Any:
        return self.lif(x)


def initial(case: NeuronCase) -> dict[str, Array]:
    return {f"lif.{name}": array for name, array in case.init.items()}


def parameters(case: NeuronCase, names: Any) -> dict[str, Array]:
    """The case's values of a model's parameters."""
    return {name: case.params[name.removeprefix("lif.")] for name in names}


def silenced(case: NeuronCase) -> dict[str, Array]:
    """Upstream weights of the spikes alone."""
    return {name: array * (name == "spk") for name, array in case.upstream.items()}


def interpreted(case: NeuronCase, dtype: str) -> Found:
    network = trace(Neuron(case))
    values = {**network.parameters, **parameters(case, network.parameters)}
    stages = {s.name: s for s in entry_stages(network, Target(dtype=dtype))}
    passes = (InferTypes("f32" if dtype == "float32" else "f64"), Differentiate("outputs", inputs=True))

    def run(entry: str, count: int, upstream: dict[str, Array]) -> dict[str, Array]:
        graph = stages[entry].graph
        for step in passes[:count]:
            graph = step.run(graph)
        given = {"x": case.x, **{f"d_{name}": array for name, array in upstream.items()}}
        steps, batch, _ = case.x.shape
        call = Call(given, values, initial(case), steps, batch, np.dtype(dtype))
        return {name: array for (_, name), array in evaluate(graph, call).items()}

    return run("forward", 1, {}), run("backward", 2, case.upstream), run("backward", 2, silenced(case))


def compiled(case: NeuronCase, dtype: str) -> Found:
    model = snncc.compile(Neuron(case), num_steps=len(case.x), dtype=dtype, name="neuron")
    model.params.update(parameters(case, model.params))

    def backward(upstream: dict[str, Array]) -> dict[str, Array]:
        found = model.backward(case.x, state=initial(case), cotangents=upstream)
        return {**found.inputs, **found.params, **found.state}

    out = model(case.x, state=initial(case))
    return {"spk": out.spk, "mem": out.mem}, backward(case.upstream), backward(silenced(case))


def disagreements(case: NeuronCase, found: Found, bound: float) -> Iterator[str]:
    outputs, everything, of_spikes = found
    yield from (["spikes"] if not np.array_equal(outputs["spk"], case.outputs["spk"]) else [])
    apart = {"mem": difference(outputs["mem"], case.outputs["mem"])}
    for title, results, expected in (
        ("all", everything, case.gradients),
        ("spk", of_spikes, case.spike_gradients),
    ):
        for name, gradient in expected.items():
            key = {"x": "x", "init.mem": "lif.mem"}.get(name, f"lif.{name}")
            apart[f"{title}: {name}"] = difference(results[key], gradient)
    yield from (f"{name} differs by {d:.3g}" for name, d in apart.items() if not d <= bound)


@pytest.mark.parametrize("name", vectors.neurons())
@pytest.mark.parametrize("dtype", DTYPES)
def test_neurons(name: str, dtype: str) -> None:
    case = vectors.load_neuron(name, dtype)
    assert case.constructor == "snntorch.Leaky"
    found = compiled(case, dtype)
    assert case.learnable == {key.removeprefix("lif.") for key in found[1] if key != "x"} - {"mem"}
    assert list(disagreements(case, interpreted(case, dtype), BOUND[dtype])) == []
    assert list(disagreements(case, found, BOUND[dtype])) == []


# Losses


class Probe(nn.Module):
    """Outputs are the input x, nudged by zero at one place: the nudge's gradient is that of x there."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6), "place": nn.Input()}

    def __init__(self) -> None:
        self.nudge = nn.Parameter((6,), np.zeros(6))

    def forward(self, x: Any, place: Any) -> dict[str, Any]:
        nudged = x + place * self.nudge
        return {"spk": nudged, "mem": nudged}


def loss_of(case: LossCase) -> loss.Loss:
    return LOSSES[case.name.removeprefix("snntorch_loss_")]


def test_the_losses_are_those_of_the_cases() -> None:
    assert [f"snntorch_loss_{name}" for name in LOSSES] == vectors.losses()
    options = {name: vectors.load_loss(name, "float64").options for name in vectors.losses()}
    assert options["snntorch_loss_mse_count"] == {"correct_rate": 0.8, "incorrect_rate": 0.2}
    assert options["snntorch_loss_mse_membrane"] == {"on_target": 1.5, "off_target": 0.2}


@pytest.mark.parametrize("name", vectors.losses())
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses(name: str, dtype: str) -> None:
    case = vectors.load_loss(name, dtype)
    for value, gradient in (interpreted_loss(case, dtype), compiled_loss(case, dtype)):
        assert value == pytest.approx(case.loss, rel=BOUND[dtype])
        assert difference(gradient, case.gradient) <= BOUND[dtype]
        np.testing.assert_allclose(gradient, case.gradient, rtol=100 * BOUND[dtype], atol=BOUND[dtype] / 100)


def interpreted_loss(case: LossCase, dtype: str) -> tuple[float, Array]:
    """The loss and its gradient by the data."""
    network = trace(Probe())
    graph = add_loss(network.graph, loss_of(case))
    passes = (InferTypes("f32" if dtype == "float32" else "f64"), Differentiate("loss", inputs=True))
    for step in passes:
        graph = step.run(graph)
    steps, batch, _ = case.data.shape
    given = {"x": case.data, "place": np.zeros((steps, batch)), "target": case.targets}
    found = evaluate(graph, Call(given, network.parameters, {}, steps, batch, np.dtype(dtype)))
    return float(found["loss", "loss"]), found["d_input", "x"]


def compiled_loss(case: LossCase, dtype: str) -> tuple[float, Array]:
    """The same, the gradient sample by sample and step by step."""
    model = snncc.compile(Probe(), loss=loss_of(case), optimizer=optim.SGD(0.0), dtype=dtype, name="probe")
    gradient = np.zeros_like(case.data)
    for t, b in np.ndindex(*case.data.shape[:2]):
        place = np.zeros(case.data.shape[:2])
        place[t, b] = 1
        value = model.train_step({"x": case.data, "place": place}, case.targets)
        gradient[t, b] = model.gradients()["nudge"]
    scores = model.evaluate({"x": case.data, "place": place}, case.targets)
    assert scores["loss"] == value
    return value, gradient
