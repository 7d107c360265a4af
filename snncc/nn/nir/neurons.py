"""NIR's neurons, each its equations with forward Euler; see the package for dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...ops import detach, spike
from ..neuron import Neuron, check_surrogate, coefficient
from ..neurons.integrate_and_fire import Coefficient, IntegrateAndFire, above
from ..surrogate import Rectangle, Surrogate
from .dialects import DIALECTS, Dialect, Node


class _Leak:
    """What leaky membranes have in common: mem + pull (v_leak - mem) + gain drive."""

    pull: Any  # dt / tau, or 1 - exp(-dt / tau)
    v_leak: Any
    gain: Any

    def leak(self, node: Node, tau: str, gain: Any) -> None:
        self.pull = node.fixed("pull", node.rate(tau))
        self.v_leak = node.fixed("v_leak", node["v_leak"])
        self.gain = node.fixed("gain", gain)

    def charge(self, drive: Any, mem: Any) -> Any:
        return mem + self.pull * (self.v_leak - mem) + self.gain * drive


class _Fires(IntegrateAndFire):
    """A threshold, with resets that may wait for the next step."""

    delayed = False

    def fires(self, node: Node, threshold: Any, surrogate: Surrogate | str | None) -> None:
        super().__init__(threshold, **node.firing(surrogate))
        self.delayed = node.reading.reset == "subtract_delayed"

    def step(self, current: Any, mem: Any) -> tuple[Any, ...]:
        return self.settle(self.charge(current, mem), mem)

    def settle(self, charged: Any, before: Any) -> tuple[Any, Any]:
        """Spike and membrane of a charged membrane; before: the membrane of the step before."""
        if not self.delayed:
            return self.fire(charged)
        due = detach(spike(before - self.threshold, self.surrogate, strict=self.strict))
        mem = charged - due * self.threshold
        return spike(mem - self.threshold, self.surrogate, strict=self.strict), mem


class I(Neuron):  # noqa: E742 - NIR's name
    """NIR's I: integrator.

        mem = mem + dt r current

    What is one number a neuron becomes the parameter `gain`, dt r.

    r [ohm]: resistance, one number or one a neuron.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    Outputs: mem.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "I"}
    spiking: ClassVar[bool] = False

    def __init__(self, r: Coefficient, *, dt: float, dialect: Dialect | str = "exact") -> None:
        node = Node(self, dt, dialect, r=r)
        self.gain = node.fixed("gain", dt * node["r"])

    def step(self, current: Any, mem: Any) -> tuple[Any]:
        return (mem + self.gain * current,)


class IF(_Fires):
    """NIR's IF: integrate and fire.

        mem = mem + dt r current
        spk = mem > v_threshold
        mem = spk v_reset + (1 - spk) mem

    What is one number a neuron becomes the parameters `gain`, dt r, `threshold` and `v_reset`.

    r [ohm]: resistance, like all but dt one number or one a neuron.
    v_threshold [V]: membrane above which the neuron fires.
    v_reset [V]: membrane after a spike.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    surrogate: derivative of the spike at mem - v_threshold; default: the dialect's.
    Outputs: spk, mem (after the reset).
    Differences: "norse" ignores r and dt; "spikingjelly" needs r = 1/dt. "snntorch" makes a
    Leaky(0.9) of it by mistake; that is an error here.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "IF"}

    def __init__(
        self,
        r: Coefficient,
        v_threshold: Coefficient,
        v_reset: Coefficient = 0.0,
        *,
        dt: float,
        dialect: Dialect | str = "exact",
        surrogate: Surrogate | str | None = "default",
    ) -> None:
        node = Node(self, dt, dialect, r=r, v_threshold=v_threshold, v_reset=v_reset)
        if node.name == "snntorch":
            raise self.error("snnTorch imports IF as Leaky(0.9, threshold=v_threshold): write nn.Leaky")
        if node.name == "spikingjelly":
            node.require("r", 1 / dt, why="1 / dt")
        self.fires(node, node["v_threshold"], surrogate)
        self.gain = node.fixed("gain", 1.0 if node.name == "norse" else dt * node["r"])

    def charge(self, current: Any, mem: Any) -> Any:
        return mem + self.gain * current


class LI(_Leak, Neuron):
    """NIR's LI: leaky integrator.

        mem = mem + dt/tau ((v_leak - mem) + r current)

    What is one number a neuron becomes the parameters `pull`, dt/tau, `gain`, r dt/tau, and `v_leak`.

    tau [s]: time constant, like all but dt one number or one a neuron.
    r [ohm]: resistance.
    v_leak [V]: what the membrane leaks to.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    Outputs: mem.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "LI"}
    spiking: ClassVar[bool] = False

    def __init__(
        self,
        tau: Coefficient,
        r: Coefficient,
        v_leak: Coefficient,
        *,
        dt: float,
        dialect: Dialect | str = "exact",
    ) -> None:
        node = Node(self, dt, dialect, tau=tau, r=r, v_leak=v_leak)
        self.leak(node, "tau", node.rate("tau") * node["r"])
        self.init_mem = node.fixed("init_mem", node.start)

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": self.init_mem}

    def step(self, current: Any, mem: Any) -> tuple[Any]:
        return (self.charge(current, mem),)


