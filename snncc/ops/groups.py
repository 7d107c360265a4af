"""Values per group of features: one number for each channel, spread over its features, and summed back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .elementwise import ELEMENTWISE
from .reduce import expand, sum_features
from .value import Value, apply


@dataclass(frozen=True)
class Grouped(Op):
    """Base. features: of the result. Of n features in row-major order, those of a group lie side by side
    (feature i belongs to group i // (n / groups)); trailing: one group after the other (to i % groups).
    """

    features: tuple[int, ...]
    trailing: bool = False

    def attributes(self) -> str:
        shown = ", ".join(map(str, self.features))
        return f"<[{shown}]{', trailing' * self.trailing}>"

    def infer(self, *types: Type) -> Type:
        (x,) = types
        n, groups = self._sizes(x.size, Type(self.features).size)
        if groups < 1 or n % groups:
            raise CompileError(f"{self.name}: {n} features cannot be divided into {groups} groups")
        return Type(self.features, x.time, x.batch, "real" if x.dtype in ("number", "scalar") else x.dtype)

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        """Features, and groups of them."""
        raise NotImplementedError

    def _axis(self) -> int:
        """Of an array [T, B, groups, length], or trailing [T, B, length, groups]: that of the length."""
        return 2 if self.trailing else 3


@dataclass(frozen=True)
class Spread(Grouped):
    """y[i] = x[group of i]."""

    name = "spread"

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        return made, given

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        flat, axis = x.reshape(*x.shape[:2], -1), self._axis()
        length = Type(self.features).size // flat.shape[2]
        return np.repeat(np.expand_dims(flat, axis), length, axis).reshape(*x.shape[:2], *self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        (x,) = inputs
        full = expand(grad, Type(out.type.features, out.type.time, out.type.batch))
        return (apply(SumGroups(x.type.features, self.trailing), full),)


@dataclass(frozen=True)
class SumGroups(Grouped):
    """y[j] = the sum of all x[i] of group j."""

    name = "sum_groups"

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        return given, made

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        groups = Type(self.features).size
        shape = (-1, groups) if self.trailing else (groups, -1)
        return x.reshape(*x.shape[:2], *shape).sum(axis=self._axis()).reshape(*x.shape[:2], *self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        full = expand(grad, Type(out.type.features, grad.type.time, grad.type.batch))
        return (spread(full, inputs[0].type.features, self.trailing),)


SWEPT = (*ELEMENTWISE, Spread)  # what a sweep computes feature by feature


def spread(x: Value, features: tuple[int, ...], trailing: bool = False) -> Value:
    """Numbers of groups for each feature: [C] becomes [C, *spatial] or, trailing, [*lead, C]."""
    if x.type.features in ((), features):
        return x
    result: Value = apply(Spread(features, trailing), x)
    return result


def sum_groups(x: Value, groups: tuple[int, ...], trailing: bool = False) -> Value:
    """Features summed group by group: the adjoint of `spread`. groups: () for one of all features."""
    if x.type.features == groups:
        return x
    if groups == ():
        return sum_features(x)
    result: Value = apply(SumGroups(groups, trailing), x)
    return result


def sum_space(x: Value) -> Value:
    """Sums [channels] over the pixels of an image [channels, *space]."""
    return sum_groups(x, x.type.features[:1])
