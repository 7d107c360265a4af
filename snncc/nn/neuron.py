"""Neurons. A neuron is its equations: one plain function from input and states to outputs and states."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops import Value, detach, spike
from .module import Module, Parameter, tracer
from .surrogate import ATan, Surrogate

RESETS = ("subtract", "zero", "none")


class Neuron(Module):
    """Base of neurons: define `step(self, current, *states)` and return `(spk, *next states)`.

    The names of the states are those of step's arguments. They start at zero, or at what the
    attribute `initial` says (a number or a per-neuron parameter, by state).
    """

    surrogate: Surrogate = ATan()

    def step(self, current: Any, *states: Any) -> tuple[Any, ...]:
        """One time step, on values or on arrays."""
        raise self.error("must define step(self, current, *states)")

    @property
    def initial(self) -> dict[str, Any]:
        """Initial values of states that do not start at zero."""
        return {}

    @classmethod
    def state_names(cls) -> tuple[str, ...]:
        """The states, in the order of step's arguments."""
        return tuple(inspect.signature(cls.step).parameters)[2:]

    def forward(self, current: Value) -> tuple[Value, ...]:
        trace = tracer(type(self).__name__)
        names, initial = self.state_names(), self.initial
        states = [trace.state(self, name, current, initial.get(name, 0.0)) for name in names]
        result = self._named_step(current, *states)
        if not isinstance(result, tuple) or len(result) != 1 + len(names):
            raise self.error(f"step must return (spk, {', '.join(names)}), one value each")
        for state, following, name in zip(states, result[1:], names, strict=True):
            trace.name(following, name)
            trace.close(state, following)
        trace.name(result[0], "spk")
        outputs: tuple[Value, ...] = _outputs(names)(*result)
        return outputs

    def _named_step(self, *operands: Value) -> tuple[Any, ...]:
        """Run step; values held in its local variables at the end get those names in the graph."""
        trace, code = tracer(type(self).__name__), type(self).step.__code__

        def watch(frame: Any, event: str, result: Any) -> None:
            if event == "return" and frame.f_code is code:
                for name, value in frame.f_locals.items():
                    if isinstance(value, Value) and value.node not in given:
                        trace.name(value, name)

        given, before = {o.node for o in operands}, sys.getprofile()
        sys.setprofile(watch)
        try:
            return self.step(*operands)
        finally:
            sys.setprofile(None)
            resume = getattr(before, "enable", None)  # cProfile's profiler is not a function
            resume() if resume else sys.setprofile(before)


def _outputs(states: tuple[str, ...]) -> Any:
    """A named tuple (spk, *states)."""
    return NamedTuple("NeuronOutput", [(name, Value) for name in ("spk", *states)])


def coefficient(
    module: Module,
    name: str,
    value: float | Sequence[float] | np.ndarray,
    learnable: bool,
    limits: tuple[float, float] | None = None,
) -> float | Parameter:
    """A neuron's coefficient: a number, or a parameter when it is per neuron or learnable."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise module.error(f"{name} must be a number or one number a neuron, got {value!r}") from None
    if array.ndim > 1 or array.size == 0 or not np.isfinite(array).all():
        found = repr(value) if array.ndim < 2 else f"an array of shape {array.shape}"
        raise module.error(f"{name} must be a finite number or one a neuron, got {found}")
    if array.ndim == 0 and not learnable:
        return float(np.clip(array, *limits)) if limits else float(array)
    return Parameter(array.shape, array, learnable=learnable, limits=limits)


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
        if reset not in RESETS:
            raise self.error(f"reset must be 'subtract', 'zero' or 'none', got {reset!r}")
        if surrogate is not None and not hasattr(surrogate, "derivative"):
            raise self.error(f"surrogate must be one of nn.surrogate or None, got {surrogate!r}")
        self.reset, self.reset_delay, self.surrogate = reset, reset_delay, surrogate  # type: ignore[assignment]
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
