"""Rules that differentiate the network as it is: through time, or by its rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..arguments import check_fields
from ..errors import located, user_line
from .base import Rule

MOST_STEPS = 2**31 - 1


@dataclass(frozen=True)
class BPTT(Rule):
    """Backpropagation through time.

    truncate: with k, steps 1 to k, k+1 to 2k, ... are windows: states go on from window to window, gradients
    do not, and their sums are one update. Only k steps are held at a time; where the loss is a sum over
    steps ("mem" and "rate", not "count"), memory does not grow with the number of steps at all.
    snnTorch's `backprop.TBPTT` updates the weights after each window instead.
    """

    truncate: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.truncate is not None and not 1 <= self.truncate <= MOST_STEPS:
            raise located(
                f"bptt: truncate must be None or a number of steps, got {self.truncate}", user_line()
            )

    @property
    def window(self) -> int:
        return int(self.truncate or 0)

    def __str__(self) -> str:
        return f"bptt(truncate={self.truncate})" if self.truncate else "bptt"


@dataclass(frozen=True)
class DSR(Rule):
    """Differentiation on spike representation (Meng et al. 2022).

    A neuron's spikes have the gradient of its rate, a clamped function of its current averaged over the
    steps: the same at every step, no surrogate, no loop backward in time. For neurons with a `firing_rate`.
    """

    by_rates: ClassVar[bool] = True

    def __str__(self) -> str:
        return "dsr"
