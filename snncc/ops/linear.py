"""Products with a weight matrix, and what their gradients need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .groups import sum_groups
from .reduce import expand, sum_to
from .time import Delay, sum_time
from .value import Value, apply


def matrix_product(a: Any, b: Any) -> Any:
    """a @ b. BLAS may read what lies behind a matrix, and warns of numbers that nobody gave it."""
    with np.errstate(invalid="ignore"):
        return a @ b


@dataclass(frozen=True)
class Linear(Op):
    """linear(x, weight[, bias]): x weight^T + bias over the last axis; weight is [n_out, n_in].

    Axes before the last, those of tokens, are as many rows.

    kernel: "" until `choose_kernels`; then "dense", "events" (x is an event list) or "counted"
    (x and its event list; the density decides at run time).
    """

    kernel: str = ""
    name = "linear"

    def attributes(self) -> str:
        return f"<{self.kernel}>" if self.kernel else ""

    def infer(self, *types: Type) -> Type:
        x, weight = types[0], types[1]
        if x.features[-1:] != weight.features[1:]:
            raise CompileError(
                f"linear layer takes {weight.features[1]} features, its input has shape {list(x.features)}"
                + ("; put nn.Flatten() before it" if len(x.features) > 1 else "")
            )
        return Type((*x.features[:-1], weight.features[0]), x.time, x.batch, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, weight = arrays[0], np.reshape(arrays[1], arrays[1].shape[-2:])
        y = matrix_product(x, weight.T)
        bias = arrays[2 : len(arrays) - (self.kernel == "counted")]  # last, the event list
        return y + bias[0] if bias else y

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        x, weight, *bias = inputs
        full = expand(grad, Type(out.type.features, False, out.type.batch))
        last = Type(out.type.features[-1:], out.type.time, out.type.batch)
        each = sum_groups(full, last.features, trailing=True) if len(out.type.features) > 1 else grad
        grad_bias = tuple(sum_to(each, last, b.type) for b in bias)
        operand = sum_time(x) if x.type.time and not full.type.time else x
        return (linear(full, transpose(weight)), weight_gradient(full, operand), *grad_bias)


@dataclass(frozen=True)
class Transpose(Op):
    """A weight with its outputs last (in the layout of products, once a call); back: first again."""

    back: bool = False
    name = "transpose"

    def attributes(self) -> str:
        return "<back>" if self.back else ""

    def infer(self, *types: Type) -> Type:
        first, *rest = types[0].features
        *others, last = types[0].features
        turned = (last, *others) if self.back else (*rest, first)
        return Type(turned, False, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (weight,) = arrays
        first = 2 if weight.ndim > 2 else 0
        return np.moveaxis(weight, -1, first) if self.back else np.moveaxis(weight, first, -1)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (transpose(grad, back=not self.back),)


@dataclass(frozen=True)
class WeightGradient(Op):
    """weight_gradient(d_y, x): sum over steps, samples and tokens of the outer products d_y x.

    kernel: "" until `choose_kernels`; then "dense", "events" (x is an event list) or "counted" (x and its
    event list; the density decides at run time).
    """

    kernel: str = ""
    name = "weight_gradient"

    def attributes(self) -> str:
        return f"<{self.kernel}>" if self.kernel else ""

    def infer(self, *types: Type) -> Type:
        d_y, x = types[:2]
        return Type(d_y.features[-1:] + x.features[-1:], False, False, d_y.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x = (a.reshape(-1, a.shape[-1]) for a in arrays[:2])
        return matrix_product(d_y.T, x)[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


@dataclass(frozen=True)
class Events(Op):
    """The nonzeros of each row as a list: what event-driven products read. The same value.

    previous: events(x, initial), the list of a kept sequence so many steps before, as `previous` reads it.
    """

    previous: int = 0
    name = "events"

    def attributes(self) -> str:
        steps = f", {self.previous} steps" * (self.previous > 1)
        return f"<previous{steps}>" if self.previous else ""

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return Delay((), self.previous).evaluate(*arrays) if self.previous else arrays[0]


@dataclass(frozen=True)
class Context(Op):
    """A forward value kept for the backward half. The same value, or what it is in `format`.

    format: "float32", "float16" or "bfloat16" rounds; "bits" holds zeros and ones; "" is the value itself.
    """

    format: str = ""
    name = "context"

    def attributes(self) -> str:
        return f"<{self.format}>" if self.format else ""

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return rounded(arrays[0], self.format)


def rounded(x: Any, format: str) -> Any:
    """x as a format of `Context` holds it, in x's dtype: the nearest number, of two the even one."""
    with np.errstate(all="ignore"):
        if format == "bfloat16":
            wide = np.asarray(x, np.float64)
            unit = np.maximum(np.frexp(wide)[1] - 8, -133)  # exponent of the last of 8 bits, or of subnormals
            near = np.ldexp(np.round(np.ldexp(wide, -unit)), unit)
            held = np.where(np.abs(near) < 2.0**128, near, np.copysign(np.inf, wide))
            return np.where(np.isfinite(wide), held, wide).astype(x.dtype)
        return x.astype(format).astype(x.dtype) if format in ("float16", "float32") else x


def linear(x: Value, weight: Value, *bias: Value) -> Value:
    """x weight^T + bias."""
    result: Value = apply(Linear(), x, weight, *bias)
    return result


def transpose(weight: Value, back: bool = False) -> Value:
    """The transposed matrix: outputs last, or first again."""
    result: Value = apply(Transpose(back), weight)
    return result


def weight_gradient(d_y: Value, x: Value) -> Value:
    """Sum of outer products over steps and samples."""
    result: Value = apply(WeightGradient(), d_y, x)
    return result
