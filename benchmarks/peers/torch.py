"""Plain PyTorch by somebody who knows what costs: one product a layer for all steps, loops over time with a
hand-written backward half that keeps only the membrane, fused Adam.

eager: loops in Python. scans: each loop under torch.compile, unrolled (in chunks of CHUNK over LONG steps).
whole: network and loss in one compiled graph. graphs: the same, launched as CUDA graphs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from ..task import Calls, Given, LeftOut
from . import on_torch

LONG, CHUNK = 200, 50


def forward_steps(current: Any, mem: Any, beta: float, steps: int, static: bool) -> tuple[Any, Any]:
    """Spikes and membranes [T, ...] from the membrane before."""
    spk_rec, mem_rec = [], []
    for step in range(steps):
        mem = beta * mem + (current if static else current[step]) - (mem > 1).to(mem.dtype)
        spk_rec.append((mem > 1).to(mem.dtype))
        mem_rec.append(mem)
    return torch.stack(spk_rec), torch.stack(mem_rec)


def backward_steps(d_out: Any, mem: Any, d_mem: Any, beta: float, static: bool) -> tuple[Any, Any]:
    """d_current, summed over time if static, and d_mem before the first step.

    d_out is that of the spikes, or of the membranes if `mem` is None.
    """
    found: list[Any] = [None] * len(d_out)
    for step in reversed(range(len(d_out))):
        slope = 1 if mem is None else 1 / (1 + (math.pi * (mem[step] - 1)) ** 2)
        d_mem = beta * d_mem + d_out[step] * slope
        found[step] = d_mem
    return (sum(found) if static else torch.stack(found)), d_mem


def recurrent_steps(current: Any, weight: Any, bias: Any, beta: float, steps: int) -> tuple[Any, Any]:
    """The same where spikes come back a step later."""
    mem = spk = torch.zeros_like(current[0])
    spk_rec, mem_rec = [], []
    for step in range(steps):
        mem = beta * mem + torch.addmm(current[step] + bias, spk, weight.t()) - spk
        spk = (mem > 1).to(mem.dtype)
        spk_rec.append(spk)
        mem_rec.append(mem)
    return torch.stack(spk_rec), torch.stack(mem_rec)


def recurrent_backward(d_out: Any, mem: Any, weight: Any, beta: float) -> Any:
    """d_current of the loop above."""
    found: list[Any] = [None] * len(d_out)
    d_mem = torch.zeros_like(mem[0])
    for step in reversed(range(len(d_out))):
        d_spk = d_out[step] if step == len(d_out) - 1 else torch.addmm(d_out[step], d_mem, weight)
        d_mem = beta * d_mem + d_spk / (1 + (math.pi * (mem[step] - 1)) ** 2)
        found[step] = d_mem
    return torch.stack(found)


def read_out(current: Any, beta: float, steps: int) -> Any:
    """Membranes without reset."""
    mem, mem_rec = torch.zeros_like(current[0]), []
    for step in range(steps):
        mem = beta * mem + current[step]
        mem_rec.append(mem)
    return torch.stack(mem_rec)


class Scan:
    """The two loops of a layer of neurons, as they are or compiled, whole or in chunks of steps."""

    def __init__(self, beta: float, steps: int, compiled: bool) -> None:
        self.beta, self.steps = beta, steps
        self.chunk = CHUNK if self.steps > LONG else self.steps
        self._forward, self._backward = forward_steps, backward_steps
        self.recurrent, self.recurrent_backward = recurrent_steps, recurrent_backward
        self.read_out = read_out
        for name in ("_forward", "_backward", "recurrent", "recurrent_backward", "read_out"):
            if compiled:
                setattr(self, name, torch.compile(getattr(self, name), dynamic=False))

    def forward(self, current: Any, static: bool) -> tuple[Any, Any]:
        """Spikes and membranes, [T, B, n]."""
        mem = torch.zeros_like(current if static else current[0])
        if self.chunk == self.steps:
            return self._forward(current, mem, self.beta, self.steps, static)
        spk_rec, mem_rec = torch.empty_like(current), torch.empty_like(current)
        for a in range(0, self.steps, self.chunk):
            b = a + self.chunk
            spk_rec[a:b], mem_rec[a:b] = self._forward(current[a:b], mem, self.beta, self.chunk, False)
            mem = mem_rec[b - 1]
        return spk_rec, mem_rec

    def backward(self, d_out: Any, mem: Any, static: bool) -> Any:
        """d_current."""
        d_mem = torch.zeros_like(d_out[0])
        if self.chunk == self.steps:
            return self._backward(d_out, mem, d_mem, self.beta, static)[0]
        found = torch.empty_like(d_out)
        for a in reversed(range(0, self.steps, self.chunk)):
            part = slice(a, a + self.chunk)
            found[part], d_mem = self._backward(
                d_out[part], None if mem is None else mem[part], d_mem, self.beta, False
            )
        return found


def neurons(scan: Scan) -> tuple[Any, Any]:
    """Functions from currents to spikes, and from currents to membranes, with their gradients."""

    class Spikes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, current: Any, static: bool) -> Any:
            spk, mem = scan.forward(current, static)
            ctx.save_for_backward(mem)
            ctx.static = static
            return spk

        @staticmethod
        def backward(ctx: Any, d_spk: Any) -> Any:
            return scan.backward(d_spk, ctx.saved_tensors[0], ctx.static), None

    class Membranes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, current: Any, static: bool) -> Any:
            ctx.static = static
            return scan.forward(current, static)[1]

        @staticmethod
        def backward(ctx: Any, d_mem: Any) -> Any:
            return scan.backward(d_mem, None, ctx.static), None

    return Spikes.apply, Membranes.apply


def with_connections_back(scan: Scan) -> Any:
    """The network whose first layer's spikes come back, and whose last one is a read-out without reset."""

    class Spikes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, current: Any, weight: Any, bias: Any) -> Any:
            spk, mem = scan.recurrent(current, weight, bias, scan.beta, scan.steps)
            ctx.save_for_backward(spk, mem, weight)
            return spk

        @staticmethod
        def backward(ctx: Any, d_spk: Any) -> Any:
            spk, mem, weight = ctx.saved_tensors
            d_current = scan.recurrent_backward(d_spk, mem, weight, scan.beta)
            d_weight = d_current[1:].flatten(0, 1).t() @ spk[:-1].flatten(0, 1)
            return d_current, d_weight, d_current.sum((0, 1))

    class Membranes(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, current: Any) -> Any:
            return scan.read_out(current, scan.beta, scan.steps)

        @staticmethod
        def backward(ctx: Any, d_mem: Any) -> Any:
            return scan.backward(d_mem, None, False)

    def network(layers: Any, x: Any, learning: bool) -> Any:
        (weight, bias), (out_weight, out_bias), back = layers
        current = F.linear(x, weight, bias)
        if not learning:
            spk = scan.recurrent(current, *back, scan.beta, scan.steps)[0]
            return scan.read_out(F.linear(spk, out_weight, out_bias), scan.beta, scan.steps)
        return Membranes.apply(F.linear(Spikes.apply(current, *back), out_weight, out_bias))

    return network


