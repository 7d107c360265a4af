"""What the systems on PyTorch share: tensors, losses, and a training step with Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn import functional as F

from ..task import Calls, Given


def start(given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """Sets the number of threads; inputs and targets as tensors."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    return torch.from_numpy(given.x), torch.from_numpy(given.y)


def load(modules: Iterable[Any], layers: Iterable[tuple[Any, Any]], scale: float = 1.0) -> None:
    """Puts weights and biases, times `scale`, into Linear modules."""
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
