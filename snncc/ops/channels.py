"""One number a channel at all pixels of an image [channels, *space], and the sum over the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .value import Value, apply


@dataclass(frozen=True)
class Spread(Op):
    """spread(p): p[c] at every pixel of channel c; features: of the result."""

    features: tuple[int, ...]
    name = "spread"

    def infer(self, *types: Type) -> Type:
        (p,) = types
        if p.features != self.features[:1]:
            raise CompileError(
                f"expected one number for each of {self.features[0]} channels, found shape {list(p.features)}"
            )
        return Type(self.features, p.time, p.batch, p.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        upright = arrays[0].reshape(*arrays[0].shape, *(1,) * (len(self.features) - 1))
        return np.broadcast_to(upright, (*arrays[0].shape[:-1], *self.features))

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (sum_space(grad),)


@dataclass(frozen=True)
class SumSpace(Op):
    """sum_space(x): for each channel the sum over its pixels."""

    name = "sum_space"

    def infer(self, *types: Type) -> Type:
        (x,) = types
        if not x.features:
            raise CompileError("sum_space needs an image, found one number")
        return Type(x.features[:1], x.time, x.batch, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].sum(axis=tuple(range(3, arrays[0].ndim)))

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (spread(grad, inputs[0].type.features),)


def spread(p: Any, features: tuple[int, ...]) -> Any:
    """p [channels] at every pixel of an image [channels, *space]; a single number or an image as it is."""
    if isinstance(p, Value) and p.type.features in ((), features):
        return p
    return apply(Spread(tuple(features)), p)


def sum_space(x: Any) -> Any:
    """Sums [channels] over the pixels of an image."""
    if isinstance(x, Value) and len(x.type.features) == 1:
        return x
    return apply(SumSpace(), x)