def build(given: Given, variant: str) -> Calls:
    if variant in ("whole", "graphs") and given.task.num_steps > LONG:
        raise LeftOut(f"{given.task.num_steps} steps in one graph do not compile in reasonable time")
    x, y = on_torch.start(given)
    scan = Scan(given.task.beta, given.task.num_steps, variant == "scans")
    spikes, membranes = neurons(scan)
    given_layers = [*given.layers, *given.back]
    on_device = [[torch.from_numpy(a).to(x.device) for a in layer] for layer in given_layers]
    layers = [tuple(a.requires_grad_() for a in layer) for layer in on_device]
    fixed = [tuple(a.detach() for a in layer) for layer in layers]    # the same memory, without gradients
    last = len(layers) - 1
    recurrent = with_connections_back(scan) if given.task.recurrent else None

    def network(layers: Any, x: Any, spikes: Any, membranes: Any) -> Any:
        for i, (weight, bias) in enumerate(layers):
            neuron = membranes if i == last and given.by_membrane else spikes
            x = neuron(on_torch.current(x, weight, bias), given.task.static and i == 0)
        return x

    def loss(layers: Any, x: Any, y: Any) -> Any:
        out = recurrent(layers, x, True) if recurrent else network(layers, x, spikes, membranes)
        return on_torch.loss_of(given, out, y)

    def forward(layers: Any, x: Any) -> Any:
        if recurrent:
            return recurrent(layers, x, False)
        return network(layers, x, lambda c, s: scan.forward(c, s)[0], lambda c, s: scan.forward(c, s)[1])

    if variant in ("whole", "graphs"):
        graphs: Any = {"triton.cudagraphs": True} if variant == "graphs" else None
        loss = torch.compile(loss, dynamic=False, fullgraph=True, options=graphs)
        # One sample is so little work that starting a kernel from Python counts.
        single = given.task.batch == 1 and given.device == "cpu"
        options = {"cpp_wrapper": True} if single else graphs
        forward = torch.compile(forward, dynamic=False, fullgraph=True, options=options)
    parameters = [a for layer in layers for a in layer]
    return on_torch.calls(parameters, lambda: forward(fixed, x), lambda: loss(layers, x, y), fused=True)
