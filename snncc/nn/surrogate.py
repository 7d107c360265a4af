"""Surrogate gradients: what stands in for the derivative of a spike, as expressions.

A surrogate is a frozen dataclass with `derivative(u)` (u = membrane - threshold) written with
snncc's functions. `primitive(u)` is its antiderivative on NumPy arrays: tests put it in place of the
spike and compare the derived gradient with finite differences.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import pi
from typing import Any

import numpy as np

from ..ops import absolute, exp, greater, maximum, where


@dataclass(frozen=True)
class Surrogate:
    """Base: prints as `ATan(alpha=2.0)`."""

    def derivative(self, u: Any) -> Any:
        raise NotImplementedError

    def primitive(self, u: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __str__(self) -> str:
        return (
            f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)}' for f in fields(self))})"
        )


@dataclass(frozen=True, repr=False)
class ATan(Surrogate):
    """(alpha/2) / (1 + (pi alpha u / 2)^2): snnTorch's `atan`, which has no factor 1/pi."""

    alpha: float = 2.0

    def derivative(self, u: Any) -> Any:
        scaled = (pi * self.alpha / 2) * u
        return (self.alpha / 2) / (1.0 + scaled * scaled)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.arctan(pi * self.alpha / 2 * u) / pi


@dataclass(frozen=True, repr=False)
class FastSigmoid(Surrogate):
    """1 / (1 + slope |u|)^2 (snnTorch `fast_sigmoid`)."""

    slope: float = 25.0

    def derivative(self, u: Any) -> Any:
        root = 1.0 + self.slope * absolute(u)
        return 1.0 / (root * root)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(u / (1.0 + self.slope * np.abs(u)))


@dataclass(frozen=True, repr=False)
class Sigmoid(Surrogate):
    """slope s (1 - s) with s = sigmoid(slope u), evaluated so that it never overflows."""

    slope: float = 25.0

    def derivative(self, u: Any) -> Any:
        tail = exp(-(self.slope * absolute(u)))
        root = 1.0 + tail
        return self.slope * tail / (root * root)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * self.slope * u)))


@dataclass(frozen=True, repr=False)
class Triangle(Surrogate):
    """max(0, 1 - |u| / width) / width: exactly zero outside the width."""

    width: float = 1.0

    def derivative(self, u: Any) -> Any:
        return maximum(1.0 - absolute(u) / self.width, 0.0) / self.width

    def primitive(self, u: np.ndarray) -> np.ndarray:
        v = np.clip(u / self.width, -1.0, 1.0)
        return np.asarray(v - 0.5 * v * np.abs(v))


@dataclass(frozen=True, repr=False)
class Rectangle(Surrogate):
    """1 / width where |u| < width / 2, else exactly zero."""

    width: float = 1.0

    def derivative(self, u: Any) -> Any:
        return where(greater(self.width / 2, absolute(u)), 1.0 / self.width, 0.0)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return np.clip(u / self.width, -0.5, 0.5)


@dataclass(frozen=True, repr=False)
class StraightThrough(Surrogate):
    """1: the spike's gradient passes unchanged."""

    def derivative(self, u: Any) -> Any:
        return u * 0.0 + 1.0

    def primitive(self, u: np.ndarray) -> np.ndarray:
        return u
