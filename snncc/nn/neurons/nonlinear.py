"""Integrate-and-fire neurons whose charge is not linear: quadratic, exponential, Izhikevich's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...ops import exp, spike
from ..neuron import coefficient
from .integrate_and_fire import Coefficient, IntegrateAndFire, positive


class QIF(IntegrateAndFire):
    """Quadratic integrate-and-fire.

        mem = mem + (current + a0 (mem - v_rest) (mem - v_c)) / tau
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem           (v_reset=None: mem - spk threshold)

    All coefficients are one number or one a neuron.

    tau [steps]: time constant of the membrane.
    v_c: membrane above which it grows by itself.
    a0: strength of the quadratic term.
    v_rest: resting membrane.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset).
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "QIFNode"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        v_c: Coefficient = 0.8,
        a0: Coefficient = 1.0,
        threshold: Coefficient = 1.0,
        v_rest: Coefficient = 0.0,
        v_reset: Coefficient | None = -0.1,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        self.tau = positive(self, "tau", tau)
        self.v_c = coefficient(self, "v_c", v_c, False)
        self.a0 = positive(self, "a0", a0)
        self.v_rest = coefficient(self, "v_rest", v_rest, False)

    def charge(self, current: Any, mem: Any) -> Any:
        return mem + (current + self.a0 * (mem - self.v_rest) * (mem - self.v_c)) / self.tau


class EIF(IntegrateAndFire):
    """Exponential integrate-and-fire.

        mem = mem + (current + v_rest - mem + delta_t exp((mem - theta_rh) / delta_t)) / tau
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem           (v_reset=None: mem - spk threshold)

    All coefficients are one number or one a neuron.

    tau [steps]: time constant of the membrane.
    delta_t: how gently the exponential term sets in.
    theta_rh: membrane at which it sets in (rheobase threshold).
    v_rest: resting membrane.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset).
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "EIFNode"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        delta_t: Coefficient = 1.0,
        theta_rh: Coefficient = 0.8,
        threshold: Coefficient = 1.0,
        v_rest: Coefficient = 0.0,
        v_reset: Coefficient | None = -0.1,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        self.tau = positive(self, "tau", tau)
        self.delta_t = positive(self, "delta_t", delta_t)
        self.theta_rh = coefficient(self, "theta_rh", theta_rh, False)
        self.v_rest = coefficient(self, "v_rest", v_rest, False)

    def charge(self, current: Any, mem: Any) -> Any:
        rise = self.delta_t * exp((mem - self.theta_rh) / self.delta_t)
        return mem + (current + self.v_rest - mem + rise) / self.tau


class Izhikevich(IntegrateAndFire):
    """Izhikevich's neuron: a quadratic one with a recovery variable.

        mem = mem + (current + a0 (mem - v_rest) (mem - v_c) - w) / tau
        spk = mem >= threshold
        w   = w + (a (mem - v_rest) - w) / tau_w + b spk
        mem = spk v_reset + (1 - spk) mem           (v_reset=None: mem - spk threshold)

    w starts at w_rest and reads the membrane before the reset; its jump b spk is never detached. All
    coefficients are one number or one a neuron.

    tau, v_c, a0, v_rest: as QIF.
    w_rest: the recovery variable w before the first step.
    tau_w [steps]: time constant of w.
    a: how strongly w follows the membrane.
    b: how far w jumps at a spike.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset), w.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "IzhikevichNode"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        v_c: Coefficient = 0.8,
        a0: Coefficient = 1.0,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        v_rest: Coefficient = -0.1,
        w_rest: Coefficient = 0.0,
        tau_w: Coefficient = 2.0,
        a: Coefficient = 0.0,
        b: Coefficient = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        self.tau, self.tau_w = positive(self, "tau", tau), positive(self, "tau_w", tau_w)
        self.v_c, self.a0 = coefficient(self, "v_c", v_c, False), positive(self, "a0", a0)
        self.v_rest = coefficient(self, "v_rest", v_rest, False)
        self.w_rest = coefficient(self, "w_rest", w_rest, False)
        self.a, self.b = coefficient(self, "a", a, False), coefficient(self, "b", b, False)

    @property
    def initial(self) -> dict[str, Any]:
        return {**super().initial, "w": self.w_rest}

    def step(self, current: Any, mem: Any, w: Any) -> tuple[Any, ...]:  # type: ignore[override]
        mem = mem + (current + self.a0 * (mem - self.v_rest) * (mem - self.v_c) - w) / self.tau
        spk = spike(mem - self.threshold, self.surrogate, strict=self.strict)
        w = w + (self.a * (mem - self.v_rest) - w) / self.tau_w + self.b * spk
        return spk, self.after(mem, spk, self.threshold), w
