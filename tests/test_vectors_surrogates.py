"""The surrogates of snnTorch and SpikingJelly: spikes and gradients, interpreted and compiled.

One network holds them all, each with its own input, so that there is one compilation a dtype.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.nn.surrogate import Surrogate
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from snncc.target import Target
from tests import vectors
from tests.networks import difference
from tests.vector_runs import BOUND, DTYPES
from tests.vectors import Array, SurrogateCase

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


class All(nn.Module):
    """A spike for each surrogate, of its own input."""

    def __init__(self, size: int) -> None:
        self.inputs = {name: nn.Input(size) for name in FIXED}

    def forward(self, *inputs: Any) -> dict[str, Any]:
        spikes = {}
        for name, u in zip(FIXED, inputs, strict=True):
            made, strict = preset(vectors.load_surrogate(name, "float64"))
            spikes[f"of_{name}"] = snncc.spike(u, made, strict=strict)
        return spikes


def membranes(dtype: str) -> dict[str, Array]:
    """The u of each case as an array [1, 1, n]."""
    return {name: vectors.load_surrogate(name, dtype).u[None, None] for name in FIXED}


def ones(u: dict[str, Array]) -> dict[str, Array]:
    return {f"of_{name}": np.ones_like(array) for name, array in u.items()}


@cache
def interpreted(dtype: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Spikes and gradients by case, in the reference interpreter."""
    u = membranes(dtype)
    network = trace(All(u[FIXED[0]].size))
    given = {**u, **{f"d_{name}": array for name, array in ones(u).items()}}
    call = Call(given, {}, {}, 1, 1, np.dtype(dtype))
    typed = InferTypes("f32" if dtype == "float32" else "f64")
    graphs = {stages.name: typed.run(stages.graph) for stages in entry_stages(network, Target(dtype=dtype))}
    out = evaluate(graphs["forward"], call)
    back = evaluate(Differentiate("outputs", inputs=True).run(graphs["backward"]), call)
    return (
        {name: out["output", f"of_{name}"] for name in FIXED},
        {name: back["d_input", name].reshape(-1) for name in FIXED},
    )


@cache
def compiled(dtype: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same from compiled C."""
    u = membranes(dtype)
    model = snncc.compile(All(u[FIXED[0]].size), num_steps=1, dtype=dtype, name="surrogates")
    out, back = model(u), model.backward(u, cotangents=ones(u))
    return (
        {name: getattr(out, f"of_{name}") for name in FIXED},
        {name: back.inputs[name].reshape(-1) for name in FIXED},
    )


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("run", [interpreted, compiled])
def test_spikes_and_gradients(name: str, dtype: str, run: Any) -> None:
    case = vectors.load_surrogate(name, dtype)
    spikes, gradients = run(dtype)
    np.testing.assert_array_equal(spikes[name].reshape(-1), case.spikes)
    assert case.gradient.any()
    assert difference(gradients[name], case.gradient) <= BOUND[dtype]
    np.testing.assert_allclose(gradients[name], case.gradient, rtol=10 * BOUND[dtype], atol=BOUND[dtype] / 10)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", DTYPES)
def test_with_the_noise_that_was_drawn(name: str, dtype: str) -> None:
    case = vectors.load_surrogate(name, dtype)
    made: Any = preset(case)[0]
    assert difference(made.given(case.u, case.noise), case.gradient) <= BOUND[dtype]
