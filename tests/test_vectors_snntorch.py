"""snnTorch's neurons, as presets: the numbers of the real package, forward and backward, in every way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import Results, Subject, results
from tests.vectors import NeuronCase

OTHERS = ("loss_", "surrogate_", "spikegen_")    # run elsewhere
CASES = [
    name
    for name in vectors.cases("snntorch.", "snntorch_")
    if not name.removeprefix("snntorch_").startswith(OTHERS)
]
NAMES = {"y": "out"}    # the outputs that have another name here


def preset(case: NeuronCase) -> nn.Module:
    """The case's own constructor call."""
    options = dict(case.options)
    if "spike_grad" in options:
        name, arguments = options["spike_grad"]
        options["spike_grad"] = getattr(nn.snntorch.surrogate, name)(**arguments)
    if "state_quant" in options:
        options["state_quant"] = nn.snntorch.state_quant(**options["state_quant"])
    name, _, inside = case.constructor.removeprefix("snntorch.").partition("(")
    if inside:
        assert inside == "init_hidden=True)"
        options["init_hidden"] = True
    module: nn.Module = getattr(nn.snntorch, name)(**options)
    return module


def without_dangling_beta(case: NeuronCase) -> NeuronCase:
    """StateLeaky trains tau; its beta is a parameter that nothing reads, which ours has not."""
    if case.constructor != "snntorch.StateLeaky" or "beta" not in case.gradients:
        return case
    assert not case.gradients["beta"].any()
    assert not case.spike_gradients["beta"].any()

    def rest(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: array for name, array in arrays.items() if name != "beta"}

    return replace(
        case,
        params=rest(case.params),
        gradients=rest(case.gradients),
        spike_gradients=rest(case.spike_gradients),
    )


def subject(name: str, dtype: str) -> Subject:
    case = without_dangling_beta(vectors.load_neuron(name, dtype))
    return Subject(case, preset(case), NAMES)


def subjects(dtype: str) -> dict[str, Subject]:
    return {name: subject(name, dtype) for name in CASES}


found = results("snntorch", subjects)


@pytest.mark.parametrize("name", CASES)
def test_neurons(name: str, found: Results) -> None:
    assert found.disagreements(name) == []
