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
    """Base of the two that close loops; the interpreter runs those step by step.

    steps: how far they move.
    """

    features: tuple[int, ...] = field(default=(), repr=False)
    steps: int = 1

    def attributes(self) -> str:
        return f"<{self.steps} steps>" if self.steps > 1 else ""

    def infer(self, *types: Type) -> Type:
        if types and types[0].features != self.features and types[0].dtype != "number":
            raise CompileError(
                f"the delay was made for shape {list(self.features)}, it is fed {list(types[0].features)}"
            )
        return Type(self.features, True, True, "real")


@dataclass(frozen=True)
class Delay(Shift):
    """delay(x, initial): x of the step before; at the first step, initial: a state, or the number 0.

    Of several steps: initial has a row for each, [steps, *features], the one that comes out first in front.
    """

    name: ClassVar[str] = "delay"

    def evaluate(self, *arrays: Any) -> Any:
        x, initial = arrays
        first = [np.broadcast_to(self.before(initial, t), (1, *x.shape[1:])) for t in range(self.steps)]
        return np.concatenate([*first, x])[: len(x)]

    def before(self, initial: Any, t: int) -> Any:
        """What comes out at step t, before anything that went in does."""
        return initial if self.steps == 1 else initial[:, :, t]


@dataclass(frozen=True)
class Memorize(Delay):
    """A delay that owns a state buffer: carried from step to step and from call to call.

    Of several steps it reads what went in where that is kept: the buffer is what was before the first step.
    """

    buffer: str = ""
    name: ClassVar[str] = "memorize"

    def attributes(self) -> str:
        return f"<{', '.join([self.buffer, *[f'{self.steps} steps'] * (self.steps > 1)])}>"


@dataclass(frozen=True)
class Advance(Shift):
    """advance(x): x of the step after; zero at the last step, and with `every` at the last of so many."""

    every: int = 0
    name: ClassVar[str] = "advance"

    def attributes(self) -> str:
        steps = [f"{self.steps} steps"] * (self.steps > 1)
        shown = ", ".join([*steps, *[f"every {self.every}"] * (self.every > 0)])
        return f"<{shown}>" if shown else ""

    def ends(self, t: int) -> bool:
        """Whether nothing comes from the step that is so many after step t."""
        return self.every > 0 and t % self.every + self.steps >= self.every

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        moved = np.concatenate([x, np.zeros_like(x[:1].repeat(self.steps, axis=0))])[self.steps :]
        moved[[t for t in range(len(x)) if self.ends(t)]] = 0
        return moved


@dataclass(frozen=True)
class Carry(Advance):
    """An advance that owns a buffer: carried from step to step of the backward half."""

    buffer: str = ""
    name: ClassVar[str] = "carry"

    def attributes(self) -> str:
        return f"<{self.buffer}{', ' + super().attributes()[1:-1] if super().attributes() else ''}>"


@dataclass(frozen=True)
class Previous(Delay):
    """A delay of a stored sequence: reads its row of an earlier step; no loop, no state."""

    name: ClassVar[str] = "previous"


@dataclass(frozen=True)
class Following(Advance):
    """An advance over a stored sequence: reads its row of a step after."""

    name: ClassVar[str] = "following"


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
class FirstSteps(Op):
    """The values at the first steps, [steps, *features]; 0 where a sequence has fewer, and after `most`."""

    steps: int
    most: int
    name = "first_steps"

    def infer(self, *types: Type) -> Type:
        return Type((self.steps, *types[0].features), False, types[0].batch, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x = arrays[0][: self.most]
        rows = np.zeros((self.steps, *x.shape[1:]), x.dtype)
        rows[: len(x)] = x
        return np.moveaxis(rows, 0, 1)[None]


@dataclass(frozen=True)
class LastSteps(Op):
    """last_steps(x, initial[, lengths]): what a delay still holds at the end, in the form of `initial`; where
    samples have lengths, [B], at the end of each."""

    steps: int
    name = "last_steps"

    def infer(self, *types: Type) -> Type:
        return Type((self.steps, *types[0].features), False, True, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, initial, *lengths = arrays
        ends = lengths[0][0].astype(int) if lengths else [len(x)] * x.shape[1]
        whole = np.concatenate(
            [np.broadcast_to(initial[0], (x.shape[1], *initial.shape[2:])), np.moveaxis(x, 0, 1)], 1
        )
        return np.stack([sample[end : end + self.steps] for sample, end in zip(whole, ends, strict=True)])[
            None
        ]


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
STORED = ("previous", "following")  # read rows of a stored sequence


def first(x: Value) -> Value:
    """x at the first step."""
    result: Value = apply(First(), x)
    return result


def first_steps(x: Value, steps: int, most: int) -> Value:
    """x at the first steps, as one value of the shape [steps, *features]; 0 after `most` of them."""
    result: Value = apply(FirstSteps(steps, most), x)
    return result


def sum_time(x: Value) -> Value:
    """x summed over the steps."""
    result: Value = apply(SumTime(), x)
    return result
