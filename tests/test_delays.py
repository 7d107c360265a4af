"""Delays of several steps: read from the stored sequence, in loops and segments from a ring as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, nn
from snncc.driver import entry_stages, generate
from snncc.frontend.dsl import trace
from snncc.nn.module import Module
from snncc.passes.choose_kernels import spike_states
from snncc.passes.pipeline import Options
from snncc.program import Sweep, flat
from snncc.reference import Call, evaluate
from snncc.target import Target
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference, slopes

LENGTHS = (Extent(9, 3), Extent(2, 3), Extent(17, 5))


class Late(nn.Module):
    """Delays of inputs, currents, spikes and membranes, shorter and longer than a run."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5)}

    def __init__(self, size: int = 70) -> None:
        self.fc, self.lif = nn.Linear(5, size), nn.Leaky(0.9, learn_beta=True)
        self.two, self.three, self.long = nn.Delay(2), nn.Delay(3), nn.Delay(12, initial=0.5)
        self.none, self.one = nn.Delay(0), nn.Delay(1)
        self.out, self.last = nn.Linear(size, CLASSES), nn.Leaky(0.7)

    def forward(self, x: Any) -> dict[str, Any]:
        spk, mem = self.lif(self.fc(self.two(x)) + 0.25 * self.three(self.fc(x)))
        mixed = self.three(spk) * 0.5 + self.two(self.none(spk))
        result = self.last(self.two(self.out(mixed)) + self.one(self.out(spk)))
        return {"spk": result.spk, "mem": result.mem, "late": mixed + self.long(mem)}


class Around(nn.Module):
    """Delays of several steps on loops over time: around a product, after another delay, of numbers alone."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5)}

    def __init__(self, size: int = 18) -> None:
        self.size = size
        self.fc, self.back = nn.Linear(5, size), nn.Linear(size, size)
        self.lif, self.three, self.out = nn.Leaky(slopes(size)), nn.Delay(3), nn.Linear(size, CLASSES)

    def forward(self, x: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=self.size, steps=4, name="loop")
        spk, mem = self.lif(self.fc(x) + self.back(self.three(loop.value)))
        loop.feed(spk)
        echo = snncc.delay(shape=self.size, steps=2, name="echo")
        return {"spk": self.out(spk), "mem": echo.feed(0.5 * echo.value + mem)}


class Images(nn.Module):
    """The same of images, whose channels lie last: around a convolution, and of numbers alone."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, 4, 4)}

    def __init__(self) -> None:
        self.fc, self.back = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.lif = nn.Leaky(0.9)

    def forward(self, x: Any) -> dict[str, Any]:
        loop, echo = (snncc.delay(shape=(3, 4, 4), steps=k, name=f"by{k}") for k in (3, 2))
        spk, mem = self.lif(self.fc(x) + self.back(loop.value))
        loop.feed(spk)
        return {"spk": spk, "mem": echo.feed(0.5 * echo.value + mem)}


class Chained(nn.Module):
    """Delays of delays, of inputs, membranes, spikes; each has a weight, whose gradient reads them again."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(66), "picture": nn.Input(2, 3, 4)}

    def __init__(self) -> None:
        self.sliding, self.lif, self.two = nn.SlidingPSN(4, exp_init=False), nn.Leaky(0.9), nn.Delay(2)
        self.weights = nn.Parameter((3, 66), np.linspace(-0.5, 1.5, 198).reshape(3, 66))
        self.shades = nn.Parameter((2, 3, 4), np.linspace(-0.5, 1.5, 24).reshape(2, 3, 4))

    def forward(self, x: Any, picture: Any) -> dict[str, Any]:
        spk, mem = self.lif(x)
        kinds = (self.thrice(value, name) for value, name in ((x, "x"), (mem, "mem"), (spk, "spk")))
        late = sum(self.weights[k] * kind for k, kind in enumerate(kinds))
        shades = self.shades * self.thrice(picture, "shade")
        return {"spk": self.sliding(x).spk, "mem": late, "shades": shades}

    def thrice(self, value: Any, name: str) -> Any:
        once = snncc.delay(value, name=f"{name}1")
        return snncc.delay(self.two(once), name=f"{name}3")


class Rings(nn.Module):
    """States that only go round: one keeps what it started from, two take turns. Delays of them, weighted."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5)}

    def __init__(self) -> None:
        self.weights = nn.Parameter((2, 5), np.linspace(-0.5, 1.5, 10).reshape(2, 5))

    def forward(self, x: Any) -> dict[str, Any]:
        still, turn = (snncc.delay(shape=5, name=name) for name in ("still", "turn"))
        still.feed(still.value)
        other = snncc.delay(turn.value, name="other")
        turn.feed(other)
        late = snncc.delay(still.value, name="late")
        return {"out": x + self.weights[0] * late + self.weights[1] * other}


