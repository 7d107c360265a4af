"""SpikingJelly's numbers: every neuron of nn.spikingjelly, in the reference interpreter and compiled."""

from __future__ import annotations

from typing import Any

import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import DTYPES, disagreements

CASES = vectors.cases("spikingjelly.activation_based.neuron")
NAMES = {"v": "mem", "c": "syn"}    # of states: theirs and ours


def neuron(case: vectors.NeuronCase) -> nn.Module:
    """The preset, called as the package was."""
    options: dict[str, Any] = dict(case.options)
    if "surrogate_function" in options:
        name, arguments = options["surrogate_function"]
        options["surrogate_function"] = getattr(nn.spikingjelly.surrogate, name)(**arguments)
    made: nn.Module = getattr(nn.spikingjelly, case.constructor.rpartition(".")[2])(**options)
    return made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neurons(name: str, dtype: str) -> None:
    case = vectors.load_neuron(name, dtype)
    assert disagreements(case, neuron(case), dtype, NAMES) == []
