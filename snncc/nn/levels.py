"""Quantised states: functions that a neuron takes as `quantize`. Each has gradient 1 everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import check_fields, checked, shown
from ..errors import CompileError, user_line
from ..ops import clamp, floor, greater, substitute, where

MOST_LEVELS = 2**24


@dataclass(frozen=True)
class UniformLevels:
    """The nearest of `count` equally spaced levels from low to high; of two equally near, the lower."""

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.low < self.high and 1 < self.count <= MOST_LEVELS):
            raise CompileError(
                f"UniformLevels: expected two levels or more from low up to high, got {self.count} "
                f"from {self.low} to {self.high} ({user_line()})"
            )

    def __call__(self, x: Any) -> Any:
        gap = (self.high - self.low) / (self.count - 1)
        place = -floor(0.5 - (x - self.low) / gap)
        return substitute(self.low + gap * clamp(place, 0.0, self.count - 1.0), x)


@dataclass(frozen=True)
class Levels:
    """The nearest of the given levels, which ascend; of two equally near, the lower."""

    values: tuple[float, ...]

    @checked
    def __init__(self, values: Sequence[float] | np.ndarray) -> None:
        levels = np.asarray(values, np.float64)
        if levels.ndim != 1 or levels.size < 2 or not (np.diff(levels) > 0).all():
            raise CompileError(
                f"Levels: values must be ascending numbers, got {shown(values)} ({user_line()})"
            )
        object.__setattr__(self, "values", tuple(levels.tolist()))

    def __call__(self, x: Any) -> Any:
        return substitute(self._nearest(x, 0, len(self.values) - 1), x)

    def _nearest(self, x: Any, low: int, high: int) -> Any:
        """A tree of choices: its depth is the logarithm of the number of levels."""
        if low == high:
            return self.values[low]
        below = (low + high) // 2
        border = (self.values[below] + self.values[below + 1]) / 2
        return where(greater(x, border), self._nearest(x, below + 1, high), self._nearest(x, low, below))
