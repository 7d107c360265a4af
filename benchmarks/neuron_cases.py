"""The neurons that benchmarks/neurons.py times: a preset of ours and the original that it equals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SNNTORCH, SPIKINGJELLY = "snntorch", "spikingjelly"
SIZES = ("steps", "size", "side", "square")    # stand for numbers in options


@dataclass(frozen=True)
class Case:
    """One call of a constructor, which nn.<system> and the system itself both understand.

    name: our neuron. options: where a value is one of SIZES, the run's number of steps, of neurons, its
    square root, or that squared. drive: mean and standard deviation of the currents. mixes: whether a neuron
    reads others of its sample.
    """

    name: str
    system: str
    preset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    drive: tuple[float, float] = (0.3, 0.5)
    mixes: bool = False

    def arguments(self, steps: int, size: int) -> dict[str, Any]:
        """The constructor's arguments."""
        side = round(size**0.5)
        numbers = {"steps": steps, "size": size, "side": side, "square": side * side}
        return {k: numbers[v] if v in SIZES else v for k, v in self.options.items()}


def _snntorch(name: str, drive: tuple[float, float] = (0.3, 0.5), **options: Any) -> Case:
    return Case(name, SNNTORCH, name, options, drive)


def _spikingjelly(name: str, preset: str, drive: tuple[float, float] = (0.6, 1.0), **options: Any) -> Case:
    return Case(name, SPIKINGJELLY, preset, options, drive)


M: dict[str, Any] = {"step_mode": "m"}
LEARNED: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}

CASES = (
    _snntorch("Leaky", beta=0.9, **LEARNED),
    _snntorch("DeltaLeaky", (0.0, 1.0), beta=0.9, delta_threshold=0.6, learn_beta=True, init_hidden=True),
    _snntorch("Lapicque", R=5.0, C=2.0, learn_threshold=True),
    _snntorch("Synaptic", (0.1, 0.3), alpha=0.6, beta=0.8, learn_alpha=True, **LEARNED),
    _snntorch("Alpha", (0.3, 1.0), alpha=0.9, beta=0.8, **LEARNED),
    _snntorch("RLeaky", beta=0.7, V=0.5, all_to_all=False, **LEARNED),
    _snntorch("RSynaptic", (0.1, 0.3), alpha=0.6, beta=0.7, V=0.5, all_to_all=False, **LEARNED),
    _snntorch("StateLeaky", (0.1, 0.3), beta=0.9, channels="size", **LEARNED),
    _spikingjelly("IF", "IFNode", (0.3, 0.5), **M),
    _spikingjelly("HalfThresholdIF", "HalfThresholdIFNode", (0.3, 0.5), **M),
    _spikingjelly("LIF", "LIFNode", **M),
    _spikingjelly("ParametricLIF", "ParametricLIFNode", **M),
    _spikingjelly("QIF", "QIFNode", **M),
    _spikingjelly("EIF", "EIFNode", **M),
    _spikingjelly("Izhikevich", "IzhikevichNode", a=0.3, b=0.4, tau_w=2.5, **M),
    _spikingjelly("KLIF", "KLIFNode", **M),
    _spikingjelly("CubaLIF", "CUBALIFNode", (0.1, 0.5)),
    _spikingjelly("CLIF", "ComplementaryLIFNode", **M),
    _spikingjelly("RAF", "RAFNode", (0.3, 0.8), **M),
    _spikingjelly("GatedLIF", "GatedLIFNode", (0.3, 0.8), T="steps"),
    _spikingjelly("DSRIF", "DSRIFNode", (0.3, 1.0), T="steps", v_threshold=1.0),
    _spikingjelly("DSRLIF", "DSRLIFNode", (1.5, 3.0), T="steps", tau=0.25),
    _spikingjelly("I", "NonSpikingIFNode"),
    _spikingjelly("LI", "NonSpikingLIFNode"),
    # With matrices: products are most of their time.
    _spikingjelly("PSN", "PSN", (0.0, 1.0), T="steps"),
    _spikingjelly("MaskedPSN", "MaskedPSN", (0.0, 1.0), k=4, T="steps", lambda_init=0.5, **M),
    _spikingjelly("SlidingPSN", "SlidingPSN", (0.0, 1.0), k=4, **M),
    Case("RLeaky, all to all", SNNTORCH, "RLeaky",
         {"beta": 0.7, "linear_features": "size", **LEARNED}, mixes=True),
    Case("RSynaptic, all to all", SNNTORCH, "RSynaptic",
         {"alpha": 0.6, "beta": 0.7, "linear_features": "size", **LEARNED}, (0.1, 0.3), mixes=True),
    Case("LinearLeaky", SNNTORCH, "LinearLeaky",
         {"beta": 0.9, "in_features": "size", "out_features": "size", **LEARNED}, (0.0, 1.0), mixes=True),
    Case("LeakyParallel", SNNTORCH, "LeakyParallel",
         {"beta": 0.9, "input_size": "size", "hidden_size": "size", **LEARNED}, (0.0, 1.0), mixes=True),
    Case("SLSTM", SNNTORCH, "SLSTM",
         {"input_size": "size", "hidden_size": "size", "threshold": 0.1, "learn_threshold": True}, (0.0, 1.0),
         mixes=True),
    Case("AssociativeLeaky", SNNTORCH, "AssociativeLeaky",
         {"in_dim": "size", "d_value": "side", "d_key": "side", "num_spiking_neurons": "square"}, (0.0, 1.0),
         mixes=True),
)    # fmt: skip
