"""Leaky neurons without weights, `layer` of models/workloads.py. `train` is the gradient of the currents.

scans: PyTorch by hand, its loops compiled; eager: not compiled. SpikingJelly in multi-step mode, which resets
to zero: the same work. snnTorch step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..case_task import CaseGiven, read
from ..task import Calls, LeftOut
from .torch import Scan, neurons

__all__ = ["build", "read"]
BETA = 0.95


def build(given: CaseGiven, variant: str) -> Calls:
    torch.set_num_threads(given.threads)
    if not given.shape:
        raise LeftOut("the case has no currents")
    shape = (given.num_steps, given.batch, *given.shape)
    x = torch.rand(shape, device=given.device) * (torch.rand(shape, device=given.device) < 0.1)
    d_out = torch.rand_like(x)
    run = _neurons(given, variant)

    def done() -> float:
        if given.device == "cuda":
            torch.cuda.synchronize()
        return 0.0

    def gradient(rate: float) -> float:
        current = x.detach().requires_grad_()
        run(current).backward(d_out)
        return done()

    def infer() -> float:
        with torch.no_grad():
            run(x)
        return done()

    return Calls(gradient, infer)


def _neurons(given: CaseGiven, variant: str) -> Callable[[Any], Any]:
    """From currents to spikes, [T, B, n]."""
    if variant == "spikingjelly":
        from spikingjelly.activation_based import functional, neuron

        made = neuron.LIFNode(tau=20.0, step_mode="m").to(given.device)

        def all_steps(x: Any) -> Any:
            functional.reset_net(made)
            return made(x)

        return all_steps
    if variant == "snntorch":
        import snntorch

        leaky = snntorch.Leaky(beta=BETA).to(given.device)

        def by_steps(x: Any) -> Any:
            mem, found = torch.zeros_like(x[0]), []
            for current in x:
                spk, mem = leaky(current, mem)
                found.append(spk)
            return torch.stack(found)

        return by_steps
    spikes, _ = neurons(Scan(BETA, given.num_steps, variant == "scans"))
    return lambda x: spikes(x, False)
