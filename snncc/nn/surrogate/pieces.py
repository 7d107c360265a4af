"""Surrogates made of pieces: lines, steps and cut-off tails, many of them exactly zero in places.

Products skip the zeros (passes/zeros.py finds them in `where(condition, a, 0.0)`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...ops import absolute, greater, greater_equal, maximum, where
from .base import Surrogate


@dataclass(frozen=True, repr=False)
class Triangle(Surrogate):
    """max(0, 1 - |u| / width) / width

    Exactly zero outside of the width. snnTorch's `triangular` is another: see TwoSlopes.
    """

    width: float = 1.0
    above: ClassVar[dict[str, float]] = {"width": 0.0}

    def derivative(self, u: Any) -> Any:
        return maximum(1.0 - absolute(u) / self.width, 0.0) / self.width

    def primitive(self, u: np.ndarray) -> np.ndarray:
        v = np.clip(u / self.width, -1.0, 1.0)
        return np.asarray(v - 0.5 * v * np.abs(v))


@dataclass(frozen=True, repr=False)
class Rectangle(Surrogate):
    """1/width where |u| < width/2, else leak

    Exactly zero outside of the width without a leak.
    """

    width: float = 1.0
    leak: float = 0.0
    above: ClassVar[dict[str, float]] = {"width": 0.0}

    def derivative(self, u: Any) -> Any:
        return where(greater(self.width / 2, absolute(u)), 1.0 / self.width, self.leak)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        inside = np.clip(u, -self.width / 2, self.width / 2)
        return np.asarray(inside / self.width + self.leak * (u - inside))


@dataclass(frozen=True, repr=False)
class StraightThrough(Surrogate):
    """1

    The spike's gradient passes unchanged.
    """

    def derivative(self, u: Any) -> Any:
        return u * 0.0 + 1.0

    def gradient(self, u: Any, grad: Any, spk: Any) -> Any:
        return grad

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return u


@dataclass(frozen=True, repr=False)
class TwoSlopes(Surrogate):
    """high where u > 0 (u >= 0 if not strict), else low

    A (leaky) ReLU in place of the spike; with low = 0 exactly zero below the threshold. With high = -low it
    is snnTorch's `triangular`, which pushes membranes towards the threshold from both sides.
    """

    low: float = 0.0
    high: float = 1.0
    strict: bool = True

    def derivative(self, u: Any) -> Any:
        return where(greater(u, 0.0) if self.strict else greater_equal(u, 0.0), self.high, self.low)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.where(u > 0, self.high * u, self.low * u)


@dataclass(frozen=True, repr=False)
class SparseFastSigmoid(Surrogate):
    """1 / (1 + slope |u|)^2 where u > cut, else 0

    Exactly zero up to the cut, which is above the threshold in snnTorch's default (cut = 1): a neuron that
    does not spike far above its threshold then learns nothing.
    """

    slope: float = 25.0
    cut: float = 1.0
    above: ClassVar[dict[str, float]] = {"slope": 0.0}

    def derivative(self, u: Any) -> Any:
        root = 1.0 + self.slope * absolute(u)
        return where(greater(u, self.cut), 1.0 / (root * root), 0.0)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        v = np.maximum(u, self.cut)
        start = self.cut / (1.0 + self.slope * abs(self.cut))
        return np.asarray(v / (1.0 + self.slope * np.abs(v)) - start)


@dataclass(frozen=True, repr=False)
class Reciprocal(Surrogate):
    """min(1 / |u|, height)

    Finite at u = 0, where 1 / |u| is not.
    """

    height: float = 0.3
    above: ClassVar[dict[str, float]] = {"height": 0.0}

    def derivative(self, u: Any) -> Any:
        return 1.0 / maximum(absolute(u), 1.0 / self.height)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        scaled = self.height * u
        return np.asarray(np.clip(scaled, -1.0, 1.0) + np.sign(u) * np.log(np.maximum(np.abs(scaled), 1.0)))


@dataclass(frozen=True, repr=False)
class LogTailedReLU(Surrogate):
    """leak where u <= 0; 1 up to u = 1; 1/u above

    Exactly zero below the threshold without a leak.
    """

    leak: float = 0.0

    def derivative(self, u: Any) -> Any:
        return where(greater(u, 0.0), 1.0 / maximum(u, 1.0), self.leak)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.where(u > 0, np.clip(u, 0.0, 1.0) + np.log(np.maximum(u, 1.0)), self.leak * u)
