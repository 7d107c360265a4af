"""Lapicque's neuron: a resistor and a capacitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...arguments import shown
from ...ops import exp, log
from ..neuron import Neuron, Number, coefficient
from ..surrogate import Surrogate
from .firing import Firing, Quantize
from .integrate_and_fire import above


class Lapicque(Firing):
    """Leaky integrate-and-fire as an electric circuit, a step at a time.

        reset = mem > threshold                                (of the step before, detached)
        rate  = time_step / (R C), or -ln beta
        next  = (1 - rate) mem + rate R current                (exact=False: a step of Euler's)
        next  = exp(-rate) mem + (1 - exp(-rate)) R current    (exact=True)
        mem   = next - reset threshold                         (reset="subtract")
        mem   = (1 - reset) next                               (reset="zero")
        mem   = next                                           (reset="none")
        spk   = mem > threshold

    The circuit is given by R and C, or by beta with one of them, or by beta alone (then R is 1).

    beta: decay a step of the exact circuit, exp(-time_step / (R C)), between 0 and 1. A number or one a
    neuron; learn_beta trains it.
    R [ohm]: resistance, a number or one a neuron.
    C [F]: capacitance, a number or one a neuron.
    time_step [s]: duration of a step.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    exact: whether the membrane decays as the circuit does, by beta.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: only the neuron with the largest mem - threshold may fire.
    quantize: a function that the membrane goes through before the spike.
    Outputs: spk, mem (before the reset).
    Differences: snnTorch's has no `exact`: given beta it decays by 1 + ln beta, and its input counts
    -R ln beta. There, a learned beta works for one backward pass only.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "Lapicque"}

    def __init__(
        self,
        beta: Number | None = None,
        R: Number | None = None,
        C: Number | None = None,
        threshold: Number = 1.0,
        *,
        time_step: float = 1.0,
        exact: bool = False,
        reset: str = "subtract",
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
    ) -> None:
        given = {name for name, value in {"beta": beta, "R": R, "C": C}.items() if value is not None}
        if given not in ({"R", "C"}, {"beta"}, {"beta", "R"}, {"beta", "C"}):
            raise self.error(
                "expected R and C, or beta and at most one of R and C, "
                f"got {', '.join(sorted(given)) or 'none of them'}"
            )
        if learn_beta and beta is None:
            raise self.error("learn_beta needs beta: R and C are not learned")
        for name, value in {"beta": beta, "R": R, "C": C, "time_step": time_step}.items():
            if value is not None:
                above(self, name, value, 0.0)
        if beta is not None and not (np.asarray(beta) < 1.0).all():
            raise self.error(f"beta must be below 1, got {shown(beta)}")
        self.given, self.exact = given, exact
        self.beta = coefficient(self, "beta", 0.0 if beta is None else beta, learn_beta)
        self.R = coefficient(self, "R", 1.0 if R is None else R, learnable=False)
        self.C = coefficient(self, "C", 0.0 if C is None else C, learnable=False)
        self.time_step: Any = coefficient(self, "time_step", time_step, learnable=False)
        self.fires(
            threshold, learn_threshold, surrogate, reset=reset, inhibition=inhibition, quantize=quantize
        )

    def circuit(self) -> tuple[Any, Any]:
        """What a step takes from the membrane, and what the input counts."""
        R: Any = self.R
        C: Any = self.C
        rate = -log(self.beta) if "beta" in self.given else self.time_step / (R * C)
        if self.given == {"beta", "C"}:
            R = self.time_step / (C * rate)
        leak = 1.0 - exp(-rate) if self.exact else rate
        return leak, R * leak

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        reset = self.due(mem)
        leak, drive = self.circuit()
        mem = self.lowered((1.0 - leak) * mem + drive * current, reset)
        spk, mem = self.fire(mem, reset)
        return spk, mem
