"""Synaptic delays: layers whose outputs are inputs of earlier steps."""

from __future__ import annotations

import numpy as np

from ..ops import Value
from .module import Module, delay


class Delay(Module):
    """y[t] = x[t - steps]: every feature comes so many time steps later (NIR's Delay, SpikingJelly's Delay).

    steps [steps]: a whole number, at least 0. initial: what comes out before the first input does.
    Its state holds the last `steps` inputs, [B, steps, *features], the oldest first.
    """

    def __init__(self, steps: int, *, initial: float = 0.0) -> None:
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
            raise self.error(f"steps must be an integer, at least 0, got {steps!r}")
        self.steps, self.initial = int(steps), float(initial)

    def forward(self, x: Value) -> Value:
        if self.steps == 0:
            return x
        result: Value = delay(x, initial=self.initial, steps=self.steps)
        return result
