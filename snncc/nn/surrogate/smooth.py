"""Surrogates with a smooth bump, or none at all: never exactly zero."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, pi, sqrt
from typing import Any, ClassVar

import numpy as np

from ...errors import located, user_line
from ...ops import absolute, cos, exp, greater, log, where
from .base import Surrogate

MOST_TERMS = 1000


@dataclass(frozen=True, repr=False)
class ATan(Surrogate):
    """(alpha/2) / (1 + (pi alpha u / 2)^2)

    1 at u = 0 for alpha = 2: neither snnTorch nor SpikingJelly has the factor 1/pi that some of their texts
    print.
    """

    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        scaled = (pi * self.alpha / 2) * u
        return (self.alpha / 2) / (1.0 + scaled * scaled)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.arctan(pi * self.alpha / 2 * u) / pi


@dataclass(frozen=True, repr=False)
class FastSigmoid(Surrogate):
    """height / (1 + slope |u|)^2

    Also known as SuperSpike (slope 1 in SpikingJelly and Norse) and SoftSign.
    """

    slope: float = 25.0
    height: float = 1.0
    above: ClassVar[dict[str, float]] = {"slope": 0.0}

    def derivative(self, u: Any) -> Any:
        root = 1.0 + self.slope * absolute(u)
        return self.height / (root * root)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(self.height * u / (1.0 + self.slope * np.abs(u)))


@dataclass(frozen=True, repr=False)
class Sigmoid(Surrogate):
    """slope s (1 - s), s = 1 / (1 + exp(-slope u))

    Written with exp(-slope |u|), so that it is never NaN. snnTorch's own formula overflows in float32 where
    slope u < -88.7 and gives NaN there; here it is 0.
    """

    slope: float = 25.0

    def derivative(self, u: Any) -> Any:
        return _logistic_slope(self.slope, u)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return _logistic(self.slope * u)


@dataclass(frozen=True, repr=False)
class Gaussian(Surrogate):
    """(alpha / sqrt(pi)) exp(-(alpha u)^2)

    The derivative of an error function.
    """

    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        scaled = self.alpha * u
        return (self.alpha / sqrt(pi)) * exp(-(scaled * scaled))

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * np.vectorize(erf)(self.alpha * u))


@dataclass(frozen=True, repr=False)
class Exponential(Surrogate):
    """height exp(-decay |u - centre|)"""

    decay: float = 1.0
    height: float = 0.5
    centre: float = 0.0
    above: ClassVar[dict[str, float]] = {"decay": 0.0}

    def derivative(self, u: Any) -> Any:
        distance = absolute(u - self.centre) if self.centre else absolute(u)
        return self.height * exp(-(self.decay * distance))

    def primitive(self, u: np.ndarray) -> np.ndarray:
        v = self.decay * (u - self.centre)
        return np.asarray(self.height / self.decay * np.sign(v) * (1.0 - np.exp(-np.abs(v))))


@dataclass(frozen=True, repr=False)
class LogAbs(Surrogate):
    """alpha / (1 + alpha |u|)

    Heavy tails: its antiderivative, sign(u) log(1 + alpha |u|), grows without bound.
    """

    alpha: float = 1.0
    above: ClassVar[dict[str, float]] = {"alpha": 0.0}

    def derivative(self, u: Any) -> Any:
        return self.alpha / (1.0 + self.alpha * absolute(u))

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(u) * np.log1p(self.alpha * np.abs(u)))


@dataclass(frozen=True, repr=False)
class QPseudoSpike(Surrogate):
    """(1 + 2 |u| / (alpha - 1))^(-alpha)

    Tails between those of Exponential (alpha large) and of LogAbs (alpha near 1).
    """

    alpha: float = 2.0
    above: ClassVar[dict[str, float]] = {"alpha": 1.0}

    def derivative(self, u: Any) -> Any:
        root = 1.0 + (2.0 / (self.alpha - 1.0)) * absolute(u)
        if self.alpha in range(2, 9):
            return 1.0 / root ** int(self.alpha)
        return exp(-self.alpha * log(root))

    def primitive(self, u: np.ndarray) -> np.ndarray:
        root = 1.0 + 2.0 / (self.alpha - 1.0) * np.abs(u)
        return np.asarray(0.5 * np.sign(u) * (1.0 - root ** (1.0 - self.alpha)))


@dataclass(frozen=True, repr=False)
class SquareWave(Surrogate):
    """(4/period) (cos w + cos 3w + ... + cos (2 terms - 1)w), w = 2 pi u / period

    The derivative of a square wave's Fourier series: it comes again with every period, and is negative in
    places. Its cosine is exact for |u| up to some hundred periods.
    """

    terms: int = 1
    period: float = 8.0
    above: ClassVar[dict[str, float]] = {"period": 0.0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.terms <= MOST_TERMS:
            raise located(f"SquareWave: terms must be from 1 to {MOST_TERMS}, got {self.terms}", user_line())

    def derivative(self, u: Any) -> Any:
        total = cos((2.0 * pi / self.period) * u)
        for k in range(1, self.terms):
            total = total + cos((2.0 * pi * (2 * k + 1) / self.period) * u)
        return (4.0 / self.period) * total

    def primitive(self, u: np.ndarray) -> np.ndarray:
        speeds = [2.0 * pi * (2 * k + 1) / self.period for k in range(self.terms)]
        return np.asarray(4.0 / self.period * sum(np.sin(speed * u) / speed for speed in speeds))


@dataclass(frozen=True, repr=False)
class S2NN(Surrogate):
    """slope s (1 - s), s = 1 / (1 + exp(-slope u)), for u < 0; else tail / (1 + u)

    Below the threshold a sigmoid, above a logarithm, whose gradient lasts.
    """

    slope: float = 4.0
    tail: float = 1.0

    def derivative(self, u: Any) -> Any:
        return where(greater(0.0, u), _logistic_slope(self.slope, u), self.tail / (1.0 + absolute(u)))

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.where(u < 0, _logistic(self.slope * u), 0.5 + self.tail * np.log1p(np.abs(u)))


def _logistic_slope(slope: float, u: Any) -> Any:
    """slope s (1 - s) with s = sigmoid(slope u), by an exponential that cannot overflow."""
    tail = exp(-(abs(slope) * absolute(u)))
    root = 1.0 + tail
    return slope * tail / (root * root)


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
