"""snnTorch's neurons, in the loop over steps of its tutorials; those that take all steps at once get them."""

from __future__ import annotations

from typing import Any

import snntorch
import torch

from ..neuron_task import NeuronGiven, read
from ..task import Calls
from . import neuron_on_torch

__all__ = ["build", "read"]
AT_ONCE = ("AssociativeLeaky", "LeakyParallel", "LinearLeaky", "StateLeaky")


def build(given: NeuronGiven, variant: str) -> Calls:
    neuron: Any = getattr(snntorch, given.preset)(**given.options)

    recurrent = given.preset in ("RLeaky", "RSynaptic")

    def at_once(x: Any) -> Any:
        result = neuron(x)
        return result[0] if isinstance(result, tuple) else result

    def in_steps(x: Any) -> Any:
        state = neuron.reset_mem()
        state = state if isinstance(state, tuple) else (state,)
        spk_rec = []
        for step in range(len(x)):
            result = neuron(x[step]) if neuron.init_hidden else neuron(x[step], *state)
            spk_rec.append(result[0])
            state = result if recurrent else result[1:]    # spikes come back in
        return torch.stack(spk_rec)

    return neuron_on_torch.calls(given, "peer", neuron, at_once if given.preset in AT_ONCE else in_steps)
