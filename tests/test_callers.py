"""The caller's arrays are read and written where they lie: where they can, with the same bits and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import snncc
import snncc_runtime
from snncc import nn
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.program import Call, Entry, Loop, Panels, Segments
from snncc.target import Target

STEPS, BATCH = 6, 5


class Pair(nn.Module):
    """Two inputs of equal width into neurons; `weights`: by way of a layer."""

    def __init__(self, n: int, names: tuple[str, str] = ("x", "z"), weights: bool = False) -> None:
        self.inputs = {name: nn.Input(n) for name in names}
        self.fc = nn.Linear(n, n) if weights else None
        self.lif = nn.Leaky(0.9, 0.7, learn_beta=True)

    def forward(self, x: Any, z: Any) -> Any:
        return self.lif((self.fc(x) if self.fc else x) + 0.5 * z)


def copied(entry: Entry) -> set[str]:
    """The caller's arrays of all steps that an entry point copies."""
    return {c.field for c in calls(entry.items) if c.kind in ("load", "store") and c.time}


def calls(items: Any) -> Iterator[Call]:
    for item in items:
        if isinstance(item, (Loop, Panels, Segments)):
            yield from calls((*getattr(item, "again", ()), *item.items))
        elif isinstance(item, Call):
            yield item


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (Pair(48), {}, {"forward": set(), "backward": set()}),
        (Pair(1), {}, {"forward": set(), "backward": set()}),
        (Pair(20), {}, {"forward": {"x", "z", "spk", "mem"}}),    # pads
        (Pair(48), {"dtype": "float64"}, {"forward": set(), "backward": set()}),
        (Pair(48, weights=True), {}, {"forward": set(), "backward": {"grad_x"}}),
        (Pair(20, weights=True), {}, {"forward": {"z", "spk", "mem"}}),
        (Pair(48, weights=True), {"products": "dense"}, {"forward": {"x"}}),
        (Pair(48), {"checkpoint_every": 2}, {"backward": {"x", "z", "d_spk", "d_mem", "grad_x", "grad_z"}}),
        (nn.Sequential(nn.Leaky(0.9), input=nn.Input(16, 4, 4)), {}, {"forward": set()}),
        (
            nn.Sequential(nn.AvgPool2d(2), nn.Leaky(0.9), input=nn.Input(16, 8, 8)),
            {},
            {"forward": {"x", "spk", "mem"}},
        ),
    ],
    ids=["floats", "one", "pads", "doubles", "layer", "layer_pads", "dense", "segments", "image", "channels"],
)
def test_what_is_copied(network: nn.Module, options: dict[str, Any], expected: dict[str, set[str]]) -> None:
    program = generate(trace(network), Target(**options)).program
    found = {entry.name: copied(entry) for entry in program.entries}
    assert {name: found[name] for name in expected} == expected


def numbers(model: snncc_runtime.Model, x: np.ndarray, z: np.ndarray, *given: str) -> dict[str, np.ndarray]:
    """Outputs, and gradients where these cotangents are given, of the first features."""
    out = model({"x": x, "z": z})
    rng = np.random.default_rng(1)
    cotangents = {name: rng.normal(size=x.shape).astype(x.dtype) for name in ("spk", "mem")}
    made = model.backward({"x": x, "z": z}, **{name: cotangents[name] for name in given})
    return {"spk": out.spk, "mem": out.mem, **made.inputs}


def drawn(n: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(STEPS, BATCH, n)).astype(dtype) for _ in range(2)]


@pytest.fixture(scope="module", params=["float32", "float64"])
def models(request: pytest.FixtureRequest) -> tuple[snncc_runtime.Model, snncc_runtime.Model]:
    """Neurons whose rows lie as the caller's do, and the same ones with copies."""
    made = (
        snncc.compile(Pair(144), num_steps=STEPS, dtype=request.param, **options)
        for options in ({}, {"checkpoint_every": STEPS})
    )
    return tuple(made)    # type: ignore[return-value]


@pytest.mark.parametrize("given", [(), ("spk",), ("mem",), ("spk", "mem")], ids=str)
def test_copies_make_no_difference(models: tuple[snncc_runtime.Model, ...], given: tuple[str, ...]) -> None:
    x, z = drawn(144, models[0].params["lif.beta"].dtype.name)
    one, other = (numbers(model, x, z, *given) for model in models)
    assert one["x"].any() == bool(given)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (STEPS - 1, BATCH - 1, 143), (2, 3, 70)])
