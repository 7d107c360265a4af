"""What the systems on PyTorch share: tensors, losses, and a training step with Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..task import Calls, Given


def start(given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """Sets the number of threads, and the device until `calls`; inputs and targets as tensors."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    if given.device == "cuda":
        torch.set_default_device("cuda")    # of parameters; later it would cost each operation some time
        torch.backends.cudnn.allow_tf32 = False
    return torch.from_numpy(given.x).to(given.device), torch.from_numpy(given.y).to(given.device)


def product(weight: Any) -> nn.Module:
    """A module for a weight: Linear, or Conv2d."""
    if weight.ndim == 2:
        return nn.Linear(weight.shape[1], weight.shape[0])
    return nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:])


def current_of_step(module: nn.Module, x: torch.Tensor) -> Any:
    """What the neurons behind a module are given, of one step [B, ...]: a convolution is pooled."""
    if isinstance(module, nn.Conv2d):
        return F.max_pool2d(module(x), 2)
    return module(x.flatten(1) if x.dim() > 2 else x)


def current(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The same of all steps at once: rows [..., n], or images [..., channels, height, width]."""
    if weight.dim() == 2:
        return F.linear(x.flatten(-3) if x.dim() > 3 else x, weight, bias)
    y = F.max_pool2d(F.conv2d(x.reshape(-1, *x.shape[-3:]), weight, bias), 2)
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def load(modules: Iterable[Any], layers: Iterable[tuple[Any, Any]], scale: float = 1.0) -> None:
    """Puts weights and biases, times `scale`, into modules."""
    with torch.no_grad():
        for module, (weight, bias) in zip(modules, layers, strict=True):
            module.weight.copy_(torch.from_numpy(weight)).mul_(scale)
            module.bias.copy_(torch.from_numpy(bias)).mul_(scale)


def loss_of(given: Given, out: Any, y: torch.Tensor) -> torch.Tensor:
    """The loss from what it reads, [T, B, n], all steps at once."""
    if given.by_membrane:
        steps = given.task.num_steps
        return F.cross_entropy(out.flatten(0, 1), y.repeat(steps)) * steps
    return F.mse_loss(out.mean(0), y)


def calls(
    parameters: Iterable[torch.Tensor],
    forward: Callable[[], torch.Tensor],
    loss: Callable[[], torch.Tensor],
    fused: bool = False,
) -> Calls:
    """forward: what the loss reads, [T, B, n], without gradients; loss: the loss, with them."""
    torch.set_default_device(None)
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.999), fused=fused or None)

    def train(rate: float) -> float:
        optimizer.param_groups[0]["lr"] = rate
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return float(value.detach())

    def infer() -> float:
        with torch.inference_mode():
            return float(forward().sum())

    return Calls(train, infer)
