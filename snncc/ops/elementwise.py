"""Elementwise operators: one table of scalar functions, each with C form, NumPy meaning, gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import shown
from ..errors import CompileError, located, user_line
from ..graph import Op, Type
from .leaf import StepNumber, Vector
from .random import Uniform
from .value import OPERATORS, apply

Arrays = Any


@dataclass(frozen=True)
class Scalar:
    """What is known of a scalar function.

    c: C text with {0}, {1} for the operands. precedence: C's, higher binds tighter; 0 is a call.
    vjp(g, out, *inputs): cotangents of the inputs, None where there is none.
    """

    c: str
    precedence: int
    numpy: Callable[..., Arrays]
    vjp: Callable[..., tuple[Any, ...]]


def _exactly(function: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """Without NumPy's warnings: infinities and NaN are results here, as they are in C."""

    def quiet(*arrays: Arrays) -> Arrays:
        with np.errstate(all="ignore"):
            return function(*arrays)

    return quiet


def _float(condition: Arrays, *like: Arrays) -> Arrays:
    """Truth as 1.0 and 0.0 in the operands' dtype."""
    return condition.astype(np.result_type(*like, np.float32))


def _choose(condition: Arrays, a: Arrays, b: Arrays) -> Arrays:
    chosen = np.where(np.asarray(condition) != 0, a, b)
    return np.asarray(chosen).astype(np.result_type(condition, a, b, np.float32))


