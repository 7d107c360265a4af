"""Reductions over batch and all features, class labels, and reshapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import CompileError, InternalError
from ..graph import Op, Type
from .elementwise import Expand
from .leaf import Samples, Steps
from .time import sum_time
from .value import Value, apply


def _feature_axes(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@dataclass(frozen=True)
class SumBatch(Op):
    """Sum over the samples: tile by tile into a slot, slots in fixed order."""

    name = "sum_batch"

    def infer(self, *types: Type) -> Type:
        return Type(types[0].features, types[0].time, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].sum(axis=1, keepdims=True)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad,)


@dataclass(frozen=True)
class SumFeatures(Op):
    """Sum over all features: one number a sample (and step)."""

    name = "sum_features"

    def infer(self, *types: Type) -> Type:
        return Type((), types[0].time, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].sum(axis=_feature_axes(arrays[0]))

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad,)


@dataclass(frozen=True)
class OneHot(Op):
    """Class labels as rows of zeros with a one."""

    classes: int
    name = "one_hot"

    def infer(self, *types: Type) -> Type:
        return Type((self.classes,), types[0].time, types[0].batch, "real")

    def evaluate(self, *arrays: Any) -> Any:
        return np.eye(self.classes)[arrays[0].astype(np.int64)]


@dataclass(frozen=True)
class Reshape(Op):
    """The same features in another shape (row-major)."""

    features: tuple[int, ...] = field()
    name = "reshape"

    def infer(self, *types: Type) -> Type:
        if Type(self.features).size != types[0].size:
            raise CompileError(f"cannot reshape {list(types[0].features)} to {list(self.features)}")
        return Type(self.features, types[0].time, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return np.reshape(arrays[0], arrays[0].shape[:2] + self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        if grad.type.features == ():
            return (grad,)
        return (apply(Reshape(inputs[0].type.features), grad),)


def sum_features(x: Value) -> Value:
    """x summed over its features."""
    result: Value = apply(SumFeatures(), x)
    return result


def sum_batch(x: Value) -> Value:
    """x summed over the samples."""
    result: Value = apply(SumBatch(), x)
    return result


def sum_to(grad: Value, source: Type, target: Type) -> Value:
    """The cotangent of an operand of type `target` that was broadcast to `source`.

    `grad` may vary over fewer axes than `source`: then it is the same along those, and summing over
    them is a product with their length.
    """
    if source.time and not target.time:
        grad = sum_time(grad) if grad.type.time else grad * leaf(grad, Steps())
    if source.batch and not target.batch:
        grad = sum_batch(grad) if grad.type.batch else grad * leaf(grad, Samples())
    if source.features != target.features:
        if target.features != ():
            raise InternalError(f"no reduction from {source} to {target}")
        grad = sum_features(grad) if grad.type.features else grad * float(source.size)
    return grad


def expand(x: Value, type: Type) -> Value:
    """x as a value of (at least) this type, if it is not one already."""
    have = x.type
    if (have.features, have.time or not type.time, have.batch or not type.batch) == (
        type.features,
        True,
        True,
    ):
        return x
    result: Value = apply(Expand(type.features, type.time, type.batch), x)
    return result


def leaf(near: Value, op: Op) -> Value:
    """A leaf in the graph of another value."""
    if op.name not in near.builder.nodes:
        near.builder.add(op, name=op.name)
    return Value(near.builder, op.name)
