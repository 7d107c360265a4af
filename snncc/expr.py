"""Scalar expressions inside a kernel: trees until they are printed.

A table gives each function its C form and precedence; there is one printer for every target, which
puts parentheses only where C needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign

from .errors import CompileError

ATOM = 100  # binds tighter than any operator


@dataclass(frozen=True)
class Const:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Ref:
    """Something that already has a name in C: a local, `mem[i]`, `fc1_t[i]`."""

    text: str


@dataclass(frozen=True)
class Apply:
    """A function of operands; `function` is a name in the table of ops.elementwise, or "spike"."""

    function: str
    operands: tuple[Expr, ...]
    strict: bool = True


Expr = Const | Ref | Apply


@dataclass(frozen=True)
class Dialect:
    """How a target writes literals and functions: suffix of a literal, forms by function."""

    forms: dict[str, tuple[str, int]]
    suffix: str = ""
    float32: bool = False

    def literal(self, value: float) -> str:
        """The shortest text that reads back as the same number."""
        text = _shortest32(value) if self.float32 else repr(value)
        if "n" in text:  # nan, inf
            dtype = "float32" if self.float32 else "float64"
            raise CompileError(f"the network holds the constant {value}, which is no finite {dtype}")
        return (text if any(c in text for c in ".e") else text + ".0") + self.suffix


def _shortest32(value: float) -> str:
    import numpy as np

    with np.errstate(over="ignore", under="ignore"):
        return str(np.float32(value))


def show(expr: Expr, dialect: Dialect) -> str:
    """The expression as text."""
    return _show(expr, dialect)[0]


def _show(expr: Expr, dialect: Dialect) -> tuple[str, int]:
    match expr:
        case Const(value):
            return dialect.literal(value), ATOM if copysign(1.0, value) > 0 else dialect.forms["neg"][1]
        case Ref(text):
            return text, ATOM
        case Apply("spike", (argument,), strict):
            return _show(_spike(argument, strict), dialect)
        case Apply("where", (Apply("greater" | "greater_equal" | "differs"), _, _)):
            return _apply(expr, dialect)
        case Apply("where", (condition, a, b)):
            return _show(Apply("where", (Apply("differs", (condition, Const(0.0))), a, b)), dialect)
        case Apply("greater" | "greater_equal" | "differs"):
            return _show(Apply("where", (expr, Const(1.0), Const(0.0))), dialect)
        case Apply("exp", (Apply("neg", (size,)) as decay,)) if _size(size) and "exp_decay" in dialect.forms:
            return _apply(Apply("exp_decay", (decay,)), dialect)
    return _apply(expr, dialect)


def _size(expr: Expr) -> bool:
    """Whether a number is never below zero, whatever its operands are."""
    match expr:
        case Const(value):
            return value >= 0
        case Apply("mul", (a, b)):
            return a == b or (_size(a) and _size(b))
    return isinstance(expr, Apply) and expr.function == "abs"


def _spike(argument: Expr, strict: bool) -> Expr:
    """A spike of a - b is a > b: the same truth, since a difference rounds to zero only if it is zero."""
    left, right = argument, Const(0.0)
    if isinstance(argument, Apply) and argument.function == "sub":
        left, right = argument.operands  # type: ignore[assignment]
    return Apply(
        "where", (Apply("greater" if strict else "greater_equal", (left, right)), Const(1.0), Const(0.0))
    )


def _apply(expr: Apply, dialect: Dialect) -> tuple[str, int]:
    form, precedence = dialect.forms[expr.function]
    if precedence == 0:
        return form.format(*(show(o, dialect) for o in expr.operands)), ATOM
    texts = []
    for position, operand in enumerate(expr.operands):
        if isinstance(operand, Apply) and operand.function in ("greater", "greater_equal", "differs"):
            text, inner = _condition(expr, position, operand, dialect)
        else:
            text, inner = _show(operand, dialect)
        # The left operand of a chain needs no parentheses, the right one of equal precedence does; --a is
        # not a negated twice.
        chain = position == 0 and expr.function not in ("where", "neg")
        tight = inner > precedence or (inner == precedence and chain)
        texts.append(text if tight else f"({text})")
    return form.format(*texts), precedence


def _condition(expr: Apply, position: int, operand: Apply, dialect: Dialect) -> tuple[str, int]:
    """A comparison is C's own where it is a condition, else 1.0 or 0.0."""
    return _apply(operand, dialect) if expr.function == "where" and position == 0 else _show(operand, dialect)
