"""Surrogate gradients: what stands in for the derivative of a spike, as expressions.

A surrogate is a frozen dataclass with `derivative(u)` (u = membrane - threshold) written with snncc's
functions; `custom` makes one of any function of u. Whether a spike needs u > 0 or u >= 0 is the neuron's to
say. docs/surrogates.md has them all in a table, with the names of snnTorch and SpikingJelly, whose own names
and defaults are in nn.snntorch.surrogate and nn.spikingjelly.surrogate.
"""

from .base import Surrogate
from .noisy import StochasticStep
from .own import Custom, CustomGradient, custom, custom_gradient
from .pieces import (
    LogTailedReLU,
    Reciprocal,
    Rectangle,
    SparseFastSigmoid,
    StraightThrough,
    Triangle,
    TwoSlopes,
)
from .smooth import (
    S2NN,
    ATan,
    Exponential,
    FastSigmoid,
    Gaussian,
    LogAbs,
    QPseudoSpike,
    Sigmoid,
    SquareWave,
)

__all__ = [
    "S2NN",
    "ATan",
    "Custom",
    "CustomGradient",
    "Exponential",
    "FastSigmoid",
    "Gaussian",
    "LogAbs",
    "LogTailedReLU",
    "QPseudoSpike",
    "Reciprocal",
    "Rectangle",
    "Sigmoid",
    "SparseFastSigmoid",
    "SquareWave",
    "StochasticStep",
    "StraightThrough",
    "Surrogate",
    "Triangle",
    "TwoSlopes",
    "custom",
    "custom_gradient",
]
