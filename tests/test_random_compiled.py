"""Compiled random networks compute what the interpreter says of the graph before any pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import Model, driver, nn, optim, reference
from snncc.driver import entry_stages
from snncc.graph import Graph
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.target import Target
from tests import random_networks
from tests.random_networks import Case

# Feedback through products, a delay that the loss does not see, states without use backward, two neurons.
SEEDS = (4009, 4013, 4029, 4037)
TOLERANCE = 1e-10  # of the largest value (at least one), in float64: sums are added in another order
Results = dict[tuple[str, str], np.ndarray]


def compiled(case: Case, folder: Path) -> Model:
    target = Target(loss=case.loss, optimizer=optim.SGD(0.0), dtype="float64", num_steps=case.call.steps)
    driver.write(driver.generate(case.network, target), folder)
    model = snncc.load(folder, threads=1, slots=2, tile=2)
    model.params.update(case.call.parameters)
    return model


def expected(case: Case) -> dict[str, Results]:
    """What each entry point returns."""
    results = {}
    for stages in entry_stages(case.network, Target(loss=case.loss)):
        graph: Graph = InferTypes("f64").run(stages.graph)
        if stages.gradient:
            graph = Differentiate(stages.gradient, inputs=stages.gradient == "outputs").run(graph)
        states = case.call.states if stages.name in ("forward", "backward") else {}
        results[stages.name] = reference.evaluate(graph, replace(case.call, states=states))
    return results


def run(case: Case, model: Model) -> dict[str, Results]:
    """The same from the library."""
    call, steps = case.call, {"num_steps": case.call.steps}
    x = {name: call.inputs[name] for name in case.network.inputs}
    known = {port["name"] for port in model.manifest["io"] if port["role"] == "cotangent"}
    cotangents = {name: call.inputs[f"d_{name}"] for name in known if f"d_{name}" in call.inputs}
    out = model(x, state=call.states, **steps)
    back = model.backward(x, state=call.states, cotangents=cotangents, **steps)
    loss = np.asarray(model.train_step(x, call.inputs["target"], **steps))
    roles = {
        "forward": {"output": {name: out[name] for name in model.output_names}, "state_out": out.state},
        "backward": {"d_input": back.inputs, "gradient": back.params, "d_state": back.state},
        "train": {"loss": {"loss": loss}, "gradient": model.gradients()},
    }
    return {
        entry: {(role, name): array for role, arrays in of.items() for name, array in arrays.items()}
        for entry, of in roles.items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_is_the_reference(seed: int, tmp_path: Path) -> None:
    case = random_networks.case(seed)
    wanted, found = expected(case), run(case, compiled(case, tmp_path / "model"))
    for entry, results in found.items():
        assert set(results) == set(wanted[entry])
        for key, array in results.items():
            scale = max(1.0, float(np.abs(wanted[entry][key]).max(initial=0.0)))
            difference = np.abs(array - wanted[entry][key]).max(initial=0.0)
            assert difference <= TOLERANCE * scale, f"{entry}: {key}"


def test_delays_of_one_value_keep_their_own_initial_values() -> None:
    """Three delays of one kept sequence differ at the first step only; each reads its own start."""

    class Delays(nn.Module):
        inputs = {"x": nn.Input(2)}  # noqa: RUF012 - how networks are declared

        def __init__(self) -> None:
            self.lif = nn.Leaky(0.8, learn_beta=True, reset="none", init_mem=0.5)

        def forward(self, x: Any) -> Any:
            mem = self.lif(x).mem
            return {"y": snncc.exp(snncc.delay(mem)) * snncc.delay(mem)}

    model = snncc.compile(Delays(), num_steps=3, dtype="float64")
    x = np.random.default_rng(0).normal(size=(3, 1, 2))

    def total(beta: float) -> float:
        model.params["lif.beta"] = np.array(beta)
        return float(model(x).y.sum())

    slope = (total(0.8 + 1e-6) - total(0.8 - 1e-6)) / 2e-6
    model.params["lif.beta"] = np.array(0.8)
    gradient = model.backward(x, y=np.ones((3, 1, 2))).params["lif.beta"]
    np.testing.assert_allclose(gradient, slope, rtol=1e-7)


def test_spikes_of_a_static_value_drive_products() -> None:
    """They have no time axis, so they are packed once a tile and not once a step."""

    class Still(nn.Module):
        inputs = {"x": nn.Input(5, static=True)}  # noqa: RUF012 - how networks are declared

        def __init__(self) -> None:
            self.first, self.second, self.lif = nn.Linear(5, 70), nn.Linear(70, 3), nn.Leaky(0.9)

        def forward(self, x: Any) -> Any:
            spikes = snncc.spike(self.first(x) - 0.1, nn.surrogate.ATan())
            return {"current": self.second(spikes), "mem": self.lif(self.second(spikes)).mem}

    x = np.random.default_rng(0).normal(size=(6, 5))
    model = snncc.compile(Still(), num_steps=2, dtype="float64")
    weights = {name: np.asarray(array) for name, array in model.params.items()}
    spikes = x @ weights["first.weight"].T + weights["first.bias"] > 0.1
    expected = spikes @ weights["second.weight"].T + weights["second.bias"]
    np.testing.assert_allclose(model(x).current, expected, rtol=1e-12)
    assert 0 < spikes.mean() < 1


def test_no_buffer_hides_a_function(tmp_path: Path) -> None:
    """A kernel that two entry points share may be called as a buffer of one of them is."""
    case = random_networks.case(5077)
    target = Target(loss=case.loss, num_steps=case.call.steps)
    driver.write(driver.generate(case.network, target), tmp_path / "model")
