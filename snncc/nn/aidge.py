"""Aidge's building blocks of spiking networks under its own names.

Aidge unrolls time by running a graph again and again: Pop hands out one step of a sequence, Memorize
carries a value to the next run, Stack collects the results, contexts keep what the backward half needs.
Here a network has time: its inputs are sequences [T, B, ...], outputs too, and the compiler decides what
is kept. So

    Pop(x)       is the input itself, of which every layer sees one step at a time,
    Stack(n)     is the output itself, which has all steps,
    Memorize(n)  is snncc.delay,
    Context      is the pass `insert_context`: nothing to write.
"""

from __future__ import annotations

from typing import Any

from ..ops import Value, greater, spike, substitute, where
from .module import LARGEST, Module, delay
from .neuron import Neuron, coefficient
from .neurons import Leaky as OurLeaky
from .surrogate import ATan, Surrogate

RESETS = {"subtraction": "subtract", "to_zero": "zero"}


def check_count(module: Module, name: str, value: int, least: int) -> None:
    if not least <= value <= LARGEST:
        raise module.error(f"{name} must be an integer, at least {least}, got {value}")


class Leaky(OurLeaky):
    """Aidge's Leaky: nn.Leaky with a delayed, detached reset; beta is used as it is.

        mem = beta mem + current - threshold spk             (reset="subtraction"; spk of the step before)
        mem = current + (1 - spk) (beta mem)                 (reset="to_zero")
        spk = mem > threshold

    nb_timesteps [steps]: steps of Aidge's memories; here the input says how many steps there are.
    beta: decay a step. It is not clamped.
    threshold: membrane above which the neuron fires.
    reset: "subtraction" or "to_zero".
    output: which of both outputs Aidge's backward pass starts at, True for the membrane, False for the
    spikes. Here every output has its gradient, so it changes nothing.
    name: Aidge's name of the node; here a layer is called after its attribute.
    Outputs: spk, mem (before the reset).
    Differences: the backward pass that Aidge 0.10.1 compiles carries membrane gradients with factor 1
    instead of beta; this is the formula of its documentation, with beta.
    """

    def __init__(
        self,
        nb_timesteps: int,
        beta: float,
        threshold: float = 1.0,
        reset: str = "subtraction",
        output: bool = False,
        name: str = "",
    ) -> None:
        check_count(self, "nb_timesteps", nb_timesteps, 1)
        if reset not in RESETS:
            raise self.error(f"reset must be 'subtraction' or 'to_zero', got {reset!r}")
        super().__init__(beta, threshold, reset=RESETS[reset])
        self.beta = coefficient(self, "beta", beta, False)


class Memorize(Module):
    """Aidge's Memorize: the value of the step before, snncc.delay.

    end_step [steps]: Aidge's limit of runs, 0 for none. Here the input says how many steps there are.
    Outputs: at the first step `init` (a number), then the input of the step before.
    """

    def __init__(self, end_step: int = 0, *, init: float = 0.0) -> None:
        check_count(self, "end_step", end_step, 0)
        self.init = init

    def forward(self, x: Value) -> Value:
        result: Value = delay(x, initial=self.init)
        return result


class Stack(Module):
    """Aidge's Stack: the sequence of all steps, which an output is anyway.

    max_elements [steps]: room of Aidge's stack. Here the input says how many steps there are.
    """

    def __init__(self, max_elements: int = 0) -> None:
        check_count(self, "max_elements", max_elements, 0)

    def forward(self, x: Value) -> Value:
        return x


class Pop(Module):
    """Aidge's Pop: the steps of a sequence one after the other, which is how a layer sees its input."""

    def forward(self, x: Value) -> Value:
        return x


class Heaviside(Neuron):
    """Aidge's Heaviside: 0 below zero, `value` at zero, 1 above.

        spk = 0 where current < 0, value where current = 0, 1 where current > 0

    value: what it gives at zero.
    surrogate: its derivative; Aidge's is 1 / (1 + (pi u)^2), with no factor 1/pi.
    Outputs: spk.
    """

    surrogate: Surrogate = ATan(2.0)

    def __init__(self, value: float = 0.0, *, surrogate: Surrogate | None = surrogate) -> None:
        self.value, self.surrogate = value, surrogate  # type: ignore[assignment]

    def step(self, current: Any) -> tuple[Any]:
        if self.value in (0.0, 1.0):
            return (spike(current, self.surrogate, strict=self.value == 0.0),)
        slope = spike(current, self.surrogate)
        level = where(greater(current, 0.0), 1.0, where(greater(0.0, current), 0.0, self.value))
        return (substitute(level, slope),)
