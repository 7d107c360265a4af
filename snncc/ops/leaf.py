"""Operators without operands to compute from: inputs, parameters, states, numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InternalError
from ..graph import Op, Type

SHOWN = 8  # numbers of a table in the text of a graph


class Leaf(Op):
    """The interpreter and the lowering know where a leaf's value comes from."""

    def evaluate(self, *arrays: Any) -> Any:
        raise InternalError(f"{self.name} is read, not evaluated")


@dataclass(frozen=True)
class Input(Leaf):
    """An array of the caller. role: input, target, or cotangent (of the output of that name)."""

    label: str
    role: str = "input"
    features: tuple[int, ...] = field(default=(), repr=False)
    time: bool = field(default=True, repr=False)
    dtype: str = field(default="real", repr=False)
    name = "input"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, self.time, True, self.dtype)


@dataclass(frozen=True)
class State(Leaf):
    """The initial value of a state: the caller's array if it gives one, else the operand."""

    label: str
    features: tuple[int, ...] = field(default=(), repr=False)
    name = "state"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, False, True, "real")


@dataclass(frozen=True)
class Parameter(Leaf):
    """A weight. panels: laid out for products (features are [n_out, n_in]). at_least: updates raise to it."""

    label: str
    features: tuple[int, ...] = field(default=(), repr=False)
    learnable: bool = True
    panels: bool = field(default=False, repr=False)
    at_least: float | None = field(default=None, repr=False)
    name = "parameter"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, False, False, "real")


@dataclass(frozen=True)
class Table(Leaf):
    """Whole numbers from 0 to `most` that say how a layer is wired: memory of the model, not learned.

    ascending: whether they run from 0 up to `most`. digest: SHA-256 of the numbers as little-endian int32.
    """

    label: str
    features: tuple[int, ...] = field(default=(), repr=False)
    most: int = 0
    ascending: bool = field(default=False, repr=False)
    digest: str = field(default="", repr=False)
    name = "table"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, False, False, "i32")


@dataclass(frozen=True)
class Constant(Leaf):
    """A number."""

    value: float
    name = "constant"

    def infer(self, *types: Type) -> Type:
        return Type((), False, False, "number")


@dataclass(frozen=True)
class Vector(Op):
    """Numbers, one a neuron: a table in the code of the kernel that reads them."""

    values: tuple[float, ...]
    name = "vector"

    def attributes(self) -> str:
        shown = ", ".join(f"{v:g}" for v in self.values[:SHOWN])
        return f"<[{shown}{', ...' if len(self.values) > SHOWN else ''}]>"

    def infer(self, *types: Type) -> Type:
        return Type((len(self.values),), False, False, "real")

    def evaluate(self, *arrays: Any) -> Any:
        return np.array(self.values)[None, None]


@dataclass(frozen=True)
class StepNumber(Op):
    """The number of the step within the call, from 0."""

    name = "step_number"

    def infer(self, *types: Type) -> Type:
        return Type((), True, False, "real")

    def evaluate(self, *arrays: Any) -> Any:
        raise InternalError("the interpreter knows the steps")


@dataclass(frozen=True)
class Steps(Leaf):
    """Number of time steps of the call."""

    name = "steps"

    def infer(self, *types: Type) -> Type:
        return Type((), False, False, "scalar")


@dataclass(frozen=True)
class Samples(Leaf):
    """Number of samples of the call (the whole batch, not a tile)."""

    name = "samples"

    def infer(self, *types: Type) -> Type:
        return Type((), False, False, "scalar")


@dataclass(frozen=True)
class Scalar(Leaf):
    """A double-precision number that the caller gives: the learning rate, a power of a decay."""

    label: str
    name = "scalar"

    def infer(self, *types: Type) -> Type:
        return Type((), False, False, "scalar")
