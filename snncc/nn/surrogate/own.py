"""A user's own surrogate: any function of u, as the expression that it builds.

The function is run once, on symbols. What it built is the surrogate: two functions with the same equations
are equal, numbers that they close over included, the graph prints the equations, and the build cache knows
a network by them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arguments import checked
from ...errors import CompileError, located, user_line
from ...expr import Apply, Const, Dialect, Expr, Ref, show
from ...graph import Builder, Op
from ...ops import Value, apply, spike
from ...ops.elementwise import SCALARS, Detach, Elementwise
from ...ops.leaf import Constant, Input
from ...ops.value import operand
from .base import Surrogate

SHOWN = 12  # operations of an expression that is printed in full
NAMES = {name: (s.c.replace("snncc_", ""), s.precedence) for name, s in SCALARS.items()}
TEXT = Dialect(NAMES | {"differs": ("{0} != {1}", 9)})


@dataclass(frozen=True)
class Expression:
    """Operators on named arguments: operands are numbered, the arguments first, then each result."""

    arguments: tuple[str, ...]
    steps: tuple[tuple[Op, tuple[int, ...]], ...]
    result: int

    def __call__(self, *operands: Any) -> Any:
        """On values or on arrays."""
        found = list(operands)
        for op, inputs in self.steps:
            number = isinstance(op, Constant)
            found.append(op.value if number else apply(op, *(found[i] for i in inputs)))  # type: ignore[attr-defined]
        return found[self.result]

    def __str__(self) -> str:
        if len([op for op, _ in self.steps if not isinstance(op, Constant)]) > SHOWN:
            return f"{', '.join(self.arguments)}: #{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"
        found: list[Expr] = [Ref(name) for name in self.arguments]
        for op, inputs in self.steps:
            if isinstance(op, Constant):
                found.append(Const(op.value))
            elif isinstance(op, Detach):
                found.append(found[inputs[0]])
            else:
                found.append(Apply(op.name, tuple(found[i] for i in inputs)))
        return show(found[self.result], TEXT)


def expression_of(what: str, function: Callable[..., Any], *arguments: str) -> Expression:
    """Run a function on symbols; raises CompileError if it is not made of snncc's functions."""
    builder = Builder()
    symbols = [Value(builder, builder.add(Input(name), name=name)) for name in arguments]
    try:
        result = operand(builder, function(*symbols))
    except (TypeError, AttributeError) as error:
        message = (
            f"{what}: expected a function of {', '.join(arguments)}, made of arithmetic and of snncc.exp, "
            f"snncc.where and so on, not of NumPy's or PyTorch's; it failed with: {error}"
        )
        raise located(message, user_line()) from error
    place: dict[str, int] = {}
    steps = []
    for node in builder.nodes.values():
        place[node.name] = len(place)
        if isinstance(node.op, Elementwise | Constant | Detach):
            steps.append((node.op, tuple(place[i] for i in node.inputs)))
        elif not isinstance(node.op, Input):
            raise located(f"{what}: expected elementwise functions, found {node.op.name}", user_line())
    return Expression(arguments, tuple(steps), place[result])


@dataclass(frozen=True, repr=False)
class Custom(Surrogate):
    """A user's own; made by `custom`."""

    expression: Expression

    def derivative(self, u: Any) -> Any:
        return self.expression(u)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        given: Callable[[np.ndarray], np.ndarray] | None = getattr(self, "_primitive", None)
        if given is None:
            raise CompileError(f"{self} has no primitive: give custom(function, primitive=...)")
        return np.asarray(given(u))

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.expression})"


@dataclass(frozen=True, repr=False)
class CustomGradient(Custom):
    """A user's own with the whole gradient; made by `custom_gradient`."""

    def derivative(self, u: Any) -> Any:
        return self.expression(u, 1.0, spike(u))

    def gradient(self, u: Any, grad: Any, spk: Any) -> Any:
        return self.expression(u, grad, spk)


@checked
def custom(
    function: Callable[[Any], Any], *, primitive: Callable[[np.ndarray], np.ndarray] | None = None
) -> Custom:
    """A surrogate of one's own: `custom(lambda u: 1 / (1 + 10 * abs(u)) ** 2)`.

    function: the derivative of the spike at u = membrane - threshold, in snncc's functions. It is run once,
    here; numbers that it closes over are those of now.
    primitive: an antiderivative on NumPy arrays, for tests that compare with finite differences.
    """
    made = Custom(expression_of("custom surrogate", function, "u"))
    object.__setattr__(made, "_primitive", primitive)
    return made


@checked
def custom_gradient(function: Callable[[Any, Any, Any], Any]) -> CustomGradient:
    """A surrogate by its whole gradient: function(u, grad, spk), of u, from that of the spike."""
    return CustomGradient(expression_of("custom surrogate", function, "u", "grad", "spk"))
