"""The compiled optimisers against torch.optim's formulas, written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim

Array = np.ndarray
Step = Callable[[Array, Array, float], Array]
BOUND = {"float32": 2e-6, "float64": 1e-12}
UPDATES = 20


class SGD:
    """torch.optim.SGD, dampening 0."""

    def __init__(self, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity: Array | None = None

    def step(self, weight: Array, gradient: Array, lr: float) -> Array:
        gradient = gradient + self.weight_decay * weight
        self.velocity = gradient if self.velocity is None else self.momentum * self.velocity + gradient
        return weight - lr * self.velocity


class Adam:
    """torch.optim.Adam; decoupled: AdamW."""

    def __init__(self, weight_decay: float, decoupled: bool, betas: tuple[float, float], eps: float) -> None:
        self.weight_decay, self.decoupled, self.betas, self.eps = weight_decay, decoupled, betas, eps
        self.mean: Any = 0.0
        self.square: Any = 0.0
        self.count = 0

    def step(self, weight: Array, gradient: Array, lr: float) -> Array:
        if self.decoupled:
            weight = weight * (1 - lr * self.weight_decay)
        else:
            gradient = gradient + self.weight_decay * weight
        beta1, beta2 = self.betas
        self.count += 1
        self.mean = beta1 * self.mean + (1 - beta1) * gradient
        self.square = beta2 * self.square + (1 - beta2) * gradient**2
        denominator = np.sqrt(self.square) / np.sqrt(1 - beta2**self.count) + self.eps
        updated: Array = weight - lr / (1 - beta1**self.count) * self.mean / denominator
        return updated


CASES: dict[str, tuple[optim.Optimizer, Callable[[], Any]]] = {
    "sgd": (optim.SGD(0.05), lambda: SGD()),
    "sgd-all": (optim.SGD(0.05, momentum=0.9, weight_decay=0.01), lambda: SGD(0.9, 0.01)),
    "adam": (optim.Adam(0.01), lambda: Adam(0.0, False, (0.9, 0.999), 1e-8)),
    "adam-all": (
        optim.Adam(0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
        lambda: Adam(0.1, False, (0.8, 0.95), 1e-4),
    ),
    "adamw": (optim.AdamW(0.01), lambda: Adam(0.01, True, (0.9, 0.999), 1e-8)),
}


# Now and then another rate than the compiled one, and none at all.
OTHER_RATES = {5: 0.002, 6: 0.0, 11: 0.1}


def network() -> nn.Sequential:
    neuron = nn.Leaky([0.5, 0.7, 0.9], learn_beta=True, learn_threshold=True)
    return nn.Sequential(fc=nn.Linear(5, 3), lif=neuron)


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float64") for name in CASES), ("adamw", "float32")])
def test_updates_follow_the_formulas(name: str, dtype: str) -> None:
    """Compared given the model's own gradients, so that the network's part in it cannot hide a difference."""
    optimizer, reference = CASES[name]
    model = snncc.compile(network(), loss=loss.cross_entropy("mem"), optimizer=optimizer, dtype=dtype)
    random = np.random.default_rng(4)
    x, y = random.normal(size=(6, 17, 5)), random.integers(0, 3, 17)
    expected = {key: array.astype(np.float64) for key, array in model.params.items()}
    rules = {key: reference() for key in expected}
    for update in range(UPDATES):
        rate = OTHER_RATES.get(update)
        model.train_step(x, y, rate)
        gradients = model.gradients()
        assert set(gradients) == {"fc.weight", "fc.bias", "lif.beta", "lif.threshold"}
        for key, gradient in gradients.items():
            used = optimizer.learning_rate if rate is None else rate
            expected[key] = rules[key].step(expected[key], gradient.astype(np.float64), used)
            apart = np.abs(model.params[key] - expected[key]).max()
            assert apart <= BOUND[dtype], (update, key)


def test_fixed_parameters_stay() -> None:
    neuron = nn.Leaky([0.5, 0.7, 0.9], threshold=[1.0, 1.1, 1.2], learn_threshold=True)
    network = nn.Sequential(fc=nn.Linear(5, 3), lif=neuron)
    model = snncc.compile(network, loss=loss.cross_entropy("mem"), optimizer=optim.Adam(0.1))
    model.train_step(np.ones((4, 2, 5)), [0, 1])
    assert "lif.beta" not in model.gradients()
    np.testing.assert_array_equal(model.params["lif.beta"], np.array([0.5, 0.7, 0.9], np.float32))
    assert not np.array_equal(model.params["lif.threshold"], np.array([1.0, 1.1, 1.2], np.float32))
