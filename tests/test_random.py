"""Random numbers of a network: the same wherever they are drawn, and random."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, loss, nn, optim
from snncc.commands.check import check
from snncc.driver import Target, entry_stages, generate
from snncc.frontend.dsl import trace
from snncc.ops.random import Uniform
from snncc.passes.insert_context import InsertContext
from snncc.reference import Call, evaluate

STEPS, BATCH, SIZE = 9, 37, 130
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "segments": {"checkpoint_every": 4},
    "unrolled": {"unroll": 4},
    "double": {"dtype": "float64"},
}


class Noisy(nn.Module):
    """Draws that are read by a product, within a loop through time, twice, at every step and once a call."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(SIZE)}

    def __init__(self) -> None:
        self.fc, self.back = nn.Linear(SIZE, 20), nn.Linear(20, 20)
        self.lif = nn.Leaky(0.5)

    def forward(self, x: Any) -> dict[str, Any]:
        drawn, once = snncc.uniform(x), snncc.uniform(x, time=False)
        rate = snncc.spike(x - drawn)
        loop = snncc.delay(shape=20)
        current = self.fc(rate) + self.back(loop.value)
        spk, mem = self.lif(current * snncc.uniform(current))
        loop.feed(spk)
        scaled = x * drawn + x * once
        return {"rate": rate, "drawn": drawn, "once": once, "spk": spk, "mem": mem, "scaled": scaled}


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65, (STEPS, BATCH, SIZE)) / 64.0


@pytest.fixture(scope="module")
def expected(x: np.ndarray) -> dict[str, np.ndarray]:
    network = trace(Noisy())
    call = Call({"x": x}, network.parameters, {}, STEPS, BATCH, np.float64, seed=5)
    return {name: array for (role, name), array in evaluate(network.graph, call).items() if role == "output"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiled_draws_what_the_interpreter_draws(
    variant: str, x: np.ndarray, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    snncc.compile(Noisy(), num_steps=STEPS, out=tmp_path / "noisy", **VARIANTS[variant])
    for options in ({}, {"threads": 1}, {"threads": 3, "slots": 2}, {"tile": 5}, {"tile": 1, "slots": 7}):
        model = snncc.load(tmp_path / "noisy", **options)
        out = model(x, seed=5)
        for name in ("drawn", "once", "rate"):
            np.testing.assert_array_equal(getattr(out, name), expected[name], err_msg=name)
        np.testing.assert_allclose(out.scaled, expected["scaled"], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 4}, {"context": "float16"}], ids=str)
def test_every_pass_keeps_the_numbers(options: dict[str, Any], x: np.ndarray) -> None:
    """The law, on draws and on what losses make in place: tables and step numbers."""
    of = loss.cross_entropy("mem_max", class_weights=range(1, 21)) + loss.l1_rate(0.5, of="lif")
    network, target = trace(Noisy()), Target(loss=of, dtype="float64", **options)
    given = {"x": x, "target": np.arange(BATCH) % 20, "d_mem": np.ones((STEPS, BATCH, 20))}
    call = Call(given, network.parameters, {}, STEPS, BATCH, np.float64, seed=5)
    for stages in entry_stages(network, target):
        before: dict[tuple[str, str], np.ndarray] = {}
        for step, graph in stages.run(target.options):
            if isinstance(step, InsertContext) and target.context:
                before = {}    # it rounds what is kept
            found = evaluate(graph, call)
            for name in before.keys() & found.keys():
                np.testing.assert_allclose(
                    found[name], before[name], rtol=1e-10, atol=1e-12, err_msg=f"{step} {name}"
                )
            before = found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_backward_half_meets_the_same_numbers(variant: str, x: np.ndarray) -> None:
    model = snncc.compile(Noisy(), num_steps=STEPS, **VARIANTS[variant])
    out = model(x)
    found = model.backward(x, cotangents={"scaled": np.ones_like(x)})
    np.testing.assert_allclose(found.inputs["x"], out.drawn + out.once, atol=1e-6)
    again = model.backward(x, cotangents={"scaled": np.ones_like(x)}, seed=3)
    assert not np.allclose(again.inputs["x"], out.drawn + out.once)


def test_a_stream_of_steps_draws_what_one_call_draws(x: np.ndarray) -> None:
    model = snncc.compile(Noisy(), num_steps=STEPS)
    whole, state = model(x, seed=7), None
    for t in range(STEPS):
        out = model.step(x[t], state=state, seed=7, number=t)
        state = out.state
        np.testing.assert_array_equal(out.drawn, whole.drawn[t])
        np.testing.assert_array_equal(out.once, whole.once)


