"""Norse: LIFBoxCell, which has no synaptic current, in a loop over time.

dt tau_mem_inv = 0.05 is beta = 0.95. Norse scales its input by 0.05 as well, which weights times 20 undo.
Its surrogate is SuperSpike, its default; reset by subtraction. So the work is the same, the numbers are not.
"""

from __future__ import annotations

from typing import Any

import torch
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lif_box import LIFBoxCell
from torch import nn

from ..task import Calls, Given
from . import on_torch


class Net(nn.Module):
    """Returns spikes and membranes of the last layer, [T, B, n]."""

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.num_steps, self.static = given.task.num_steps, given.task.static
        leak = 1 - given.task.beta
        p = LIFBoxParameters(tau_mem_inv=torch.as_tensor(1000 * leak), reset_method=reset_subtract)
        self.fc = nn.ModuleList(on_torch.product(weight) for weight, _ in given.layers)
        self.cells = nn.ModuleList(LIFBoxCell(p=p) for _ in given.layers)
        on_torch.load(self.fc, given.layers, 1 / leak)
        self.leak, self.back = leak, None
        if given.task.recurrent:
            self.back = nn.Linear(*given.task.sizes[1:2] * 2)
            on_torch.load([self.back], given.back, 1 / leak)

    def forward(self, x: Any) -> tuple[Any, Any]:
        states: list[Any] = [None] * len(self.fc)
        spk_rec, mem_rec = [], []
        if self.back is not None:
            return self.with_connections_back(x)
        for step in range(self.num_steps):
            spk = x if self.static else x[step]
            for i, (fc, cell) in enumerate(zip(self.fc, self.cells, strict=True)):
                spk, states[i] = cell(on_torch.current_of_step(fc, spk), states[i])
            spk_rec.append(spk)
            mem_rec.append(states[-1].v)
        return torch.stack(spk_rec), torch.stack(mem_rec)

    def with_connections_back(self, x: Any) -> tuple[Any, Any]:
        """The first layer's spikes come back; the last one is a read-out without reset."""
        assert self.back is not None
        state, mem, mem_rec = None, torch.zeros(()), []
        spk = torch.zeros(x.shape[1], self.back.in_features, device=x.device)
        for step in range(self.num_steps):
            spk, state = self.cells[0](self.fc[0](x[step]) + self.back(spk), state)
            mem = mem + self.leak * (self.fc[1](spk) - mem)
            mem_rec.append(mem)
        return torch.zeros(()), torch.stack(mem_rec)


def build(given: Given, variant: str) -> Calls:
    x, y = on_torch.start(given)
    net = Net(given)
    read = 1 if given.by_membrane else 0
    return on_torch.calls(
        net.parameters(), lambda: net(x)[read], lambda: on_torch.loss_of(given, net(x)[read], y)
    )
