"""take and scatter_add: features by constant index, their gradients, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.frontend.dsl import trace
from tests.networks import difference

REPEATED = np.repeat(np.arange(3), 2)    # 0 0 1 1 2 2
RNG = np.random.default_rng(0)


class Grouped(nn.Module):
    """Values of three kinds that are indexed: over time, per sample, and a parameter; inside a loop, too."""

    def __init__(self) -> None:
        self.inputs = {"x": nn.Input(2, 3), "bias": nn.Input(3, static=True)}
        self.scale = nn.Parameter((3,), np.array([0.5, 1.0, -1.5]))

    def forward(self, x: Any, bias: Any) -> dict[str, Any]:
        wide = snncc.take(self.scale, REPEATED, (2, 3)) * x + snncc.take(bias, REPEATED, (2, 3))
        sums = snncc.scatter_add(wide, REPEATED, (3,))
        loop = nn.delay(shape=3)
        turned = snncc.take(loop.value, [2, 0, 1]) * 0.5 + sums
        loop.feed(turned)
        return {"sums": sums, "turned": turned, "one": snncc.take(sums, 1, ())}


def expected(x: Any, bias: Any, scale: Any) -> dict[str, Any]:
    wide = scale[REPEATED].reshape(2, 3) * x + bias[:, REPEATED].reshape(-1, 2, 3)
    flat = wide.reshape(*x.shape[:2], 6)
    sums = flat[..., 0::2] + flat[..., 1::2]
    turned = np.zeros_like(sums)
    for t in range(len(x)):
        before = turned[t - 1] if t else np.zeros_like(sums[0])
        turned[t] = before[:, [2, 0, 1]] * 0.5 + sums[t]
    return {"sums": sums, "turned": turned, "one": sums[..., 1]}


def test_features_by_index() -> None:
    model = snncc.compile(Grouped(), num_steps=4, dtype="float64")
    x, bias = RNG.standard_normal((4, 5, 2, 3)), RNG.standard_normal((5, 3))
    scale = np.array([0.5, 1.0, -1.5])
    out, wanted = model(x=x, bias=bias), expected(x, bias, scale)
    for name, array in wanted.items():
        assert difference(getattr(out, name), array) < 1e-14, name
    weights = {name: RNG.standard_normal(array.shape) for name, array in wanted.items()}
    found = model.backward({"x": x, "bias": bias}, cotangents=weights)

    def value(*given: Any) -> float:
        return sum(float((weights[k] * a).sum()) for k, a in expected(*given).items())

    gradients = (found.inputs["x"], found.inputs["bias"], found.params["scale"])
    for position, gradient in enumerate(gradients):
        direction = RNG.standard_normal(gradient.shape)
        ends = []
        for sign in (1, -1):
            given = [x, bias, scale]
            given[position] = given[position] + sign * 1e-6 * direction
            ends.append(value(*given))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float((gradient * direction).sum()), rel=1e-7)


def test_an_index_outside_is_refused() -> None:
    class Wrong(nn.Module):
        def forward(self, x: Any) -> Any:
            return snncc.take(x, [0, 3])

    with pytest.raises(snncc.CompileError, match="take: expected 2 indices from 0 to 2, found"):
        trace(Wrong(), {"x": nn.Input(3)})


def test_on_arrays_they_compute_at_once() -> None:
    x = np.arange(6.0).reshape(1, 1, 6)
    np.testing.assert_array_equal(snncc.take(x, [5, 0]), [[[5, 0]]])
    np.testing.assert_array_equal(snncc.scatter_add(x, REPEATED, (3,)), [[[1, 5, 9]]])
