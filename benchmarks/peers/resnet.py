"""models/sew_resnet18.py in torch, with SpikingJelly's neurons over all steps, or snnTorch's step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from ..case_task import CaseGiven, read
from ..task import Calls

__all__ = ["build", "read", "trained"]
STEPS, CLASSES, WIDTH = 4, 10, 64


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
    train, _ = calls(name, torch.from_numpy(images), torch.from_numpy(targets), width)
    return lambda: train(1e-3)


def build(given: CaseGiven, variant: str) -> Calls:
    """The case `ResNet` of a GPU."""
    torch.set_num_threads(given.threads)
    images = torch.rand((given.batch, *given.shape), device=given.device)
    return calls(variant, images, torch.randint(CLASSES, (given.batch,), device=given.device), WIDTH)


def calls(name: str, x: torch.Tensor, y: torch.Tensor, width: int) -> Calls:
    """A training step with Adam, and a call; in float32, on the device of x."""
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    net = network(AllSteps if name == "spikingjelly" else OneStep, width).to(x.device)
    readout = nn.Linear(8 * width, CLASSES).to(x.device)
    optimizer = torch.optim.Adam([*net.parameters(), *readout.parameters()])

    def scores() -> Any:
        return readout(_spikes(net, name, x).mean((0, 3, 4)))

    def train(rate: float) -> float:
        optimizer.param_groups[0]["lr"] = rate
        net.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(scores(), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def infer() -> float:
        net.eval()
        with torch.inference_mode():
            return float(scores().sum())

    return Calls(train, infer)


def _spikes(net: nn.Sequential, name: str, x: Any) -> Any:
    """Of all steps, [T, B, C, H, W]."""
    if name == "spikingjelly":
        functional.reset_net(net)
        return net(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1))
    for module in net.modules():
        if isinstance(module, OneStep):
            module.state = None
    return torch.stack([net(x) for _ in range(STEPS)])
