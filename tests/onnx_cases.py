"""ONNX files of real exporters with what their frameworks compute, and how they are run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snncc.frontend.dsl import trace
from snncc.frontend.onnx import OnnxNetwork
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate

FOLDER = Path(__file__).parent / "golden" / "onnx"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A file; kind: step, sequence or stateless. spikes: outputs that must be equal, others within 1e-5."""

    name: str
    kind: str
    steps: int
    states: Mapping[str, str]
    spikes: tuple[str, ...]

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.onnx"

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Inputs and expected outputs, under the names and in the layout of the file."""
        with np.load(FOLDER / f"{self.name}.npz") as stored:
            given = {n.removeprefix("in/"): stored[n] for n in stored if n.startswith("in/")}
            wanted = {n.removeprefix("out/"): stored[n] for n in stored if n.startswith("out/")}
        return given, wanted

    def check(self, found: Mapping[str, np.ndarray]) -> None:
        for name, wanted in self.arrays()[1].items():
            assert found[name].shape == wanted.shape, name
            if name in self.spikes:
                np.testing.assert_array_equal(found[name], wanted, name)
            else:
                np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5, err_msg=name)


def cases() -> dict[str, Case]:
    rows = json.loads((FOLDER / "cases.json").read_text())
    made = (Case(r["case"], r["kind"], r["T"], r["states"], tuple(r["spikes"])) for r in rows)
    return {case.name: case for case in made}


def interpreted(network: OnnxNetwork, given: Mapping[str, np.ndarray]) -> Arrays:
    """The outputs of the reference interpreter, under the names and in the layout of the file."""
    traced = trace(network)
    orders: Any = network.imported["order"]
    inputs, states, parameters = {}, {}, dict(traced.parameters)
    steps, batch = network.num_steps or 1, 1
    for file_name, array in given.items():
        name = network.names[file_name]
        order = orders.get("input", orders).get(name) or orders.get("weight", {}).get(name)
        array = array if order is None else array.transpose(np.argsort(order))
        if name in traced.inputs:
            inputs[name] = array
            static = traced.inputs[name].static
            steps, batch = (steps, len(array)) if static else array.shape[:2]
        elif name in parameters:
            parameters[name] = array
        else:
            states[name] = array
    graph = InferTypes("f32").run(traced.graph)
    results = evaluate(graph, Call(inputs, parameters, states, steps, batch, np.float32))
    names = {name: network.names[name] for name in network.plan.flat.outputs}
    return {name: _in_file_order(network, name, results["output", n]) for name, n in names.items()}


def _in_file_order(network: OnnxNetwork, name: str, array: np.ndarray) -> np.ndarray:
    order: Any = network.imported["order"].get("output", {}).get(network.names[name])
    return array if order is None else array.transpose(order)
