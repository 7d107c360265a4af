"""Derived gradients are slopes: finite differences in float64, with spikes made smooth.

`Call(smooth=True)` puts the antiderivative of its surrogate in place of every spike that has one, so the
gradient that the surrogates give is the true slope. Detached resets stay steps: they have no surrogate.
Central differences of width 2e-6 are off by about 1e-9 of the largest derivatives. Where these change within
that width, the part that grows with its square is found from a second width and taken off; where the value is
a hundred million (as spikes that grow like currents can make it), its last digits limit what can be seen. A
kink of a triangle or a clamp within a step of that size is as good as impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, reference
from snncc.driver import entry_stages
from snncc.errors import CompileError
from snncc.frontend.dsl import Network, add_loss, trace
from snncc.graph import Graph
from snncc.loss import Loss
from snncc.nn import surrogate
from snncc.nn.surrogate import Surrogate
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call
from snncc.target import Target
from tests import random_networks
from tests.random_networks import LOSSES, SURROGATES, Adaptive, Synaptic

WIDTH, TOLERANCE = 1e-6, 1e-7
ROLES = {"gradient": "parameters", "d_input": "inputs", "d_state": "states"}
EVERY_RESET = [(reset, delay) for reset in ("subtract", "zero", "none") for delay in (True, False)]


def value(graph: Graph, call: Call) -> float:
    """The loss, or the outputs weighted by the cotangents."""
    found = reference.evaluate(graph, call)
    if ("loss", "loss") in found:
        return float(found["loss", "loss"])
    given = {name: call.inputs.get(f"d_{name}", 0.0) for role, name in found if role == "output"}
    return float(sum((weight * found["output", name]).sum() for name, weight in given.items()))


def moved(call: Call, field: str, name: str, step: np.ndarray) -> Call:
    """The call with one of its arrays moved."""
    arrays: Mapping[str, np.ndarray] = getattr(call, field)
    return replace(call, **{field: {**arrays, name: arrays[name] + step}})


def slopes_agree(graph: Graph, of: str, call: Call, tolerance: float = TOLERANCE) -> set[tuple[str, str]]:
    """Each gradient along a random direction (and along one axis) is the slope there; what was compared."""
    call = replace(call, smooth=True)
    derived = Differentiate(of, inputs=True).run(InferTypes("f64").run(graph)).verify()
    gradients = reference.evaluate(derived, call)
    rng = np.random.default_rng(0)
    for (role, name), gradient in gradients.items():
        if role == "loss":
            continue
        for direction in _directions(rng, gradient.shape):
            slope = partial(slope_of, graph, call, ROLES[role], name, direction)
            (found, last_digits), derivative = slope(WIDTH), float((gradient * direction).sum())
            close = pytest.approx(derivative, rel=tolerance, abs=max(tolerance, last_digits))
            if found != close:
                found = (16 * found - slope(4 * WIDTH)[0]) / 15
            assert found == close, f"{role} {name}"
    return {key for key in gradients if key[0] != "loss"}


def slope_of(
    graph: Graph, call: Call, field: str, name: str, direction: np.ndarray, width: float
) -> tuple[float, float]:
    """The slope of the value along a direction in one of the call's arrays, from both sides, and how far off
    it is if these are rounded by four units of their last digit."""
    ends = [value(graph, moved(call, field, name, sign * width * direction)) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * width), 4 * float(np.spacing(np.abs(ends).max()) / width)


def _directions(rng: np.random.Generator, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    yield rng.normal(size=shape)
    axis = np.zeros(shape)
    axis[tuple(rng.integers(0, n) for n in shape)] = 1.0
    yield axis


def arguments(network: Network, chosen: Loss, seed: int = 0, steps: int = 5, batch: int = 3) -> Call:
    """Random arguments, with an initial value for every state."""
    rng = np.random.default_rng(seed)
    call = random_networks.arguments(rng, network, chosen, steps, batch)
    states = {
        node.op.label: rng.normal(0, 0.5, (batch, *node.type.features))  # type: ignore[attr-defined]
        for node in network.graph
        if node.op.name == "state"
    }
    return replace(call, states=states)


def check_loss(module: nn.Module, chosen: Loss = LOSSES[0]) -> set[tuple[str, str]]:
    network = trace(module)
    return slopes_agree(add_loss(network.graph, chosen), "loss", arguments(network, chosen))


def sequential(neuron: nn.Module, **options: Any) -> nn.Module:
    return nn.Sequential(
        fc1=nn.Linear(3, 4), lif1=neuron, fc2=nn.Linear(4, 3), lif2=nn.Leaky(0.8, 0.6), **options
    )


@pytest.mark.parametrize("chosen", LOSSES, ids=str)
def test_every_loss(chosen: Loss) -> None:
    compared = check_loss(sequential(nn.Leaky(0.9, 0.5, reset_delay=False)), chosen)
    assert {("gradient", "fc1.weight"), ("d_input", "x"), ("d_state", "lif1.mem")} <= compared


@pytest.mark.parametrize(("reset", "delay"), EVERY_RESET)
@pytest.mark.parametrize("per_neuron", [False, True])
def test_every_reset_with_learnable_coefficients(reset: str, delay: bool, per_neuron: bool) -> None:
    beta: Any = [0.3, 0.99, -0.2, 1.4] if per_neuron else 0.8    # two of them beyond the clamp
    threshold: Any = [0.3, 0.5, 0.4, 0.2] if per_neuron else 0.4
    neuron = nn.Leaky(
        beta, threshold, reset=reset, reset_delay=delay, learn_beta=True, learn_threshold=True, init_mem=0.2
    )
    compared = check_loss(sequential(neuron))
    assert {("gradient", "lif1.beta"), ("gradient", "lif1.threshold")} <= compared


@pytest.mark.parametrize(
    ("beta", "passes"), [(-0.1, False), (0.0, True), (0.5, True), (1.0, True), (1.1, False)]
)
def test_the_clamp_of_beta_passes_inside_and_on_its_limits(beta: float, passes: bool) -> None:
    network = trace(nn.Sequential(nn.Linear(2, 3), nn.Leaky(beta, learn_beta=True, reset="none")))
    graph = add_loss(network.graph, loss.mse("mem"))
    call = replace(arguments(network, loss.mse("mem")), parameters=network.parameters)
    derived = Differentiate().run(InferTypes("f64").run(graph))
    assert (reference.evaluate(derived, call)["gradient", "1.beta"] != 0) == passes


@pytest.mark.parametrize("chosen", SURROGATES, ids=str)
def test_every_surrogate_in_a_network(chosen: Surrogate) -> None:
    check_loss(sequential(nn.Leaky(0.9, 0.5, surrogate=chosen)), loss.cross_entropy("count"))


@pytest.mark.parametrize("chosen", [*SURROGATES, surrogate.FastSigmoid(), surrogate.Sigmoid()], ids=str)
def test_a_surrogate_is_the_derivative_of_its_primitive(chosen: Surrogate) -> None:
    u = np.concatenate([np.linspace(-3, 3, 301) + 0.00123, [-40.0, 40.0]])
    slope = (chosen.primitive(u + WIDTH) - chosen.primitive(u - WIDTH)) / (2 * WIDTH)
    np.testing.assert_allclose(chosen.derivative(u), slope, rtol=1e-6, atol=1e-9)
    assert (chosen.derivative(u) >= 0).all()


def test_a_spike_without_surrogate_has_no_gradient() -> None:
    network = trace(nn.Sequential(fc=nn.Linear(2, 3), lif=nn.Leaky(0.9, 0.1, surrogate=None)))
    graph, call = network.graph, arguments(network, loss.cross_entropy("rate"))
    with_loss = add_loss(graph, loss.cross_entropy("rate"))
    derived = Differentiate("loss", inputs=True).run(InferTypes("f64").run(with_loss))
    found = {key: array for key, array in reference.evaluate(derived, call).items() if key[0] != "loss"}
    assert len(found) == 4
    assert all(not array.any() for array in found.values())


class Feedback(nn.Module):
    """Spikes return a step later through a product; the loop goes through two layers."""

    inputs = {"x": nn.Input(2), "still": nn.Input(3, static=True)}    # noqa: RUF012

    def __init__(self, make: Callable[[], nn.Neuron]) -> None:
        self.fc, self.back, self.out = nn.Linear(2, 3), nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.lif1, self.lif2 = make(), nn.Leaky(0.7, 0.3)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=3, initial=0.3)
        hidden = self.lif1(self.fc(x) + self.back(loop.value) + still).spk
        spk, mem = self.lif2(self.out(hidden))
        loop.feed(spk + 0.1 * hidden)
        return {"spk": spk, "mem": mem, "hidden": hidden, "late": snncc.delay(hidden)}


@pytest.mark.parametrize("make", [lambda: nn.Leaky(0.9, 0.4), lambda: Synaptic(3), Adaptive])
def test_feedback_networks(make: Callable[[], nn.Neuron]) -> None:
    compared = check_loss(Feedback(make))
    assert {("d_state", "delay"), ("d_input", "still"), ("gradient", "back.weight")} <= compared


@pytest.mark.parametrize("make", [lambda: Synaptic(4), Adaptive])
def test_neurons_of_a_user(make: Callable[[], nn.Neuron]) -> None:
    compared = check_loss(sequential(make()), loss.mse("mem", on=1.0))
    assert sum(role == "d_state" for role, _ in compared) == 3


def test_static_input_and_flatten() -> None:
    layers = (nn.Leaky(0.5, 0.4), nn.Flatten(), nn.Linear(6, 3), nn.Leaky(0.8, 0.4))
    check_loss(nn.Sequential(*layers, input=nn.Input(2, 3, static=True)))


@pytest.mark.parametrize("seed", range(3000, 3020))
def test_random_networks(seed: int) -> None:
    """By both ways in: the loss, and cotangents of the outputs."""
    case = random_networks.case(seed)
    call = replace(case.call, states=arguments(case.network, case.loss, seed, batch=case.call.batch).states)
    slopes_agree(add_loss(case.network.graph, case.loss), "loss", call, 1e-6)
    slopes_agree(case.network.graph, "outputs", call, 1e-6)


def test_the_backward_half_of_the_compiler_has_these_gradients() -> None:
    """What the driver asks for: parameters for a loss, everything for cotangents."""
    target = Target(loss=loss.cross_entropy("mem"), dtype="float64")
    roles = {}
    for stages in entry_stages(trace(sequential(nn.Leaky(0.9))), target):
        graph = [g for _, g in stages.run(target.options)][-1]
        roles[stages.name] = {o.role for o in graph.outputs}
    assert roles["train"] == {"loss", "gradient"}
    assert roles["backward"] == {"gradient", "d_input", "d_state"}


def test_there_must_be_something_to_differentiate() -> None:
    with pytest.raises(CompileError, match="there is no loss to differentiate: give loss= to compile"):
        Differentiate().run(trace(sequential(nn.Leaky(0.9))).graph)
