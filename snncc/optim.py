"""Optimisers as equations: elementwise updates of a parameter from its gradient.

`update` is traced once and becomes one generated function that runs over every parameter in place.
Moments start at zero; `powers` names hyperparameters whose powers (beta ** step) the update needs.
The formulas are those of torch.optim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from .arguments import check_fields
from .errors import located, user_line
from .ops import clamp, sqrt

Bounds = Annotated[tuple[float, float], "(low, high)"]
BETAS = "two numbers, at least 0 and below 1"


@dataclass(frozen=True)
class Optimizer:
    """Base. learning_rate is only the default: each update may be given another."""

    learning_rate: float
    described: ClassVar[str] = "an optimizer of snncc.optim"
    moments: ClassVar[tuple[str, ...]] = ()
    powers: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in vars(self).items():
            if name not in ("betas", "bounds") and value < 0:
                found = f"{name} must not be negative, got {value!r}"
                raise located(f"{type(self).__name__}: {found}", user_line())

    def update(
        self, parameter: Any, gradient: Any, moments: dict[str, Any], lr: Any, powers: dict[str, Any]
    ) -> Any:
        """(new parameter, new moments)."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum and L2 weight decay.

    bounds: parameters are limited to these after each update.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    bounds: Bounds | None = None
    moments = ("momentum_buffer",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise located(f"SGD: bounds must be (low, high), got {self.bounds}", user_line())

    def update(
        self, parameter: Any, gradient: Any, moments: dict[str, Any], lr: Any, powers: dict[str, Any]
    ) -> Any:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        velocity = self.momentum * moments["momentum_buffer"] + gradient
        changed = parameter - lr * velocity
        return clamp(changed, *self.bounds) if self.bounds else changed, {"momentum_buffer": velocity}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam; weight_decay is L2, added to the gradient."""

    betas: Annotated[tuple[float, float], BETAS] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    moments = ("exp_avg", "exp_avg_sq")
    powers = ("beta1", "beta2")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise located(f"{type(self).__name__}: betas must be {BETAS}, got {self.betas!r}", user_line())

    @property
    def beta1(self) -> float:
        return self.betas[0]

    @property
    def beta2(self) -> float:
        return self.betas[1]

    def update(
        self, parameter: Any, gradient: Any, moments: dict[str, Any], lr: Any, powers: dict[str, Any]
    ) -> Any:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        return self._moment_step(parameter, gradient, moments, lr, powers)

    def _moment_step(
        self, parameter: Any, gradient: Any, moments: dict[str, Any], lr: Any, powers: dict[str, Any]
    ) -> Any:
        mean = self.beta1 * moments["exp_avg"] + (1.0 - self.beta1) * gradient
        square = self.beta2 * moments["exp_avg_sq"] + (1.0 - self.beta2) * (gradient * gradient)
        step_size = lr / (1.0 - powers["beta1"])
        root = sqrt(1.0 - powers["beta2"])
        denominator = sqrt(square) / root + self.eps
        return parameter - step_size * (mean / denominator), {"exp_avg": mean, "exp_avg_sq": square}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay."""

    weight_decay: float = 0.01

    def update(
        self, parameter: Any, gradient: Any, moments: dict[str, Any], lr: Any, powers: dict[str, Any]
    ) -> Any:
        decayed = parameter * (1.0 - lr * self.weight_decay) if self.weight_decay else parameter
        return self._moment_step(decayed, gradient, moments, lr, powers)
