"""Writes readouts.npz: SpikingJelly's neurons without spikes, by each of their decodings, with gradients.

The currents [T, B, N] are small whole numbers, so that largest membranes are often as large at other steps,
or as far below 0. Each sample has its own number of steps: it runs alone with as many, and with all.

    python tests/golden/layers/make_readouts.py        # needs torch, spikingjelly
"""

from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import neuron

STEPS, NEURONS = 7, 12
LENGTHS = [7, 1, 4, 5]
NODES = {"if": neuron.NonSpikingIFNode, "lif": lambda way: neuron.NonSpikingLIFNode(3.0, way)}
DECODES = ("max-mem", "max-abs-mem", "mean-mem", "last_mem")


def run(node, x, up):
    """Outputs, and the gradient of x."""
    x = torch.tensor(x, requires_grad=True)
    out = node(x)
    (out * torch.tensor(up)).sum().backward()
    return out.detach().numpy(), x.grad.numpy()


def main():
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (STEPS, len(LENGTHS), NEURONS)).astype(np.float64)
    x[:, :, 0] = 0.0
    up = rng.normal(size=x.shape[1:])
    arrays = {"x": x, "up": up, "lengths": np.array(LENGTHS)}
    for name, make in NODES.items():
        for way in DECODES:
            label = f"{name}.{way}"
            arrays[f"{label}.out"], arrays[f"{label}.d_x"] = run(make(way), x, up)
            own = [run(make(way), x[:n, [b]], up[[b]]) for b, n in enumerate(LENGTHS)]
            arrays[f"{label}.own.out"] = np.concatenate([out for out, _ in own])
            d_x = [np.pad(slope, ((0, STEPS - len(slope)), (0, 0), (0, 0))) for _, slope in own]
            arrays[f"{label}.own.d_x"] = np.concatenate(d_x, 1)
    np.savez_compressed(Path(__file__).with_name("readouts.npz"), **arrays)


if __name__ == "__main__":
    main()
