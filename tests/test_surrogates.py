"""Every surrogate: against its antiderivative, in networks, in C, and as the documentation has it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from docs.surrogate_page import ABSTRACT, classes
from snncc import cache, loss, nn
from snncc.errors import CompileError
from snncc.frontend.dsl import trace
from snncc.nn import surrogate
from snncc.nn.surrogate import Surrogate, custom, custom_gradient
from snncc.target import Target
from tests.networks import BOUND, Bench, Case, Extent, difference
from tests.neurons import EVERY_RESET
from tests.test_differentiate import WIDTH, check_loss, sequential

SNNTORCH, SPIKINGJELLY = nn.snntorch.surrogate, nn.spikingjelly.surrogate
OWN = custom(lambda u: 1 / (1 + 3 * abs(u)) ** 2, primitive=lambda u: u / (1 + 3 * np.abs(u)))
EVERY: tuple[Surrogate, ...] = (
    surrogate.ATan(), surrogate.ATan(1.0), surrogate.FastSigmoid(), surrogate.FastSigmoid(3.0, 2.0),
    surrogate.Sigmoid(), surrogate.Sigmoid(2.0), surrogate.Gaussian(), surrogate.Exponential(),
    surrogate.Exponential(2.0, 1.5, 0.25), surrogate.LogAbs(), surrogate.LogAbs(3.0),
    surrogate.QPseudoSpike(), surrogate.QPseudoSpike(2.5), surrogate.SquareWave(),
    surrogate.SquareWave(3, 5.0), surrogate.S2NN(), surrogate.S2NN(2.0, 0.5),
    surrogate.Triangle(), surrogate.Triangle(1.5), surrogate.Rectangle(), surrogate.Rectangle(2.0, 0.125),
    surrogate.StraightThrough(), surrogate.TwoSlopes(), surrogate.TwoSlopes(1.0, -1.0, strict=False),
    surrogate.SparseFastSigmoid(), surrogate.SparseFastSigmoid(2.0, -0.3),
    surrogate.Reciprocal(), surrogate.Reciprocal(2.0), surrogate.LogTailedReLU(),
    surrogate.LogTailedReLU(0.25), OWN,
)    # fmt: skip
OF_EACH_CLASS = tuple({type(s): s for s in EVERY}.values())    # the last, which does not have the defaults
WHOLE = custom_gradient(lambda u, grad, spk: grad * (0.5 + spk) / (1 + u * u))
DRAWN = {"StochasticStep"}    # its derivative is random
GRID = np.concatenate([np.linspace(-3, 3, 301) + 0.00123, [-40.0, 40.0]])


def presets(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__ if name != "custom_surrogate"}


def test_every_surrogate_is_tested() -> None:
    assert {type(s).__name__ for s in EVERY} - ABSTRACT == set(classes()) - DRAWN
    assert len(set(EVERY)) == len({str(s) for s in EVERY}) == len(EVERY)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_a_surrogate_is_the_derivative_of_its_primitive(chosen: Surrogate) -> None:
    ends = [chosen.primitive(GRID + step) for step in (WIDTH, -WIDTH)]
    rounding = np.finfo(np.float64).eps * max(1.0, np.abs(ends).max()) / WIDTH
    slope = (ends[0] - ends[1]) / (2 * WIDTH)
    np.testing.assert_allclose(chosen.derivative(GRID), slope, rtol=1e-6, atol=10 * rounding)


def test_the_test_with_primitives_can_fail() -> None:
    wrong = custom(lambda u: 1 / (1 + 3 * abs(u)) ** 2, primitive=lambda u: u / (1 + 2.99 * np.abs(u)))
    with pytest.raises(AssertionError):
        test_a_surrogate_is_the_derivative_of_its_primitive(wrong)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_the_smoothed_network_has_its_slopes(chosen: Surrogate) -> None:
    check_loss(sequential(nn.Leaky(0.9, 0.5, surrogate=chosen)), loss.cross_entropy("count"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_no_surrogate_is_nan_anywhere(chosen: Surrogate, dtype: str) -> None:
    far = np.array([0.0, -0.0, 1e-30, 1.0, 5.0, 100.0, 1e4, 1e15], dtype)
    with np.errstate(over="ignore", under="ignore"):
        found = chosen.derivative(np.concatenate([-far, far]))
    assert found.dtype == dtype
    assert np.isfinite(found).all()


# In C


class Everyone(nn.Module):
    """A Leaky for each class of surrogates in each reset; every threshold learns.

    There is an input for each reset, so that the neurons of each share kernels, which stay short.
    """

    inputs: ClassVar[dict[str, nn.Input]] = {reset: nn.Input(5) for reset in EVERY_RESET}

    def __init__(self) -> None:
        self.neurons = {
            f"{name}_{type(chosen).__name__}": nn.Leaky(
                0.75, 0.5, reset=reset, reset_delay=delay, surrogate=chosen, learn_threshold=True
            )
            for name, (reset, delay) in EVERY_RESET.items()
            for chosen in (*OF_EACH_CLASS, WHOLE)
        }

    def forward(self, *currents: Any) -> dict[str, Any]:
        given = dict(zip(EVERY_RESET, currents, strict=True))
        return {
            f"spk_{name}": neuron(given[name.rpartition("_")[0]]).spk for name, neuron in self.neurons.items()
        }


def test_every_surrogate_in_every_reset_compiles_to_what_it_means(tmp_path: Path) -> None:
    bench, extent = Bench(Case(Everyone, None), "float64", tmp_path), Extent(6, 7)
    model, cotangents = bench.load(), bench.cotangents(extent)
    given = {**bench.inputs(extent), **{f"d_{name}": array for name, array in cotangents.items()}}
    expected = bench.reference("backward", extent, given)
    out = model(bench.inputs(extent), num_steps=extent.steps)
    spikes = bench.reference("forward", extent, bench.inputs(extent))
    found = model.backward(bench.inputs(extent), cotangents=cotangents, num_steps=extent.steps)
    apart = {
        **{n: difference(g, expected["gradient", n]) for n, g in found.params.items()},
        **{n: difference(g, expected["d_state", n]) for n, g in found.state.items()},
        **{n: difference(out[n], spikes["output", n]) for n in model.output_names},
    }
    assert len(apart) == 3 * (len(OF_EACH_CLASS) + 1) * len(EVERY_RESET)
    assert {name: d for name, d in apart.items() if not d <= BOUND["float64"]} == {}
    silent = {name for name, g in found.params.items() if not g.any()}
    assert silent == set()


# A user's own


def test_a_function_is_its_equations() -> None:
    def made(slope: float) -> Surrogate:
        return custom(lambda u: 1 / (1 + slope * snncc.absolute(u)) ** 2)

    assert str(made(3)) == "Custom(1.0 / ((1.0 + 3.0 * abs(u)) * (1.0 + 3.0 * abs(u))))" == str(OWN)
    assert made(3) == OWN and hash(made(3)) == hash(OWN)
    assert made(4) != OWN
    np.testing.assert_array_equal(made(3).derivative(GRID), surrogate.FastSigmoid(3.0).derivative(GRID))


def test_long_equations_are_printed_by_their_digest() -> None:
    def long(last: float) -> Surrogate:
        return custom(lambda u: sum((k * u * u for k in range(9)), last * u))

    assert str(long(1.0)).startswith("Custom(u: #")
    assert str(long(1.0)) == str(long(1.0)) != str(long(2.0))


def test_every_function_of_snncc_can_be_used_and_printed() -> None:
    def mixed(u: Any) -> Any:
        return snncc.where(u > 0, snncc.exp(-u), snncc.detach(snncc.cos(u))) * snncc.clamp(u, -1, 1)

    made = custom(mixed)
    assert str(made) == "Custom((u > 0.0 ? exp(-u) : cos(u)) * min(max(u, -1.0), 1.0))"
    with np.errstate(over="ignore"):
        expected = np.where(GRID > 0, np.exp(-GRID), np.cos(GRID)) * np.clip(GRID, -1, 1)
    np.testing.assert_allclose(made.derivative(GRID), expected, rtol=1e-15)


def test_the_cache_knows_a_network_by_the_equations() -> None:
    def key(chosen: Surrogate) -> str | None:
        network = nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9, surrogate=chosen))
        return cache.key_of(trace(network).graph, Target())

    keys = [key(custom(lambda u, k=k: k / (1 + abs(u)))) for k in (1, 2)]    # type: ignore[misc]
    assert keys[0] == key(custom(lambda v: 1.0 / (1.0 + snncc.absolute(v))))
    assert None not in keys and keys[0] != keys[1]
    assert key(SNNTORCH.custom_surrogate(lambda u, grad, spk: grad / (1 + abs(u)))) not in (None, *keys)


def test_the_whole_gradient_may_be_given() -> None:
    def fast(u: Any, grad: Any, spk: Any) -> Any:
        return grad / (25 * snncc.absolute(u) + 1.0) ** 2

    def of(chosen: Surrogate) -> nn.Module:
        return nn.Sequential(fc=nn.Linear(3, 4), lif=nn.Leaky(0.9, 0.3, surrogate=chosen))

    extent, found = Extent(5, 3), []
    for chosen in (SNNTORCH.custom_surrogate(fast), surrogate.FastSigmoid(25.0)):
        bench = Bench(Case(lambda chosen=chosen: of(chosen), None), "float64", Path(), build=False)    # type: ignore[misc]
        given = {f"d_{name}": array for name, array in bench.cotangents(extent).items()}
        found.append(bench.reference("backward", extent, {**bench.inputs(extent), **given})["d_input", "x"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert found[0].any()
    only_spikes = custom_gradient(lambda u, grad, spk: spk * grad)
    np.testing.assert_array_equal(only_spikes.derivative(GRID), surrogate.TwoSlopes().derivative(GRID))


MISTAKES = {
    "finite": (lambda: surrogate.ATan("2"), r"ATan: alpha must be a finite number, got '2' \(test_surr"),
    "above": (lambda: surrogate.Triangle(0), "Triangle: width must be above 0, got 0"),
    "terms": (lambda: surrogate.SquareWave(0), "SquareWave: terms must be from 1 to 1000, got 0"),
    "n": (lambda: SPIKINGJELLY.SquarewaveFourierSeries(1), "n must be at least 2 .* got 1"),
    "rect": (lambda: SPIKINGJELLY.Rect(0.0), "Rect: alpha must be above 0, got 0.0"),
    "w": (lambda: SPIKINGJELLY.PiecewiseLeakyReLU(w=-1), "PiecewiseLeakyReLU: w must be above 0, got -1"),
    "smooth": (lambda: SPIKINGJELLY.Sigmoid(4.0, False), "Sigmoid: spiking must be True, got False: snncc"),
    "numpy": (lambda: custom(np.exp), "custom surrogate: expected a function of u, made of .*snncc.exp"),
    "two": (lambda: custom(lambda u, v: u), "custom surrogate: expected a function of u, made of"),
    "nothing": (lambda: custom(lambda u: None), "expected a value of the network or a number, got NoneType"),
    "reduction": (lambda: custom(snncc.ops.sum_features), "elementwise functions, found sum_features"),
    "power": (lambda: custom(lambda u: u**0.5), r"%u: \*\* takes whole numbers from -16 to 16, got 0.5"),
    "primitive": (lambda: custom(lambda u: u).primitive(GRID), "no primitive: give custom"),
    "a class": (lambda: nn.Leaky(0.9, surrogate=surrogate.ATan), "surrogate must be one of nn.surrogate or"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(CompileError, match=message):
        make()
