"""Every neuron with every reset: compiled, it does what the interpreter does, however a call is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import nn
from tests.networks import RESETS, Bench, Case, Extent, slopes
from tests.test_end_to_end import (
    LARGEST,
    check_gradients_of_everything,
    check_outputs_and_final_states,
    check_steps_are_a_call,
    check_threads_do_not_matter,
    check_tiles_do_not_matter,
    check_two_halves_are_a_whole,
)

SIZE = 70    # more than a panel
UNIFORM, OWN = nn.UniformLevels(-2.0, 2.5, 16), nn.Levels([-1.5, -0.5, 0.0, 0.375, 0.75, 1.125, 2.0])
GRADES = np.linspace(-1.0, 2.0, SIZE)
CHECKS = (
    check_outputs_and_final_states,
    check_gradients_of_everything,
    check_steps_are_a_call,
    check_two_halves_are_a_whole,
    check_tiles_do_not_matter,
    check_threads_do_not_matter,
)


class Zoo(nn.Module):
    """Neurons side by side on one current; of each, what its spikes say to three others, and its membrane."""

    def __init__(self, neurons: dict[str, nn.Module]) -> None:
        self.inputs = {"x": nn.Input(SIZE)}
        self.neurons = neurons
        self.readers = {name: nn.Linear(SIZE, 3) for name in neurons}

    def forward(self, x: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for name, neuron in self.neurons.items():
            result = neuron(x)
            outputs |= {f"spk_{name}": result.spk, f"mem_{name}": result.mem}
            outputs[f"said_{name}"] = self.readers[name](result[0])
        return outputs


def resetting(reset: str, delay: bool) -> dict[str, nn.Module]:
    """Neurons that reset; those without an immediate reset when it is delayed."""
    late: dict[str, Any] = {"reset": reset, "learn_threshold": True}
    both: dict[str, Any] = {**late, "reset_delay": delay}
    decays: dict[str, Any] = {"learn_alpha": True, "learn_beta": True}
    found: dict[str, nn.Module] = {
        "inhibited": nn.Leaky(slopes(SIZE), inhibition=True, **both),
        "graded": nn.Leaky(0.875, graded_spikes_factor=GRADES, learn_graded_spikes_factor=True, **both),
        "own": nn.RLeaky(0.75, V=GRADES / 4, learn_beta=True, quantize=OWN, **both),
        "all": nn.RLeaky(0.75, linear_features=SIZE, inhibition=True, **both),
        "synaptic": nn.Synaptic(0.5, slopes(SIZE), quantize=UNIFORM, **decays, **both),
        "both": nn.RSynaptic(0.25, 0.5, linear_features=SIZE, learn_recurrent=False, **both),
    }
    if delay:
        found |= {
            "alpha": nn.Alpha(0.9, slopes(SIZE) / 2, learn_beta=True, **late),
            "circuit": nn.Lapicque(R=2.0, C=slopes(SIZE) + 1.0, exact=True, **late),
            "lstm": nn.SLSTM(SIZE, SIZE, 0.125, **late),
        }
    return found


def lasting() -> dict[str, nn.Module]:
    """Neurons without a reset."""
    graded: dict[str, Any] = {"graded_spikes_factor": 0.5, "learn_graded_spikes_factor": True}
    return {
        "delta": nn.DeltaLeaky(slopes(SIZE), 0.75, learn_beta=True),
        "diagonal": nn.LeakyParallel(SIZE, SIZE, slopes(SIZE), learn_beta=True, **graded),
        "dense": nn.LeakyParallel(SIZE, SIZE, dense=True, bias=False, learn_beta=True, learn_threshold=True),
        "state": nn.StateLeaky(slopes(SIZE) - 0.25, learn_beta=True, quantize=UNIFORM),
        "linear": nn.LinearLeaky(SIZE, SIZE, 0.5, kernel_truncation_steps=4, learn_beta=True, **graded),
        "matrix": nn.AssociativeLeaky(SIZE, 7, 10, use_q_projection=False),
        "beta": nn.Lapicque(0.75, C=2.0, learn_beta=True),
    }


KINDS = {
    **{f"{reset}-{'later' if delay else 'now'}": (reset, delay) for reset, delay in RESETS},
    "without-reset": None,
}


def network(kind: str) -> Zoo:
    chosen = KINDS[kind]
    return Zoo(lasting() if chosen is None else resetting(*chosen))


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_neurons_agree(kind: str, tmp_path: Path) -> None:
    place = list(KINDS).index(kind)
    dtype = ("float32", "float64")[(place + place // 2) % 2]
    bench = Bench(Case(lambda: network(kind), None), dtype, tmp_path / "bench")
    problems = [
        f"{check.__name__}, {extent}: {problem}"
        for extent in (Extent(1, 1), LARGEST)
        for check in CHECKS
        for problem in check(bench, "custom", extent)    # membranes may round
    ]
    assert problems == []


def test_the_neurons_are_lively(tmp_path: Path) -> None:
    for kind in KINDS:
        bench = Bench(Case(lambda kind=kind: network(kind), None), "float64", tmp_path, build=False)
        out = bench.reference("forward", LARGEST, bench.inputs(LARGEST))
        for (role, key), array in out.items():
            if role == "output" and key.startswith("spk"):
                assert 0.005 < (array != 0).mean() < 0.9, (kind, key)
