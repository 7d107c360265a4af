"""Losses on a network's outputs, and regularisers on any layer's spikes, as equations.

base.py     what a loss is; weighted sums of losses
readout.py  what a loss looks at: counts, membranes, spike times; what classes are chosen by
errors.py   cross-entropy and mean squared error
rates.py    regularisers of firing rates
snntorch.py snnTorch's losses under their names and with their defaults

A loss is a mean over the batch. Losses are added and scaled, as in
`cross_entropy("count") + l1_rate(1e-5, of="lif1")`.
"""

from . import snntorch
from .base import Loss, Sum, Values
from .errors import CrossEntropy, MeanSquaredError, cross_entropy, mse
from .rates import RateLoss, l1_rate, l2_rate, lower_rate, upper_rate
from .readout import READS, Scores

__all__ = [
    "READS",
    "CrossEntropy",
    "Loss",
    "MeanSquaredError",
    "RateLoss",
    "Scores",
    "Sum",
    "Values",
    "cross_entropy",
    "l1_rate",
    "l2_rate",
    "lower_rate",
    "mse",
    "snntorch",
    "upper_rate",
]
