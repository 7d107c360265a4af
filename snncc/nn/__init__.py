"""What networks are made of: layers, neurons, surrogates. All equations, nothing of the compiler."""

import sys

from ..arguments import PRESETS
from . import aidge, connections, neurons, nir, snngrow, snntorch, spikingjelly, surrogate
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d
from .delay import Delay, DelayedLinear
from .dropout import Dropout, Dropout1d, Dropout2d, Dropout3d
from .embedding import Embedding
from .encoders import Delta, Latency, Rate, Repeat
from .layers import Flatten, Linear, Sequential
from .levels import Levels, UniformLevels
from .module import Input, Module, Parameter, delay
from .neuron import Neuron
from .neurons import *  # noqa: F403 - all of the list there
from .norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BatchNormTT1d,
    BatchNormTT2d,
    GroupNorm,
    LayerNorm,
    ThresholdDependentBatchNorm1d,
    ThresholdDependentBatchNorm2d,
)
from .pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    SumPool1d,
    SumPool2d,
    SumPool3d,
    Upsample,
)
from .recurrent import Recurrent
from .sparse import SparseLinear
from .standardized import WSConv2d, WSLinear

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchNormTT1d",
    "BatchNormTT2d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Delay",
    "DelayedLinear",
    "Delta",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Input",
    "Latency",
    "LayerNorm",
    "Levels",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "Neuron",
    "Parameter",
    "Rate",
    "Recurrent",
    "Repeat",
    "Sequential",
    "SumPool1d",
    "SumPool2d",
    "SumPool3d",
    "ThresholdDependentBatchNorm1d",
    "ThresholdDependentBatchNorm2d",
    "SparseLinear",
    "UniformLevels",
    "Upsample",
    "WSConv2d",
    "WSLinear",
    "aidge",
    "connections",
    "delay",
    "nir",
    "snngrow",
    "snntorch",
    "spikingjelly",
    "surrogate",
    *neurons.__all__,
]

_spiking = {"nn.spikingjelly": spikingjelly, "nn.spikingjelly.surrogate": spikingjelly.surrogate}
PRESETS.update(
    {
        "torch.nn.modules": {"nn": sys.modules[__name__]},
        "snntorch": {"nn.snntorch": snntorch, "nn.snntorch.surrogate": snntorch.surrogate},
        "spikingjelly": _spiking,
        "snngrow": {"nn.snngrow": snngrow},
        "aidge_core": {"nn.aidge": aidge},
        "nir": {"nn.nir": nir},
    }
)
