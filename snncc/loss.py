"""Losses on a network's outputs, as equations. Each is a mean over the batch.

A loss reads the output it is named after: "spk" for "rate" and "count", "mem" for "mem". Targets are
class labels [B] (int64); mse without `on` takes float arrays [B, *features].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import CompileError, user_line
from .ops import Value, sum_batch, sum_features, sum_time
from .ops.elementwise import floor
from .ops.leaf import Samples, Steps
from .ops.reduce import LogSoftmax, OneHot, leaf
from .ops.value import apply

READS = {"mem": "mem", "rate": "spk", "count": "spk"}


@dataclass(frozen=True)
class Loss:
    """Base: what it looks at, and the type of its targets."""

    readout: str

    @property
    def reads(self) -> str:
        """Name of the network output that the loss is computed from."""
        return READS[self.readout]

    def target_is_label(self) -> bool:
        return True

    def equation(self, x: Value, target: Value) -> Value:
        """The loss of a batch (a number) from the output [T, B, *] and the target."""
        raise NotImplementedError


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """See `cross_entropy`."""

    def equation(self, x: Value, target: Value) -> Value:
        logits = sum_time(x) if self.readout == "count" else x
        chosen = apply(OneHot(x.type.size), target)
        per_sample = -sum_features(chosen * apply(LogSoftmax(), logits))
        if self.readout != "count":
            per_sample = sum_time(per_sample)
        total = sum_batch(per_sample) / leaf(x, Samples())
        return total / leaf(x, Steps()) if self.readout == "rate" else total

    def __str__(self) -> str:
        return f"cross_entropy({self.readout})"


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """See `mse`."""

    on: float | None = None
    off: float = 0.0

    def target_is_label(self) -> bool:
        return self.on is not None

    def equation(self, x: Value, target: Value) -> Value:
        steps, wanted = leaf(x, Steps()), target
        if self.on is not None:
            on, off = self._levels(steps)
            wanted = off + (on - off) * apply(OneHot(x.type.size), target)
        if self.readout == "mem":
            per_sample = sum_time(_squares(x - wanted)) / steps
        elif self.readout == "count":
            per_sample = _squares(sum_time(x) - wanted) / steps
        else:
            per_sample = _squares(sum_time(x) / steps - wanted)
        return sum_batch(per_sample) / (leaf(x, Samples()) * float(x.type.size))

    def _levels(self, steps: Value) -> tuple[Any, Any]:
        """Target of the labelled class and of the others; counts are rates times steps, rounded down."""
        if self.readout == "count":
            return floor(steps * self.on), floor(steps * self.off)
        return self.on, self.off

    def __str__(self) -> str:
        levels = "" if self.on is None else f", on={self.on}, off={self.off}"
        return f"mse({self.readout}{levels})"


def _squares(x: Value) -> Value:
    """Sum of squares over the features."""
    return sum_features(x * x)


def _check(readout: str) -> None:
    if readout not in READS:
        raise CompileError(f"loss: expected 'mem', 'rate' or 'count', got {readout!r} ({user_line()})")


def cross_entropy(readout: str = "mem") -> CrossEntropy:
    """Cross-entropy of class labels.

    "mem": of the membrane, summed over the steps (snnTorch's tutorial 5). "rate": of the spikes,
    averaged over the steps (snnTorch ce_rate_loss). "count": of the spike counts (ce_count_loss).
    """
    _check(readout)
    return CrossEntropy(readout)


def mse(readout: str = "rate", *, on: float | None = None, off: float = 0.0) -> MeanSquaredError:
    """Mean squared error, over classes and batch.

    "rate": of the spikes averaged over the steps. "count": of the spike counts, divided by the number
    of steps; on and off are rates, their counts rounded down (snnTorch mse_count_loss). "mem": of the
    membrane at each step, averaged over the steps (mse_membrane_loss).
    on, off: the target of the labelled class and of the others; without `on`, targets are arrays
    [B, *features] of what is compared.
    """
    _check(readout)
    return MeanSquaredError(readout, on, off)
