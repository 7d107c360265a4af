"""Operators that tell steps apart: the headers' kernels to the bit, shape rules, gradients as adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc import CompileError
from snncc.graph import Type
from snncc.ops.steps import AtStep, MixSteps, StepsGradient, SumAtStep
from tests.headers import bits_of
from tests.headers import headers as headers
from tests.headers import rng as rng

SIZES = [(1, 1, 1), (2, 3, 1), (5, 1, 7), (9, 3, 16), (6, 2, 40), (67, 5, 33), (70, 2, 3)]


def tile(headers: Any, x: np.ndarray) -> np.ndarray:
    """[steps][rows][stride] with garbage in the pads."""
    return headers.tile(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], -1)


def ascending(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sum over the steps, one multiplication and one addition each."""
    y = np.zeros_like(x)
    for s in range(len(x)):
        y += w[:, s, None, None] * x[s]
    return y


@pytest.mark.parametrize(("steps", "rows", "n"), SIZES)
@pytest.mark.parametrize("transposed", [0, 1])
def test_products_over_the_steps_add_in_ascending_order(headers, rng, steps, rows, n, transposed):
    x = rng.standard_normal((steps, rows, n)).astype(headers.real)
    w = rng.standard_normal((steps, steps)).astype(headers.real)
    wide = tile(headers, x)
    y = np.full_like(wide, np.nan)
    for part in range(3):
        headers.call("mix_steps", transposed, steps, rows * wide.shape[-1], w, wide, y, headers.crew(part, 3))
    expected = ascending(w.T if transposed else w, x)
    np.testing.assert_array_equal(bits_of(y[..., :n].copy()), bits_of(expected))


@pytest.mark.parametrize(("steps", "rows", "n"), SIZES)
def test_the_gradient_over_the_steps_leaves_pads_out(headers, rng, steps, rows, n):
    d_y, x = (rng.standard_normal((steps, rows, n)).astype(headers.real) for _ in range(2))
    start = rng.standard_normal((steps, steps)).astype(headers.real)
    d_w, wide = start.copy(), (tile(headers, d_y), tile(headers, x))
    for part in range(2):
        crew = headers.crew(part, 2)
        headers.call("steps_gradient", steps, rows, n, wide[0].shape[-1], *wide, d_w, crew)
    pads = -n % headers.lanes

    def lanes(a: np.ndarray) -> np.ndarray:
        return np.pad(a, [(0, 0), (0, 0), (0, pads)]).reshape(steps, -1, headers.lanes)

    products = lanes(d_y)[:, None] * lanes(x)[None]
    in_lanes = np.cumsum(products, axis=2)[:, :, -1]
    expected = start + np.cumsum(in_lanes, axis=2)[:, :, -1]
    np.testing.assert_array_equal(bits_of(d_w), bits_of(expected))


@pytest.mark.parametrize(("steps", "rows", "n"), SIZES)
def test_rows_of_steps(headers, rng, steps, rows, n):
    p = rng.standard_normal((steps, n)).astype(headers.real)
    y = np.full((steps, rows, headers.stride(n)), np.nan, headers.real)
    headers.call("at_step", steps, rows, n, y.shape[-1], p, y)
    np.testing.assert_array_equal(y[..., :n], np.repeat(p[:, None], rows, axis=1))
    assert not y[..., n:].any()
    x = rng.standard_normal((steps, rows, n)).astype(headers.real)
    expected = p.copy()
    for row in range(rows):
        expected += x[:, row]
    headers.call("sum_at_step", steps, rows, n, y.shape[-1], tile(headers, x), p)
    np.testing.assert_array_equal(bits_of(p), bits_of(expected))


@pytest.mark.parametrize("transposed", [False, True])
def test_the_operators_are_adjoint(transposed):
    """<mix(x, w), g> is the same as <x, mix^T(g, w)> and as <w, gradient>."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 4, 3, 5, 2))
    w = rng.standard_normal((1, 1, 4, 4))
    product = float((MixSteps(4, transposed).evaluate(x, w) * g).sum())
    assert float((MixSteps(4, not transposed).evaluate(g, w) * x).sum()) == pytest.approx(product)
    pair = (x, g) if transposed else (g, x)
    assert float((StepsGradient(4).evaluate(*pair) * w).sum()) == pytest.approx(product)
    p, many = rng.standard_normal((1, 1, 4, 2)), rng.standard_normal((4, 3, 2))
    found = float((SumAtStep(4, (4, 2)).evaluate(many) * p).sum())
    assert found == pytest.approx(float((AtStep(4, (2,)).evaluate(p) * many).sum()))


@pytest.mark.parametrize(
    ("op", "types", "message"),
    [
        (MixSteps(4), (Type((3,), True, True), Type((4, 5))), r"needs a sequence and a matrix \[4, 4\]"),
        (MixSteps(4), (Type((3,), False, True), Type((4, 4))), "needs a sequence"),
        (AtStep(4, (2,)), (Type((4, 3)),), "a row for each"),
        (AtStep(4), (Type((4,), True, True),), "a row for each"),
    ],
)
def test_shapes_that_do_not_fit(op, types, message):
    with pytest.raises(CompileError, match=message):
        op.infer(*types)
