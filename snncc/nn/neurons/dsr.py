"""Neurons for differentiation on spike representation (DSR): gradients of firing rates, without time.

Forward they are integrate-and-fire neurons whose spikes have the height of the threshold. Backward their
output stands for a clamped function of the mean current, so every step receives the same gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, detach, greater, maximum, minimum, spike, substitute, sum_time, where
from ...ops.lengths import mean_time, within
from ...ops.steps import at_step
from ..module import Parameter
from ..neuron import Neuron
from .psn import count

BOUNDS = ("clamp", "overwrite")


class _DSR(Neuron):
    """What both have in common: the threshold, and `firing_rate`'s gradient in place of the spikes' own."""

    v_threshold: Any

    def _threshold(
        self,
        threshold: float,
        alpha: float,
        learn_threshold: bool,
        grad_scaling: float,
        lower: tuple[float, str],
    ) -> None:
        bound, how = lower
        if not (bound > 0 and threshold >= bound):
            raise self.error(
                f"threshold must be at least lower_bound, and that above 0; got {threshold!r} and {bound!r}"
            )
        if not 0 < alpha <= 1:
            raise self.error(f"alpha must be above 0 and at most 1, got {alpha!r}")
        if how not in BOUNDS:
            raise self.error(f"bound must be 'clamp' or 'overwrite', got {how!r}")
        self.alpha, self.grad_scaling, self.lower_bound, self.bound = alpha, grad_scaling, bound, how
        least = bound if how == "overwrite" else None
        start = float(threshold) if least is None else max(float(threshold), least)
        self.v_threshold = Parameter((), np.full((), start), learnable=learn_threshold, at_least=least)

    @property
    def limit(self) -> Any:
        """The threshold in use: not below its bound."""
        raised = maximum(self.v_threshold, self.lower_bound)
        return raised if self.bound == "clamp" else substitute(raised, self.v_threshold)

    def scaled(self, limit: Any) -> Any:
        """The threshold with its gradient scaled."""
        return limit if self.grad_scaling == 1.0 else substitute(limit, self.grad_scaling * limit)

    def forward(self, current: Value) -> tuple[Value, ...]:
        outputs = super().forward(current)
        spk, mem = outputs
        made: tuple[Value, ...] = type(outputs)(substitute(spk, self.firing_rate(current)), detach(mem))  # type: ignore[call-arg]
        return made


class DSRIF(_DSR):
    """Integrate-and-fire for differentiation on spike representation.

        mem = mem + current
        spk = threshold if mem >= alpha threshold, else 0
        mem = mem - spk

    Backward, with r the mean current over the steps and G the sum of the spikes' gradients over the steps:

        d_current[t] = G / steps where 0 <= r <= threshold, else 0
        d_threshold  = grad_scaling times the sum of all G where r > threshold

    The parameter is `v_threshold`, a number.

    threshold: height of a spike.
    alpha: part of the threshold from which on the neuron fires, above 0 and at most 1.
    learn_threshold: whether training changes the threshold.
    grad_scaling: factor of the threshold's gradient.
    lower_bound: the least threshold in use.
    bound: what a threshold below its bound means. "clamp": the bound is used, the gradient is zero.
    "overwrite": each update ends with the parameter raised to its bound, the gradient is not masked.
    Outputs: spk (0 or the threshold), mem (after the reset; without gradient).
    Differences: "clamp" is SpikingJelly 2.0, "overwrite" the authors' code, which writes the bound into the
    parameter before the next forward pass instead of after the update.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "DSRIFNode"}

    def __init__(
        self,
        threshold: float = 6.0,
        alpha: float = 0.5,
        *,
        learn_threshold: bool = True,
        grad_scaling: float = 1.0,
        lower_bound: float = 0.01,
        bound: str = "clamp",
    ) -> None:
        self._threshold(threshold, alpha, learn_threshold, grad_scaling, (lower_bound, bound))

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        limit = self.limit
        mem = mem + current
        spk = limit * spike(mem - self.alpha * limit, strict=False)
        return spk, mem - spk

    def firing_rate(self, current: Value) -> Value:
        """The mean output of a mean current: it, limited to 0 and the threshold."""
        result: Value = minimum(maximum(mean_time(current), 0.0), self.scaled(self.limit))
        return result


class DSRLIF(_DSR):
    """Leaky integrate-and-fire for differentiation on spike representation.

        beta = exp(-dt / tau)
        mem  = beta mem + (1 - beta) current
        s    = threshold if mem >= alpha threshold, else 0
        mem  = mem - s
        spk  = s / dt

    Backward, with means over the steps weighted by exp(-(steps - t) dt / tau), t = 1 ... steps, r that of the
    current, G steps times that of the spikes' gradients, and top = threshold tau / dt:

        d_current[t] = G / (tau steps) where 0 < r < top, else 0
        d_threshold  = grad_scaling dt times the sum of all G where r > top

    The parameter is `v_threshold`, a number; `weights` are those of the means.

    num_steps [steps]: length of the sequences.
    threshold: height of a spike times dt.
    tau [s]: time constant of the membrane.
    dt [s]: length of a step.
    alpha, learn_threshold, grad_scaling, lower_bound, bound: as DSRIF.
    Outputs: spk (0 or threshold / dt), mem (after the reset; without gradient).
    Differences: as DSRIF.
    """

    weights: Any
    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "DSRLIFNode"}

    def __init__(
        self,
        num_steps: int,
        threshold: float = 1.0,
        tau: float = 2.0,
        dt: float = 0.05,
        alpha: float = 0.3,
        *,
        learn_threshold: bool = True,
        grad_scaling: float = 1.0,
        lower_bound: float = 0.1,
        bound: str = "clamp",
    ) -> None:
        if not (tau > 0 and dt > 0):
            raise self.error(f"tau and dt must be above 0, got {tau!r} and {dt!r}")
        self._threshold(threshold, alpha, learn_threshold, grad_scaling, (lower_bound, bound))
        self.steps, self.tau, self.dt = count(self, "num_steps", num_steps), tau, dt
        weights = np.exp(-np.arange(self.steps)[::-1] * dt / tau)
        self.weights = Parameter((self.steps,), weights / weights.sum(), learnable=False)

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        limit, beta = self.limit, exp(-self.dt / self.tau)
        mem = beta * mem + (1.0 - beta) * current
        s = limit * spike(mem - self.alpha * limit, strict=False)
        return s / self.dt, mem - s

    def firing_rate(self, current: Value) -> Value:
        """At each step what it has of the weighted mean output, of which the slope by the current is
        1 / tau up to the top, and by the threshold dt above."""
        limit, weight = self.limit, at_step(self.weights)
        top = limit * (self.tau / self.dt)
        r = substitute(sum_time(weight * within(current)), mean_time(current))
        inside = greater(r, 0.0) * greater(top, r)
        above = where(greater(r, top), self.scaled(limit) * self.dt, 0.0)
        result: Value = where(inside, r / self.tau, above) * (weight * float(self.steps))
        return result
