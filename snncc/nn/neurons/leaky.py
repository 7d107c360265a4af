"""Leaky integrate-and-fire neurons of first order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...ops import Value, absolute, clamp, spike
from ...ops.lengths import mean_time
from ..neuron import Neuron, Number, check_surrogate, coefficient
from ..surrogate import Surrogate
from .firing import Firing, Quantize


class Leaky(Firing):
    """Leaky integrate-and-fire of first order, as snnTorch defines it.

        reset = mem > threshold                       (of the step before, detached)
        mem   = beta mem + current - reset threshold  (reset="subtract")
        mem   = beta (1 - reset) mem + current        (reset="zero": the new input survives)
        mem   = beta mem + current                    (reset="none")
        spk   = mem > threshold

    With reset_delay=False the membrane is reset in the step of its spike; that reset is not
    detached, so the surrogate's gradient flows through it.

    beta: decay a step, used clamped to [0, 1]. One number or one a neuron; learn_beta trains it.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    reset_delay: whether the reset waits for the next step.
    init_mem: membrane before the first step, a number or one a neuron (not learned).
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: of all neurons only the one with the largest mem - threshold may fire, the first of several;
    those that it keeps silent are reset all the same.
    quantize: a function that the membrane goes through before the spike (`nn.Levels`, `nn.UniformLevels`).
    graded_spikes_factor: what a spike is worth to those that read it, a number or one a neuron; the reset
    does not feel it; learn_graded_spikes_factor trains it.
    Outputs: spk, mem (before a delayed reset).
    Differences: snnTorch does not apply the factor to inhibited spikes.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "Leaky", "Aidge": "Leaky"}

    def __init__(
        self,
        beta: Number,
        threshold: Number = 1.0,
        *,
        reset: str = "subtract",
        reset_delay: bool = True,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        init_mem: Number = 0.0,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
    ) -> None:
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0))
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            reset=reset,
            reset_delay=reset_delay,
            inhibition=inhibition,
            quantize=quantize,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
        )
        self.init_mem = coefficient(self, "init_mem", init_mem, learnable=False)

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": self.init_mem}

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        reset = self.due(mem)
        if self.reset == "zero":
            mem = self.beta * ((1.0 - reset) * mem) + current
        else:
            mem = self.lowered(self.beta * mem + current, reset)
        spk, mem = self.fire(mem, reset)
        return spk, mem

    def firing_rate(self, current: Value) -> Value:
        """Of a constant current: how often it fills the threshold, the leak left out."""
        rate = clamp(mean_time(current) / self.threshold, 0.0, 1.0)
        result: Value = rate * self.graded_spikes_factor
        return result


class DeltaLeaky(Neuron):
    """Fires where the membrane moved by more than a threshold since the step before; it never resets.

        next = beta mem + current
        spk  = |next - mem| > delta_threshold
        mem  = next

    beta: decay a step, not clamped; a number or one a neuron; learn_beta trains it.
    delta_threshold: how far the membrane has to move, a number or one a neuron.
    surrogate: derivative of the spike at |next - mem| - delta_threshold; None: spikes carry no gradient.
    Outputs: spk, mem.
    Differences: snnTorch returns the membrane of the step before as well.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "DeltaLeaky"}

    def __init__(
        self,
        beta: Number,
        delta_threshold: Number = 1.0,
        *,
        learn_beta: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
    ) -> None:
        self.beta = coefficient(self, "beta", beta, learn_beta)
        self.delta_threshold = coefficient(self, "delta_threshold", delta_threshold, learnable=False)
        self.surrogate = check_surrogate(self, surrogate)

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        before = mem
        mem = self.beta * before + current
        return spike(absolute(mem - before) - self.delta_threshold, self.surrogate), mem
