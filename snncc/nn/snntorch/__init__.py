"""snnTorch's names, argument orders and defaults, translated to snncc's own neurons, encoders and surrogates.

Each neuron is a preset of one of ours and does what snnTorch 1.0 does, its surprises included. What snnTorch
accepts and then ignores is refused with an error that says so. Every neuron returns all its outputs by
name: `init_hidden` and `output`, which choose what snnTorch's call returns, are accepted and change nothing.
"""

from . import spikegen, surrogate
from .layers import SLSTM, AssociativeLeaky, LeakyParallel, LinearLeaky, SConv2dLSTM, StateLeaky
from .neurons import Alpha, DeltaLeaky, Lapicque, Leaky, RLeaky, RSynaptic, Synaptic
from .quant import state_quant

__all__ = [
    "SLSTM",
    "Alpha",
    "AssociativeLeaky",
    "DeltaLeaky",
    "Lapicque",
    "Leaky",
    "LeakyParallel",
    "LinearLeaky",
    "RLeaky",
    "RSynaptic",
    "SConv2dLSTM",
    "StateLeaky",
    "Synaptic",
    "spikegen",
    "state_quant",
    "surrogate",
]
