"""Each neuron's loop over time is one kernel forward and one backward: nothing of a step goes through memory.

Neurons whose loop holds a product (all to all) or a choice among neurons cannot be: their loops are items.
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

N = 5
SLOPES = np.linspace(0.3, 0.9, N)
LEVELS = nn.Levels([-1.0, 0.0, 0.25, 1.5])
Make = Callable[[], nn.Module]

# A neuron, or a layer with one, that takes N currents. Add yours here.
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
}


class Around(nn.Module):
    """A neuron between two layers, so that its current and its spikes have readers elsewhere."""

    def __init__(self, neuron: nn.Module) -> None:
        self.inputs = {"x": nn.Input(3)}
        self.fc, self.neuron, self.out = nn.Linear(3, N), neuron, nn.Linear(N, 2)

    def forward(self, x: Any) -> dict[str, Any]:
        result = self.neuron(self.fc(x))
        return {"y": self.out(result.spk), "mem": result.mem}


def sweeps(program: Program, entry: str) -> list[Sweep]:
    """The kernels of an entry point that run over the steps."""
    (found,) = (e for e in program.entries if e.name == entry)
    return [item for item in _inside(found.tile) if isinstance(item, Sweep) and item.time]


def _inside(items: tuple[Item, ...]) -> Iterator[Item]:
    for item in flat(items):
        yield from item.items if isinstance(item, Panels) else (item,)


def scans(make: Make) -> tuple[int, int]:
    """Kernels that carry something from step to step, forward and backward."""
    program = generate(trace(Around(make())), Target(num_steps=6)).program
    carrying = [s for s in sweeps(program, "backward") if any(a.name.endswith("_state") for a in s.arrays)]
    return sum(not s.reverse for s in carrying), sum(s.reverse for s in carrying)


@pytest.mark.parametrize("name", NEURONS)
def test_a_scan_is_one_kernel_each_way(name: str) -> None:
    assert scans(NEURONS[name]) == (1, 1)


def test_a_product_on_the_way_back_makes_it_a_loop_of_items() -> None:
    assert scans(lambda: nn.RLeaky(0.9, linear_features=N)) == (0, 0)
