"""snnTorch's surrogates: its function names, arguments and defaults, as surrogates of nn.surrogate.

    nn.Leaky(0.9, surrogate=nn.snntorch.surrogate.fast_sigmoid(slope=25))

Its spike is 1 where u > 0; that is the neuron's, and snncc's neurons do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...arguments import checked
from .. import surrogate as own
from ..surrogate.base import Surrogate


@checked
def atan(alpha: float = 2.0) -> Surrogate:
    """snnTorch's default. The code has no factor 1/pi, its documentation has."""
    return own.ATan(alpha)


@checked
def fast_sigmoid(slope: float = 25) -> Surrogate:
    """The derivative of u / (1 + slope |u|)."""
    return own.FastSigmoid(slope)


@checked
def sigmoid(slope: float = 25) -> Surrogate:
    """Never NaN: where slope u < -88.7 snnTorch's float32 gradient is, ours is 0."""
    return own.Sigmoid(slope)


@checked
def straight_through_estimator() -> Surrogate:
    """The gradient passes unchanged."""
    return own.StraightThrough()


@checked
def triangular(threshold: float = 1) -> Surrogate:
    """+threshold below u = 0 and -threshold from there on: no triangle, see nn.surrogate.Triangle for one."""
    return own.TwoSlopes(threshold, -threshold, strict=False)


@checked
def heaviside() -> Surrogate:
    """The gradient passes where there is a spike."""
    return own.TwoSlopes(0.0, 1.0)


@checked
def spike_rate_escape(beta: float = 1, slope: float = 25) -> Surrogate:
    """The peak lies at u = 1, one above the threshold."""
    return own.Exponential(beta, slope, 1.0)


@checked
def SFS(slope: float = 25, B: float = 1) -> Surrogate:
    """Sparse fast sigmoid. With the default B only membranes above twice a threshold of 1 learn."""
    return own.SparseFastSigmoid(slope, B)


@checked
def SSO(mean: float = 0, variance: float = 0.2) -> Surrogate:
    """Stochastic spike operator: below the threshold the gradient is drawn anew at every step."""
    return own.StochasticStep(mean, variance)


@checked
def LSO(slope: float = 0.1) -> Surrogate:
    """Leaky spike operator: what snnTorch means; its own code raises an error on the first call."""
    return own.TwoSlopes(slope, 1.0)


@checked
def custom_surrogate(custom_surrogate_function: Callable[[Any, Any, Any], Any]) -> Surrogate:
    """function(u, grad, spikes) gives the whole gradient of u, written with snncc's functions."""
    return own.custom_gradient(custom_surrogate_function)


__all__ = [
    "LSO",
    "SFS",
    "SSO",
    "atan",
    "custom_surrogate",
    "fast_sigmoid",
    "heaviside",
    "sigmoid",
    "spike_rate_escape",
    "straight_through_estimator",
    "triangular",
]
