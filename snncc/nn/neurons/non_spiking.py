"""Integrators without spikes: readouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..neuron import Neuron
from .integrate_and_fire import Coefficient, positive


class I(Neuron):  # noqa: E742 - what NIR calls it
    """Integrator: the sum of all currents so far.

        mem = mem + current

    Outputs: mem.
    Differences: NIR's I multiplies the current by dt r: nn.nir.I.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "NonSpikingIFNode", "NIR": "I"}
    spiking: ClassVar[bool] = False

    def step(self, current: Any, mem: Any) -> tuple[Any]:
        return (mem + current,)


class LI(Neuron):
    """Leaky integrator: a low-pass filter of its current.

        mem = mem + (current - mem) / tau

    tau [steps]: time constant, one number or one a neuron.
    Outputs: mem.
    Differences: NIR's LI leaks to v_leak and has a resistance: nn.nir.LI.
    """

    known_as: ClassVar[Mapping[str, str]] = {"SpikingJelly": "NonSpikingLIFNode", "NIR": "LI"}
    spiking: ClassVar[bool] = False

    def __init__(self, tau: Coefficient = 2.0) -> None:
        self.tau = positive(self, "tau", tau)

    def step(self, current: Any, mem: Any) -> tuple[Any]:
        return (mem + (current - mem) / self.tau,)
