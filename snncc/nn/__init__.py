"""What networks are made of: layers, neurons, surrogates. All equations, nothing of the compiler."""

from . import aidge, neurons, nir, snngrow, snntorch, spikingjelly, surrogate
from .encoders import Delta, Latency, Rate, Repeat
from .layers import Flatten, Linear, Sequential
from .levels import Levels, UniformLevels
from .module import Input, Module, Parameter, delay
from .neuron import Neuron
from .neurons import *  # noqa: F403 - all of the list there

__all__ = [
    "Delta",
    "Flatten",
    "Input",
    "Latency",
    "Levels",
    "Linear",
    "Module",
    "Neuron",
    "Parameter",
    "Rate",
    "Repeat",
    "Sequential",
    "UniformLevels",
    "aidge",
    "delay",
    "nir",
    "snngrow",
    "snntorch",
    "spikingjelly",
    "surrogate",
    *neurons.__all__,
]
