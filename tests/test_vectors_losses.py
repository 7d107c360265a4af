"""snnTorch's numbers: all of its losses, interpreted, in C and on CUDA, values and gradients.

A compiled network has all of as many classes, of which a call chooses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from snncc import loss, nn, optim
from snncc.frontend.dsl import add_loss, trace
from snncc.ops import sum_batch, sum_features, sum_time
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from tests import once, vectors
from tests.cuda_pairs import BACKENDS
from tests.networks import difference
from tests.vector_runs import BOUND, DTYPES, model_of
from tests.vectors import Array, LossCase

CASES = vectors.cases("snntorch.functional", "snntorch_loss_")
STEPS, BATCH, CLASSES = 12, 4, 6
PLACE = np.eye(STEPS * BATCH).reshape(STEPS, BATCH, STEPS * BATCH)
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

@dataclass(frozen=True)
class Chosen(loss.Loss):
    """Losses, each times a feature of the output `which`, summed over steps and samples: 1 or 0."""

    losses: tuple[loss.Loss, ...]

    def value(self, values: Any) -> Any:
        chosen = values.read("which", self)
        terms = (
            of.value(values) * sum_batch(sum_features(sum_time(chosen[k : k + 1])))
            for k, of in enumerate(self.losses)
        )
        return reduce(add, terms)

    def target_is_label(self) -> bool:
        return True

    def classes(self, outputs: Mapping[str, int]) -> int:
        return max(of.classes(outputs) for of in self.losses)


class Probe(nn.Module):
    """Outputs are the input x; a column of the weight has the gradient of x at one step of one sample."""

    def __init__(self, losses: int) -> None:
        self.inputs = {"x": nn.Input(CLASSES), "place": nn.Input(PLACE.shape[-1]), "chosen": nn.Input(losses)}
        self.nudge = nn.Linear(PLACE.shape[-1], CLASSES, bias=False)

    def forward(self, x: Any, place: Any, chosen: Any) -> dict[str, Any]:
        nudged = x + self.nudge(place)
        return {"spk": nudged, "mem": nudged, "which": chosen}


def loss_of(case: LossCase) -> loss.Loss:
    made: loss.Loss = getattr(loss.snntorch, case.constructor.rpartition(".")[2])(**case.options)
    return made


def groups() -> list[list[str]]:
    """Losses of as many classes each: one target fits them."""
    found: dict[int, list[str]] = {}
    for name in CASES:
        of = loss_of(vectors.load_loss(name, "float64"))
        found.setdefault(of.classes({"spk": CLASSES, "mem": CLASSES}), []).append(name)
    return list(found.values())


@pytest.mark.parametrize("name", CASES)
def test_presets_are_our_losses(name: str) -> None:
    assert loss_of(vectors.load_loss(name, "float64")) == OURS[name.removeprefix("snntorch_loss_")]


Results = dict[str, tuple[float, Array]]


def interpreted(dtype: str) -> Results:
    """Each loss, and its gradient by the data."""
    network = trace(Probe(1))
    passes = (InferTypes("f32" if dtype == "float32" else "f64"), Differentiate("loss", inputs=True))
    values = {name: np.zeros_like(array) for name, array in network.parameters.items()}

    def run(name: str) -> tuple[float, Array]:
        case = vectors.load_loss(name, dtype)
        graph = add_loss(network.graph, loss_of(case))
        for step in passes:
            graph = step.run(graph)
        given = {"x": case.data, "place": PLACE, "chosen": PLACE[..., :1], "target": case.targets}
        found = evaluate(graph, Call(given, values, {}, STEPS, BATCH, np.dtype(dtype)))
        return float(found["loss", "loss"]), found["d_input", "x"]

    return {name: run(name) for name in CASES}


def compiled(way: str, dtype: str) -> Results:
    """The same; the gradient by the weight."""
    return {name: result for group in groups() for name, result in of_group(way, dtype, group).items()}


def of_group(way: str, dtype: str, names: list[str]) -> Results:
    cases = {name: vectors.load_loss(name, dtype) for name in names}
    learning = {"loss": Chosen(tuple(map(loss_of, cases.values()))), "optimizer": optim.SGD(0.0)}
    model = model_of(Probe(len(cases)), way, dtype=dtype, num_steps=STEPS, **learning)
    model.params["nudge.weight"] = np.zeros((CLASSES, STEPS * BATCH))

    def run(which: int, case: LossCase) -> tuple[float, Array]:
        chosen = np.zeros((STEPS, BATCH, len(cases)))
        chosen[0, 0, which] = 1
        given = {"x": case.data, "place": PLACE, "chosen": chosen}
        value = model.train_step(given, case.targets)
        assert model.evaluate(given, case.targets)["loss"] == value
        return value, model.gradients()["nudge.weight"].T.reshape(STEPS, BATCH, CLASSES)

    return {name: run(which, case) for which, (name, case) in enumerate(cases.items())}


RUNS = {"interpreted": interpreted, **{way: partial(compiled, way) for way in BACKENDS}}


@pytest.fixture(scope="module", params=[(way, dtype) for way in RUNS for dtype in DTYPES], ids="-".join)
def found(request: pytest.FixtureRequest) -> tuple[str, Results]:
    way, dtype = request.param
    return dtype, once.result(f"losses-{way}-{dtype}", lambda: RUNS[way](dtype))


@pytest.mark.parametrize("name", CASES)
def test_losses(name: str, found: tuple[str, Results]) -> None:
    dtype, results = found
    case, (value, gradient) = vectors.load_loss(name, dtype), results[name]
    assert value == pytest.approx(case.loss, rel=BOUND[dtype])
    assert difference(gradient, case.gradient) <= BOUND[dtype]
    np.testing.assert_allclose(gradient, case.gradient, rtol=100 * BOUND[dtype], atol=BOUND[dtype] / 100)
