"""Kernels of the last axis: softmax, the largest and its place. Each group of features along it by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError, located
from ..graph import Op, Type
from .elementwise import exp
from .groups import spread, sum_groups
from .reduce import sum_features
from .value import Value, apply


@dataclass(frozen=True)
class LogSoftmax(Op):
    """log(softmax(x)) over the last axis."""

    name = "log_softmax"

    def infer(self, *types: Type) -> Type:
        return _rows(self.name, types[0])

    def evaluate(self, *arrays: Any) -> Any:
        shifted = arrays[0] - arrays[0].max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad - exp(out) * _over_rows(grad),)


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x) over its sum along the last axis."""

    name = "softmax"

    def infer(self, *types: Type) -> Type:
        return _rows(self.name, types[0])

    def evaluate(self, *arrays: Any) -> Any:
        grown = np.exp(arrays[0] - arrays[0].max(axis=-1, keepdims=True))
        return grown / grown.sum(axis=-1, keepdims=True)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (out * (grad - _over_rows(grad * out)),)


def _rows(name: str, x: Type) -> Type:
    if not x.features:
        raise CompileError(f"{name} needs a feature axis (classes), found one number")
    return x


def _over_rows(x: Any) -> Any:
    """Sums along the last axis; of several groups as many features as they were made of."""
    if len(x.type.features) < 2:
        return sum_features(x)
    return spread(sum_groups(x, x.type.features[:-1]), x.type.features)


@dataclass(frozen=True)
class FirstMaximum(Op):
    """1 at the largest along the last axis (the first of several, or of NaNs), else 0. It has no gradient."""

    name = "first_maximum"

    def infer(self, *types: Type) -> Type:
        return _rows(self.name, types[0])

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return np.eye(x.shape[-1], dtype=x.dtype)[np.argmax(x, axis=-1)]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (None,)


@dataclass(frozen=True)
class MaxLast(Op):
    """The largest along the last axis, NaN if one is NaN. The gradient goes to the first of several."""

    name = "max_last"

    def infer(self, *types: Type) -> Type:
        _rows(self.name, types[0])
        return Type(types[0].features[:-1], types[0].time, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].max(axis=-1)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        (x,) = inputs
        return (spread(grad, x.type.features) * apply(FirstMaximum(), x),)


def first_maximum(x: Any) -> Any:
    """1 at the largest feature of each sample and step, at the first of several; else 0. One feature axis."""
    if isinstance(x, Value) and len(x.type.features) != 1:
        found = f"first_maximum needs one feature axis, found {list(x.type.features)}"
        raise located(f"{found}; put nn.Flatten() before it", x.builder.where)
    return apply(FirstMaximum(), x)
