"""snnTorch's numbers: Leaky, in the reference interpreter and compiled."""

from __future__ import annotations

import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import DTYPES, disagreements
from tests.vectors import NeuronCase

SURROGATES = {"atan": nn.surrogate.ATan, "fast_sigmoid": nn.surrogate.FastSigmoid}
LATER = ("graded_vector", "inhibition", "state_quant")    # options that nn.Leaky does not have yet
NEURONS = [
    n
    for n in vectors.cases("snntorch.Leaky", "snntorch_")
    if not n.startswith("snntorch_leakyparallel") and not n.endswith(LATER)
]
CASES = NEURONS


def leaky(case: NeuronCase) -> nn.Module:
    name, arguments = case.surrogate
    options = case.options
    return nn.Leaky(
        options["beta"],
        options.get("threshold", 1.0),
        reset=options.get("reset_mechanism", "subtract"),
        reset_delay=options.get("reset_delay", True),
        learn_beta=options.get("learn_beta", False),
        learn_threshold=options.get("learn_threshold", False),
        surrogate=None if options.get("surrogate_disable") else SURROGATES[name](**arguments),
    )


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neurons(name: str, dtype: str) -> None:
    case = vectors.load_neuron(name, dtype)
    assert disagreements(case, leaky(case), dtype) == []
