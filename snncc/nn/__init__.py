"""What networks are made of: layers, neurons, surrogates. All equations, nothing of the compiler."""

from . import snntorch, spikingjelly, surrogate
from .encoders import Delta, Latency, Rate, Repeat
from .layers import Flatten, Linear, Sequential
from .module import Input, Module, Parameter, delay
from .neuron import Neuron
from .neurons import Leaky

__all__ = [
    "Delta",
    "Flatten",
    "Input",
    "Latency",
    "Leaky",
    "Linear",
    "Module",
    "Neuron",
    "Parameter",
    "Rate",
    "Repeat",
    "Sequential",
    "delay",
    "snntorch",
    "spikingjelly",
    "surrogate",
]
