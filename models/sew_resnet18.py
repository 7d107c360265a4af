"""Images with a spiking ResNet-18: residual roads that add spikes (SEW, spike-element-wise).

W. Fang et al., "Deep Residual Learning in Spiking Neural Networks", NeurIPS 2021, with ADD as the
element-wise function: what runs through the network are small whole numbers, sums of spikes. As in the paper
and in SpikingJelly's `sew_resnet18`, but that for images of 32 x 32 pixels the stem is one convolution of
3 x 3 without pooling, as is usual for CIFAR. The same image is seen for four steps; the scores are those of
the mean over the steps.

    python models/sew_resnet18.py --width 16 --epochs 2    # digits, padded to 3 x 32 x 32
    snncc compile models/sew_resnet18.py:net --num-steps 4 -o build/resnet --loss cross_entropy:mem_mean
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np

import training
from digits import SIDE
from snncc import loss, nn, optim

PIXELS, CHANNELS, CLASSES = 32, 3, 10


class Spikes(nn.Module):
    """Convolution, batch normalisation, integrate-and-fire neurons."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, stride: int = 1) -> None:
        self.conv = nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(n_out)
        self.neuron = nn.IF(detach_reset=True, surrogate=nn.surrogate.ATan(2.0))

    def forward(self, x: Any) -> Any:
        return self.neuron(self.norm(self.conv(x))).spk


class Block(nn.Module):
    """Two layers of spikes beside the road around them, a layer itself where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        self.first, self.second = Spikes(n_in, n_out, stride=stride), Spikes(n_out, n_out)
        self.road = Spikes(n_in, n_out, size=1, stride=stride) if stride > 1 or n_in != n_out else None

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x)) + (self.road(x) if self.road else x)


class SEWResNet18(nn.Module):
    """Images [3, 32, 32] to scores of ten classes at each step, `mem`.

    width: channels of the first stage; the next ones have twice as many. depth: stages of two blocks.
    """

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(CHANNELS, PIXELS, PIXELS, static=True)}

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        self.stem = Spikes(CHANNELS, width)
        stages = [width * 2**k for k in range(depth)]
        before = [width, *stages]
        self.blocks = [
            Block(n_in if first else n_out, n_out, stride=2 if first and n_out > width else 1)
            for n_in, n_out in zip(before, stages, strict=False)
            for first in (True, False)
        ]
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(stages[-1], CLASSES)

    def forward(self, x: Any) -> Any:
        spk = self.stem(x)
        for block in self.blocks:
            spk = block(spk)
        return {"mem": self.fc(self.flat(self.pool(spk)))}


net = SEWResNet18()


def coloured(images: np.ndarray) -> np.ndarray:
    """Grey images [N, 784] as [N, 3, 32, 32], with a black border."""
    edge = (PIXELS - SIDE) // 2
    padded = np.pad(images.reshape(-1, 1, SIDE, SIDE), ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    return np.repeat(padded, CHANNELS, axis=1)


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    parser = training.options("Train a spiking ResNet-18 on handwritten digits.", "resnet", 2, 32, 4)
    parser.add_argument("--width", type=training.positive, default=64, help="channels of the first stage")
    given = parser.parse_args()
    network, objective = SEWResNet18(given.width), loss.cross_entropy("mem_mean")
    return training.train(network, given, objective, optim.Adam(1e-3), coloured)


if __name__ == "__main__":
    sys.exit(main())
