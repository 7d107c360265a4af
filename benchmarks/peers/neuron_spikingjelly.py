"""SpikingJelly's neurons in multi-step mode, on its torch path: its other backends need a GPU."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron

from ..neuron_task import NeuronGiven, read
from ..task import Calls
from . import neuron_on_torch

__all__ = ["build", "read"]


def build(given: NeuronGiven, variant: str) -> Calls:
    made: Any = getattr(neuron, given.preset)(**given.options)

    functional.set_step_mode(made, "m")

    def run(x: Any) -> Any:
        functional.reset_net(made)
        # GatedLIFNode has parameters by channel, which it makes [1, channels, 1, 1].
        out = made(x[..., None, None])[..., 0, 0] if given.preset == "GatedLIFNode" else made(x)
        return torch.stack(out) if isinstance(out, list) else out    # membranes, if it does not spike

    return neuron_on_torch.calls(given, "peer", made, run)
