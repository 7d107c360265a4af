"""Compiled random networks compute what the interpreter says of the graph before any pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import Model, driver, optim, reference
from snncc.driver import Target, entry_stages
from snncc.graph import Graph
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
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
