"""Writes attention.npz: PyTorch's softmax attention of several heads, from tokens to tokens, with gradients.

tokens [T, B, N, D] -> queries, keys and values by a product each -> heads -> softmax(q k^T / sqrt(d)) v
-> tokens.
The loss is the mean of (output - target)^2 over everything.

    python tests/golden/layers/make_attention.py        # needs torch
"""

from pathlib import Path

import numpy as np
import torch

STEPS, BATCH, TOKENS, WIDTH, HEADS = 2, 3, 5, 6, 2


def main():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, target = draw(STEPS, BATCH, TOKENS, WIDTH), draw(STEPS, BATCH, TOKENS, WIDTH)
    weights = {name: (0.5 * draw(WIDTH, WIDTH)).requires_grad_() for name in ("q", "k", "v")}
    x.requires_grad_()
    heads = {
        name: (x @ weight).unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(2, 3)
        for name, weight in weights.items()
    }
    scores = heads["q"] @ heads["k"].transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
    out = (scores.softmax(-1) @ heads["v"]).transpose(2, 3).flatten(3)
    ((out - target) ** 2).mean().backward()
    arrays = {"x": x, "target": target, "out": out, "log": scores.log_softmax(-1), "d_x": x.grad}
    arrays |= weights | {f"d_{name}": weight.grad for name, weight in weights.items()}
    path = Path(__file__).with_name("attention.npz")
    np.savez_compressed(path, **{name: array.detach().numpy() for name, array in arrays.items()})


if __name__ == "__main__":
    main()
