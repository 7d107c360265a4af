"""Surrogates that draw random numbers backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops import greater, uniform, where
from .base import Surrogate


@dataclass(frozen=True, repr=False)
class StochasticStep(Surrogate):
    """1 where u > 0, else variance (n + mean - 1/2), n random from 0 to below 1

    A fresh number for each neuron, step and sample in every call, the same for every number of threads (see
    `uniform`). The name is snnTorch's: below the threshold the gradient spreads over the width `variance`.
    """

    mean: float = 0.0
    variance: float = 0.2

    def derivative(self, u: Any) -> Any:
        return self.given(u, uniform(u, time=u.type.time))

    def given(self, u: Any, noise: Any) -> Any:
        """The derivative with the numbers that were drawn."""
        return where(greater(u, 0.0), 1.0, (noise + (self.mean - 0.5)) * self.variance)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        """Of the derivative's mean."""
        return np.where(u > 0, u, self.mean * self.variance * u)
