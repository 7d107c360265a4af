"""Operators that move along time, and reductions over it. Everything else acts within one step.

`differentiate` itself turns a delay's cotangent into an advance: it has to close the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .value import Value, apply


@dataclass(frozen=True)
class Shift(Op):
    """Base of the two that close loops; the interpreter runs those step by step."""

    features: tuple[int, ...] = field(default=(), repr=False)

    def infer(self, *types: Type) -> Type:
        if types and types[0].features != self.features and types[0].dtype != "number":
            raise CompileError(
                f"the delay was made for shape {list(self.features)}, it is fed {list(types[0].features)}"
            )
        return Type(self.features, True, True, "real")


@dataclass(frozen=True)
class Delay(Shift):
    """delay(x, initial): x of the step before; at the first step, initial: a state, or the number 0."""

    name: ClassVar[str] = "delay"

    def evaluate(self, *arrays: Any) -> Any:
        x, initial = arrays
        return np.concatenate([np.broadcast_to(initial, (1, *x.shape[1:])), x[:-1]])


@dataclass(frozen=True)
class Memorize(Delay):
    """A delay that owns a state buffer: carried from step to step and from call to call."""

    buffer: str = ""
    name: ClassVar[str] = "memorize"

    def attributes(self) -> str:
        return f"<{self.buffer}>"


@dataclass(frozen=True)
class Advance(Shift):
    """advance(x): x of the step after; zero at the last step, and with `every` at the last of so many."""

    every: int = 0
    name: ClassVar[str] = "advance"

    def attributes(self) -> str:
        return f"<every {self.every}>" if self.every else ""

    def ends(self, t: int) -> bool:
        """Whether nothing comes from the step after step t."""
        return self.every > 0 and (t + 1) % self.every == 0

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        moved = np.concatenate([x[1:], np.zeros_like(x[:1])])
        moved[[t for t in range(len(x)) if self.ends(t)]] = 0
        return moved


@dataclass(frozen=True)
class Carry(Advance):
    """An advance that owns a buffer: carried from step to step of the backward half."""

    buffer: str = ""
    name: ClassVar[str] = "carry"

    def attributes(self) -> str:
        return f"<{self.buffer}{f', every {self.every}' if self.every else ''}>"


@dataclass(frozen=True)
class Previous(Delay):
    """A delay of a stored sequence: reads its row of the step before; no loop, no state."""

    name: ClassVar[str] = "previous"


@dataclass(frozen=True)
class First(Op):
    """The value at the first step."""

    name = "first"

    def infer(self, *types: Type) -> Type:
        return Type(types[0].features, False, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0][:1]


@dataclass(frozen=True)
class Last(First):
    """The value at the last step: the final state."""

    name: ClassVar[str] = "last"

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0][-1:]


@dataclass(frozen=True)
class SumTime(Op):
    """Sum over the steps, added in the order in which the sweep goes."""

    name = "sum_time"

    def infer(self, *types: Type) -> Type:
        return Type(types[0].features, False, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].sum(axis=0, keepdims=True)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad,)


REDUCTIONS = ("sum_time", "first", "last")


def first(x: Value) -> Value:
    """x at the first step."""
    result: Value = apply(First(), x)
    return result


def sum_time(x: Value) -> Value:
    """x summed over the steps."""
    result: Value = apply(SumTime(), x)
    return result
