"""What importers of NIR make of its neurons: nn.nir with their dialects, interpreted and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snncc import nn
from tests import vectors
from tests.vector_runs import disagreements

CASES = vectors.cases("nir.")


def neuron(case: vectors.NeuronCase, per_neuron: bool) -> nn.Module:
    """The node with the importer's dialect; its values as numbers or as NIR has them, one a neuron."""
    options: dict[str, Any] = dict(case.options)
    kind, dt, dialect = options.pop("node"), options.pop("dt"), options.pop("importer")
    if per_neuron:
        options = {name: np.full(case.x.shape[2], value) for name, value in options.items()}
    made: nn.Module = getattr(nn.nir, kind)(**options, dt=dt, dialect=dialect)
    return made


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("per_neuron", [False, True])
def test_nodes(name: str, per_neuron: bool) -> None:
    case = vectors.load_neuron(name, "float32")    # there is no other
    assert disagreements(case, neuron(case, per_neuron), "float32") == []
