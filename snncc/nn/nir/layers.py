"""NIR's layers without a state that PyTorch does not have, or has otherwise."""

from __future__ import annotations

from functools import reduce
from math import prod
from operator import add

import numpy as np

from ...ops import Value
from ...ops.reduce import Reshape
from ...ops.value import apply
from ..module import Module, delay
from ..neuron import coefficient
from ..neurons.integrate_and_fire import Coefficient, coefficient_array
from ..pool import apply_vector

LONGEST = 1000  # steps of a delay


class Scale(Module):
    """NIR's Scale: the input times a number, or one a feature.

    scale: the factor.
    learnable: whether training changes it; NIR does not say.
    """

    def __init__(self, scale: Coefficient, *, learnable: bool = False) -> None:
        self.scale = coefficient(self, "scale", scale, learnable)

    def forward(self, x: Value) -> Value:
        result: Value = x * self.scale
        return result


class Flatten(Module):
    """NIR's Flatten: the axes from start_dim to end_dim as one. Neither time nor batch counts as an axis."""

    def __init__(self, start_dim: int = 0, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Value) -> Value:
        rank = len(x.shape)
        first, last = (axis + rank if axis < 0 else axis for axis in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < rank:
            raise self.error(f"axes {self.start_dim} to {self.end_dim} do not fit the shape {list(x.shape)}")
        shape = (*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
        flat: Value = apply(Reshape(shape), x)
        return flat


class Delay(Module):
    """NIR's Delay: y(t) = x(t - delay), before that 0; the delay is rounded to whole steps, halves to even.

    delay [s]: a number or one a neuron.
    dt [s]: length of a step.
    ahead: so many steps less, where the network has them already.
    """

    def __init__(self, delay: Coefficient, *, dt: float, ahead: int = 0) -> None:
        if not 0 <= ahead <= LONGEST:
            raise self.error(f"ahead must be a number of steps from 0 to {LONGEST}, got {ahead}")
        if dt <= 0:
            raise self.error(f"dt must be a positive number of seconds, got {dt}")
        steps = np.rint(coefficient_array(self, "delay", delay) / dt)
        if not ((steps >= ahead) & (steps <= LONGEST)).all():
            raise self.error(f"delay must be {ahead} to {LONGEST} steps of dt, got {delay!r} with dt={dt!r}")
        self.steps = steps.astype(np.int64) - ahead

    def forward(self, x: Value) -> Value:
        parts, passed, before = [], x, 0
        for steps in np.unique(self.steps).tolist():
            if steps > before:
                passed, before = delay(passed, steps=steps - before), steps
            whole = self.steps.ndim == 0
            parts.append(passed if whole else passed * apply_vector(x, self.steps == steps))
        return reduce(add, parts)
