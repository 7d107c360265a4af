"""Images on CUDA: what the C backend computes, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from snncc import loss, nn, optim
from snncc.lower import unfold
from tests.cuda_host import ORDERS
from tests.cuda_pairs import Pair, inputs

STEPS, BATCH, CLASSES = 3, 4, 3


class Flat(nn.Module):
    """Convolutions of each geometry behind spikes: whole windows, edges, single pixels, groups."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(4, 7, 6)}

    def __init__(self) -> None:
        self.stem, self.lif, self.bits = nn.Conv2d(4, 6, 3, padding=1), nn.Leaky(0.9), nn.Leaky(0.8)
        self.of_bits, self.pixels_of_bits = nn.Conv2d(6, 5, 3, padding=1, stride=2), nn.Conv2d(6, 2, 1)
        self.layers = {
            "edges": nn.Conv2d(6, 17, 3, stride=(2, 1), padding=(2, 1), dilation=(1, 2)),
            "pixels": nn.Conv2d(6, 7, 1),
            "some": nn.Conv2d(6, 3, 1, stride=2, bias=False),
            "single": nn.Conv2d(6, 1, (2, 3)),
            "groups": nn.Conv2d(6, 4, 3, groups=2, padding=1, stride=2),
            "slices": nn.Conv2d(6, 20, 3, groups=2, padding=1, stride=2),
            "depthwise": nn.Conv2d(6, 12, 3, groups=6, padding=1),
            "up": nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1),
            "up_groups": nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2),
        }

    def forward(self, x: Any) -> dict[str, Any]:
        stem = self.stem(x)
        spk, bits = self.lif(stem).spk, self.bits(stem).spk
        found = {name: layer(spk) for name, layer in self.layers.items()}
        return found | {"of_bits": self.of_bits(bits), "pixels_of_bits": self.pixels_of_bits(bits)}


class Pools(nn.Module):
    """Pools of numbers and of equal spikes: windows overlap, leave out, reach beyond. Lines and solids."""

    inputs: ClassVar[dict[str, nn.Input]] = {
        "x": nn.Input(3, 7, 6), "line": nn.Input(5, 9), "solid": nn.Input(2, 4, 5, 3),
    }    # fmt: skip

    def __init__(self) -> None:
        self.lif, self.spikes = nn.Leaky(0.9), nn.MaxPool2d((2, 3), stride=2)
        self.layers = {
            "max": nn.MaxPool2d(3, stride=2, padding=1),
            "mean": nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
            "inside": nn.AvgPool2d(2, padding=1, count_include_pad=False),
            "sum": nn.SumPool2d(3, stride=1),
            "adaptive": nn.AdaptiveAvgPool2d((3, 2)),
            "upsample": nn.Upsample(scale_factor=2),
        }
        self.of_lines, self.of_solids = nn.MaxPool1d(2), nn.MaxPool3d(2)
        self.line, self.up = nn.Conv1d(5, 4, 3, stride=2), nn.ConvTranspose1d(4, 2, 3)
        self.solid, self.mean = nn.Conv3d(2, 4, (2, 2, 3), dilation=(2, 1, 1)), nn.AvgPool3d((1, 2, 1))

    def forward(self, x: Any, line: Any, solid: Any) -> dict[str, Any]:
        found = {name: layer(x) for name, layer in self.layers.items()}
        found |= {"lines": self.of_lines(line), "solids": self.of_solids(solid)}
        found |= {"spikes": self.spikes(self.lif(x).spk)}
        return found | {"line_up": self.up(self.line(line)), "solid_mean": self.mean(self.solid(solid))}


class Residual(nn.Module):
    """A residual block with statistics of the batch and groups of channels; then tokens, then classes."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, 8, 8, static=True)}

    def __init__(self) -> None:
        self.stem, self.conv = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.before, self.norm, self.groups = nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.GroupNorm(2, 6)
        self.road, self.pool = nn.Conv2d(6, 6, 1, stride=2), nn.MaxPool2d(2)
        self.first, self.second = nn.Leaky(0.9), nn.Leaky(0.8)
        self.tokens, self.third, self.flat = nn.Linear(6, 5), nn.Leaky(0.7), nn.Flatten()
        self.fc, self.out = nn.Linear(20, CLASSES), nn.Leaky(0.9, threshold=0.05)

    def forward(self, x: Any) -> Any:
        spk = self.first(self.before(self.stem(x))).spk
        y = self.pool(self.groups(self.second(self.norm(self.conv(spk))).spk + self.road(spk)))
        tokens = y.reshape(6, 4).permute(1, 0)
        return self.out(self.fc(self.flat(self.third(self.tokens(tokens)).spk)))


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images at a time where adjoints need memory, so there are several lots and a rest."""
    monkeypatch.setattr(unfold, "ROOM", 1 << 13)


@pytest.mark.parametrize(("make", "dtype"), [(Flat, "float64"), (Pools, "float32")])
def test_layers_of_images_give_the_bits_of_c(make: type[nn.Module], dtype: str, tmp_path: Path) -> None:
    pair = Pair(make(), tmp_path, dtype=dtype)
    pair.check_calls(inputs(pair.c, STEPS, BATCH), num_steps=STEPS)


def test_a_residual_block_learns_as_in_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = {"loss": loss.cross_entropy("mem"), "optimizer": optim.Adam(0.01)}
    pair = Pair(Residual(), tmp_path, **learning)
    given = inputs(pair.c, STEPS, BATCH)
    for order in ORDERS:
        monkeypatch.setenv("SNNCC_HOST_ORDER", order)
        pair.check_calls(given, num_steps=STEPS)
    pair.check_training(given, np.array([0, 2, 1, 1]), num_steps=STEPS)
