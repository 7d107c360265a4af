"""Regularisers: penalties on how often neurons fire, of an output or of any layer."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import checked
from ..errors import CompileError, user_line
from ..ops import Value, maximum, sum_batch, sum_features, sum_time
from ..ops.leaf import Samples
from ..ops.lengths import count_steps
from ..ops.reduce import leaf
from .base import Loss, Values


@dataclass(frozen=True)
class RateLoss(Loss):
    """See `l1_rate` and its neighbours; kind "total": the sum over steps, samples and neurons."""

    kind: str
    strength: float
    of: str
    limit: float = 0.0

    def value(self, values: Values) -> Value:
        spk = values.read(self.of, self)
        if self.kind == "total":
            return sum_batch(sum_features(sum_time(spk))) * self.strength
        rate = sum_time(spk) / count_steps(spk)
        if self.kind != "l1":
            distance = {"l2": rate, "upper": rate - self.limit, "lower": self.limit - rate}[self.kind]
            distance = distance if self.kind == "l2" else maximum(distance, 0.0)
            rate = distance * distance
        count = leaf(spk, Samples()) * float(max(1, spk.type.size))
        return sum_batch(sum_features(rate)) / count * self.strength

    def __str__(self) -> str:
        limit = f"{self.limit:g}, " if self.kind in ("lower", "upper") else ""
        return f"{self.kind}_rate({limit}{self.strength:g}, of={self.of})"


def _rate(kind: str, strength: float, of: str, limit: float = 0.0) -> RateLoss:
    for name, value in (("strength", strength), ("limit", limit)):
        if value < 0:
            expected = f"loss {kind}_rate: {name} must be a number from 0"
            raise CompileError(f"{expected}, got {value!r} ({user_line()})")
    if not of:
        raise CompileError(
            f"loss {kind}_rate: of must be the name of a layer or output, got {of!r} ({user_line()})"
        )
    return RateLoss(kind, strength, of, limit)


@checked
def l1_rate(strength: float, of: str = "spk") -> RateLoss:
    """strength times the mean firing rate (spikes a step) of all neurons and samples.

    of: a layer ("lif1"), an output, or any value of the network by its name.
    """
    return _rate("l1", strength, of)


@checked
def l2_rate(strength: float, of: str = "spk") -> RateLoss:
    """strength times the mean squared firing rate; `of` as for l1_rate."""
    return _rate("l2", strength, of)


@checked
def upper_rate(limit: float, strength: float, of: str = "spk") -> RateLoss:
    """strength times the mean square of what a neuron's rate is above the limit; `of` as for l1_rate."""
    return _rate("upper", strength, of, limit)


@checked
def lower_rate(limit: float, strength: float, of: str = "spk") -> RateLoss:
    """strength times the mean square of what a neuron's rate is below the limit; `of` as for l1_rate."""
    return _rate("lower", strength, of, limit)
