"""Neurons of second order: the current charges a synapse, the synapse charges the membrane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...arguments import shown
from ...ops import log
from ..neuron import Neuron, Number, coefficient
from ..surrogate import Surrogate
from .firing import Firing, Quantize


class Synaptic(Firing):
    """Leaky integrate-and-fire of second order, with a synaptic current that decays.

        reset = mem > threshold                       (of the step before, detached)
        syn   = alpha syn + current
        mem   = beta mem + syn - reset threshold      (reset="subtract")
        mem   = (1 - reset) (beta mem + syn)          (reset="zero": syn is not reset)
        mem   = beta mem + syn                        (reset="none")
        spk   = mem > threshold

    With reset_delay=False the membrane is reset in the step of its spike; that reset is not detached.

    alpha: decay of the synaptic current a step, used clamped to [0, 1]. One number or one a neuron;
    learn_alpha trains it.
    beta: decay of the membrane a step, likewise; learn_beta trains it.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    reset_delay: whether the reset waits for the next step.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: only the neuron with the largest mem - threshold may fire.
    quantize: a function that both states go through, the current after the membrane has read it.
    Outputs: spk, syn, mem (before a delayed reset).
    Differences: reset="zero" clears the new membrane; that of `Leaky` only the old one.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "Synaptic"}

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        threshold: Number = 1.0,
        *,
        reset: str = "subtract",
        reset_delay: bool = True,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
    ) -> None:
        self.alpha = coefficient(self, "alpha", alpha, learn_alpha, (0.0, 1.0))
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0))
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            reset=reset,
            reset_delay=reset_delay,
            inhibition=inhibition,
            quantize=quantize,
        )

    def step(self, current: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:
        reset = self.due(mem)
        syn = self.alpha * syn + current
        mem = self.lowered(self.beta * mem + syn, reset)
        spk, mem = self.fire(mem, reset)
        return spk, self.quantized(syn), mem


class Alpha(Firing):
    """The membrane follows an alpha function of the input: it rises and decays, between two currents.

        reset   = mem > threshold                  (of the step before, detached)
        exc     = alpha syn_exc + current
        inh     = beta syn_inh - current
        tau     = ln alpha / (ln beta - ln alpha) + 1
        mem     = (1 - reset) tau (exc + inh)      (reset="zero")
        syn_exc = (1 - reset) exc
        syn_inh = (1 - reset) inh
        mem     = tau (exc + inh) + reset syn_inh  (reset="subtract"; syn_inh of the step before)
        syn_exc = exc - reset threshold
        syn_inh = (1 - reset) inh
        mem     = tau (exc + inh)                  (reset="none")
        syn_exc = exc
        syn_inh = inh
        spk     = mem > threshold

    The membrane has no memory of its own; the currents carry it. syn_inh is negative.

    alpha: decay of the excitatory current a step, used clamped to [0, 1]; larger than beta. One number or
    one a neuron; learn_alpha trains it.
    beta: decay of the inhibitory current a step, likewise, not 1; learn_beta trains it.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    reset: what a spike does to the currents and the membrane: "zero", "subtract" or "none".
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: only the neuron with the largest mem - threshold may fire.
    quantize: a function that all three states go through.
    Outputs: spk, syn_exc, syn_inh, mem.
    Differences: in snnTorch alpha cannot be learned.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "Alpha"}

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        threshold: Number = 1.0,
        *,
        reset: str = "zero",
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
    ) -> None:
        # No literals: in tau's gradient large terms cancel, so its logarithms have to be those of the very
        # numbers by which the currents decay.
        self.alpha = coefficient(self, "alpha", alpha, learn_alpha, (0.0, 1.0), literal=False)
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0), literal=False)
        self._check_decays(np.clip(alpha, 0.0, 1.0), np.asarray(beta, np.float64))
        self.fires(
            threshold, learn_threshold, surrogate, reset=reset, inhibition=inhibition, quantize=quantize
        )

    def _check_decays(self, alpha: np.ndarray, beta: np.ndarray) -> None:
        if np.ndim(alpha) and np.ndim(beta) and alpha.shape != beta.shape:
            raise self.error(f"alpha and beta must be as many, got {alpha.size} and {beta.size}")
        if not (alpha > beta).all():
            raise self.error(
                "alpha must be larger than beta (for every neuron), got "
                f"alpha={shown(alpha)} and beta={shown(beta)}"
            )
        if (beta == 1.0).any():
            raise self.error("beta must not be 1: its logarithm divides")

    def step(self, current: Any, syn_exc: Any, syn_inh: Any, mem: Any) -> tuple[Any, Any, Any, Any]:
        reset, before = self.due(mem), syn_inh
        syn_exc = self.alpha * syn_exc + current
        syn_inh = self.beta * syn_inh - current
        tau = log(self.alpha) / (log(self.beta) - log(self.alpha)) + 1.0
        mem = tau * (syn_exc + syn_inh)
        if self.reset == "subtract":
            syn_exc, mem = syn_exc - reset * self.threshold, mem + reset * before
        elif self.reset == "zero":
            syn_exc, mem = (1.0 - reset) * syn_exc, (1.0 - reset) * mem
        if self.reset != "none":
            syn_inh = (1.0 - reset) * syn_inh
        spk, mem = self.fire(mem)
        return spk, self.quantized(syn_exc), self.quantized(syn_inh), mem
