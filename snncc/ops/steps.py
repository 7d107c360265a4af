"""Operators that tell the steps of a sequence apart. A network with one runs a fixed number of steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..errors import CompileError, located
from ..graph import Graph, Op, Type, layer_of
from .reduce import expand
from .value import Value, apply


@dataclass(frozen=True)
class Numbered(Op):
    """Base: the number of steps is part of the operator."""

    steps: int

    def attributes(self) -> str:
        return f"<{self.steps} steps>"


@dataclass(frozen=True)
class MixSteps(Numbered):
    """mix_steps(x, w): y[t] = sum of w[t, s] x[s] over all steps s, every feature by itself.

    transposed: w[s, t] instead.
    """

    transposed: bool = False
    name: ClassVar[str] = "mix_steps"

    def attributes(self) -> str:
        return f"<{self.steps} steps{', transposed' * self.transposed}>"

    def infer(self, *types: Type) -> Type:
        x, w = types
        if w.features != (self.steps, self.steps) or w.time or w.batch or not x.time:
            raise CompileError(
                f"mix_steps over {self.steps} steps needs a sequence and a matrix "
                f"[{self.steps}, {self.steps}], found {x} and {w}"
            )
        return Type(x.features, True, True, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, w = arrays[0], arrays[1][0, 0]
        return np.tensordot(w.T if self.transposed else w, x, axes=1)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        x, w = inputs
        full, x = expand(grad, out.type), expand(x, out.type)
        pair = (x, full) if self.transposed else (full, x)
        d_x = apply(MixSteps(self.steps, not self.transposed), full, w)
        return (d_x, apply(StepsGradient(self.steps), *pair))


@dataclass(frozen=True)
class StepsGradient(Numbered):
    """steps_gradient(d_y, x): g[t, s] = sum of d_y[t] x[s] over samples and features."""

    name: ClassVar[str] = "steps_gradient"

    def infer(self, *types: Type) -> Type:
        return Type((self.steps, self.steps), False, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x = (a.reshape(self.steps, -1) for a in arrays)
        return (d_y @ x.T)[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


@dataclass(frozen=True)
class AtStep(Numbered):
    """at_step(p): row t of p at step t; p is [steps, ...] without time and batch."""

    features: tuple[int, ...] = field(default=())
    name: ClassVar[str] = "at_step"

    def infer(self, *types: Type) -> Type:
        (p,) = types
        if p.time or p.batch or p.size != self.steps * Type(self.features).size:
            raise CompileError(
                f"at_step over {self.steps} steps needs a parameter with a row for each, found {p}"
            )
        return Type(self.features, True, True, p.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].reshape(self.steps, 1, *self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        op = SumAtStep(self.steps, inputs[0].type.features)
        return (apply(op, expand(grad, out.type)),)


@dataclass(frozen=True)
class SumAtStep(Numbered):
    """sum_at_step(x): row t is x at step t, summed over the samples. The adjoint of at_step."""

    features: tuple[int, ...] = field(default=())
    name: ClassVar[str] = "sum_at_step"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, False, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0].sum(axis=1).reshape(1, 1, *self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


STEP_SUMS = ("steps_gradient", "sum_at_step")  # sums over the samples, and over the steps


def mix_steps(x: Value, weight: Value) -> Value:
    """y[t] = sum of weight[t, s] x[s] over all steps s; weight is a parameter [steps, steps]."""
    steps = weight.type.features[0]
    result: Value = apply(MixSteps(steps), expand(x, Type(x.type.features, True, True)), weight)
    return result


def at_step(rows: Value, features: tuple[int, ...] = ()) -> Value:
    """At step t row t of a parameter [steps, ...]; features: the shape of a row."""
    result: Value = apply(AtStep(rows.type.features[0], features), rows)
    return result


def fixed_steps(graph: Graph, num_steps: int, segment: int) -> int:
    """The only number of steps that a network can run, or 0 if it can run any.

    Raises CompileError where that is not num_steps, where two layers differ, where steps are to be computed
    in segments, and where the next step would need all.
    """
    found = [(node, node.op) for node in graph if isinstance(node.op, Numbered)]
    for node, op in found:
        if op.name == "mix_steps" and node.name in graph.looped:
            message = "mixes all steps and is part of a feedback loop; take it out, or use nn.SlidingPSN"
            raise located(f"{layer_of(node)} {message}", node.where)
    if not found:
        return 0
    first, exact = found[0][0], found[0][1].steps
    for node, op in found:
        if op.steps != exact:
            both = f"{layer_of(first)} and {layer_of(node)} are for {exact} and {op.steps} steps"
            raise located(f"{both} in one network; give all the same", node.where)
    if exact != num_steps:
        raise located(
            f"num_steps is {num_steps}, but {layer_of(first)} was made for {exact} steps; compile with "
            f"num_steps={exact}",
            first.where,
        )
    if segment:
        raise located(
            f"{layer_of(first)} needs all steps at once, so they cannot be computed segment by segment; "
            "compile without checkpoint_every and with rule='bptt'",
            first.where,
        )
    return exact
