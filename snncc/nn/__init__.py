"""What networks are made of: layers, neurons, surrogates. All equations, nothing of the compiler."""

from . import snntorch, spikingjelly, surrogate
from .layers import Flatten, Linear, Sequential
from .levels import Levels, UniformLevels
from .module import Input, Module, Parameter, delay
from .neuron import Neuron
from .neurons import (
    SLSTM,
    Alpha,
    AssociativeLeaky,
    DeltaLeaky,
    Lapicque,
    Leaky,
    LeakyParallel,
    LinearLeaky,
    RLeaky,
    RSynaptic,
    StateLeaky,
    Synaptic,
)

__all__ = [
    "SLSTM",
    "Alpha",
    "AssociativeLeaky",
    "DeltaLeaky",
    "Flatten",
    "Input",
    "Lapicque",
    "Leaky",
    "LeakyParallel",
    "Levels",
    "Linear",
    "LinearLeaky",
    "Module",
    "Neuron",
    "Parameter",
    "RLeaky",
    "RSynaptic",
    "Sequential",
    "StateLeaky",
    "Synaptic",
    "UniformLevels",
    "delay",
    "snntorch",
    "spikingjelly",
    "surrogate",
]
