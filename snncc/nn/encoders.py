"""Encoders: layers at the head of a network that turn numbers into spikes, step by step, in compiled code.

Their steps are counted in a state, so streaming (`model.step`) goes on where it was; what is random goes by
`number`, `model.step(x, state=state, seed=9, number=t)`, as in one call. An input that
is to be the same at every step needs none of them: declare it, `nn.Input(784, static=True)`, or use Repeat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ..ops import Value, absolute, clamp, greater, log, maximum, minimum, round_even, spike, uniform, where
from ..ops.leaf import Steps
from ..ops.reduce import leaf
from .layers import positive
from .module import LARGEST, Module, delay


class Rate(Module):
    """Random spikes: each neuron fires at each step with the probability that its input says.

        spk = 1 with probability clamp(gain x + offset, 0, 1)

    The input is static or varies over time. The numbers are those of `snncc.uniform`: another draw each call,
    the same for the same `seed`. Spikes carry no gradient.

    gain, offset: numbers. first_spike_time [steps]: no spikes before this step.
    Outputs: spk.
    Differences: snnTorch draws by PyTorch's generator, and leaves gain and offset out for inputs in time.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "spikegen.rate"}

    def __init__(self, gain: float = 1.0, offset: float = 0.0, first_spike_time: int = 0) -> None:
        self.gain, self.offset = gain, offset
        self.first_spike_time = _steps(self, "first_spike_time", first_spike_time)

    def forward(self, x: Value) -> Value:
        scaled = x * self.gain
        chance = clamp(scaled + self.offset if self.offset else scaled, 0.0, 1.0)
        spk: Value = spike(chance - uniform(x))
        if not self.first_spike_time:
            return spk
        held: Value = where(greater(float(self.first_spike_time), _step(x)), 0.0, spk)
        return held


class Latency(Module):
    """One spike a neuron, the earlier the larger its input; the input is static, from 0 to 1.

        x    = max(x, threshold + epsilon)
        time = tau log(x / (x - threshold)) + first_spike_time
        time = min(tau (1 - x), tau (1 - threshold)) + first_spike_time     (linear=True)
        spk  = 1 at the step round(time), of two the even one

    With normalize the latest time that the code has becomes the last step. A time after the last step gives
    no spike.

    tau [steps]: how far times spread; with linear and normalize it is the last step. threshold: inputs below
    it count as it. first_spike_time [steps]: the earliest. normalize, linear: as above. clip: inputs below
    threshold do not fire. epsilon: keeps the logarithm finite. num_steps: the steps that normalize means; by
    default those of the call (which for single steps, `model.step`, is one: then give it).
    Outputs: spk.
    Differences: snnTorch's normalize divides by the latest time of all data in the batch, ours by the latest
    time there can be: the same where any input is at or below threshold. Times after the last step raise
    there unless bypass=True, which is what ours does; so do inputs outside of [0, 1], which ours does not
    check.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "spikegen.latency"}

    def __init__(
        self,
        tau: float = 1.0,
        threshold: float = 0.01,
        *,
        first_spike_time: int = 0,
        normalize: bool = False,
        linear: bool = False,
        clip: bool = False,
        epsilon: float = 1e-7,
        num_steps: int | None = None,
    ) -> None:
        self.tau, self.threshold = tau, threshold
        if self.tau <= 0:
            raise self.error(f"tau must be above 0, got {tau!r}")
        if not 0 <= self.threshold <= 1:
            raise self.error(f"threshold must be from 0 to 1, got {threshold!r}")
        self.first_spike_time = _steps(self, "first_spike_time", first_spike_time)
        self.normalize, self.linear, self.clip = normalize, linear, clip
        self.epsilon = epsilon
        if self.epsilon <= 0:
            raise self.error(f"epsilon must be above 0, got {epsilon!r}")
        if num_steps is not None:
            positive(self, num_steps=num_steps)
        self.num_steps = num_steps

    def forward(self, x: Value) -> Value:
        if x.type.time:
            raise self.error(
                "the input varies over time; it must be the same at every step: nn.Input(..., static=True)"
            )
        steps = float(self.num_steps) if self.num_steps else leaf(x, Steps())
        time = round_even(self.times(x, steps))
        if self.clip:
            time = where(greater(self.threshold, x), -1.0, time)
        spk: Value = spike(0.5 - absolute(time - _step(x)))
        return spk

    def times(self, x: Any, steps: Any) -> Any:
        """When each neuron fires, not yet rounded, for a run of so many steps; on values or arrays."""
        first, last = float(self.first_spike_time), steps - 1.0
        if self.linear:
            tau = last - first if self.normalize else self.tau
            return minimum(-tau * (x - 1.0), -tau * (self.threshold - 1.0)) + first
        x = maximum(x, self.threshold + self.epsilon)
        time = self.tau * log(x / (x - self.threshold))
        if not self.normalize:
            return time + first
        latest = self.tau * math.log((self.threshold + self.epsilon) / self.epsilon)
        return minimum(time * (last - first) / latest + first, last)


class Delta(Module):
    """A spike where the input has grown by at least the threshold since the step before.

        change = x - x of the step before        (0 before the first step; with padding: x itself)
        spk    = change >= threshold
        spk    = (change >= threshold) - (change <= -threshold)      (off_spike=True)

    Spikes carry no gradient.

    threshold: of the change. padding: there is no change at the first step. off_spike: -1 where the input has
    fallen by the threshold.
    Outputs: spk.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "spikegen.delta"}

    def __init__(self, threshold: float = 0.1, padding: bool = False, off_spike: bool = False) -> None:
        self.threshold, self.padding, self.off_spike = threshold, padding, off_spike

    def forward(self, x: Value) -> Value:
        before = delay(shape=x.shape, name="x")
        change = x - before.value
        before.feed(x)
        if self.padding:
            change = where(greater(_step(x), 0.5), change, 0.0)
        spk: Value = spike(change - self.threshold, strict=False)
        if self.off_spike:
            spk = spk - spike(-self.threshold - change, strict=False)
        return spk


class Repeat(Module):
    """The input at every step, as it is: what a static input means anyway."""

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "data.repeat(num_steps, ...)"}

    def forward(self, x: Value) -> Value:
        return x


def _step(x: Value) -> Value:
    """The number of the step, counted in a state of the shape of x: one kernel holds both."""
    count = delay(shape=x.shape, name="step")
    count.feed(count.value + 1.0)
    number: Value = count.value
    return number


def _steps(module: Module, name: str, value: int) -> int:
    if not 0 <= value <= LARGEST:
        raise module.error(f"{name} must be a number of steps from 0, got {value}")
    return value
