"""Delays of single neurons and synapses, given, drawn or learned, and their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, loss, nn, optim
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.nn.connections import FanIn
from snncc.ops import leaf
from snncc.target import Target
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference
from tests.test_delays import states
from tests.test_emit import EXACT, cc, run, written

SIZE = 90


class Late(nn.Module):
    """Synapses and neurons with delays of their own, of inputs, spikes and membranes."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(30)}

    def __init__(self) -> None:
        self.a, self.first = nn.DelayedLinear(30, SIZE, max_delay=5, seed=2), nn.Leaky(0.9)
        self.each = nn.Delay(np.arange(SIZE) % 4)
        self.b = nn.DelayedLinear(SIZE, SIZE, max_delay=3, learn_delays=True, connections=FanIn(4))
        self.second = nn.Leaky(0.8)
        self.learned = nn.Delay(np.linspace(0, 3, SIZE), learn=True, max_delay=3, initial=0.5)
        self.c, self.out = nn.DelayedLinear(SIZE, CLASSES, 1, bias=False), nn.Linear(SIZE, CLASSES)

    def forward(self, x: Any) -> dict[str, Any]:
        spk, mem = self.first(self.a(x))
        late, _ = self.second(self.b(self.each(spk)))
        return {"spk": late, "mem": self.c(late) + self.out(self.learned(mem))}


