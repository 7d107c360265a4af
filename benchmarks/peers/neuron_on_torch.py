"""What snnTorch's and SpikingJelly's neurons share: parameters, and the two calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..neuron_task import NeuronGiven
from ..task import Calls


def calls(given: NeuronGiven, name: str, neuron: Any, run: Callable[[Any], Any]) -> Calls:
    """run: from currents to spikes, [T, B, n], fresh states included."""
    torch.set_num_threads(given.threads)
    x, d_out = torch.from_numpy(given.x), torch.from_numpy(given.d_out)
    learned = {name: p for name, p in neuron.named_parameters() if name in given.parameters}
    with torch.no_grad():
        for key, parameter in learned.items():
            parameter.copy_(torch.from_numpy(given.parameters[key]).reshape(parameter.shape))

    def forward() -> Any:
        neuron.eval()
        with torch.no_grad():
            return run(x).numpy()

    def gradient() -> Any:
        neuron.train()
        current = x.detach().requires_grad_()
        neuron.zero_grad()
        run(current).backward(d_out)
        return current.grad.numpy(), {k: p.grad.numpy() for k, p in learned.items() if p.grad is not None}

    return given.calls(name, forward, gradient)
