"""SpikingJelly's numbers: every neuron of nn.spikingjelly, interpreted, in C and on CUDA."""

from __future__ import annotations

from typing import Any

import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import Results, Subject, results

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


def subject(name: str, dtype: str) -> Subject:
    case = vectors.load_neuron(name, dtype)
    return Subject(case, neuron(case), NAMES)


def subjects(dtype: str) -> dict[str, Subject]:
    return {name: subject(name, dtype) for name in CASES}


found = results("spikingjelly", subjects)


@pytest.mark.parametrize("name", CASES)
def test_neurons(name: str, found: Results) -> None:
    assert found.disagreements(name) == []