class Feedback(nn.Module):
    """The same in loops over time: around a neuron, of its spikes, and of numbers alone."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(30)}

    def __init__(self) -> None:
        self.fc, self.lif = nn.Linear(30, SIZE), nn.Leaky(0.9)
        self.back = nn.DelayedLinear(SIZE, SIZE, max_delay=3, learn_delays=True, connections=FanIn(4))
        self.each, self.out = nn.Delay(np.arange(SIZE) % 4), nn.Linear(SIZE, CLASSES)
        self.learned = nn.Delay(np.linspace(0, 3, CLASSES), learn=True, max_delay=3, initial=0.5)

    def forward(self, x: Any) -> dict[str, Any]:
        loop, echo = snncc.delay(shape=SIZE, steps=2, name="loop"), snncc.delay(shape=CLASSES, name="echo")
        spk, _ = self.lif(self.fc(x) + self.back(loop.value) + 0.25 * self.each(loop.value))
        loop.feed(spk)
        return {"spk": spk, "mem": echo.feed(self.out(spk) + 0.5 * self.learned(echo.value))}


def on_grid(bench: Bench) -> None:
    """Weights and positions with which products are exact."""
    for name, value in bench.values.items():
        if name.endswith("values"):
            bench.values[name] = np.round(value * 128) / 64
        elif name.endswith("positions") and value.dtype.kind == "f":
            bench.values[name] = np.minimum(np.round(value * 16) / 16 + 0.0625, 3.0)


@pytest.mark.parametrize(("network", "dtype"), [(Late, "float32"), (Late, "float64"), (Feedback, "float32")])
def test_late_synapses_are_the_interpreters(network: Any, dtype: str, tmp_path: Path) -> None:
    bench = Bench(Case(network, None), dtype, tmp_path / "m")
    on_grid(bench)
    for extent in (Extent(9, 3), Extent(2, 2)):
        inputs, cotangents, state = bench.inputs(extent), bench.cotangents(extent), states(bench, extent)
        given = {**inputs, **{f"d_{name}": c for name, c in cotangents.items()}}
        expected = bench.reference("forward", extent, inputs, state)
        slopes = bench.reference("backward", extent, given, state)
        first: dict[str, Any] = {}
        for threads, tile in ((1, 4), (3, 4), (2, 1)):
            model = snncc.load(bench.folder, threads=threads, slots=1, tile=tile)
            model.params.update({name: bench.values[name] for name in model.params})
            result = model(inputs, state=state)
            back = model.backward(inputs, cotangents=cotangents, state=state)
            for (role, name), array in expected.items():
                found = result[name] if role == "output" else result.state[name]
                assert difference(found, array) <= BOUND[dtype], (role, name)
            roles = {"d_input": back.inputs, "gradient": back.params, "d_state": back.state}
            for (role, name), array in slopes.items():
                assert difference(roles[role][name], array) <= BOUND[dtype], (role, name)
            if tile == 4:
                first = first or back.params
                assert all(np.array_equal(first[name], array) for name, array in back.params.items())
        following, streamed = state, []
        for x in inputs["x"]:
            step = model.step(x, state=following)
            following, streamed = step.state, [*streamed, step.mem]
        np.testing.assert_array_equal(np.stack(streamed), result.mem)


def one_layer(layer: nn.Module) -> Bench:
    network = nn.Sequential(fc=layer, input=nn.Input(4))
    return Bench(Case(lambda: network, None), "float64", Path(), build=False)


def test_whole_delays_are_sums_of_earlier_inputs() -> None:
    """Written by hand, one synapse after the other."""
    rng = np.random.default_rng(0)
    delays, x = rng.integers(0, 4, (3, 4)), rng.normal(size=(6, 2, 4))
    layer = nn.DelayedLinear(4, 3, delays)
    bench = one_layer(layer)
    weight, expected = layer.dense(bench.values["fc.values"]), np.zeros((6, 2, 3))
    for o, i in np.ndindex(3, 4):
        for t in range(delays[o, i], 6):
            expected[t, :, o] += weight[o, i] * x[t - delays[o, i], :, i]
    found = bench.reference("forward", Extent(6, 2), {"x": x})["output", "out"]
    np.testing.assert_allclose(found, expected + bench.values["fc.bias"], atol=1e-14)
    assert (nn.Delay([2, 0]).longest, nn.DelayedLinear(2, 2, max_delay=9).longest) == (2, 9)


class Echo(nn.Module):
    """A loop whose values come back after delays that are learned."""

    def __init__(self) -> None:
        delays = np.linspace(0.3, 2.8, 16).reshape(4, 4)
        self.back = nn.DelayedLinear(4, 4, delays, max_delay=3, learn_delays=True)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=4, steps=2, name="echo")
        return loop.feed(x + 0.25 * self.back(loop.value))


BETWEEN = np.linspace(0.3, 2.8, 12).reshape(3, 4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.DelayedLinear(4, 3, BETWEEN, max_delay=3, learn_delays=True),
        lambda: nn.Delay([0.25, 1.5, 2.75, 2.0625], learn=True, max_delay=3),
        Echo,
    ],
)
def test_gradients_are_slopes(make: Any) -> None:
    """Finite differences by values, positions, inputs and what was before the first step."""
    bench, extent, h = one_layer(make()), Extent(5, 2), 1e-6
    rng = np.random.default_rng(1)
    x, kept = rng.normal(size=(5, 2, 4)), {"fc.delay": 3, "fc.back.delay": 3, "fc.echo": 2}
    labels = [n.op.label for n in bench.traced.graph if isinstance(n.op, leaf.State)]
    state = {label: rng.normal(size=(2, kept[label], 4)) for label in labels}
    weight = rng.normal(size=bench.reference("forward", extent, {"x": x})["output", "out"].shape)
    back = bench.reference("backward", extent, {"x": x, "d_out": weight}, state)

    def total() -> float:
        out = bench.reference("forward", extent, {"x": x}, state)["output", "out"]
        return float((out * weight).sum())

    learned = {name: bench.values[name] for (role, name) in back if role == "gradient"}
    arrays = {("gradient", name): array for name, array in learned.items()}
    arrays |= {("d_input", "x"): x, **{("d_state", label): array for label, array in state.items()}}
    for key, array in arrays.items():
        for place in list(np.ndindex(array.shape))[::3]:
            kept = array[place]
            array[place] = kept + h
            above = total()
            array[place] = kept - h
            slope = (above - total()) / (2 * h)
            array[place] = kept
            assert back[key][place] == pytest.approx(slope, abs=1e-7), (key, place)


def test_only_what_is_learned_is_a_parameter() -> None:
    """The synapses of weight 1 that features go through are nobody's."""
    layers = {"fixed": nn.Delay([2, 0, 1, 7]), "learned": nn.Delay([1.5], learn=True, max_delay=3)}
    graph = trace(nn.Sequential(**layers, input=nn.Input(4))).graph
    assert [n.op.label for n in graph if isinstance(n.op, leaf.Parameter)] == ["learned.positions"]


