"""What normalisation layers share: means over several axes, and the gradient through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CompileError
from ..graph import Graph, Op, Type
from .elementwise import sqrt
from .groups import spread, sum_groups
from .leaf import Samples, Steps
from .reduce import expand, leaf, sum_batch
from .steps import AtStep, SumAtStep
from .time import sum_time
from .value import Value, apply


@dataclass(frozen=True)
class Over:
    """The axes that statistics are taken over.

    features: of what is normalised. groups: features that the statistics have, see `Grouped`. kind: "batch"
    (steps, samples and the features of a group), "step" (samples and the features of a group, for each of
    `steps` steps by themselves) or "row" (the features of a group alone). time: whether there are steps.
    """

    features: tuple[int, ...]
    groups: tuple[int, ...]
    kind: str = "batch"
    time: bool = True
    steps: int = 0

    @property
    def length(self) -> int:
        """Features of a group."""
        return Type(self.features).size // Type(self.groups).size

    def __str__(self) -> str:
        steps = f" of {self.steps}" if self.kind == "step" else ""
        return f"{self.kind}{steps}, {self.length} features"

    @property
    def shape(self) -> tuple[int, ...]:
        """Features of the statistics."""
        return (self.steps, *self.groups) if self.kind == "step" else self.groups

    def whole(self, x: Value) -> Value:
        """x with all axes that are summed over."""
        row = self.kind == "row"
        return expand(x, Type(self.features, self.time and not row, not row))

    def total(self, x: Value) -> Value:
        """x summed, of shape `shape`."""
        full = self.whole(x)
        if self.kind == "row":
            return sum_groups(full, self.groups)
        if self.kind == "batch":  # features last: that runs once, when all samples are added
            return sum_groups(sum_batch(sum_time(full) if self.time else full), self.groups)
        rows: Value = apply(SumAtStep(self.steps, self.shape), sum_groups(full, self.groups))
        return rows

    def mean(self, x: Value) -> Value:
        """x averaged."""
        mean: Value = self.total(x) / self.count(x)
        return mean

    def count(self, near: Value) -> Any:
        """How many numbers a statistic is made of."""
        if self.kind == "row":
            return float(self.length)
        samples = leaf(near, Samples()) * float(self.length)
        return samples * leaf(near, Steps()) if self.kind == "batch" and self.time else samples

    def back(self, statistic: Value) -> Value:
        """Statistics beside what they are of: each for its features (and step)."""
        if self.kind == "step":
            statistic = apply(AtStep(self.steps, self.groups), statistic)
        return spread(statistic, self.features)


@dataclass(frozen=True)
class Normalized(Op):
    """normalized(y, unit, x, rstd[, weight[, bias]]): y.

    unit = (x - mean) rstd with mean and rstd = 1 / sqrt(variance + eps) of x over the axes of `over`, and
    y = unit weight + bias with weight and bias of the statistics' shape. Backward, the gradient through all
    of it, mean and variance included, goes to x, weight and bias alone: with two sums over these axes.
    """

    over: Over
    name = "normalized"

    def attributes(self) -> str:
        return f"<{self.over}>"

    def infer(self, *types: Type) -> Type:
        if types[0].features != self.over.features:
            raise CompileError(f"normalisation of {list(self.over.features)}, found {types[0]}")
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        over, (_, unit, _, rstd, *affine) = self.over, inputs
        grad = over.whole(grad)
        total, product = over.total(grad), over.total(grad * unit)
        count = over.count(grad)
        scale = rstd * affine[0] if affine else rstd
        d_x = over.back(scale) * (grad - over.back(total / count) - unit * over.back(product / count))
        return (None, None, d_x, None, *(product, total)[: len(affine)])


@dataclass(frozen=True)
class Affine(Op):
    """affine(y, x, scale, shift): y = x scale + shift, each of a channel. Where x is the output of a layer
    with weights, `fold_affine` finds it by this."""

    name = "affine"

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad, None, None, None)


def scaled(x: Value, scale: Value, shift: Value) -> Value:
    """x scale + shift, with numbers of channels."""
    features = x.type.features
    result: Value = apply(Affine(), x * spread(scale, features) + spread(shift, features), x, scale, shift)
    return result


def fewest(graph: Graph) -> tuple[tuple[bool, int], ...]:
    """How many numbers the statistics over samples are made of that have least: whether steps count, and
    features."""
    counts: dict[bool, int] = {}
    for over in (n.op.over for n in graph if isinstance(n.op, Normalized) and n.op.over.kind != "row"):
        steps = over.kind == "batch" and over.time
        counts[steps] = min(over.length, counts.get(steps, over.length))
    return tuple(counts.items())


def normalize(x: Value, over: Over, eps: float, *affine: Value) -> tuple[Value, Value, Value]:
    """x with mean 0 and variance 1 over the axes of `over`, times affine[0], plus affine[1] (each of the
    statistics' shape); and its mean and variance, which have no gradient of their own."""
    mean = over.mean(x)
    centred = over.whole(x) - over.back(mean)
    variance = over.mean(centred * centred)
    rstd = 1.0 / sqrt(variance + eps)
    unit = centred * over.back(rstd)
    y = unit * over.back(affine[0]) if affine else unit
    y = y + over.back(affine[1]) if len(affine) > 1 else y
    result: Value = apply(Normalized(over), y, unit, x, rstd, *affine)
    return result, mean, variance