NONE = (None,)
SCALARS: dict[str, Scalar] = {
    "add": Scalar("{0} + {1}", 12, np.add, lambda g, out, a, b: (g, g)),
    "sub": Scalar("{0} - {1}", 12, np.subtract, lambda g, out, a, b: (g, -g)),
    "mul": Scalar("{0} * {1}", 13, np.multiply, lambda g, out, a, b: (g * b, g * a)),
    "div": Scalar("{0} / {1}", 13, np.divide, lambda g, out, a, b: (g / b, -g * out / b)),
    "neg": Scalar("-{0}", 14, np.negative, lambda g, out, a: (-g,)),
    "abs": Scalar("snncc_abs({0})", 0, np.abs, lambda g, out, a: (g * sign(a),)),
    "sqrt": Scalar("snncc_sqrt({0})", 0, np.sqrt, lambda g, out, a: (g * 0.5 / out,)),
    "floor": Scalar("snncc_floor({0})", 0, np.floor, lambda g, out, a: NONE),
    "round": Scalar("snncc_round({0})", 0, np.rint, lambda g, out, a: NONE),
    "exp": Scalar("snncc_exp({0})", 0, np.exp, lambda g, out, a: (g * out,)),
    "log": Scalar("snncc_log({0})", 0, np.log, lambda g, out, a: (g / a,)),
    "sin": Scalar("snncc_sin({0})", 0, np.sin, lambda g, out, a: (g * cos(a),)),
    "cos": Scalar("snncc_cos({0})", 0, np.cos, lambda g, out, a: (-(g * sin(a)),)),
    "tanh": Scalar("snncc_tanh({0})", 0, np.tanh, lambda g, out, a: (g * (1.0 - out * out),)),
    "sigmoid": Scalar(
        "snncc_sigmoid({0})", 0, lambda x: 1 / (1 + np.exp(-x)), lambda g, out, a: (g * out * (1.0 - out),)
    ),
    # Of two equal operands the first takes the gradient, as clamp and relu of PyTorch need it.
    "minimum": Scalar(
        "snncc_min({0}, {1})", 0, np.minimum,
        lambda g, out, a, b: (where(greater(a, b), 0.0, g), where(greater(a, b), g, 0.0)),
    ),
    "maximum": Scalar(
        "snncc_max({0}, {1})", 0, np.maximum,
        lambda g, out, a, b: (where(greater(b, a), 0.0, g), where(greater(b, a), g, 0.0)),
    ),
    "greater": Scalar(
        "{0} > {1}", 10, lambda a, b: _float(np.greater(a, b), a, b), lambda g, out, a, b: NONE * 2
    ),
    "greater_equal": Scalar(
        "{0} >= {1}", 10, lambda a, b: _float(np.greater_equal(a, b), a, b), lambda g, out, a, b: NONE * 2
    ),
    "where": Scalar(
        "{0} ? {1} : {2}", 3, _choose,
        lambda g, out, c, a, b: (None, where(c, g, 0.0), where(c, 0.0, g)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Elementwise(Op):
    """A scalar function on every element. Operands have equal feature shapes or are scalar."""

    function: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.function

    def attributes(self) -> str:
        return ""

    def infer(self, *types: Type) -> Type:
        return broadcast(*types, of=self.name)

    def evaluate(self, *arrays: Any) -> Any:
        return _exactly(SCALARS[self.function].numpy)(*align(*arrays))

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return SCALARS[self.function].vjp(grad, out, *inputs)


@dataclass(frozen=True)
class Spike(Op):
    """1 where the argument is positive (with strict=False also where it is zero), else 0.

    Backward, the derivative of `surrogate` at the same argument stands in for the step's.
    """

    surrogate: Any
    strict: bool = True
    name = "spike"

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        (u,) = arrays
        return _float(np.greater(u, 0) if self.strict else np.greater_equal(u, 0), u)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (None if self.surrogate is None else self.surrogate.gradient(inputs[0], grad, out),)

    def attributes(self) -> str:
        return f"<{self.surrogate}{'' if self.strict else ', strict=False'}>"


@dataclass(frozen=True)
class Detach(Op):
    """The same value, a constant for the gradient."""

    name = "detach"

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0]


@dataclass(frozen=True)
class Substitute(Op):
    """substitute(value, stand_in): the value; backward, the gradient goes to the stand-in alone."""

    name = "substitute"

    def infer(self, *types: Type) -> Type:
        value, stand_in = types
        if broadcast(value, stand_in) != value:
            raise CompileError(
                f"substitute: a stand-in has no axes that its value has not, found {stand_in} for {value}"
            )
        return value

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (None, grad)


@dataclass(frozen=True)
class Expand(Op):
    """The same value, varying (in name) over more axes: where an array of that shape is due."""

    features: tuple[int, ...]
    time: bool
    batch: bool
    name = "expand"

    def infer(self, *types: Type) -> Type:
        (given,) = types
        # Of a number too it is an array, which somebody has to fill.
        dtype = "real" if given.dtype in ("number", "scalar") else given.dtype
        return broadcast(given, Type(self.features, self.time, self.batch, dtype))

    def evaluate(self, *arrays: Any) -> Any:
        x = align(*arrays, np.empty((1, 1, *self.features)))[0]
        return np.broadcast_to(x, x.shape[:2] + self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (grad,)


IN_PLACE = (Uniform, Vector, StepNumber)  # of no operands, made in each kernel that reads them
ELEMENTWISE = (Elementwise, Spike, Detach, Substitute, Expand, *IN_PLACE)


def broadcast(*types: Type, of: str = "an elementwise operator") -> Type:
    """The type of an elementwise result. Numbers and float64 scalars give way to the network's dtype."""
    shapes = dict.fromkeys(t.features for t in types if t.features != ())
    if len(shapes) > 1:
        found = " and ".join(str(list(s)) for s in shapes)
        raise CompileError(f"{of} needs feature shapes that are equal or scalar, found {found}")
    dtype = max((t.dtype for t in types), key=lambda d: {"number": 0, "scalar": 1}.get(d, 2))
    return Type(
        next(iter(shapes), ()),
        any(t.time for t in types),
        any(t.batch for t in types),
        dtype,
    )


def align(*arrays: Any) -> tuple[Any, ...]:
    """Give scalar features as many axes as the others have: [T, B] beside [T, B, n] is [T, B, 1]."""
    rank = max(np.ndim(a) for a in arrays)
    return tuple(
        a if np.ndim(a) in (0, rank) else np.reshape(a, a.shape[:2] + (1,) * (rank - a.ndim) + a.shape[2:])
        for a in arrays
    )


def exp(x: Any) -> Any:
    """e to the power of x."""
    return apply(Elementwise("exp"), x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return apply(Elementwise("log"), x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return apply(Elementwise("tanh"), x)


def sin(x: Any) -> Any:
    """Sine; beyond |x| = 3,000 in float32, 1,000,000 in float64, less and less exact."""
    return apply(Elementwise("sin"), x)


def cos(x: Any) -> Any:
    """Cosine, as exact as `sin`."""
    return apply(Elementwise("cos"), x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return apply(Elementwise("sigmoid"), x)


def sqrt(x: Any) -> Any:
    """Square root."""
    return apply(Elementwise("sqrt"), x)


def absolute(x: Any) -> Any:
    """|x|; its gradient at 0 is 0."""
    return apply(Elementwise("abs"), x)


def floor(x: Any) -> Any:
    """The largest integer not above x; it has no gradient."""
    return apply(Elementwise("floor"), x)


def round_even(x: Any) -> Any:
    """The nearest integer, of two the even one; it has no gradient."""
    return apply(Elementwise("round"), x)


def minimum(a: Any, b: Any) -> Any:
    """The smaller one; of two equal ones the first takes the gradient."""
    return apply(Elementwise("minimum"), a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger one; of two equal ones the first takes the gradient."""
    return apply(Elementwise("maximum"), a, b)


def greater(a: Any, b: Any) -> Any:
    """1 where a > b, else 0."""
    return apply(Elementwise("greater"), a, b)


def greater_equal(a: Any, b: Any) -> Any:
    """1 where a >= b, else 0."""
    return apply(Elementwise("greater_equal"), a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition is not zero, else `b`: a choice, never arithmetic with masks."""
    return apply(Elementwise("where"), condition, a, b)


def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return where(greater(x, 0.0), 1.0, where(greater(0.0, x), -1.0, 0.0))


def clamp(x: Any, low: float, high: float) -> Any:
    """x limited to [low, high]; the gradient passes where low <= x <= high (PyTorch's rule)."""
    return minimum(maximum(x, low), high)


def detach(x: Any) -> Any:
    """x without a gradient."""
    return apply(Detach(), x)


def substitute(value: Any, stand_in: Any) -> Any:
    """`value`, with the gradient of `stand_in`: a straight-through estimator is substitute(floor(x), x)."""
    return apply(Substitute(), value, stand_in)


def spike(u: Any, surrogate: Any = None, *, strict: bool = True) -> Any:
    """A spike where u > 0 (u >= 0 if not strict); `surrogate` gives the gradient, None has none."""
    if surrogate is not None and (isinstance(surrogate, type) or not hasattr(surrogate, "gradient")):
        message = f"spike: the surrogate must be one of nn.surrogate or None, got {shown(surrogate)}"
        raise located(message, user_line())
    return apply(Spike(surrogate, strict), u)


PYTHONS = ("add", "sub", "mul", "div", "neg", "abs", "greater", "greater_equal")
OPERATORS.update((name, Elementwise(name)) for name in PYTHONS)
