"""What neurons that fire above a threshold share: the spike, and the reset that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import detach, first_maximum, spike
from ..neuron import Neuron, Number, check_reset, check_surrogate, coefficient
from ..surrogate import Surrogate

Quantize = Callable[[Any], Any]


class Firing(Neuron):
    """Base of neurons that fire above a threshold; a step of such a neuron is

        reset    = self.due(mem)
        mem      = self.lowered(... the next membrane ..., reset)
        spk, mem = self.fire(mem, reset)

    A reset is due where the membrane of the step before is above the threshold; it is detached. With
    reset_delay=False the membrane is lowered again in the step of its spike, by what is not due yet; that
    reset is not detached.
    """

    reset = "none"
    reset_delay = True
    inhibition = False
    quantize: Quantize | None = None

    def fires(
        self,
        threshold: Number,
        learn_threshold: bool,
        surrogate: Surrogate | None,
        *,
        reset: str = "none",
        reset_delay: bool = True,
        inhibition: bool = False,
        quantize: Quantize | None = None,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
    ) -> None:
        """Check and keep what the equations below read."""
        self.threshold = coefficient(self, "threshold", threshold, learn_threshold)
        self.surrogate = check_surrogate(self, surrogate)
        self.reset, self.reset_delay = check_reset(self, reset), reset_delay
        self.inhibition, self.quantize = inhibition, quantize
        self.graded_spikes_factor = coefficient(
            self, "graded_spikes_factor", graded_spikes_factor, learn_graded_spikes_factor
        )

    def due(self, mem: Any) -> Any:
        """1 where the membrane of the step before is above the threshold."""
        return detach(spike(mem - self.threshold))

    def lowered(self, mem: Any, reset: Any) -> Any:
        """The membrane after a reset."""
        if self.reset == "subtract":
            return mem - reset * self.threshold
        return mem * (1.0 - reset) if self.reset == "zero" else mem

    def fire(self, mem: Any, reset: Any = 0.0) -> tuple[Any, Any]:
        """The spikes of a membrane, and the membrane after them."""
        mem = self.quantized(mem)
        above = mem - self.threshold
        spk = spike(above, self.surrogate)
        if self.inhibition:  # only the neuron with the largest membrane, of several the first, may fire
            spk = spk * first_maximum(detach(above))
        if not self.reset_delay:
            mem = self.lowered(mem, spk - reset)
        return self.graded(spk), mem

    def quantized(self, state: Any) -> Any:
        """The state as it is stored."""
        return self.quantize(state) if self.quantize else state

    def graded(self, spk: Any) -> Any:
        """A spike as others see it."""
        factor: Any = self.graded_spikes_factor
        return spk if isinstance(factor, float) and factor == 1.0 else spk * factor
