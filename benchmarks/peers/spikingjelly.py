"""SpikingJelly in its multi-step mode, on its torch path: its other backends need a GPU.

tau = 20 with decay_input=False is beta = 0.95; v_reset=None is the subtracting reset, detached. It resets
before the leak, snnTorch after it: the work is the same, the numbers are not. A static input goes through the
first layer once and is repeated over time, as its own examples do.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

from ..task import Calls, Given
from . import on_torch


class Net(nn.Module):
    """Returns what the loss reads of the last layer, [T, B, n]."""

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.num_steps, self.static = given.task.num_steps, given.task.static
        self.by_membrane = given.by_membrane
        self.fc = nn.ModuleList(on_torch.product(weight) for weight, _ in given.layers)
        last = len(self.fc) - 1
        self.lif = nn.ModuleList(
            neuron.LIFNode(
                tau=1 / (1 - given.task.beta), decay_input=False, v_threshold=1.0, v_reset=None,
                surrogate_function=surrogate.ATan(alpha=2.0), detach_reset=True, step_mode="m",
                store_v_seq=self.by_membrane and i == last,
            )
            for i in range(len(self.fc))
        )    # fmt: skip
        on_torch.load(self.fc, given.layers)
        self.beta, self.back = given.task.beta, None
        if given.task.recurrent:
            functional.set_step_mode(self.lif[0], "s")
            self.back = nn.Linear(*given.task.sizes[1:2] * 2)
            on_torch.load([self.back], given.back)

    def forward(self, x: Any) -> Any:
        functional.reset_net(self)
        if self.back is not None:
            return self.with_connections_back(x)
        for i, (fc, lif) in enumerate(zip(self.fc, self.lif, strict=True)):
            x = on_torch.current(x, fc.weight, fc.bias)
            if i == 0 and self.static:
                x = x.unsqueeze(0).repeat(self.num_steps, *[1] * x.dim())
            x = lif(x)
        return self.lif[-1].v_seq if self.by_membrane else x

    def with_connections_back(self, x: Any) -> Any:
        """The first layer's spikes come back; the last one is a read-out without reset."""
        assert self.back is not None
        current, spk_rec, mem, mem_rec = self.fc[0](x), [], 0.0, []
        spk = torch.zeros_like(current[0])
        for step in range(self.num_steps):
            spk = self.lif[0](current[step] + self.back(spk))
            spk_rec.append(spk)
        for drive in self.fc[1](torch.stack(spk_rec)):
            mem = self.beta * mem + drive
            mem_rec.append(mem)
        return torch.stack(mem_rec)


def build(given: Given, variant: str) -> Calls:
    x, y = on_torch.start(given)
    net = Net(given)
    return on_torch.calls(net.parameters(), lambda: net(x), lambda: on_torch.loss_of(given, net(x), y))