def test_samples_are_counted_over_the_batch(x: np.ndarray) -> None:
    model = snncc.compile(Noisy(), num_steps=STEPS)
    np.testing.assert_array_equal(model(x[:, :5], seed=1).drawn, model(x, seed=1).drawn[:, :5])


def test_each_call_draws_anew_and_a_seed_repeats(x: np.ndarray) -> None:
    model = snncc.compile(Noisy(), num_steps=STEPS)
    first, second = model(x).drawn, model(x).drawn
    assert (first != second).mean() > 0.99
    assert model.seed == 2
    model.seed = 0
    np.testing.assert_array_equal(model(x).drawn, first)
    np.testing.assert_array_equal(model(x, seed=1).drawn, second)
    assert model.seed == 1


def test_training_draws_anew_and_is_repeatable() -> None:
    class Net(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6, static=True)}

        def __init__(self) -> None:
            self.fc, self.lif = nn.Linear(6, 3), nn.Leaky(0.9)

        def forward(self, x: Any) -> Any:
            return self.lif(self.fc(snncc.spike(x - snncc.uniform(x))))

    rng = np.random.default_rng(1)
    given, labels = rng.random((8, 6)), rng.integers(0, 3, 8)
    model = snncc.compile(Net(), num_steps=5, loss=loss.cross_entropy("mem"), optimizer=optim.SGD(0.1))
    losses = [model.train_step(given, labels, lr=0.0) for _ in range(3)]
    assert len(set(losses)) == 3
    model.seed = 0
    assert [model.train_step(given, labels, lr=0.0) for _ in range(3)] == losses
    model.profile(given, labels, repeats=2)
    assert model.seed == 3


def test_no_sequence_of_numbers_is_kept() -> None:
    """Whatever reads a draw, no buffer of the program holds it; only the product that reads it itself."""

    class Net(Noisy):
        def forward(self, x: Any) -> dict[str, Any]:
            outputs = super().forward(x)
            return {name: outputs[name] for name in ("spk", "mem", "scaled")}

    program = generate(trace(Net()), Target()).program
    for entry in program.entries:
        assert not [b.name for b in entry.buffers if "uniform" in b.name], entry.name
        assert any(sweep.locals for sweep in _sweeps(entry.items)), entry.name


def _sweeps(items: Any) -> list[Any]:
    found = []
    for item in items:
        found += _sweeps(item.items) if hasattr(item, "items") else [item] if hasattr(item, "locals") else []
    return found


@pytest.mark.parametrize("variant", ["plain", "segments"])
def test_a_surrogate_may_draw(variant: str, x: np.ndarray) -> None:
    """Numbers that only gradients have: those of the interpreter, and others at each call."""
    net = nn.Sequential(
        fc=nn.Linear(SIZE, 20), lif=nn.Leaky(0.9, surrogate=nn.surrogate.StochasticStep(0.0, 0.5))
    )
    options = {**VARIANTS[variant], "dtype": "float64"}
    model, network = snncc.compile(net, num_steps=STEPS, **options), trace(net)
    weights = np.ones((STEPS, BATCH, 20))
    first, second, again = (
        model.backward(x, cotangents={"spk": weights}, **seed).inputs["x"] for seed in ({}, {}, {"seed": 0})
    )
    assert (first != second).mean() > 0.9
    np.testing.assert_array_equal(first, again)
    stages = next(s for s in entry_stages(network, Target(**options)) if s.name == "backward")
    passes = stages.run(Target(**options).options)
    graph = next(graph for step, graph in passes if step.title() == "differentiate")
    call = Call({"x": x, "d_spk": weights}, network.parameters, {}, STEPS, BATCH, np.float64)
    np.testing.assert_allclose(first, evaluate(graph, call)["d_input", "x"], rtol=1e-9, atol=1e-11)


def test_check_compares_networks_that_draw() -> None:
    net = nn.Sequential(
        code=nn.Rate(), fc=nn.Linear(6, 8), lif=nn.Leaky(0.9), input=nn.Input(6, static=True)
    )
    of = loss.cross_entropy("mem_max") + loss.l1_rate(0.1, of="lif")
    for steps in (5, 6):
        report = check(trace(net), Target(num_steps=steps, loss=of), 4, 0, "drawing")
        assert report.sound, report.text


# ---- how random they are

NUMBERS = Uniform(0, (512,)).numbers(64, 64, seed=3).astype(np.float64)


