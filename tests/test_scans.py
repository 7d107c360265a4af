"""Each neuron's loop over time is one kernel forward and one backward: nothing of a step goes through memory.

Neurons whose loop holds a product (all to all) cannot be: their loops are items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from snncc import nn
from snncc.driver import Target, generate
from snncc.frontend.dsl import trace
from snncc.program import Item, Panels, Program, Sweep, flat

N, STEPS = 5, 6
SLOPES = np.linspace(0.3, 0.9, N)
LEVELS = nn.Levels([-1.0, 0.0, 0.25, 1.5])
Make = Callable[[], nn.Module]

SOFT_AND_HARD: dict[str, dict[str, Any]] = {
    "hard": {"v_reset": -0.1},
    "hard-detached": {"v_reset": SLOPES - 1.0, "detach_reset": True},
    "soft": {"v_reset": None, "learn_threshold": True},
    "soft-detached": {"v_reset": None, "detach_reset": True, "threshold": SLOPES, "learn_threshold": True},
}
RESETTING: dict[str, Callable[..., nn.Module]] = {
    "if": nn.IF,
    "lif": lambda **o: nn.LIF(SLOPES + 1.5, **o),
    "lif-undecayed": lambda **o: nn.LIF(2.0, decay_input=False, **o),
    "parametric-lif": lambda **o: nn.ParametricLIF(SLOPES + 1.5, **o),
    "qif": lambda **o: nn.QIF(6.0, SLOPES, **o),
    "eif": lambda **o: nn.EIF(8.0, SLOPES, **o),
    "izhikevich": lambda **o: nn.Izhikevich(6.0, a=SLOPES, b=0.4, **o),
    "klif": lambda **o: nn.KLIF(1.5, **o),
    "klif-scaled": lambda **o: nn.KLIF(1.5, scale_reset=True, **o),
    "cuba-lif": lambda **o: nn.CubaLIF(SLOPES, SLOPES, **o),
    "raf": lambda **o: nn.RAF(**o),
}

# A neuron, or a layer with one, that takes N currents. Add yours here. PSN and MaskedPSN have no scan: their
# steps are mixed by a matrix.
NEURONS: dict[str, Make] = {
    **{
        f"leaky-{reset}-{'later' if delay else 'now'}": (
            lambda reset=reset, delay=delay: nn.Leaky(
                SLOPES, reset=reset, reset_delay=delay, learn_beta=True, learn_threshold=True
            )
        )
        for reset in ("subtract", "zero", "none")
        for delay in (True, False)
    },
    "leaky-inhibition": lambda: nn.Leaky(0.9, inhibition=True),
    "leaky-levels": lambda: nn.Leaky(0.9, quantize=LEVELS),
    "leaky-uniform": lambda: nn.Leaky(0.9, quantize=nn.UniformLevels(-1.0, 1.2, 256)),
    "leaky-graded": lambda: nn.Leaky(0.9, graded_spikes_factor=SLOPES, learn_graded_spikes_factor=True),
    "delta-leaky": lambda: nn.DeltaLeaky(0.9, 0.5, learn_beta=True),
    "rleaky": lambda: nn.RLeaky(0.9, V=SLOPES, learn_beta=True),
    "rleaky-now": lambda: nn.RLeaky(0.9, V=0.5, reset="zero", reset_delay=False),
    "synaptic": lambda: nn.Synaptic(0.5, 0.9, learn_alpha=True, learn_beta=True, learn_threshold=True),
    "rsynaptic": lambda: nn.RSynaptic(0.5, 0.9, V=SLOPES, learn_alpha=True, reset_delay=False),
    "alpha-zero": lambda: nn.Alpha(0.9, SLOPES - 0.1, learn_alpha=True, learn_beta=True),
    "alpha-subtract": lambda: nn.Alpha(0.9, 0.8, reset="subtract"),
    "lapicque": lambda: nn.Lapicque(0.9, learn_beta=True, learn_threshold=True),
    "leaky-parallel": lambda: nn.LeakyParallel(N, N, 0.7, learn_beta=True),
    "state-leaky": lambda: nn.StateLeaky(0.9, learn_beta=True),
    "state-leaky-truncated": lambda: nn.StateLeaky(0.9, learn_beta=True, kernel_truncation_steps=4),
    "linear-leaky": lambda: nn.LinearLeaky(N, N, 0.9, learn_beta=True),
    "associative-leaky": lambda: nn.AssociativeLeaky(N, 1, N, SLOPES, use_q_projection=False),
    # Neurons that reset within the step: hard and soft, all that they can learn or be given one a neuron.
    **{
        f"{name}-{reset}": (lambda make=make, options=options: make(**options))
        for name, make in RESETTING.items()
        for reset, options in SOFT_AND_HARD.items()
    },
    "half-threshold": lambda: nn.HalfThresholdIF(SLOPES),
    "half-threshold-detached": lambda: nn.HalfThresholdIF(SLOPES, detach_reset=True),
    "clif": lambda: nn.CLIF(SLOPES + 1.5, SLOPES),
    "gated": lambda: nn.GatedLIF(STEPS),
    "gated-channels": lambda: nn.GatedLIF(STEPS, N),
    "li": lambda: nn.LI(SLOPES + 1.5),
    "i": lambda: nn.I(),
    "sliding-psn": lambda: nn.SlidingPSN(3, exp_init=False),
}


WITHOUT_TIME_BACKWARD: dict[str, Make] = {    # gradients of rates: sums over the steps, no scan
    "dsr-if": lambda: nn.DSRIF(1.0),
    "dsr-if-scaled": lambda: nn.DSRIF(1.0, grad_scaling=0.5, bound="overwrite"),
    "dsr-lif": lambda: nn.DSRLIF(STEPS, 1.0, 0.3),
}


class Around(nn.Module):
    """A neuron between two layers, so that its current and its spikes have readers elsewhere."""

    def __init__(self, neuron: nn.Module) -> None:
        self.inputs = {"x": nn.Input(3)}
        self.fc, self.neuron, self.out = nn.Linear(3, N), neuron, nn.Linear(N, 2)

    def forward(self, x: Any) -> dict[str, Any]:
        result = self.neuron(self.fc(x))
        return {"y": self.out(result[0]), **({"mem": result.mem} if "mem" in result._fields else {})}


def sweeps(program: Program, entry: str) -> list[Sweep]:
    """The kernels of an entry point that run over the steps."""
    (found,) = (e for e in program.entries if e.name == entry)
    return [item for item in _inside(found.tile) if isinstance(item, Sweep) and item.time]


def _inside(items: tuple[Item, ...]) -> Iterator[Item]:
    for item in flat(items):
        yield from item.items if isinstance(item, Panels) else (item,)


def scans(make: Make) -> tuple[int, int]:
    """Kernels that carry something from step to step, forward and backward."""
    program = generate(trace(Around(make())), Target(num_steps=STEPS)).program
    carrying = [s for s in sweeps(program, "backward") if any(a.name.endswith("_state") for a in s.arrays)]
    return sum(not s.reverse for s in carrying), sum(s.reverse for s in carrying)


@pytest.mark.parametrize("name", NEURONS)
def test_a_scan_is_one_kernel_each_way(name: str) -> None:
    assert scans(NEURONS[name]) == (1, 1)


@pytest.mark.parametrize("name", WITHOUT_TIME_BACKWARD)
def test_gradients_of_rates_have_no_scan_backward(name: str) -> None:
    assert scans(WITHOUT_TIME_BACKWARD[name]) == (1, 0)


@pytest.mark.parametrize("make", [lambda: nn.PSN(STEPS), lambda: nn.MaskedPSN(3, STEPS, 0.5)])
def test_parallel_neurons_have_no_scan(make: Make) -> None:
    assert scans(make) == (0, 0)


def test_every_neuron_is_here() -> None:
    made = {type(make()).__name__ for make in (*NEURONS.values(), *WITHOUT_TIME_BACKWARD.values())}
    no_scan, product, base = {"PSN", "MaskedPSN"}, {"SLSTM", "SConv2dLSTM"}, {"IntegrateAndFire"}
    assert made | no_scan | product | base == set(nn.neurons.__all__)


def test_a_product_on_the_way_back_makes_it_a_loop_of_items() -> None:
    assert scans(lambda: nn.RLeaky(0.9, linear_features=N)) == (0, 0)
    assert scans(lambda: nn.SLSTM(N, N)) == (0, 0)


class Layers(nn.Module):
    """Two neurons with a product between them: two loops over time."""

    def __init__(self) -> None:
        self.first, self.fc, self.second = nn.Leaky(0.9), nn.Linear(N, N), nn.Leaky(0.9)

    def forward(self, current: Any) -> Any:
        return self.second(self.fc(self.first(current)[0]))


def test_two_loops_are_counted_as_two() -> None:
    """So that one kernel each way says something."""
    assert scans(Layers) == (2, 2)
