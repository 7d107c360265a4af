"""Derived gradients of every neuron are slopes: finite differences, with spikes made smooth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from snncc import nn
from tests.networks import RESETS
from tests.test_differentiate import check_loss, sequential

BETA: Any = [0.3, 0.9, 0.5, 1.4]    # the last one beyond the clamp
TRAINED: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}
GRADED: dict[str, Any] = {"graded_spikes_factor": [0.5, -1.0, 2.0, 1.5], "learn_graded_spikes_factor": True}
Make = Callable[[], nn.Module]


def resetting(reset: str, delay: bool) -> dict[str, Make]:
    late: dict[str, Any] = {"reset": reset, "learn_threshold": True}
    both: dict[str, Any] = {**late, "reset_delay": delay, "learn_beta": True}
    return {
        "graded": lambda: nn.Leaky(BETA, 0.4, **GRADED, **both),
        "inhibited": lambda: nn.Leaky(0.9, 0.4, inhibition=True, **both),
        "one-to-one": lambda: nn.RLeaky(BETA, [0.3, 0.5, 0.4, 0.2], V=[0.5, -0.5, 1.0, 0.25], **both),
        "all-to-all": lambda: nn.RLeaky(0.8, 0.4, linear_features=4, inhibition=True, **both),
        "synaptic": lambda: nn.Synaptic(BETA, 0.7, 0.4, learn_alpha=True, **both),
        "both": lambda: nn.RSynaptic(0.6, BETA, 0.4, linear_features=4, learn_alpha=True, **both),
        "alpha": lambda: nn.Alpha(0.9, [0.3, 0.5, 0.8, 0.1], 0.1, learn_alpha=True, learn_beta=True, **late),
        "circuit": lambda: nn.Lapicque(0.8, C=1.5, threshold=0.2, learn_beta=True, exact=delay, **late),
        "lstm": lambda: nn.SLSTM(4, 4, 0.1, **late),
    }


LASTING: dict[str, Make] = {
    "delta": lambda: nn.DeltaLeaky(BETA, 0.3, learn_beta=True),
    "diagonal": lambda: nn.LeakyParallel(4, 4, BETA, 0.2, **GRADED, **TRAINED),
    "dense": lambda: nn.LeakyParallel(4, 4, None, 0.2, dense=True, bias=False, **TRAINED),
    "state": lambda: nn.StateLeaky([0.3, 0.9, 0.5, -0.2], 0.3, **GRADED, **TRAINED),
    "truncated": lambda: nn.LinearLeaky(4, 4, 0.7, 0.3, kernel_truncation_steps=3, **TRAINED),
    "associative": lambda: nn.AssociativeLeaky(4, 2, 3, 0.1),
    "associative-unread": lambda: nn.AssociativeLeaky(4, 2, 2, 0.1, use_q_projection=False),
}


@pytest.mark.parametrize(("reset", "delay"), RESETS)
@pytest.mark.parametrize("name", resetting("none", True))
def test_neurons_that_reset(name: str, reset: str, delay: bool) -> None:
    compared = check_loss(sequential(resetting(reset, delay)[name]()))
    assert ("gradient", "lif1.threshold") in compared


@pytest.mark.parametrize("name", LASTING)
def test_neurons_that_do_not(name: str) -> None:
    compared = check_loss(sequential(LASTING[name]()))
    trained = {label for role, label in compared if role == "gradient" and label.startswith("lif1")}
    assert trained
