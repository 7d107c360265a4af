"""Writes norm.npz: PyTorch's normalisation layers (snnTorch's for BNTT, SpikingJelly's for standardised
weights), two training steps and a call.

Each layer stands behind a Linear without a bias of its own, so that the gradient of those weights shows the
gradient of the layer's input. The loss of a step is the mean over steps, samples and the features of all
layers together of (output - target)^2. Weights do not change between the steps; running statistics do.

    python tests/golden/layers/make_norm.py        # needs torch, snntorch, spikingjelly
"""

from pathlib import Path

import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import layer as spiking
from torch import nn

INPUTS, STEPS, BATCH = 3, 3, 4
torch.manual_seed(0)    # some of the layers start with random weights
LAYERS = {
    "bn1d": (nn.BatchNorm1d(5), (5,)),
    "bn1d_length": (nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (3, 4)),
    "bn2d": (nn.BatchNorm2d(3, momentum=None), (3, 2, 3)),
    "bn2d_plain": (nn.BatchNorm2d(2, affine=False, track_running_stats=False), (2, 2, 2)),
    "bn3d": (nn.BatchNorm3d(2, affine=False), (2, 2, 1, 2)),
    "tdbn": (nn.BatchNorm2d(2), (2, 2, 2)),
    "bntt1d": (snntorch.BatchNormTT1d(4, STEPS), (4,)),
    "bntt2d": (snntorch.BatchNormTT2d(2, STEPS, momentum=0.2), (2, 2, 2)),
    "ln": (nn.LayerNorm(6), (6,)),
    "ln_all": (nn.LayerNorm((2, 3)), (2, 3)),
    "ln_last": (nn.LayerNorm(3, eps=1e-3), (4, 3)),
    "gn": (nn.GroupNorm(2, 4), (4, 2, 3)),
    "gn_one": (nn.GroupNorm(1, 4, affine=False), (4, 3)),
    "ws": (spiking.WSLinear(6, 6), (6,)),
    "ws_conv": (spiking.WSConv2d(2, 2, 3, padding=1, gain=False), (2, 2, 3)),
}


def run(layer, x):
    """A layer on [T, B, *features], as SpikingJelly and snnTorch do it."""
    if isinstance(layer, nn.ModuleList):
        return torch.stack([bn(step) for bn, step in zip(layer, x, strict=True)])
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def main() -> None:
    rng = np.random.default_rng(0)
    total = sum(int(np.prod(features)) for _, features in LAYERS.values())
    arrays, weights = {}, {}
    for name, (layer, features) in LAYERS.items():
        layer.double()
        if name == "tdbn":
            nn.init.constant_(layer.weight, 0.5 * 1.5)
        weights[name] = torch.tensor(rng.normal(size=(int(np.prod(features)), INPUTS)), requires_grad=True)
        arrays[f"{name}.fc.weight"] = weights[name].detach().numpy().copy()
        for key, value in layer.named_parameters():
            if name != "tdbn":
                value.data += torch.tensor(rng.normal(size=value.shape)) * 0.3
            arrays[f"{name}.{key}"] = value.detach().numpy().copy()
    for step in range(2):
        x = torch.tensor(rng.normal(size=(STEPS, BATCH, INPUTS)) + 0.5)
        targets, loss = [], 0.0
        for name, (layer, features) in LAYERS.items():
            target = torch.tensor(rng.normal(size=(BATCH, *features)))
            y = run(layer, (x @ weights[name].T).unflatten(2, features))
            loss = loss + ((y - target) ** 2).sum() / (STEPS * BATCH * total)
            targets.append(target.flatten(1))
        for name, (layer, _) in LAYERS.items():
            layer.zero_grad()
            weights[name].grad = None
        loss.backward()
        arrays |= {f"x{step}": x.numpy(), f"target{step}": torch.cat(targets, 1).numpy()}
        arrays[f"loss{step}"] = loss.detach().numpy()
    for name, (layer, features) in LAYERS.items():
        arrays[f"{name}.fc.weight.grad"] = weights[name].grad.numpy()
        arrays |= {f"{name}.{key}.grad": value.grad.numpy() for key, value in layer.named_parameters()}
        arrays |= {f"{name}.{key}": value.numpy() for key, value in layer.named_buffers()}
        layer.eval()
        with torch.no_grad():
            y = run(layer, (x @ weights[name].T).unflatten(2, features))
            arrays[f"{name}.out"] = y.flatten(2).numpy()
    np.savez_compressed(Path(__file__).with_name("norm.npz"), **arrays)


if __name__ == "__main__":
    main()
