"""snnTorch's and SpikingJelly's surrogates with other arguments than their defaults, by their own formulas.

The golden vectors hold the defaults; here the formulas are written out once more, as each system has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snncc import nn
from snncc.errors import CompileError
from snncc.nn.surrogate import Surrogate
from tests.networks import BOUND, Bench, Case, Extent, difference
from tests.test_surrogates import SNNTORCH, SPIKINGJELLY

Array = np.ndarray
U = np.concatenate([np.arange(-24, 25) / 8.0, [-1.7, -0.3, 0.3, 1.7]])


def logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def sigmoid(u: Array, alpha: float) -> Array:
    return np.asarray(alpha * logistic(alpha * u) * (1 - logistic(alpha * u)))


A = 2.5
FORMULAS: dict[str, tuple[Surrogate, Callable[[Array], Any]]] = {
    "atan": (SNNTORCH.atan(A), lambda u: (A / 2) / (1 + (np.pi * A * u / 2) ** 2)),
    "fast_sigmoid": (SNNTORCH.fast_sigmoid(A), lambda u: 1 / (1 + A * abs(u)) ** 2),
    "sigmoid": (SNNTORCH.sigmoid(A), lambda u: A * np.exp(-A * u) / (1 + np.exp(-A * u)) ** 2),
    "straight_through_estimator": (SNNTORCH.straight_through_estimator(), np.ones_like),
    "triangular": (SNNTORCH.triangular(A), lambda u: np.where(u < 0, A, -A)),
    "heaviside": (SNNTORCH.heaviside(), lambda u: u > 0),
    "spike_rate_escape": (SNNTORCH.spike_rate_escape(A, 3), lambda u: 3 * np.exp(-A * abs(u - 1))),
    "SFS": (SNNTORCH.SFS(A, -0.5), lambda u: (u > -0.5) / (1 + A * abs(u)) ** 2),
    "LSO": (SNNTORCH.LSO(0.3), lambda u: np.where(u > 0, 1, 0.3)),
    "PiecewiseQuadratic": (
        SPIKINGJELLY.PiecewiseQuadratic(A), lambda u: np.where(abs(u) > 1 / A, 0, A - A**2 * abs(u))
    ),
    "PiecewiseExp": (SPIKINGJELLY.PiecewiseExp(A), lambda u: A / 2 * np.exp(-A * abs(u))),
    "Sigmoid": (SPIKINGJELLY.Sigmoid(A), lambda u: sigmoid(u, A)),
    "SoftSign": (SPIKINGJELLY.SoftSign(A), lambda u: 1 / (2 * A * (1 / A + abs(u)) ** 2)),
    "SuperSpike": (SPIKINGJELLY.SuperSpike(A), lambda u: A / (1 + abs(u)) ** 2),
    "ATan": (SPIKINGJELLY.ATan(A), lambda u: (A / 2) / (1 + (np.pi * A * u / 2) ** 2)),
    "NonzeroSignLogAbs": (SPIKINGJELLY.NonzeroSignLogAbs(A), lambda u: 1 / (1 / A + abs(u))),
    "Erf": (SPIKINGJELLY.Erf(A), lambda u: A / np.sqrt(np.pi) * np.exp(-(A**2) * u**2)),
    "PiecewiseLeakyReLU": (
        SPIKINGJELLY.PiecewiseLeakyReLU(0.7, 0.2), lambda u: np.where(abs(u) < 0.7, 1 / 1.4, 0.2)
    ),
    "SquarewaveFourierSeries": (
        SPIKINGJELLY.SquarewaveFourierSeries(4, 5),
        lambda u: 4 / 5 * sum(np.cos(2 * np.pi * (2 * i - 1) * u / 5) for i in range(1, 4)),
    ),
    "S2NN": (
        SPIKINGJELLY.S2NN(A, 0.5),
        lambda u: np.where(u < 0, sigmoid(u, A), 0.5 / np.where(u < 0, 1, u + 1)),
    ),
    "QPseudoSpike": (SPIKINGJELLY.QPseudoSpike(A), lambda u: (1 + 2 * abs(u) / (A - 1)) ** -A),
    "LeakyKReLU": (SPIKINGJELLY.LeakyKReLU(0.3, 1.5), lambda u: np.where(u >= 0, 1.5, 0.3)),
    "FakeNumericalGradient": (
        SPIKINGJELLY.FakeNumericalGradient(A), lambda u: np.minimum(1 / np.where(u == 0, 1e-9, abs(u)), A)
    ),
    "LogTailedReLU": (
        SPIKINGJELLY.LogTailedReLU(0.3), lambda u: np.where(u <= 0, 0.3, 1 / np.maximum(u, 1))
    ),
    "DeterministicPass": (SPIKINGJELLY.DeterministicPass(), np.ones_like),
    "Rect": (SPIKINGJELLY.Rect(A), lambda u: np.where(abs(u) < 1 / (2 * A), A, 0)),
}    # fmt: skip


def test_every_preset_has_its_formula() -> None:
    named = {*SNNTORCH.__all__, *SPIKINGJELLY.__all__} - {"SSO", "custom_surrogate"}
    assert set(FORMULAS) == named


@pytest.mark.parametrize("name", FORMULAS)
def test_other_arguments_than_the_defaults(name: str) -> None:
    chosen, formula = FORMULAS[name]
    np.testing.assert_allclose(chosen.derivative(U), formula(U) * 1.0, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("module", [SNNTORCH, SPIKINGJELLY], ids=["snntorch", "spikingjelly"])
def test_a_positive_number_is_asked_for_where_there_is_a_width(module: Any) -> None:
    """No preset divides by zero, or hands on an infinite number."""
    for name in set(module.__all__) - {"custom_surrogate", "SquarewaveFourierSeries"}:
        for bad in (float("inf"), float("nan"), "1", None):
            if name not in ("straight_through_estimator", "heaviside", "DeterministicPass"):
                with pytest.raises(CompileError, match="must be a finite number"):
                    getattr(module, name)(bad)


def test_a_sigmoid_far_below_the_threshold_is_zero_not_nan() -> None:
    u = np.array([-10.0, 10.0], np.float32)
    np.testing.assert_array_equal(SNNTORCH.sigmoid().derivative(u), [0, 0])


# Random numbers


class Stochastic(nn.Module):
    """Two layers whose surrogates draw; the second's threshold learns."""

    inputs = {"x": nn.Input(6)}    # noqa: RUF012

    def __init__(self) -> None:
        self.first, self.fc = nn.Leaky(0.8, 0.5, surrogate=SNNTORCH.SSO()), nn.Linear(6, 5)
        self.last = nn.Leaky(0.8, 0.5, surrogate=SNNTORCH.SSO(0.1, 0.5), learn_threshold=True)

    def forward(self, x: Any) -> dict[str, Any]:
        return {"spk": self.last(self.fc(self.first(x).spk)).spk}


def test_a_stochastic_step_draws_what_the_interpreter_draws(tmp_path: Any) -> None:
    bench, extent = Bench(Case(Stochastic, None), "float64", tmp_path), Extent(6, 7)
    cotangents, inputs = bench.cotangents(extent), bench.inputs(extent)
    expected = bench.reference(
        "backward", extent, {**inputs, **{f"d_{name}": array for name, array in cotangents.items()}}
    )
    model: Any = bench.load()
    found = model.backward(inputs, cotangents=cotangents, num_steps=extent.steps, seed=0)
    apart = {name: difference(g, expected["gradient", name]) for name, g in found.params.items()}
    apart["x"] = difference(found.inputs["x"], expected["d_input", "x"])
    assert {name: d for name, d in apart.items() if not d <= BOUND["float64"]} == {}
    other = model.backward(inputs, cotangents=cotangents, num_steps=extent.steps, seed=1)
    assert (other.inputs["x"] != found.inputs["x"]).any()
    labels = [node.op.key for node in bench.graphs["backward"] if node.op.name == "uniform"]
    assert len(set(labels)) == len(labels) == 2
