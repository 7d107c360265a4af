"""Integrate-and-fire neurons that charge, fire and reset within one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...arguments import shown
from ...ops import Value, clamp, detach, sigmoid, spike
from ...ops.lengths import mean_time
from ..module import Module, Parameter
from ..neuron import Neuron, Number, check_surrogate, coefficient
from ..surrogate import Sigmoid, Surrogate

Coefficient = Number


class IntegrateAndFire(Neuron):
    """Base of neurons that charge, fire and reset within one step.

        mem = charge(current, mem)
        spk = mem >= threshold                      (mem > threshold with strict=True)
        mem = spk v_reset + (1 - spk) mem           (v_reset a number: hard reset)
        mem = mem - spk threshold                   (v_reset=None: soft reset)

    The surrogate's gradient flows through the reset too, unless detach_reset. A subclass defines
    `charge`, or a `step` of its own that ends with `fire`.

    threshold: membrane from which on the neuron fires, one number or one a neuron.
    v_reset: membrane after a spike, one number or one a neuron; None subtracts the threshold instead.
    detach_reset: whether the reset is a constant for the gradient.
    strict: whether a membrane equal to the threshold does not fire.
    init_mem: membrane before the first step; default: v_reset, or 0 for a soft reset.
    learn_threshold: whether training changes the threshold.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    Outputs: spk, mem (after the reset).
    Differences: snnTorch compares strictly, resets a step later, and detaches the reset.
    """

    surrogate: Surrogate = Sigmoid(4.0)
    threshold: Any
    v_reset: Any

    def __init__(
        self,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        *,
        detach_reset: bool = False,
        strict: bool = False,
        init_mem: Coefficient | None = None,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = surrogate,
    ) -> None:
        self.surrogate = check_surrogate(self, surrogate)
        self.detach_reset, self.strict = detach_reset, strict
        self.threshold = coefficient(self, "threshold", threshold, learn_threshold)
        self.v_reset = None if v_reset is None else coefficient(self, "v_reset", v_reset, False)
        start = (0.0 if v_reset is None else v_reset) if init_mem is None else init_mem
        self.init_mem = coefficient(self, "init_mem", start, False)

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": self.init_mem}

    def charge(self, current: Any, mem: Any) -> Any:
        """The membrane before it is compared."""
        raise self.error("must define charge(self, current, mem)")

    def step(self, current: Any, mem: Any) -> tuple[Any, ...]:
        return self.fire(self.charge(current, mem))

    def fire(self, mem: Any) -> tuple[Any, Any]:
        """The spike of a charged membrane, and the membrane after the reset."""
        spk = spike(mem - self.threshold, self.surrogate, strict=self.strict)
        return spk, self.after(mem, spk, self.threshold)

    def after(self, mem: Any, spk: Any, threshold: Any) -> Any:
        """The membrane after the reset."""
        now = detach(spk) if self.detach_reset else spk
        if self.v_reset is None:
            return mem - now * threshold
        kept, target = (1.0 - now) * mem, self.v_reset
        return kept if isinstance(target, float) and target == 0.0 else now * target + kept

    @property
    def base(self) -> Any:
        """What the membrane leaks to: v_reset, or 0 for a soft reset."""
        return 0.0 if self.v_reset is None else self.v_reset


class IF(IntegrateAndFire):
    """Integrate-and-fire without a leak.

        mem = mem + current
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem           (v_reset=None: mem - spk threshold)

    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset).
    Differences: NIR's IF multiplies the current by dt r and compares strictly: nn.nir.IF.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "IFNode", "SNNGrow": "IFNode", "NIR": "IF"}

    def charge(self, current: Any, mem: Any) -> Any:
        return mem + current

    def firing_rate(self, current: Value) -> Value:
        """Of a constant current: how often it fills the threshold."""
        result: Value = clamp(mean_time(current) / self.threshold, 0.0, 1.0)
        return result


