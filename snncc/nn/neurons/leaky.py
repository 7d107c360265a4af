"""Leaky integrate-and-fire neurons of first order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...ops import detach, spike
from ..neuron import Neuron, check_reset, check_surrogate, coefficient
from ..surrogate import Surrogate


class Leaky(Neuron):
    """Leaky integrate-and-fire of first order: snnTorch's `Leaky`, to the bit of its semantics.

        reset = mem > threshold                       (of the step before, detached)
        mem   = beta mem + current - reset threshold  (reset="subtract")
        mem   = beta (1 - reset) mem + current        (reset="zero": the new input survives)
        mem   = beta mem + current                    (reset="none")
        spk   = mem > threshold

    With reset_delay=False the membrane is reset in the step of its spike; that reset is not
    detached, so the surrogate's gradient flows through it.

    beta: decay a step, used clamped to [0, 1]. threshold: any number. Both are one number or one a
    neuron; learn_beta and learn_threshold make them parameters that train.
    init_mem: membrane before the first step, a number or one a neuron (not learned).
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    Outputs: spk, mem (before a delayed reset).
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "Leaky", "Aidge": "Leaky"}

    def __init__(
        self,
        beta: float | Sequence[float] | np.ndarray,
        threshold: float | Sequence[float] | np.ndarray = 1.0,
        *,
        reset: str = "subtract",
        reset_delay: bool = True,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        init_mem: float | Sequence[float] | np.ndarray = 0.0,
        surrogate: Surrogate | None = Neuron.surrogate,
    ) -> None:
        self.reset, self.reset_delay = check_reset(self, reset), reset_delay
        self.surrogate = check_surrogate(self, surrogate)
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0))
        self.threshold = coefficient(self, "threshold", threshold, learn_threshold)
        self.init_mem = coefficient(self, "init_mem", init_mem, learnable=False)

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": self.init_mem}

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        reset = detach(spike(mem - self.threshold))
        if self.reset == "subtract":
            mem = self.beta * mem + current - reset * self.threshold
        elif self.reset == "zero":
            mem = self.beta * ((1.0 - reset) * mem) + current
        else:
            mem = self.beta * mem + current
        spk = spike(mem - self.threshold, self.surrogate)
        if not self.reset_delay and self.reset != "none":
            now = spk - reset
            mem = mem - now * self.threshold if self.reset == "subtract" else mem * (1.0 - now)
        return spk, mem
