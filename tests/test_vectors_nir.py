"""What importers of NIR make of its neurons: nn.nir with their dialects, interpreted, in C and on CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import Results, Subject, results

CASES = vectors.cases("nir.")


def neuron(case: vectors.NeuronCase, per_neuron: bool) -> nn.Module:
    """The node with the importer's dialect; its values as numbers or as NIR has them, one a neuron."""
    options: dict[str, Any] = dict(case.options)
    kind, dt, dialect = options.pop("node"), options.pop("dt"), options.pop("importer")
    if per_neuron:
        options = {name: np.full(case.x.shape[2], value) for name, value in options.items()}
    made: nn.Module = getattr(nn.nir, kind)(**options, dt=dt, dialect=dialect)
    return made


def subjects(dtype: str) -> dict[str, Subject]:
    """Each case with numbers, and with one a neuron."""
    loaded = {name: vectors.load_neuron(name, dtype) for name in CASES}
    alike = {name: Subject(case, neuron(case, per_neuron=False)) for name, case in loaded.items()}
    each = {f"{name}_each": Subject(case, neuron(case, per_neuron=True)) for name, case in loaded.items()}
    return alike | each


found = results("nir", subjects, "float32")    # there is no other


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("values", ["", "_each"], ids=["alike", "each"])
def test_nodes(name: str, values: str, found: Results) -> None:
    assert found.disagreements(name + values) == []
