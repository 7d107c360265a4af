"""Leaky neurons with something beside the leak: a learned gain, a second state, gates, resonance."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, exp, sin
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, maximum, sigmoid, spike
from ..module import Parameter
from ..neuron import Neuron, check_surrogate, coefficient
from ..surrogate import Rectangle, Surrogate
from .integrate_and_fire import LIF, Coefficient, IntegrateAndFire, positive


class KLIF(LIF):
    """Leaky integrate-and-fire with a learned gain k and a ReLU before the comparison.

        mem = mem + (current - (mem - v_reset)) / tau    (decay_input=True)
        mem = mem - (mem - v_reset) / tau + current      (decay_input=False)
        mem = relu(k mem)
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem                (v_reset=None: mem - spk threshold)

    The parameter `k` starts at 1. With scale_reset, mem and threshold are divided by k before the reset. With
    v_reset=None the leak is to 0. The membrane is never negative before a reset.

    tau, threshold, v_reset, decay_input: as LIF.
    scale_reset: whether the reset acts on mem / k, with threshold / k for a soft one.
    detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset).
    """

    k: Any
    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "KLIFNode"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        *,
        scale_reset: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(tau, threshold, v_reset, **options)
        self.k, self.scale_reset = Parameter((), np.ones(())), scale_reset

    def step(self, current: Any, mem: Any) -> tuple[Any, ...]:
        mem = maximum(0.0, self.k * self.charge(current, mem))
        if not self.scale_reset:
            return self.fire(mem)
        spk = spike(mem - self.threshold, self.surrogate, strict=self.strict)
        return spk, self.after(mem / self.k, spk, self.threshold / self.k)

    def firing_rate(self, current: Value) -> Value:
        """That of LIF for k times the current."""
        return super().firing_rate(self.k * current)


class CubaLIF(IntegrateAndFire):
    """Leaky integrate-and-fire with a synaptic current (current-based).

        syn = alpha syn + current
        mem = beta mem + syn
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem           (v_reset=None: mem - spk threshold)

    alpha, beta: decays of the synaptic current and of the membrane a step, one number or one a neuron.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset), syn.
    Differences: snnTorch's Synaptic compares strictly and resets a step later. NIR's CubaLIF has time
    constants, gains and a leak potential: nn.nir.CubaLIF.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "CUBALIFNode", "NIR": "CubaLIF"}
    surrogate: Surrogate = Rectangle(1.0)

    def __init__(
        self,
        alpha: Coefficient = 0.5,
        beta: Coefficient = 0.75,
        threshold: Coefficient = 0.5,
        v_reset: Coefficient | None = 0.0,
        *,
        surrogate: Surrogate | None = surrogate,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, surrogate=surrogate, **options)
        self.alpha = coefficient(self, "alpha", alpha, False)
        self.beta = coefficient(self, "beta", beta, False)

    def step(self, current: Any, mem: Any, syn: Any) -> tuple[Any, ...]:  # type: ignore[override]
        syn = self.alpha * syn + current
        spk, mem = self.fire(self.beta * mem + syn)
        return spk, mem, syn


class CLIF(Neuron):
    """Complementary leaky integrate-and-fire: a second state remembers spikes and deepens the reset.

        mem = mem (1 - 1/tau) + current
        m   = m sigmoid(mem / tau)
        spk = mem >= threshold
        m   = m + spk
        mem = mem - spk (threshold + sigmoid(m))

    The reset is always soft and never detached.

    tau [steps]: time constant of the membrane, one number or one a neuron.
    threshold: membrane from which on the neuron fires, one number or one a neuron.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    Outputs: spk, mem (after the reset), m.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "ComplementaryLIFNode"}
    surrogate: Surrogate = Rectangle(1.0)
    tau: Any

    def __init__(
        self,
        tau: Coefficient = 2.0,
        threshold: Coefficient = 1.0,
        *,
        surrogate: Surrogate | None = surrogate,
    ) -> None:
        self.tau = positive(self, "tau", tau)
        self.threshold = coefficient(self, "threshold", threshold, False)
        self.surrogate = check_surrogate(self, surrogate)

    def step(self, current: Any, mem: Any, m: Any) -> tuple[Any, ...]:
        mem = mem * (1.0 - 1.0 / self.tau) + current
        faded = m * sigmoid(mem / self.tau)
        spk = spike(mem - self.threshold, self.surrogate, strict=False)
        m = faded + spk
        return spk, mem - spk * (self.threshold + sigmoid(m)), m


class RAF(IntegrateAndFire):
    """Resonate-and-fire: two states that turn around each other while they decay.

        decay = exp(b dt)
        u     = decay (u cos(omega dt) - mem sin(omega dt)) + current    (of the mem before)
        mem   = decay (u sin(omega dt) + mem cos(omega dt))              (of the u before)
        spk   = mem >= threshold
        mem   = spk v_reset + (1 - spk) mem         (v_reset=None: mem - spk threshold)

    Only mem is compared and reset.

    b [1/s]: growth of the oscillation; negative, so that it decays.
    omega [rad/s]: frequency of the oscillation.
    dt [s]: length of a step.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset), u.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "RAFNode"}

    def __init__(
        self,
        b: float = -0.2,
        omega: float = 1.0,
        dt: float = 1.0,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        if not (b < 0 and omega > 0 and dt > 0):
            raise self.error(f"b must be below 0, omega and dt above, got {b}, {omega} and {dt}")
        self.turn = exp(b * dt) * cos(omega * dt), exp(b * dt) * sin(omega * dt)

    def step(self, current: Any, mem: Any, u: Any) -> tuple[Any, ...]:  # type: ignore[override]
        along, across = self.turn
        turned = u * along - mem * across + current
        spk, mem = self.fire(u * across + mem * along)
        return spk, mem, turned