class LIF(_Leak, _Fires):
    """NIR's LIF: leaky integrate-and-fire.

        mem = mem + dt/tau ((v_leak - mem) + r current)
        spk = mem > v_threshold
        mem = spk v_reset + (1 - spk) mem

    What is one number a neuron becomes the parameters `pull`, dt/tau, `gain`, r dt/tau, `v_leak`, `threshold`
    and `v_reset`.

    tau [s]: time constant, like all but dt one number or one a neuron.
    r [ohm]: resistance.
    v_leak [V]: what the membrane leaks to.
    v_threshold [V]: membrane above which the neuron fires.
    v_reset [V]: membrane after a spike.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    surrogate: derivative of the spike at mem - v_threshold; default: the dialect's.
    Outputs: spk, mem (after the reset).
    Differences: "norse" ignores r; "snntorch" computes mem = (1 - dt/tau) mem + current with the threshold
    v_threshold / (r dt/tau) and needs v_leak = 0; "spikingjelly" needs r = 1 or tau/dt, and v_leak =
    v_reset.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "LIF"}

    def __init__(
        self,
        tau: Coefficient,
        r: Coefficient,
        v_leak: Coefficient,
        v_threshold: Coefficient,
        v_reset: Coefficient = 0.0,
        *,
        dt: float,
        dialect: Dialect | str = "exact",
        surrogate: Surrogate | str | None = "default",
    ) -> None:
        volts: dict[str, Any] = {"v_leak": v_leak, "v_threshold": v_threshold, "v_reset": v_reset}
        node = Node(self, dt, dialect, tau=tau, r=r, **volts)
        rate = node.rate("tau")
        threshold, gain = node["v_threshold"], rate * node["r"]
        if node.name == "norse":
            gain = rate
        elif node.name == "snntorch":
            node.require("v_leak", 0.0, why="the membrane decays to 0")
            threshold, gain = threshold / gain, np.ones(())
        elif node.name == "spikingjelly":
            above(self, "tau / dt", 1 / rate, 1.0)
            node.require("r", 1.0, 1 / rate, why="1, or tau / dt")
            node.require("v_leak", node["v_reset"], why="v_reset")
        self.fires(node, threshold, surrogate)
        self.leak(node, "tau", gain)


class _Synapse(_Leak):
    """A leaky membrane behind a leaky synapse."""

    def synapse(self, node: Node) -> None:
        dt, rate = node.dt, node.rate("tau_syn")
        self.syn_pull = node.fixed("syn_pull", rate)
        scaled = node.name == "snntorch"
        self.syn_gain = node.fixed("syn_gain", 1.0 if scaled else rate * node["w_in"])
        # Norse's synapse is its membrane without a threshold, v_leak included.
        self.syn_leak = node.fixed("syn_leak", node["v_leak"] if node.name == "norse" else 0.0)
        if node.name in ("snntorch", "spikingjelly"):
            node.require("r", node["tau_mem"] / dt, why="tau_mem / dt")
            node.require("v_leak", 0.0, why="the membrane decays to 0")
        self.leak(node, "tau_mem", node.rate("tau_mem") * node["r"])

    def transmit(self, current: Any, syn: Any) -> Any:
        return syn + self.syn_pull * (self.syn_leak - syn) + self.syn_gain * current


class CubaLI(_Synapse, Neuron):
    """NIR's CubaLI: leaky integrator behind a leaky synapse.

        syn = syn + dt/tau_syn (w_in current - syn)
        mem = mem + dt/tau_mem ((v_leak - mem) + r syn)

    What is one number a neuron becomes the parameters `pull`, `gain`, `v_leak` of the membrane (dt/tau_mem,
    r dt/tau_mem, v_leak), `syn_pull`, `syn_gain` of the synapse (dt/tau_syn, w_in dt/tau_syn).

    tau_syn, tau_mem [s]: time constants, like all but dt one number or one a neuron.
    r [ohm]: resistance.
    v_leak [V]: what the membrane leaks to.
    w_in: weight of the current.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    Outputs: mem, syn.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "CubaLI"}
    spiking: ClassVar[bool] = False

    def __init__(
        self,
        tau_syn: Coefficient,
        tau_mem: Coefficient,
        r: Coefficient,
        v_leak: Coefficient,
        w_in: Coefficient = 1.0,
        *,
        dt: float,
        dialect: Dialect | str = "exact",
    ) -> None:
        taus: dict[str, Any] = {"tau_syn": tau_syn, "tau_mem": tau_mem}
        node = Node(self, dt, dialect, r=r, v_leak=v_leak, w_in=w_in, **taus)
        self.init_mem = node.fixed("init_mem", node.start)
        self.synapse(node)

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": self.init_mem, "syn": self.syn_leak}

    def step(self, current: Any, mem: Any, syn: Any) -> tuple[Any, ...]:
        syn = self.transmit(current, syn)
        return self.charge(syn, mem), syn


