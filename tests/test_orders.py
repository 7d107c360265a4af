"""Images that readers want in different orders, and numbers that are repeated over their pixels: compiled,
they are what the interpreter says, forward and backward."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, nn
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.nn.connections import FanIn
from snncc.target import Target
from tests.networks import Bench, Case, Extent, difference
from tests.test_delays import states

CHANNELS, SPACE = 6, (5, 4)
IMAGE = (CHANNELS, *SPACE)
SIZE = 120


def ramp(*shape: int) -> np.ndarray:
    return np.linspace(0.25, 0.875, int(np.prod(shape))).reshape(shape)


class Orders(nn.Module):
    """An image of spikes read as a row by sparse synapses and as tokens, beside convolutions; an image that a
    row becomes; coefficients of channels, of pixels and of neurons, and in a loop around a convolution."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, *SPACE), "row": nn.Input(7)}

    def __init__(self) -> None:
        learnt: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}
        self.conv, self.up = nn.Conv2d(2, CHANNELS, 3, padding=1), nn.Linear(7, SIZE)
        self.a = nn.Leaky(ramp(CHANNELS), ramp(CHANNELS, 1, 1), init_mem=ramp(CHANNELS), **learnt)
        self.b = nn.RLeaky(ramp(CHANNELS), 0.5, conv2d_channels=CHANNELS, kernel_size=3, learn_beta=True)
        self.c = nn.RLeaky(ramp(*IMAGE), ramp(1, *SPACE), V=ramp(CHANNELS), **learnt)
        self.d = nn.Recurrent(nn.LIF(2 + ramp(CHANNELS, 1, 1), ramp(1, 1, 4)), V=ramp(CHANNELS))
        self.sparse, self.tokens = nn.SparseLinear(SIZE, 7, FanIn(20)), nn.Linear(20, 3)
        self.two, self.down = nn.Delay(2, initial=0.5), nn.Conv2d(CHANNELS, 2, 3)

    def forward(self, x: Any, row: Any) -> dict[str, Any]:
        spk, mem = self.a(self.conv(x))
        back = self.d(self.c(self.b(self.up(row).reshape(*IMAGE)).spk + mem).spk)
        flat = self.sparse(spk.reshape(SIZE)) + self.sparse(mem.reshape(SIZE))
        tokens = self.tokens(spk.reshape(CHANNELS, 20)) - self.tokens(back.mem.reshape(CHANNELS, 20))
        return {"flat": flat, "tokens": tokens, "image": self.down(self.two(spk) + self.two(back.spk))}


class Late(nn.Module):
    """Delays of channels, of neurons, of all; given and learned."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, *SPACE)}

    def __init__(self) -> None:
        self.conv, self.lif = nn.Conv2d(2, CHANNELS, 3, padding=1), nn.Leaky(0.5)
        self.channels = nn.Delay([3, 0, 1, 2, 0, 1])
        self.learned = nn.Delay(ramp(CHANNELS, 1, 1), learn=True, max_delay=3, initial=0.5)
        self.layer = nn.Delay(1.25, learn=True, max_delay=2)
        self.each = nn.Delay(np.arange(SIZE).reshape(IMAGE) % 4)
        self.down = nn.Conv2d(CHANNELS, 3, 3)

    def forward(self, x: Any) -> dict[str, Any]:
        current = self.conv(x)
        late = self.channels(current)
        spk, mem = self.lif(late)
        image = self.down(self.learned(spk) + 0.5 * self.layer(mem) + 0.25 * self.each(spk))
        return {"current": current, "late": late, "image": image}


def disagreements(bench: Bench, extent: Extent, given: Any) -> list[Any]:
    """Which results of a call and of its gradients are not the interpreter's."""
    inputs, cotangents = bench.inputs(extent), bench.cotangents(extent)
    slopes = {**inputs, **{f"d_{name}": c for name, c in cotangents.items()}}
    model = snncc.load(bench.folder, threads=2)
    model.params.update({name: bench.values[name] for name in model.params})
    result = model(inputs, state=given)
    back = model.backward(inputs, state=given, cotangents=cotangents)
    found = {"d_input": back.inputs, "gradient": back.params, "d_state": back.state}
    found |= {"state_out": result.state}
    wanted = bench.reference("forward", extent, inputs, given)
    wanted |= bench.reference("backward", extent, slopes, given)
    pairs = ((key, result[key[1]] if key[0] == "output" else found[key[0]][key[1]]) for key in wanted)
    return [(key, extent) for key, array in pairs if not difference(array, wanted[key]) <= 1e-10]


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 4}])
def test_every_reader_finds_its_order(options: dict[str, Any], tmp_path: Path) -> None:
    bench = Bench(Case(Orders, None), "float64", tmp_path / "m", **options)
    for name, value in bench.values.items():
        bench.values[name] = np.round(value * 64) / 64    # with which products are exact
    for extent in (Extent(9, 3), Extent(2, 2)):
        given = {name: array for name, array in states(bench, extent).items() if "spk" not in name}
        assert disagreements(bench, extent, given) == []


def test_entry_points_agree_on_parameters() -> None:
    """Also where only one of them needs the last convolution's result."""
    network = nn.Sequential(
        lif=nn.Leaky(ramp(*IMAGE), learn_beta=True), conv=nn.Conv2d(CHANNELS, 2, 3), input=nn.Input(*IMAGE)
    )
    assert generate(trace(network), Target(num_steps=5)).sources.files


def test_delays_of_channels(tmp_path: Path) -> None:
    bench, extent = Bench(Case(Late, None), "float64", tmp_path / "m"), Extent(9, 3)
    assert disagreements(bench, extent, states(bench, extent)) == []
    model = snncc.load(bench.folder)
    assert model.params["learned.positions"].shape == (CHANNELS, 1, 1)
    result = model(bench.inputs(extent))
    for channel, steps in enumerate([3, 0, 1, 2, 0, 1]):
        shifted = np.concatenate([np.zeros((steps, 3, *SPACE)), result.current[:, :, channel]])[:9]
        np.testing.assert_array_equal(result.late[:, :, channel], shifted)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: nn.Leaky([0.5] * 4), r"0: beta has shape \[4\] for .* \[6, 5, 4\]; .* \[6\] for each chan"),
        (lambda: nn.Leaky(0.9, ramp(5, 1, 1)), r"threshold has shape \[5, 1, 1\]"),
        (lambda: nn.StateLeaky(ramp(5)), r"tau has shape \[5\]"),
        (lambda: nn.Recurrent(nn.IF(), V=ramp(4)), r"V has shape \[4\], what comes back has \[6, 5, 4\]"),
        (lambda: nn.Delay([1, 2]), r"steps has shape \[2\], the input \[6, 5, 4\]; .* one for each channel"),
    ],
)
def test_numbers_that_fit_no_channel(layer: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message) as refused:
        trace(nn.Sequential(layer(), input=nn.Input(*IMAGE)))
    assert "test_orders.py:" in str(refused.value)
