"""snnTorch's numbers: all of its losses, in the reference interpreter and compiled, values and gradients."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.frontend.dsl import add_loss, trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from tests import vectors
from tests.networks import difference
from tests.vector_runs import BOUND, DTYPES
from tests.vectors import Array, LossCase

CASES = vectors.cases("snntorch.functional", "snntorch_loss_")
# The same losses in our own words: what the presets of loss.snntorch must be.
OURS: dict[str, loss.Loss] = {
    "ce_count": loss.cross_entropy("count"),
    "ce_count_weight": loss.cross_entropy("count", class_weights=[1.0, 2.0, 0.5, 1.5, 1.0, 3.0]),
    "ce_max_membrane": loss.cross_entropy("mem_max"),
    "ce_rate": loss.cross_entropy("rate"),
    "ce_temporal_negate": loss.cross_entropy("latency"),
    "ce_temporal_reciprocal": loss.cross_entropy("latency", inverse="reciprocal"),
    "mse_count": loss.mse("count", on=0.8, off=0.2),
    "mse_count_pop": loss.mse("count", on=0.9, off=0.1, population=3),
    "mse_membrane": loss.mse("mem", on=1.5, off=0.2),
    "mse_temporal": loss.mse("latency", on=1, off=0),
    "mse_temporal_tolerance": loss.mse("latency", on=2, off=8, tolerance=3.0),
}

class Probe(nn.Module):
    """Outputs are the input x, nudged by zero at one place: the nudge's gradient is that of x there."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6), "place": nn.Input()}

    def __init__(self) -> None:
        self.nudge = nn.Parameter((6,), np.zeros(6))

    def forward(self, x: Any, place: Any) -> dict[str, Any]:
        nudged = x + place * self.nudge
        return {"spk": nudged, "mem": nudged}


def loss_of(case: LossCase) -> loss.Loss:
    made: loss.Loss = getattr(loss.snntorch, case.constructor.rpartition(".")[2])(**case.options)
    return made


@pytest.mark.parametrize("name", CASES)
def test_presets_are_our_losses(name: str) -> None:
    assert loss_of(vectors.load_loss(name, "float64")) == OURS[name.removeprefix("snntorch_loss_")]


@pytest.mark.parametrize("name", CASES)
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