class CubaLIF(_Synapse, _Fires):
    """NIR's CubaLIF: leaky integrate-and-fire behind a leaky synapse.

        syn = syn + dt/tau_syn (w_in current - syn)
        mem = mem + dt/tau_mem ((v_leak - mem) + r syn)
        spk = mem > v_threshold
        mem = spk v_reset + (1 - spk) mem

    What is one number a neuron becomes the parameters `pull`, `gain`, `v_leak` of the membrane (dt/tau_mem,
    r dt/tau_mem, v_leak), `syn_pull`, `syn_gain` of the synapse (dt/tau_syn, w_in dt/tau_syn), `threshold`
    and `v_reset`.

    tau_syn, tau_mem [s]: time constants, like all but dt one number or one a neuron.
    r [ohm]: resistance.
    v_leak [V]: what the membrane leaks to.
    v_threshold [V]: membrane above which the neuron fires.
    v_reset [V]: membrane after a spike.
    w_in: weight of the current.
    dt [s]: length of a step.
    dialect: whose reading, see nn.nir.
    surrogate: derivative of the spike at mem - v_threshold; default: the dialect's.
    Outputs: spk, mem (after the reset), syn.
    Differences: "norse" lets the synapse leak to v_leak too; "snntorch" computes syn = (1 - dt/tau_syn) syn
    + current with the threshold v_threshold / (w_in dt/tau_syn) and needs r = tau_mem/dt, v_leak = 0;
    "spikingjelly" needs the same and w_in = tau_syn/dt.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "CubaLIF"}

    def __init__(
        self,
        tau_syn: Coefficient,
        tau_mem: Coefficient,
        r: Coefficient,
        v_leak: Coefficient,
        v_threshold: Coefficient,
        v_reset: Coefficient = 0.0,
        w_in: Coefficient = 1.0,
        *,
        dt: float,
        dialect: Dialect | str = "exact",
        surrogate: Surrogate | str | None = "default",
    ) -> None:
        volts: dict[str, Any] = {"v_leak": v_leak, "v_threshold": v_threshold, "v_reset": v_reset}
        node = Node(self, dt, dialect, tau_syn=tau_syn, tau_mem=tau_mem, r=r, w_in=w_in, **volts)
        if node.name == "spikingjelly":
            node.require("w_in", node["tau_syn"] / dt, why="tau_syn / dt")
            surrogate = Rectangle(1.0) if surrogate == "default" else surrogate
        threshold = node["v_threshold"]
        if node.name == "snntorch":
            threshold = threshold / (node["w_in"] * node.rate("tau_syn"))
        self.fires(node, threshold, surrogate)
        self.synapse(node)

    @property
    def initial(self) -> dict[str, Any]:
        return {**super().initial, "syn": self.syn_leak}

    def step(self, current: Any, mem: Any, syn: Any) -> tuple[Any, ...]:  # type: ignore[override]
        syn = self.transmit(current, syn)
        spk, mem = self.settle(self.charge(syn, mem), mem)
        return spk, mem, syn


class Threshold(Neuron):
    """NIR's Threshold: a spike where the input is above a threshold; no state.

        spk = current > threshold

    threshold: a number or one a neuron.
    surrogate: derivative of the spike at current - threshold; None: spikes carry no gradient.
    Outputs: spk.
    """

    known_as: ClassVar[Mapping[str, str]] = {"NIR": "Threshold"}

    def __init__(
        self, threshold: Coefficient, *, surrogate: Surrogate | None = DIALECTS["exact"].surrogate
    ) -> None:
        self.surrogate = check_surrogate(self, surrogate)
        self.threshold = coefficient(self, "threshold", threshold, False)

    def step(self, current: Any) -> tuple[Any]:
        return (spike(current - self.threshold, self.surrogate),)
