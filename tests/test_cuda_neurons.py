"""Neurons, surrogates, encoders and losses on CUDA: what the C backend computes, bit for bit.

Most neurons are those of golden vectors, whose numbers they have too: test_vectors_*.py.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn, optim
from tests import (
    test_vectors_nir,
    test_vectors_snngrow,
    test_vectors_snntorch,
    test_vectors_spikingjelly,
    test_vectors_surrogates,
)
from tests.cuda_pairs import Pair, inputs, same
from tests.neurons import BETA, FIXED, LASTING, OTHERS, READOUTS, RESETTING
from tests.test_integrate_and_fire import STEPS, Zoo, dsr
from tests.test_losses import DATA, LABELS, SPIKES, VALUES, Outputs
from tests.test_surrogates import EVERY, WHOLE
from tests.vector_runs import outcome

BATCH, SIZE = 3, 4
GOLDEN = {
    "snntorch": test_vectors_snntorch, "spikingjelly": test_vectors_spikingjelly,
    "snngrow": test_vectors_snngrow, "nir": test_vectors_nir, "surrogates": test_vectors_surrogates,
}    # fmt: skip


@pytest.mark.parametrize("title", GOLDEN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_vectors_give_the_bits_of_c(title: str, dtype: str) -> None:
    if (title, dtype) == ("nir", "float64"):
        return    # there is none
    c, cuda = (outcome(title, GOLDEN[title].subjects, way, dtype).run for way in ("c", "cuda"))
    for kind in ("outputs", "gradients", "spike_gradients"):
        same(*(getattr(run, kind) for run in (c, cuda)))


class Others(Zoo):
    """Neurons, encoders and surrogates that no golden vector has, or not so."""

    def __init__(self) -> None:
        neurons = {
            "graded": nn.Leaky(BETA, 0.4, inhibition=True, graded_spikes_factor=2.0, learn_beta=True),
            **{name: LASTING[name]() for name in ("truncated", "associative-unread")},
            **{name: RESETTING[name]() for name in ("lif-per-neuron", "lif-threshold")},
            "threshold": OTHERS["nir-threshold"](), "gated": FIXED["gated-channels"](STEPS),
            **{name: make() for name, make in READOUTS.items()},
            "rate": nn.Rate(0.5, 0.25, 1), "changes": nn.Delta(0.5),
            "on-off": nn.Delta(0.5, padding=True, off_spike=True),
            **dsr(),
        }    # fmt: skip
        super().__init__(neurons, SIZE)
        self.inputs["still"] = nn.Input(SIZE, static=True)
        self.times, self.line = nn.Latency(2.0, clip=True), nn.Latency(normalize=True, linear=True)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:    # type: ignore[override]
        found = {**super().forward(x), "spk_times": self.times(still), "spk_line": self.line(still)}
        chosen = enumerate((*EVERY, WHOLE))
        return found | {f"spk_by_{k}": snncc.spike(x - 0.125 * k, surrogate) for k, surrogate in chosen}


def test_neurons_give_the_bits_of_c(tmp_path: Path) -> None:
    pair = Pair(Others(), tmp_path, num_steps=STEPS)
    pair.check_calls(inputs(pair.c, STEPS, BATCH))


@pytest.mark.parametrize("targets", [LABELS, SPIKES], ids=["classes", "numbers"])
def test_losses_give_the_bits_of_c(targets: np.ndarray, tmp_path: Path) -> None:
    """The sum of all losses that take such targets."""
    of = reduce(add, (of for of, _, taken in VALUES.values() if taken is targets))
    pair = Pair(Outputs(), tmp_path, loss=of, optimizer=optim.SGD(0.1))
    pair.check_training({"s": SPIKES, "m": DATA}, targets)
