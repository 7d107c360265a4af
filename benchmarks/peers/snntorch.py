"""snnTorch as its tutorial 5 writes it.

tutorial: the code as it stands; the first layer is evaluated at every step. hoisted: the same, but the first
layer of a static input once. compiled: tutorial under torch.compile, the loop over time unrolled; over more
steps than UNROLLED, only each layer's step.
"""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

from ..task import Calls, Given, LeftOut
from . import on_torch

UNROLLED = 200


class Net(nn.Module):
    """Layers in a loop over the steps; returns spikes and membranes of the last one, [T, B, n]."""

    def __init__(self, given: Given, hoisted: bool) -> None:
        super().__init__()
        self.num_steps, self.static, self.hoisted = given.task.num_steps, given.task.static, hoisted
        self.fc = nn.ModuleList(on_torch.product(weight) for weight, _ in given.layers)
        self.lif = nn.ModuleList(snn.Leaky(beta=given.task.beta) for _ in given.layers)
        self.recurrent = given.task.recurrent
        if self.recurrent:
            self.lif[0] = snn.RLeaky(beta=given.task.beta, linear_features=given.task.sizes[1])
            self.lif[-1] = snn.Leaky(beta=given.task.beta, reset_mechanism="none")
            on_torch.load([self.lif[0].recurrent], given.back)
        on_torch.load(self.fc, given.layers)

    def forward(self, x: Any) -> tuple[Any, Any]:
        mem = [lif.reset_mem() for lif in self.lif]
        back = None
        if self.recurrent:
            back, mem[0] = mem[0]
        first = on_torch.current_of_step(self.fc[0], x) if self.hoisted else None
        spk_rec, mem_rec = [], []
        for step in range(self.num_steps):
            spk = x if self.static else x[step]
            for i, (fc, lif) in enumerate(zip(self.fc, self.lif, strict=True)):
                current = first if i == 0 and self.hoisted else on_torch.current_of_step(fc, spk)
                if i == 0 and self.recurrent:
                    spk, mem[i] = lif(current, back, mem[i])
                    back = spk
                else:
                    spk, mem[i] = lif(current, mem[i])
            spk_rec.append(spk)
            mem_rec.append(mem[-1])
        return torch.stack(spk_rec), torch.stack(mem_rec)


def build(given: Given, variant: str) -> Calls:
    if variant == "hoisted" and not given.task.static:
        raise LeftOut("nothing to hoist: the input is not static")
    x, y = on_torch.start(given)
    net = Net(given, variant == "hoisted")
    if variant == "compiled":
        parts = net.lif if given.task.num_steps > UNROLLED else [net]
        for part in parts:
            part.compile(dynamic=False)
    read = 1 if given.by_membrane else 0

    def loss() -> Any:
        spk, mem = net(x)
        if not given.by_membrane:
            return F.mse_loss(spk.mean(0), y)
        total = torch.zeros(())
        for step in range(given.task.num_steps):
            total = total + F.cross_entropy(mem[step], y)
        return total

    return on_torch.calls(net.parameters(), lambda: net(x)[read], loss)
