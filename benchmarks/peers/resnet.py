"""models/sew_resnet18.py in torch, with SpikingJelly's neurons over all steps, or snnTorch's step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

STEPS, CLASSES = 4, 10


class AllSteps(nn.Module):
    """Convolution, normalisation and SpikingJelly's neurons on [T, B, C, H, W]."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
        self.current = layer.SeqToANNContainer(conv, nn.BatchNorm2d(n_out))
        self.neuron = neuron.IFNode(detach_reset=True, surrogate_function=surrogate.ATan(), step_mode="m")

    def forward(self, x: Any) -> Any:
        return self.neuron(self.current(x))


class OneStep(nn.Module):
    """The same on [B, C, H, W] with snnTorch's neurons, whose state it holds."""

    def __init__(self, n_in: int, n_out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False)
        self.norm, self.neuron = nn.BatchNorm2d(n_out), snntorch.Leaky(beta=1.0)
        self.state: Any = None

    def forward(self, x: Any) -> Any:
        state = self.neuron.init_leaky() if self.state is None else self.state
        spikes, self.state = self.neuron(self.norm(self.conv(x)), state)
        return spikes


class Block(nn.Module):
    def __init__(self, spiking: type[nn.Module], n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = spiking(n_in, n_out, stride=stride), spiking(n_out, n_out)
        same = stride == 1 and n_in == n_out
        self.road = nn.Identity() if same else spiking(n_in, n_out, 1, stride)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x)) + self.road(x)


def network(spiking: type[nn.Module], width: int) -> nn.Sequential:
    layers: list[nn.Module] = [spiking(3, width)]
    for stage in range(4):
        n_in, n_out = width * 2 ** max(0, stage - 1), width * 2**stage
        layers += [Block(spiking, n_in, n_out, 2 if stage else 1), Block(spiking, n_out, n_out, 1)]
    return nn.Sequential(*layers)


def trained(
    name: str, images: np.ndarray, targets: np.ndarray, width: int, threads: int
) -> Callable[[], float]:
    """A training step; its loss."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = network(AllSteps if name == "spikingjelly" else OneStep, width)
    readout = nn.Linear(8 * width, CLASSES)
    optimizer = torch.optim.Adam([*net.parameters(), *readout.parameters()], 1e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(targets)

    def spikes() -> Any:
        if name == "spikingjelly":
            functional.reset_net(net)
            return net(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1))
        for module in net.modules():
            if isinstance(module, OneStep):
                module.state = None
        return torch.stack([net(x) for _ in range(STEPS)])

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(readout(spikes().mean((0, 3, 4))), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step
