"""Lists of events: how many bits name a place, what happens beyond them, and which lists are made twice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import driver, loss, nn, optim
from snncc.frontend.dsl import trace
from snncc.graph import Graph
from snncc.lower import Layout
from snncc.lower.layout import BY_INPUT, BY_ROW
from snncc.target import Target
from tests.headers import headers as headers

MOST = 2**16  # places that 16 bits can name
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`")


def network(n_in: int, n_out: int = 40) -> nn.Sequential:
    """Wide enough for gradients from lists by input."""
    return nn.Sequential(fc=nn.Linear(n_in, n_out), lif=nn.Leaky(0.9))


def bits(compiled: driver.Compiled) -> str:
    """What the generated text says of indices."""
    lines = compiled.sources.files["model.c"].splitlines()
    return next((line.split()[-1] for line in lines if line.startswith("#define SNNCC_INDEX_BITS")), "16")


@pytest.mark.parametrize("rows", [1, 7, 384])
@pytest.mark.parametrize("n", [1, 31, 1000, MOST])
def test_the_plan_has_room_for_what_the_headers_ask_for(headers: Any, n: int, rows: int) -> None:
    layout = Layout(headers.real().itemsize, headers.index().itemsize)
    for names, needed in (
        (BY_ROW, headers.library.c_events_bytes),
        (BY_INPUT, headers.library.c_transposed_bytes),
    ):
        for name, form in names.items():
            bytes, room = needed(rows, n, form), layout.size(name, n, True, "tile").at(rows, 1)
            rounded = 10 * max(rows, n) if form == 2 else 0    # one entry a row
            assert bytes <= room <= bytes + 256 + rounded, name


@pytest.mark.parametrize(("n_in", "expected"), [(MOST, "16"), (MOST + 1, "32")])
def test_the_last_inputs_of_wide_layers_are_listed(n_in: int, expected: str) -> None:
    """Products and gradients by events are those of the dense kernels, bit for bit."""
    rng = np.random.default_rng(3)
    x = (rng.random((2, 3, n_in)) < 0.01).astype(np.float32)
    x[:, :, -3:] = 1
    found = []
    for products in ("events", "dense"):
        target = {"num_steps": 2, "loss": loss.mse("rate"), "optimizer": optim.SGD(0.1), "products": products}
        listed = expected if products == "events" else "16"
        assert bits(driver.generate(trace(network(n_in)), Target(**target))) == listed
        model = snncc.compile(network(n_in), **target)
        out = model(x)
        model.train_step(x, np.ones((3, 40), np.float32), 0.0)
        found.append([out.spk, out.mem, *model.gradients().values()])
    assert all(array.any() for array in found[0][1:])
    for by_events, dense in zip(*found, strict=True):
        np.testing.assert_array_equal(by_events, dense)


def gradients(steps: int, batch: int, tile: int, **options: Any) -> dict[str, np.ndarray]:
    """Of a long run that starts and ends with spikes."""
    x = np.zeros((steps, batch, 3), np.float32)
    x[:2] = x[-1] = 1
    target = {"loss": loss.mse("rate"), "optimizer": optim.SGD(0.1), **options}
    model = loaded(target, tile)
    model.train_step(x, np.ones((batch, 40), np.float32), 0.0)
    return model.gradients()


def loaded(target: dict[str, Any], tile: int) -> snncc.Model:
    with tempfile.TemporaryDirectory() as folder:
        snncc.compile(network(3), out=folder + "/model", **target)
        return snncc.load(folder + "/model", tile=tile, slots=1)


@pytest.mark.parametrize(("steps", "batch", "tile"), [(MOST + 1, 1, 4), (MOST // 4 + 1, 5, 4)])
def test_more_rows_than_lists_can_name(steps: int, batch: int, tile: int) -> None:
    """Training refuses them and says what to do; inference, segments of time and lists of 32 bits do them."""
    with pytest.raises(snncc.ModelError) as error:
        gradients(steps, batch, tile)
    assert "smaller tile" in str(error.value) and "checkpoint_every" in str(error.value)
    in_segments = gradients(steps, batch, tile, checkpoint_every=1000)
    assert in_segments["fc.weight"].any()
    assert bits(driver.generate(trace(network(3)), Target(num_steps=MOST + 1))) == "32"
    foreseen = gradients(steps, batch, tile, num_steps=MOST + 1)
    for name, gradient in in_segments.items():
        np.testing.assert_array_equal(gradient, foreseen[name])
    x = np.zeros((steps, batch, 3), np.float32)
    assert loaded({}, tile)(x).spk.shape == (steps, batch, 40)


def test_as_many_rows_as_lists_can_name() -> None:
    found, expected = (gradients(MOST // 4, 4, 4, num_steps=steps) for steps in (25, MOST + 1))
    for name, gradient in expected.items():
        assert gradient.any()
        np.testing.assert_array_equal(found[name], gradient)


def lists(graph: Graph) -> dict[str, str]:
    """The lists of a graph, and the half that makes them."""
    return {n.name: n.half for n in graph if n.op.name == "events"}


class Positive(nn.Module):
    def forward(self, x: Any) -> Any:
        return snncc.maximum(x, 0.0)


def final(layers: int, first: nn.Module | None = None, **options: Any) -> Graph:
    """The training graph of so many layers behind a first one, before sweeps are made."""
    steps = {f"{kind}{k}": layer for k in range(layers) for kind, layer in
             (("fc", nn.Linear(40, 40)), ("lif", nn.Leaky(0.9)))}  # fmt: skip
    before = {"first": first} if first else {}
    target = Target(loss=loss.mse("rate"), **options)
    *_, train = driver.entry_stages(trace(nn.Sequential(**before, **steps, input=nn.Input(40))), target)
    return [graph for _, graph in train.run(target.options)][-1]


def test_lists_are_made_again_where_later_layers_run_between() -> None:
    """Spikes from their bits, through one product; numbers, which takes longer, through two; those of the
    caller, which are far away, never."""
    kept = {"x.events": "forward", "lif0.spk.events": "forward"}
    assert lists(final(1)) == {"x.events": "forward"}
    assert lists(final(2)) == kept
    again = {"lif0.spk.events.again": "backward"}
    assert lists(final(3)) == kept | {"lif1.spk.events": "forward"} | again
    graded = lists(final(3, first=Positive()))
    assert graded["first.maximum.events"] == "forward" and graded["first.maximum.events.again"] == "backward"
    contexts = {n.name: n.op.format for n in final(3) if n.op.name == "context"}  # type: ignore[attr-defined]
    assert contexts["ctx_lif0.spk.bits"] == "bits" and contexts["ctx_x"] == ""


def test_a_list_that_no_product_reads_forward_is_made_backward() -> None:
    assert lists(final(2, products="dense")) == {"lif0.spk.events.again": "backward"}


@pytest.mark.parametrize("density", [0.6, 0.66, 1.0])
def test_threads_share_lists_that_end_early(density: float, tmp_path: Path) -> None:
    """Below and above the density that lists of inputs have room for: the dense kernels' bits."""
    rng = np.random.default_rng(5)
    x = (rng.normal(size=(7, 9, 150)) * (rng.random((7, 9, 150)) < density)).astype(np.float32)
    found = []
    for products, threads in (("dense", 1), ("auto", 1), ("auto", 3)):
        options = {"loss": loss.mse("rate"), "optimizer": optim.SGD(0.1), "products": products}
        snncc.compile(network(150), num_steps=7, out=tmp_path / products, **options)
        model = snncc.load(tmp_path / products, threads=threads, slots=1, tile=4)
        model.train_step(x, np.ones((9, 40), np.float32), 0.0)
        found.append([model(x).mem, *model.gradients().values()])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)