class HalfThresholdIF(IF):
    """Integrate-and-fire with a soft reset that starts at half the threshold: it rounds instead of flooring.

        mem[0] = threshold / 2
        mem = mem + current
        spk = mem >= threshold
        mem = mem - spk threshold

    threshold: membrane from which on the neuron fires, one number or one a neuron.
    detach_reset, strict, surrogate: as IntegrateAndFire.
    Outputs: spk, mem (after the reset).
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "HalfThresholdIFNode"}

    def __init__(
        self,
        threshold: Coefficient = 1.0,
        *,
        detach_reset: bool = False,
        strict: bool = False,
        surrogate: Surrogate | None = IntegrateAndFire.surrogate,
    ) -> None:
        half = np.asarray(coefficient_array(self, "threshold", threshold)) / 2
        options: dict[str, Any] = {"detach_reset": detach_reset, "strict": strict, "surrogate": surrogate}
        super().__init__(threshold, None, init_mem=half, **options)


class LIF(IntegrateAndFire):
    """Leaky integrate-and-fire with a time constant, leaking to v_reset.

        mem = mem + (current - (mem - v_reset)) / tau    (decay_input=True)
        mem = mem - (mem - v_reset) / tau + current      (decay_input=False)
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem                (v_reset=None: mem - spk threshold; the leak is to 0)

    tau [steps]: time constant of the membrane, one number or one a neuron.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    decay_input: whether the current is divided by tau as well.
    Outputs: spk, mem (after the reset).
    Differences: nn.Leaky decays by beta = 1 - 1/tau without dividing the current, compares strictly and
    resets a step later. NIR's LIF leaks to v_leak: nn.nir.LIF.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "LIFNode", "SNNGrow": "LIFNode", "NIR": "LIF"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        *,
        decay_input: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        self.tau, self.decay_input = positive(self, "tau", tau), decay_input

    def charge(self, current: Any, mem: Any) -> Any:
        if self.decay_input:
            return mem + (current - (mem - self.base)) / self.tau
        return mem - (mem - self.base) / self.tau + current

    def firing_rate(self, current: Value) -> Value:
        """How often what a constant current adds in a step fills the threshold, the leak left out."""
        added = mean_time(current) / self.tau if self.decay_input else mean_time(current)
        result: Value = clamp(added / self.threshold, 0.0, 1.0)
        return result


class ParametricLIF(IntegrateAndFire):
    """Leaky integrate-and-fire that learns its time constant: 1 / tau is sigmoid(w).

        q   = sigmoid(w)                                 (w = -ln(tau - 1) at first)
        mem = mem + (current - (mem - v_reset)) q        (decay_input=True)
        mem = mem - (mem - v_reset) q + current          (decay_input=False)
        spk = mem >= threshold
        mem = spk v_reset + (1 - spk) mem                (v_reset=None: mem - spk threshold; the leak is to 0)

    tau [steps]: time constant at the start, above 1; one number or one a neuron.
    threshold, v_reset, detach_reset, strict, init_mem, learn_threshold, surrogate: as IntegrateAndFire.
    decay_input: whether the current is multiplied by q as well.
    Outputs: spk, mem (after the reset).
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "ParametricLIFNode"}

    def __init__(
        self,
        tau: Coefficient = 2.0,
        threshold: Coefficient = 1.0,
        v_reset: Coefficient | None = 0.0,
        *,
        decay_input: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(threshold, v_reset, **options)
        start = -np.log(above(self, "tau", tau, 1.0) - 1.0)
        self.w, self.decay_input = Parameter(start.shape, start), decay_input

    def charge(self, current: Any, mem: Any) -> Any:
        q = sigmoid(self.w)
        if self.decay_input:
            return mem + (current - (mem - self.base)) * q
        return mem - (mem - self.base) * q + current


def coefficient_array(module: Module, name: str, value: Coefficient) -> np.ndarray:
    """A coefficient's numbers, checked."""
    coefficient(module, name, value, learnable=True)
    return np.asarray(value, np.float64)


def above(module: Module, name: str, value: Coefficient, bound: float) -> np.ndarray:
    """A coefficient's numbers, all above the bound."""
    array = coefficient_array(module, name, value)
    if not (array > bound).all():
        raise module.error(f"{name} must be above {bound:g}, got {shown(value)}")
    return array


def positive(module: Module, name: str, value: Coefficient, learnable: bool = False) -> float | Parameter:
    """A coefficient that must be above zero."""
    return coefficient(module, name, above(module, name, value, 0.0), learnable)
