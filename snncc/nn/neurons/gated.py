"""The gated leaky neuron: learned mixtures of two leaks, two inputs and two resets."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, sigmoid, spike, take
from ...ops.steps import at_step
from ..module import Parameter
from ..neuron import Neuron, check_surrogate
from ..surrogate import Sigmoid, Surrogate
from .psn import count


class GatedLIF(Neuron):
    """Gated leaky integrate-and-fire (GLIF): every coefficient is the sigmoid of a learned parameter.

        gain = 1 - beta (1 - conduct[t])
        leak = 1 - alpha (1 - tau)
        mem  = leak mem - (1 - alpha) linear_decay + gain current
               - leak mem gamma spk - (1 - gamma) v_subreset spk       (mem and spk of the step before)
        spk  = mem >= v_threshold

    alpha, beta and gamma mix exponential and linear leak, plain and time-dependent input, multiplied and
    subtracted reset. The parameters are those three (at random in +-0.1 at first), `tau`, `v_threshold`,
    `linear_decay`, `v_subreset`, each a number or one a channel, and `conduct` with one row a step.

    num_steps [steps]: length of the sequences.
    channels: number of channels, which is the first feature axis; None for one number a layer.
    linear_decay, v_subreset, tau, threshold, conduct: what the sigmoids give at first, between 0 and 1.
    Default of linear_decay: threshold / (2 num_steps), of v_subreset: threshold.
    surrogate: derivative of the spike at mem - v_threshold; None: spikes carry no gradient.
    Outputs: spk, mem (before the reset).
    Differences: SpikingJelly forgets the last spike between calls; here it is a state like mem.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "GatedLIFNode"}
    surrogate: Surrogate = Sigmoid(4.0)
    conduct: Any

    def __init__(
        self,
        num_steps: int,
        channels: int | None = None,
        *,
        linear_decay: float | None = None,
        v_subreset: float | None = None,
        tau: float = 0.25,
        threshold: float = 0.5,
        conduct: float = 0.5,
        surrogate: Surrogate | None = surrogate,
    ) -> None:
        self.steps = count(self, "num_steps", num_steps)
        self.channels = None if channels is None else count(self, "channels", channels)
        self.surrogate = check_surrogate(self, surrogate)
        shape = () if channels is None else (channels,)
        for name in ("alpha", "beta", "gamma"):
            setattr(self, name, Parameter(shape, lambda random: random.uniform(-0.1, 0.1, shape)))
        start = {
            "tau": tau,
            "v_threshold": threshold,
            "linear_decay": threshold / (2 * num_steps) if linear_decay is None else linear_decay,
            "v_subreset": threshold if v_subreset is None else v_subreset,
        }
        for name, value in start.items():
            setattr(self, name, Parameter(shape, np.full(shape, self._logit(name, value))))
        rows = (self.steps, *shape)
        self.conduct = Parameter(rows, np.full(rows, self._logit("conduct", conduct)))

    def _logit(self, name: str, value: float) -> float:
        if not 0 < value < 1:
            raise self.error(f"{name} must be between 0 and 1, got {value!r}")
        return -log(1 / value - 1)

    def forward(self, current: Value) -> tuple[Value, ...]:
        if self.channels and current.shape[:1] != (self.channels,):
            raise self.error(
                f"made for {self.channels} channels, the input has shape {list(current.shape)}; the channels "
                "are its first axis"
            )
        return super().forward(current)

    def step(self, current: Any, mem: Any, spk: Any) -> tuple[Any, ...]:
        shape = current.shape

        def gate(parameter: Any) -> Any:
            return self._spread(sigmoid(parameter), shape)

        alpha, beta, gamma = gate(self.alpha), gate(self.beta), gate(self.gamma)
        conduct = gate(at_step(self.conduct, () if self.channels is None else (self.channels,)))
        leak = 1.0 - alpha * (1.0 - gate(self.tau))
        drive = current * (1.0 - beta * (1.0 - conduct))
        kept = leak * mem - (1.0 - alpha) * gate(self.linear_decay) + drive
        mem = kept - leak * mem * gamma * spk - (1.0 - gamma) * gate(self.v_subreset) * spk
        return spike(mem - gate(self.v_threshold), self.surrogate, strict=False), mem

    def _spread(self, x: Any, shape: tuple[int, ...]) -> Any:
        """A number a channel, for all features of the channel."""
        if self.channels is None or len(shape) == 1:
            return x
        return take(x, np.indices(shape)[0], shape)
