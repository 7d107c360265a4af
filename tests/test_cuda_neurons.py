"""Neurons, surrogates, encoders and losses on CUDA: what the C backend computes, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import nn, optim
from tests.cuda_pairs import Pair, inputs
from tests.neurons import EITHER, EVERY_RESET, FIXED, LASTING, LATER, OTHERS, READOUTS, RESETTING, WITHIN
from tests.test_integrate_and_fire import STEPS, Zoo, dsr
from tests.test_losses import DATA, LABELS, SPIKES, VALUES, Outputs
from tests.test_surrogates import EVERY, WHOLE

BATCH, SIZE = 3, 4
SURROGATES = (*EVERY, WHOLE)
ENCODERS = {
    "rate": lambda: nn.Rate(0.5, 0.25, 1),
    "on-off": lambda: nn.Delta(0.5, padding=True, off_spike=True),
    "changes": lambda: nn.Delta(0.5),
}


class Everything(Zoo):
    """Neurons and encoders, and what makes spike times of numbers."""

    def __init__(self) -> None:
        super().__init__(dict(one_of_each()), SIZE)
        self.inputs["still"] = nn.Input(SIZE, static=True)
        self.times, self.line = nn.Latency(2.0, clip=True), nn.Latency(normalize=True, linear=True)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:    # type: ignore[override]
        return {**super().forward(x), "spk_times": self.times(still), "spk_line": self.line(still)}


def one_of_each() -> Iterator[tuple[str, nn.Module]]:
    """Every neuron, with the next of its resets and the next surrogate; each surrogate is taken."""
    later = [{"reset": reset} for reset, delay in EVERY_RESET.values() if delay]
    either = [{"reset": reset, "reset_delay": delay} for reset, delay in EVERY_RESET.values()]
    tables: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (EITHER, either), (LATER, later), (RESETTING, list(WITHIN.values())),
        (LASTING, [{}]), (OTHERS, [{}]), (FIXED, [{"steps": STEPS}]),
    ]    # fmt: skip
    made = [
        (name, make, resets[k % len(resets)])
        for table, resets in tables
        for k, (name, make) in enumerate(table.items())
    ]
    assert len(made) >= len(SURROGATES)
    for number, (name, make, reset) in enumerate(made):
        yield name, make(surrogate=SURROGATES[number % len(SURROGATES)], **reset)
    for name, make in (READOUTS | ENCODERS).items():
        yield name, make()
    yield from dsr().items()


def test_neurons_give_the_bits_of_c(tmp_path: Path) -> None:
    pair = Pair(Everything(), tmp_path, num_steps=STEPS)
    given = inputs(pair.c, STEPS, BATCH)
    out, _ = (model(given) for model in pair.both)
    spikes = {name: out[name] for name in pair.c.output_names if name.startswith("spk_")}
    assert {name for name, array in spikes.items() if not array.any()} <= {"spk_masked_wholly"}
    pair.check_calls(given)


@pytest.mark.parametrize("targets", [LABELS, SPIKES], ids=["classes", "numbers"])
def test_losses_give_the_bits_of_c(targets: np.ndarray, tmp_path: Path) -> None:
    """The sum of all losses that take such targets."""
    of = reduce(add, (of for of, _, taken in VALUES.values() if taken is targets))
    pair = Pair(Outputs(), tmp_path, loss=of, optimizer=optim.SGD(0.1))
    pair.check_training({"s": SPIKES, "m": DATA}, targets)
