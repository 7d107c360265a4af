"""Dropout. Off but in training; masks are `snncc.uniform`'s numbers, the same on every machine and thread."""

from __future__ import annotations

from typing import Any, ClassVar

from ..ops import Value, greater_equal, uniform
from ..ops.groups import spread, sum_groups
from .module import Module


class Dropout(Module):
    """Zeroes each feature with probability p in training, and divides the others by 1 - p.

    p: from 0 to 1; at 1 nothing is left. per_step: False draws one mask a sample for all steps of a call,
    so that the same part of the network is at work from step to step (Lee et al. 2020; SpikingJelly's
    `layer.Dropout`); True draws anew at each step, as PyTorch's `nn.Dropout` does within a loop over time
    (snnTorch).
    """

    def __init__(self, p: float = 0.5, per_step: bool = False) -> None:
        if not 0.0 <= p <= 1.0:
            raise self.error(f"p must be a probability from 0 to 1, got {p!r}")
        self.p, self.per_step = p, per_step

    def forward(self, x: Value) -> Value:
        if not self.training or self.p == 0.0:
            return x
        kept: Value = x * self.mask(x) * (1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0)
        return kept

    def mask(self, x: Value) -> Any:
        """1 where x stays, 0 elsewhere."""
        return greater_equal(uniform(x, time=self.per_step), self.p)


class Dropout2d(Dropout):
    """Zeroes whole channels, the first of the features [C, height, width]; see `Dropout`."""

    space: ClassVar[str] = "height, width"

    def forward(self, x: Value) -> Value:
        if len(x.shape) != self.space.count(",") + 2:
            raise self.error(f"expected features [C, {self.space}], found {list(x.shape)}")
        return super().forward(x)

    def mask(self, x: Value) -> Any:
        one = sum_groups(x, x.shape[:1])  # only its shape is asked for
        return spread(super().mask(one), x.shape)


class Dropout1d(Dropout2d):
    """Zeroes whole channels, the first of the features [C, length]; see `Dropout`."""

    space = "length"


class Dropout3d(Dropout2d):
    """Zeroes whole channels, the first of the features [C, depth, height, width]; see `Dropout`."""

    space = "depth, height, width"