def test_numbers_are_uniform() -> None:
    count, bins = NUMBERS.size, 256
    assert NUMBERS.min() >= 0 and NUMBERS.max() < 1
    observed, _ = np.histogram(NUMBERS, bins, (0, 1))
    chi_square = ((observed - count / bins) ** 2 / (count / bins)).sum()
    assert abs(chi_square - (bins - 1)) < 5 * np.sqrt(2 * (bins - 1))
    low = NUMBERS * 2**16 % 1    # the low bits too
    observed, _ = np.histogram(low, bins, (0, 1))
    chi_square = ((observed - count / bins) ** 2 / (count / bins)).sum()
    assert abs(chi_square - (bins - 1)) < 5 * np.sqrt(2 * (bins - 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("lag", [1, 2, 7, 16, 32])
def test_neighbours_are_independent(axis: int, lag: int) -> None:
    shifted = np.roll(NUMBERS, lag, axis)
    pairs, bins = NUMBERS.size, 16
    observed, _, _ = np.histogram2d(NUMBERS.ravel(), shifted.ravel(), bins, [[0, 1], [0, 1]])
    expected = pairs / bins**2
    chi_square = ((observed - expected) ** 2 / expected).sum()
    assert abs(chi_square - (bins**2 - 1)) < 5 * np.sqrt(2 * (bins**2 - 1))


@pytest.mark.parametrize("other", [{"seed": 4}, {"seed": 2**32 + 3}, {"seed": 3, "first_step": 64}])
def test_seeds_and_draws_are_independent(other: dict[str, int]) -> None:
    for numbers in (
        Uniform(0, (512,)).numbers(64, 64, **other).astype(np.float64),
        Uniform(1, (512,)).numbers(64, 64, seed=3).astype(np.float64),
    ):
        correlation = ((NUMBERS - 0.5) * (numbers - 0.5)).mean() * 12
        assert abs(correlation) < 5 / np.sqrt(NUMBERS.size)


def test_sums_over_a_row_and_over_time_spread_as_they_should() -> None:
    for axis in range(3):
        sums = (NUMBERS - 0.5).sum(axis) / np.sqrt(NUMBERS.shape[axis] / 12)
        assert abs(sums.mean()) < 5 / np.sqrt(sums.size)
        assert abs(sums.var() - 1) < 5 * np.sqrt(2 / sums.size)


# ---- bad input


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(CompileError, match="drawn by a network"):
        snncc.uniform(np.zeros(3))

    class Net(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(3)}

        def forward(self, x: Any) -> Any:
            return x * snncc.uniform(x, key=-1)

    with pytest.raises(CompileError, match=r"key must be an integer.*test_random.py"):
        trace(Net())


def test_bad_seeds() -> None:
    class Plain(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(3)}

        def forward(self, x: Any) -> Any:
            return x * 2.0

    class Drawing(Plain):
        def forward(self, x: Any) -> Any:
            return x * snncc.uniform(x)

    given = np.zeros((2, 1, 3))
    with pytest.raises(ModelError, match="draws no random numbers"):
        snncc.compile(Plain())(given, seed=1)
    model = snncc.compile(Drawing())
    for seed in (-1, 2**63, 1.0, True, "1"):
        with pytest.raises(ModelError, match="seed must be an integer from 0"):
            model(given, seed=seed)
        with pytest.raises(ModelError, match="seed must be an integer from 0"):
            model.seed = seed
    with pytest.raises(ModelError, match="give seed"):
        model.step(given[0], number=1)


def test_the_name_of_the_seed_is_taken() -> None:
    class Net(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"seed": nn.Input(3)}

        def forward(self, seed: Any) -> Any:
            return seed * snncc.uniform(seed)

    with pytest.raises(CompileError, match="would both be called seed in C: rename one"):
        snncc.compile(Net())


def test_the_example_draws_other_numbers_at_each_update(tmp_path: Path) -> None:
    net = nn.Sequential(fc=nn.Linear(6, 3), noise=Noise(), lif=nn.Leaky(0.9))
    snncc.compile(
        net, num_steps=5, loss=loss.cross_entropy("mem"), optimizer=optim.SGD(0.1), out=tmp_path / "m"
    )
    text = (tmp_path / "m" / "example.c").read_text()
    assert "seed[0] = update;" in text
    subprocess.run(["make", "-s"], cwd=tmp_path / "m", check=True)
    shown = subprocess.run(["./example"], cwd=tmp_path / "m", check=True, capture_output=True, text=True)
    assert "loss" in shown.stdout


class Noise(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * snncc.uniform(x)
