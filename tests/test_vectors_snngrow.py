"""SNNGrow's and Aidge's numbers: their presets, interpreted, in C and on CUDA.

Aidge's outputs are its own, in float32; the gradients are the formula of its documentation in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import Results, Subject, results

SNNGROW, AIDGE = vectors.cases("snngrow.base.neuron"), vectors.cases("aidge")
CASES = [*SNNGROW, *AIDGE]
SURROGATES = {"ATan": nn.surrogate.ATan(2.0), "Sigmoid": nn.surrogate.Sigmoid(4.0)}


def snngrow(case: vectors.NeuronCase) -> nn.Module:
    """The preset, called as the package was."""
    options: dict[str, Any] = dict(case.options)
    assert options.pop("training")
    if "surrogate_function" in options:
        options["surrogate_function"] = SURROGATES[options["surrogate_function"][0]]
    made: nn.Module = getattr(nn.snngrow, case.constructor.rpartition(".")[2])(**options)
    return made


def aidge_case(name: str, dtype: str) -> vectors.NeuronCase:
    """Outputs, and the gradients that the manifest calls derived, with a loss on the spikes alone."""
    case = vectors.load_neuron(name, "float32")
    with np.load(vectors.FOLDER / f"{name}.npz") as arrays:
        mem, gradient = arrays["f64.derived_out.mem"], arrays["f64.derived_grad_spk.x"]
    assert not case.gradients
    assert not case.spike_gradients
    upstream = {"spk": case.upstream["spk"].astype(dtype), "mem": np.zeros_like(case.x, dtype)}
    outputs = {"spk": case.outputs["spk"], "mem": mem if dtype == "float64" else case.outputs["mem"]}
    changed = replace(case, x=case.x.astype(dtype), upstream=upstream, outputs=outputs)
    return replace(changed, gradients={"x": gradient}, spike_gradients={"x": gradient})


def aidge(case: vectors.NeuronCase, output: bool) -> nn.Module:
    reset = {"subtraction": "subtraction", "zero": "to_zero"}[case.options["reset"]]
    made: nn.Module = nn.aidge.Leaky(**{**case.options, "reset": reset, "output": output})
    return made


def subjects(dtype: str) -> dict[str, Subject]:
    """Aidge's flag `output` changes nothing."""
    found = {}
    for name in SNNGROW:
        case = vectors.load_neuron(name, dtype)
        found[name] = Subject(case, snngrow(case), {"v": "mem"})
    for name in AIDGE:
        case = aidge_case(name, dtype)
        found[name] = Subject(case, aidge(case, output=dtype == "float32"))
    return found


found = results("snngrow", subjects)


@pytest.mark.parametrize("name", CASES)
def test_neurons(name: str, found: Results) -> None:
    assert found.disagreements(name) == []
