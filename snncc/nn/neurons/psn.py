"""Parallel spiking neurons: no reset and no recursion, a weighted sum over the steps instead."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, spike, take
from ...ops.steps import at_step, mix_steps
from ..layers import positive
from ..module import Module, Parameter, delay, tracer
from ..neuron import Neuron, check_surrogate
from ..surrogate import ATan, Surrogate


class Parallel(Neuron):
    """Base of neurons that fire where a sum over the steps is not negative: define `summed(current)`."""

    surrogate: Surrogate = ATan(2.0)

    def summed(self, current: Value) -> Value:
        """What is compared with 0, for all steps."""
        raise self.error("must define summed(self, current)")

    def forward(self, current: Value) -> tuple[Value, ...]:
        h = self.summed(current)
        tracer(type(self).__name__).name(h, "h")
        return super().forward(h)

    def step(self, h: Any) -> tuple[Any]:
        return (spike(h, self.surrogate, strict=False),)


class PSN(Parallel):
    """Parallel spiking neuron: every step sees every step, through a learned matrix.

        h[t]   = sum of weight[t, s] current[s] over all steps s, + bias[t]
        spk[t] = h[t] >= 0

    Later steps count too, so all must be known at once, and there are always num_steps of them. The
    parameters are `weight` [num_steps, num_steps] and `bias` [num_steps, 1], which starts at -1.

    num_steps [steps]: length of the sequences.
    surrogate: derivative of the spike at h; None: spikes carry no gradient.
    Outputs: spk.
    """

    bias: Any
    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "PSN"}

    def __init__(self, num_steps: int, *, surrogate: Surrogate | None = Parallel.surrogate) -> None:
        steps = self.steps = count(self, "num_steps", num_steps)
        self.surrogate = check_surrogate(self, surrogate)
        self.weight = Parameter((steps, steps), kaiming(steps, (steps, steps)))
        self.bias = Parameter((steps, 1), np.full((steps, 1), -1.0))

    def mixing(self) -> Any:
        """The matrix of the sum over the steps."""
        return self.weight

    def summed(self, current: Value) -> Value:
        h: Value = mix_steps(current, self.mixing()) + at_step(self.bias)
        return h


class MaskedPSN(PSN):
    """Masked parallel spiking neuron: under the whole mask a step sees only itself and the k - 1 before.

        mask   = 1 where t - k < s <= t
        h[t]   = sum of (lambda mask + 1 - lambda)[t, s] weight[t, s] current[s] over all steps s, + bias[t]
        spk[t] = h[t] >= 0

    The parameters are `weight` [num_steps, num_steps] and `bias` [num_steps, 1], which starts at -1.

    k [steps]: how many steps the mask leaves.
    num_steps [steps]: length of the sequences.
    mask_strength: lambda, from 0 (no mask) to 1 (the whole mask); above 1 is 1. It does not train: compile
    again to change it.
    surrogate: derivative of the spike at h; None: spikes carry no gradient.
    Outputs: spk.
    """

    mask: Any
    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "MaskedPSN"}

    def __init__(
        self,
        k: int,
        num_steps: int,
        mask_strength: float = 0.0,
        *,
        surrogate: Surrogate | None = Parallel.surrogate,
    ) -> None:
        super().__init__(num_steps, surrogate=surrogate)
        band = np.tri(self.steps) - np.tri(self.steps, k=-count(self, "k", k))
        strength = min(float(mask_strength), 1.0)
        self.mask = Parameter(band.shape, strength * band + (1.0 - strength), learnable=False)

    def mixing(self) -> Any:
        return self.mask * self.weight


class SlidingPSN(Parallel):
    """Sliding parallel spiking neuron: the same weights at every step, for the last k steps.

        h[t]   = sum of weight[k - 1 - j] current[t - j] for j < k, + bias    (nothing before the first step)
        spk[t] = h[t] >= 0

    The parameters are `weight` [k] and the number `bias`, which starts at -1. For any number of steps, also
    one at a time: states `late1` to `late<k - 1>` hold the currents of the last steps.

    k [steps]: how many steps are seen.
    exp_init: weights start at 1 for this step and half of the next one's for each before; else at random.
    surrogate: derivative of the spike at h; None: spikes carry no gradient.
    Outputs: spk.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "SlidingPSN"}

    def __init__(
        self, k: int, exp_init: bool = True, *, surrogate: Surrogate | None = Parallel.surrogate
    ) -> None:
        self.k, self.surrogate = count(self, "k", k), check_surrogate(self, surrogate)
        start = 0.5 ** np.arange(self.k)[::-1]
        self.weight = Parameter((self.k,), start if exp_init else kaiming(self.k, (self.k,)))
        self.bias = Parameter((), np.full((), -1.0))

    def summed(self, current: Value) -> Value:
        h: Value
        h, late = take(self.weight, [self.k - 1], ()) * current, current
        for j in range(1, self.k):
            late = delay(late, name=f"late{j}")
            h = h + take(self.weight, [self.k - 1 - j], ()) * late
        return h + self.bias


def count(module: Module, name: str, value: int) -> int:
    """A positive number of steps."""
    positive(module, **{name: value})
    return value


def kaiming(fan_in: int, shape: tuple[int, ...]) -> Any:
    """PyTorch's initial weights of a linear layer."""
    bound = 1 / sqrt(fan_in)
    return lambda generator: generator.uniform(-bound, bound, shape)