def test_delays_of_delays_are_not_kept() -> None:
    """The gradient reads rows of what the first of them delays, if that is kept: spikes are not. What an
    image was before may lie in another order."""
    backward = next(s for s in entry_stages(trace(Chained()), Target()) if s.name == "backward")
    *_, (_, graph) = backward.run(Options())
    kept = {node.inputs[0] for node in graph if node.op.name == "context"}
    assert {name for name in kept if name.endswith(".prev")} == {"spk3.prev", "shade3.prev"}


def states(bench: Bench, extent: Extent) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    graph = bench.traced.graph
    found: list[Any] = [n for n in graph if n.op.name == "state"]
    shapes = {n.op.label: (extent.batch, *n.type.features) for n in found}
    drawn = {name: np.round(rng.normal(size=shape) * 16) / 16 for name, shape in shapes.items()}
    return drawn | {name: (drawn[name] > 0) * 1.0 for name in spike_states(graph)}


@pytest.mark.parametrize(
    ("network", "dtype", "options"),
    [
        (Rings, "float64", {}),
        (Chained, "float32", {}),
        (Chained, "float64", {"checkpoint_every": 4}),
        (Late, "float32", {}),
        (Late, "float64", {"checkpoint_every": 4, "unroll": 2}),
        (Around, "float32", {}),
        (Around, "float64", {"checkpoint_every": 4}),
        (Images, "float32", {"checkpoint_every": 4}),
    ],
)
def test_delays_are_the_interpreters(
    network: type[Module], dtype: str, options: dict[str, Any], tmp_path: Path
) -> None:
    bench = Bench(Case(network, None), dtype, tmp_path / "m", **options)
    for extent in LENGTHS:
        inputs, cotangents = bench.inputs(extent), bench.cotangents(extent)
        given = {**inputs, **{f"d_{name}": c for name, c in cotangents.items()}}
        for state in (None, states(bench, extent)):
            model = bench.load(threads=2)
            result = model(inputs, state=state)
            for (role, name), array in bench.reference("forward", extent, inputs, state).items():
                found = result[name] if role == "output" else result.state[name]
                assert difference(found, array) <= BOUND[dtype], (role, name)
            back = model.backward(inputs, state=state, cotangents=cotangents)
            roles = {"d_input": back.inputs, "gradient": back.params, "d_state": back.state}
            for (role, name), array in bench.reference("backward", extent, given, state).items():
                assert difference(roles[role][name], array) <= BOUND[dtype], (role, name)


def test_a_stream_is_a_run(tmp_path: Path) -> None:
    """Step by step and in pieces of any length: the same bits, and the same final states."""
    bench, extent = Bench(Case(Late, None), "float32", tmp_path / "m"), Extent(17, 5)
    x, model = bench.inputs(extent)["x"], bench.load()
    whole, pieces, state = model(x), [], None
    for begin, end in ((0, 1), (1, 2), (2, 9), (9, 17)):
        piece = model(x[begin:end], state=state) if end - begin > 1 else model.step(x[begin], state=state)
        pieces.append(np.reshape(piece.late, (end - begin, *whole.late.shape[1:])))
        state = piece.state
    np.testing.assert_array_equal(np.concatenate(pieces), whole.late)
    assert state is not None
    for name, array in whole.state.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)
    assert state["two.delay"].shape == (5, 2, 5), "a row for each step"


def test_a_delay_is_the_input_of_so_many_steps_before() -> None:
    network = nn.Sequential(late=nn.Delay(3, initial=7.0), input=nn.Input(2))
    x = np.arange(10.0).reshape(5, 1, 2)
    found = evaluate(trace(network).graph, Call({"x": x}, {}, {}, 5, 1))
    np.testing.assert_array_equal(found["output", "out"], [*np.full((3, 1, 2), 7.0), *x[:2]])
    np.testing.assert_array_equal(found["state_out", "late.delay"], np.moveaxis(x[2:], 0, 1))


def test_a_delay_of_a_stored_sequence_carries_nothing() -> None:
    """It is read where it is used: one kernel, no state and no copy."""
    network = nn.Sequential(fc=nn.Linear(3, 4), late=nn.Delay(5), lif=nn.Leaky(0.9))
    program = generate(trace(network), Target(num_steps=9)).program
    for entry, way in (("forward", 5), ("backward", -5)):
        (made,) = (e for e in program.entries if e.name == entry)
        sweeps = [item for item in flat(made.tile) if isinstance(item, Sweep) and item.reverse == (way < 0)]
        assert [p.steps for s in sweeps for p in s.pointers if abs(p.steps) > 1] == [way]
        assert all("late" not in a.name for s in sweeps for a in s.arrays)


@pytest.mark.parametrize("steps", [-1, 1.5, True, "3"])
def test_steps_are_whole_numbers(steps: Any) -> None:
    with pytest.raises(CompileError, match="steps must be an integer, at least 0"):
        nn.Delay(steps)
    if steps:
        with pytest.raises(CompileError, match=r"steps must be an? (positive )?integer"):
            trace(nn.Sequential(Bad(steps), input=nn.Input(2)))


class Bad(nn.Module):
    """A delay of any steps."""

    def __init__(self, steps: Any) -> None:
        self.steps = steps

    def forward(self, x: Any) -> Any:
        return snncc.delay(x, steps=self.steps)
