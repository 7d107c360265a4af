"""Derived gradients of every neuron are slopes: finite differences, with spikes made smooth."""

from __future__ import annotations

import pytest

from tests.neurons import LASTING, above_a_threshold
from tests.test_differentiate import check_loss, sequential


@pytest.mark.parametrize("name", above_a_threshold())
def test_neurons_that_reset(name: str) -> None:
    compared = check_loss(sequential(above_a_threshold()[name]()))
    assert ("gradient", "lif1.threshold") in compared


@pytest.mark.parametrize("name", LASTING)
def test_neurons_that_do_not(name: str) -> None:
    compared = check_loss(sequential(LASTING[name]()))
    trained = {label for role, label in compared if role == "gradient" and label.startswith("lif1")}
    assert trained
