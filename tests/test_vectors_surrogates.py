"""The surrogates of snnTorch and SpikingJelly: spikes and gradients, interpreted, in C and on CUDA."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.nn.surrogate import Surrogate
from tests import vectors
from tests.networks import difference
from tests.vector_runs import BOUND, DTYPES, Results, Subject, results
from tests.vectors import NeuronCase, SurrogateCase

PRESETS: dict[str, ModuleType] = {
    "snntorch": nn.snntorch.surrogate,
    "spikingjelly": nn.spikingjelly.surrogate,
}
CASES = [*vectors.cases("snntorch.surrogate."), *vectors.cases("spikingjelly.activation_based.surrogate.")]
RANDOM = [name for name in CASES if vectors.load_surrogate(name, "float64").noise is not None]
FIXED = [name for name in CASES if name not in RANDOM]


def preset(case: SurrogateCase) -> tuple[Surrogate, bool]:
    """The surrogate under its own name with the case's arguments, and whether its spike needs u > 0."""
    system, _, name = case.constructor.partition(".")
    made = getattr(PRESETS[system], name.rpartition(".")[2])(**case.options)
    return made, system == "snntorch"


class Spike(nn.Module):
    """Of u itself."""

    def __init__(self, of: Surrogate, strict: bool) -> None:
        self.of, self.strict = of, strict

    def forward(self, u: Any) -> Any:
        return snncc.spike(u, self.of, strict=self.strict)


def subject(name: str, dtype: str) -> Subject:
    """As a neuron of one step and sample."""
    case = vectors.load_surrogate(name, dtype)
    u, spikes, gradient = (array[None, None] for array in (case.u, case.spikes, case.gradient))
    gradients = {"x": gradient}
    as_neuron = NeuronCase(
        name, case.constructor, case.options, u, {"spk": np.ones_like(u)}, {}, {}, {"spk": spikes},
        gradients, gradients,
    )    # fmt: skip
    return Subject(as_neuron, Spike(*preset(case)), {"spk": "out"})


def subjects(dtype: str) -> dict[str, Subject]:
    return {name: subject(name, dtype) for name in FIXED}


found = results("surrogates", subjects)


@pytest.mark.parametrize("name", FIXED)
def test_spikes_and_gradients(name: str, found: Results) -> None:
    assert found.disagreements(name) == []
    case, bound = found.group.subjects[name].case, BOUND[found.group.dtype]
    assert case.gradients["x"].any()
    gradient = found.of(name).gradients["x"]
    np.testing.assert_allclose(gradient, case.gradients["x"], rtol=10 * bound, atol=bound / 10)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", DTYPES)
def test_with_the_noise_that_was_drawn(name: str, dtype: str) -> None:
    case = vectors.load_surrogate(name, dtype)
    made: Any = preset(case)[0]
    assert difference(made.given(case.u, case.noise), case.gradient) <= BOUND[dtype]
