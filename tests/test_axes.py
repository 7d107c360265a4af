"""Feature axes: what NumPy says of them, gradients, compiled code, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, loss, nn
from snncc.driver import entry_stages
from snncc.frontend.dsl import Network, trace
from snncc.graph import Graph
from snncc.reference import Call
from snncc.target import Target
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference
from tests.test_differentiate import arguments, slopes_agree
from tests.test_end_to_end import CHECKS
from tests.test_passes import check

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 6, 5))    # steps, samples, and three feature axes
View = Callable[[Any], Any]
# What a function of a value is on arrays [T, B, 4, 6, 5].
SAME: dict[str, tuple[View, View]] = {
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(0, 1, 4, 2, 3)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(2, 4)),
    "reshape": (lambda x: x.reshape(-1, 10), lambda a: a.reshape(2, 3, 12, 10)),
    "slice": (lambda x: x[1:, ..., -2], lambda a: a[:, :, 1:, :, -2]),
    "steps": (lambda x: x[::-2, 1:5:3], lambda a: a[:, :, ::-2, 1:5:3]),
    "new axis": (lambda x: x[0, None, :, None, ::2], lambda a: a[:, :, 0, None, :, None, ::2]),
    "number": (lambda x: x[3, 0, -5], lambda a: a[:, :, 3, 0, -5]),
    "views of views": (
        lambda x: x[::-1].permute(1, 2, 0)[2:, 1::2, 1], lambda a: a[:, :, ::-1, 2:, 1::2][:, :, 1],
    ),
    "broadcast": (
        lambda x: snncc.broadcast_to(x[0, :, :1], (3, 6, 5)),
        lambda a: np.broadcast_to(a[:, :, :1, :, :1], (2, 3, 3, 6, 5)),
    ),
    "concat": (
        lambda x: snncc.concat([x, x[:, 2:4], x[:, ::-1]], axis=-2),
        lambda a: np.concatenate([a, a[:, :, :, 2:4], a[:, :, :, ::-1]], 3),
    ),
    "split": (lambda x: snncc.split(x, 4, axis=1)[1], lambda a: a[:, :, :, 4:]),
    "split by sizes": (lambda x: snncc.split(x, [1, 3, 1], axis=2)[1], lambda a: a[..., 1:4]),
    "pad": (
        lambda x: snncc.pad(x, [(0, 0), (2, 1), (0, 3)]),
        lambda a: np.pad(a, [(0, 0), (0, 0), (0, 0), (2, 1), (0, 3)]),
    ),
    "sum of all": (lambda x: x.sum(), lambda a: a.sum((2, 3, 4))),
    "sum": (lambda x: x.sum(1), lambda a: a.sum(3)),
    "sums": (lambda x: x.sum((0, -1), keepdims=True), lambda a: a.sum((2, 4), keepdims=True)),
    "mean": (lambda x: x.mean([1, 2]), lambda a: a.mean((3, 4))),
    "max": (lambda x: x.max((0, 2)), lambda a: a.max((2, 4))),
    "max of all": (lambda x: x.max(keepdims=True), lambda a: a.max((2, 3, 4), keepdims=True)),
    "softmax": (lambda x: snncc.softmax(x), lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True)),
    "softmax of rows": (
        lambda x: snncc.softmax(x[0], axis=0),
        lambda a: np.exp(a[:, :, 0]) / np.exp(a[:, :, 0]).sum(2, keepdims=True),
    ),
    "log_softmax": (
        lambda x: snncc.log_softmax(x, 1), lambda a: a - np.log(np.exp(a).sum(3, keepdims=True)),
    ),
}    # fmt: skip


class Everything(nn.Module):
    """An output for each function."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(4, 6, 5)}

    def forward(self, x: Any) -> dict[str, Any]:
        found = {name.replace(" ", "_"): function(x) for name, (function, _) in SAME.items()}
        return {**found, "mem": x.reshape(120)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_what_numpy_says(dtype: str) -> None:
    model = snncc.compile(Everything(), num_steps=2, dtype=dtype)
    out = model(X)
    for name, (_, meaning) in SAME.items():
        wanted, found = meaning(X.astype(dtype)), out[name.replace(" ", "_")]
        bound = BOUND[dtype] if name.startswith(("sum", "mean", "softmax", "log")) else 0.0
        assert difference(found, wanted) <= bound, name


class Mixed(nn.Module):
    """Values of every kind (over time, per sample, parameters), wide and narrow, in a loop, and spikes."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6, 15), "still": nn.Input(3, 5, static=True)}

    def __init__(self) -> None:
        self.shift = nn.Parameter((2, 15), np.linspace(-0.5, 0.5, 30).reshape(2, 15))
        self.lif, self.gate = nn.Leaky(0.9, 0.75), nn.Leaky(0.8, 0.5)
        self.fc, self.last = nn.Linear(195, CLASSES), nn.Leaky(0.7, 0.5)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        rows = snncc.concat([self.shift, still.reshape(1, 15), x[::2]])
        spk, _ = self.lif(rows)
        residual = spk + self.gate(x).spk    # 0, 1, 2: a residual of spikes
        turned = snncc.concat([residual.permute(1, 0), spk.transpose(), rows.max(0).reshape(15, 1)], axis=-1)
        loop = nn.delay(shape=(2, 3))
        back = loop.value.transpose().reshape(2, 3)[:, ::-1]
        mixed = snncc.softmax(turned[:2, 1:4] + 0.5 * back, 0) * self.shift[:, 3:6]
        loop.feed(mixed)
        result = self.last(self.fc(turned.reshape(195)) + mixed.mean(0))
        return {"spk": result.spk, "mem": result.mem, "mixed": mixed, "sums": still.sum(0)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_code_is_what_the_interpreter_says(dtype: str, tmp_path: Path) -> None:
    bench = Bench(Case(Mixed, loss.cross_entropy("mem")), dtype, tmp_path / "bench")
    extents = (Extent(1, 1), Extent(5, 7))
    found = [f"{c.__name__}, {e}: {p}" for e in extents for c in CHECKS for p in c(bench, "custom", e)]
    assert found == []


def call_of(traced: Network) -> Call:
    return arguments(traced, loss.mse("mem"), steps=2)


@pytest.mark.parametrize("network", [Everything, Mixed])
def test_gradients_are_slopes(network: type[nn.Module]) -> None:
    traced = trace(network())
    slopes_agree(traced.graph, "outputs", call_of(traced))


@pytest.mark.parametrize("network", [Everything, Mixed])
def test_passes_keep_the_meaning(network: type[nn.Module]) -> None:
    traced, target = trace(network()), Target(dtype="float64")
    for stages in entry_stages(traced, target):
        check(stages, target.options, call_of(traced))


def last_graph(network: nn.Module) -> Graph:
    target = Target()
    forward = next(s for s in entry_stages(trace(network), target) if s.name == "forward")
    return [graph for _, graph in forward.run(target.options)][-1]


def test_views_of_views_are_one_copy() -> None:
    graph = last_graph(Everything())
    moved = graph[next(o.value for o in graph.outputs if o.name == "views_of_views")]
    assert (moved.op.name, moved.inputs) == ("strided", ("x",))


def test_sums_of_spikes_are_driven_by_their_nonzeros() -> None:
    assert str(last_graph(Mixed())["fc.linear"].op) == "linear<counted>"


MISTAKES: dict[str, tuple[View, str]] = {
    "permute": (lambda x: x.permute(0, 1), "permute needs each of the 3 feature axes once, got [0, 1]"),
    "axis": (lambda x: x.sum(3), "sum: expected a feature axis from -3 to 2, time and batch are none; got 3"),
    "twice": (lambda x: x.max((0, -3)), "max: each axis once, got [0, -3]"),
    "reshape": (lambda x: x.reshape(7, -1), "cannot reshape [4, 6, 5] to [7, -1]"),
    "sizes": (lambda x: x.reshape(0, 5), "reshape needs positive sizes, at most one of them -1, got [0, 5]"),
    "index": (lambda x: x[4], "index 4 is outside of an axis of 4"),
    "indices": (
        lambda x: x[0, 0, 0, 0], "3 feature axes, but 4 indices (time and batch are not indexed)",
    ),
    "list": (
        lambda x: x[[0, 1]],
        "expected whole numbers, slices, ... or None as indices, got list; "
        "for lists of places there is snncc.take",
    ),
    "empty": (lambda x: x[3:3], "the slice slice(3, 3, None) of an axis of 4 is empty"),
    "broadcast": (lambda x: snncc.broadcast_to(x, (4, 6, 10)), "cannot broadcast [4, 6, 5] to [4, 6, 10]"),
    "concat": (
        lambda x: snncc.concat([x, x[1:, 1:]]),
        "concat along axis 0 needs feature shapes that are equal but for it, found [4, 6, 5], [3, 5, 5]",
    ),
    "nothing": (lambda x: snncc.concat([]), "concat needs a list of at least one value"),
    "split": (lambda x: snncc.split(x, [1, 2]), "split: sizes must be positive and add up to 4, got [1, 2]"),
    "pad": (
        lambda x: snncc.pad(x, [(1, 1)]),
        "pad needs two numbers from 0 for each of 3 feature axes, got [(1, 1)]",
    ),
    "softmax": (lambda x: snncc.softmax(x[0, 0, 0]), "softmax: there is no feature axis in a single number"),
}    # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_bad_input(name: str) -> None:
    function, message = MISTAKES[name]

    class Wrong(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(4, 6, 5)}

        def forward(self, x: Any) -> Any:
            return function(x)

    with pytest.raises(CompileError) as error:
        trace(Wrong())
    assert message in str(error.value)
    assert "test_axes.py:" in str(error.value)


def test_a_weight_matrix_has_no_axes() -> None:
    class Wrong(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(4)}

        def __init__(self) -> None:
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.fc(x) + self.fc.weight[:, 0]

    with pytest.raises(CompileError, match=r"strided of a weight matrix \(fc.weight\)"):
        snncc.compile(Wrong(), num_steps=2)


def test_on_arrays_they_compute_at_once() -> None:
    np.testing.assert_array_equal(snncc.permute(X, 2, 0, 1), X.transpose(0, 1, 4, 2, 3))
    np.testing.assert_array_equal(snncc.concat([X, X], 1), np.concatenate([X, X], 3))
    np.testing.assert_array_equal(snncc.split(X, 3, -1)[1], X[..., 3:])
    np.testing.assert_allclose(snncc.softmax(X, 0).sum(2), 1)