def test_a_delay_is_learned(tmp_path: Path) -> None:
    """An input that comes at step 2 and is to go out at step 5: the position moves towards 3."""
    network = nn.Sequential(late=nn.Delay([1.5], learn=True, max_delay=6), input=nn.Input(1))
    model = snncc.compile(network, num_steps=8)
    x, aim = np.zeros((8, 1, 1)), np.zeros((8, 1, 1))
    x[1:4, 0, 0], aim[4:7, 0, 0] = [0.5, 1, 0.5], [0.5, 1, 0.5]
    for _ in range(200):
        slope = model.backward(x, out=2 * (model(x).out - aim)).params["late.positions"]
        model.params["late.positions"] = model.params["late.positions"] - 0.05 * slope
    assert model.params["late.positions"] == pytest.approx([3.0], abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Delay(3, max_delay=2), "whole numbers from 0 to 2, got int64 from 3 to 3"),
        (lambda: nn.Delay([]), "one number, or one a channel or feature"),
        (lambda: nn.Delay([1.5, 2.0]), "whole numbers from 0 to 2, got float64"),
        (lambda: nn.Delay([1, -2]), "from -2 to 1"),
        (lambda: nn.Delay([1.0], learn=True), "need max_delay"),
        (lambda: nn.Delay(float("nan"), learn=True, max_delay=3), r"where it is learned, a finite number\)"),
        (lambda: nn.Delay([4.0], learn=True, max_delay=3), "numbers from 0 to 3"),
        (lambda: nn.DelayedLinear(3, 2), "give delays, or max_delay"),
        (lambda: nn.DelayedLinear(3, 2, [1, 2]), r"a matrix \[2, 3\]"),
        (lambda: nn.DelayedLinear(3, 2, max_delay=0), "max_delay must be a positive integer"),
    ],
)
def test_delays_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        make()


def test_segments_are_refused() -> None:
    with pytest.raises(CompileError, match="segment by segment"):
        generate(trace(nn.Sequential(nn.DelayedLinear(3, 2, 4))), Target(num_steps=5, checkpoint_every=2))


class Images(nn.Module):
    """A row as an image: groups of channels, norms of every kind, attention, sparse synapses behind it."""

    def __init__(self) -> None:
        self.groups, self.channels = nn.GroupNorm(2, 4), nn.BatchNorm2d(8)
        self.conv, self.lif = nn.Conv2d(4, 8, 3, groups=2), nn.Leaky([0.9] * 8, learn_beta=True)
        self.row, self.sparse = nn.LayerNorm(6), nn.SparseLinear(48, 80, FanIn(3))

    def forward(self, x: Any) -> Any:
        spk = self.lif(self.channels(self.conv(self.groups(x.reshape(4, 4, 5))))).spk
        tokens = spk.reshape(8, 6)
        mixed = self.row(snncc.matmul(snncc.softmax(tokens @ tokens.permute(1, 0)), tokens))
        return self.sparse(spk.reshape(48)) + self.sparse(mixed.reshape(48))


class Loops(nn.Module):
    """Delays of several steps in loops over time, longer and shorter than a run."""

    def __init__(self, size: int) -> None:
        self.size, self.lif = size, nn.Leaky(0.9)
        self.back = nn.DelayedLinear(size, size, max_delay=2, connections=FanIn(2))
        self.fc = nn.Linear(size, size)

    def forward(self, x: Any) -> Any:
        near, far = (snncc.delay(shape=self.size, steps=k) for k in (3, 12))
        echo = snncc.delay(shape=self.size, steps=2)
        spk, mem = self.lif(x + self.back(near.value) + self.fc(far.value))
        near.feed(spk), far.feed(spk)
        return spk + echo.feed(mem - 0.5 * echo.value)


def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    """In layers of whole numbers, sparse and late synapses, delays, and of images."""
    network = nn.Sequential(
        words=nn.Embedding(7, 70), a=nn.SparseLinear(70, 90, FanIn(3)), lif=nn.Leaky(0.9), all=nn.Delay(2),
        b=nn.DelayedLinear(90, 80, max_delay=3), images=Images(), middle=nn.Leaky(0.8),
        each=nn.Delay(np.arange(80) % 5), loops=Loops(80),
        c=nn.DelayedLinear(80, CLASSES, max_delay=12, learn_delays=True), last=nn.Leaky(0.8),
        input=nn.Input(dtype="int"),
    )    # fmt: skip
    target = Target(9, loss.mse("mem"), optim.SGD(0.1), "float32", "late")
    folder = written(generate(trace(network), target).sources, tmp_path)
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Werror")
    cc("-std=c11", *EXACT, "-O1", *sanitize, "example.c", "model.c", "-o", "example", folder=folder)
    assert "loss" in run("./example", folder=folder)
