"""snnTorch's losses: the numbers of the real package, in the reference interpreter and compiled."""

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

LOSSES: dict[str, loss.Loss] = {
    "ce_count": loss.cross_entropy("count"),
    "ce_rate": loss.cross_entropy("rate"),
    "mse_count": loss.mse("count", on=0.8, off=0.2),
    "mse_membrane": loss.mse("mem", on=1.5, off=0.2),
}

LOSS_CASES = [f"snntorch_loss_{name}" for name in LOSSES]
CASES = LOSS_CASES


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
    assert [f"snntorch_loss_{name}" for name in LOSSES] == LOSS_CASES
    options = {name: vectors.load_loss(name, "float64").options for name in LOSS_CASES}
    assert options["snntorch_loss_mse_count"] == {"correct_rate": 0.8, "incorrect_rate": 0.2}
    assert options["snntorch_loss_mse_membrane"] == {"on_target": 1.5, "off_target": 0.2}


@pytest.mark.parametrize("name", LOSS_CASES)
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