def test_every_number_is_checked(
    models: tuple[snncc_runtime.Model, ...], bad: float, place: tuple[int, ...]
) -> None:
    model, *_ = models
    for name in ("x", "z"):
        given = dict(zip(("x", "z"), drawn(144, model.params["lif.beta"].dtype.name), strict=True))
        given[name][place] = bad
        where = rf"{name}.*\[{', '.join(map(str, place))}\]"
        with pytest.raises(snncc_runtime.ModelError, match=where):
            model(given)
        with pytest.raises(snncc_runtime.ModelError, match=where):
            model.backward(given, spk=np.zeros_like(given["x"]))
    given = dict(zip(("x", "z"), drawn(144, model.params["lif.beta"].dtype.name), strict=True))
    cotangent = np.zeros_like(given["x"])
    cotangent[place] = bad
    with pytest.raises(snncc_runtime.ModelError, match="finite"):
        model.backward(given, spk=cotangent)


def test_an_output_that_nobody_asks_for(models: tuple[snncc_runtime.Model, ...]) -> None:
    """`predict` takes one of two."""
    one, _ = models
    x, z = drawn(144, one.params["lif.beta"].dtype.name)
    expected = one({"x": x, "z": z}).spk.sum(axis=0).argmax(axis=-1)
    for model in models:
        np.testing.assert_array_equal(model.predict({"x": x, "z": z}), expected)


@pytest.mark.parametrize("names", [("look", "look_at"), ("x_rows", "x")])
def test_names_that_c_derives_are_nobody_elses(names: tuple[str, str]) -> None:
    model = snncc.compile(Pair(16, names), num_steps=STEPS)
    x, z = drawn(16, "float32")
    mem = model(dict(zip(names, (x, z), strict=True))).mem
    np.testing.assert_array_equal(mem[0], x[0] + np.float32(0.5) * z[0])


class Layers(nn.Module):
    """Layers of each kind of product that read one input: two panels, a narrow one, a single output."""

    def __init__(self) -> None:
        self.inputs = {"x": nn.Input(147)}
        self.wide, self.narrow, self.single = (nn.Linear(147, n) for n in (70, 20, 1))
        self.lif = nn.Leaky(0.9)

    def forward(self, x: Any) -> Any:
        return {"wide": self.lif(self.wide(x)).mem, "narrow": self.narrow(x), "single": self.single(x)}


@pytest.fixture(scope="module")
def layers() -> tuple[snncc_runtime.Model, snncc_runtime.Model]:
    """Layers that read the caller's rows, and the same ones with a copy."""
    network = Layers()
    assert not copied(generate(trace(network), Target()).program.entries[0]) & {"x"}
    options: tuple[dict[str, Any], ...] = ({}, {"checkpoint_every": STEPS})
    return tuple(snncc.compile(network, num_steps=STEPS, **o) for o in options)    # type: ignore[return-value]


def sparse(density: float) -> np.ndarray:
    """An input of the layers."""
    rng, size = np.random.default_rng(3), STEPS * BATCH * 147
    x = rng.normal(size=size) * (rng.random(size) < density)
    return np.ascontiguousarray(x.reshape(STEPS, BATCH, 147), np.float32)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 0.7, 1.0])    # listed or dense, in the end both ways
def test_lists_and_products_read_the_callers_rows(
    layers: tuple[snncc_runtime.Model, ...], density: float
) -> None:
    x, rng = sparse(density), np.random.default_rng(4)
    ones, others = (model(x) for model in layers)
    shapes = {name: getattr(ones, name).shape for name in ("wide", "narrow", "single")}
    cotangents = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    one, other = (model.backward(x, **cotangents) for model in layers)
    for name in shapes:
        np.testing.assert_array_equal(getattr(ones, name), getattr(others, name), err_msg=name)
    for name in one.params:
        np.testing.assert_array_equal(one.params[name], other.params[name], err_msg=name)
        assert one.params[name].any() == (density > 0 or name.endswith("bias"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (STEPS - 1, BATCH - 1, 146), (2, 3, 70)])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_lists_check_every_number(
    layers: tuple[snncc_runtime.Model, ...], bad: float, place: tuple[int, ...], density: float
) -> None:
    x = sparse(density)
    x[place] = bad
    with pytest.raises(snncc_runtime.ModelError, match=rf"x.*\[{', '.join(map(str, place))}\]"):
        layers[0](x)
    with pytest.raises(snncc_runtime.ModelError, match="finite"):
        layers[0].backward(x, narrow=np.zeros((STEPS, BATCH, 20), np.float32))
