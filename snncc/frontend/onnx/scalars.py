"""Elementwise operators of ONNX, comparisons as spikes among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import (
    Value,
    absolute,
    clamp,
    cos,
    detach,
    exp,
    floor,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    round_even,
    sigmoid,
    sign,
    sin,
    spike,
    sqrt,
    substitute,
    tanh,
    where,
)
from .axes import Tensor, broadcast
from .constants import dtype_of, limits, to_type
from .evaluate import Evaluation, Given, elementwise, operator, tensor
from .nodes import Node
from .products import with_bias

SCALARS: dict[str, Callable[..., Any]] = {
    "Neg": lambda x: -x, "Abs": absolute, "Floor": floor, "Ceil": lambda x: -floor(-x),
    "Round": round_even, "Sqrt": sqrt, "Exp": exp, "Log": log, "Sin": sin, "Cos": cos, "Tanh": tanh,
    "Sigmoid": sigmoid, "Sign": sign, "Reciprocal": lambda x: 1.0 / x, "Relu": lambda x: maximum(x, 0.0),
    "Softplus": lambda x: maximum(x, 0.0) + log(1.0 + exp(-absolute(x))),
    "Softsign": lambda x: x / (1.0 + absolute(x)), "HardSwish": lambda x: x * clamp(x / 6.0 + 0.5, 0.0, 1.0),
    "PRelu": lambda x, slope: where(greater_equal(x, 0.0), x, x * slope),
    "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    "And": lambda a, b: a * b, "Or": maximum, "Not": lambda x: 1.0 - x, "Xor": lambda a, b: absolute(a - b),
}  # fmt: skip
CHAINS: dict[str, Callable[..., Any]] = {"Min": minimum, "Max": maximum, "Sum": lambda a, b: a + b}
MOST_POWER = 16


@operator(*SCALARS)
def _scalar(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    if node.op == "Relu" and isinstance(operands[0], Tensor):
        fired = _rectified_sign(run, node)
        if fired is not None:
            return fired
    return elementwise(run, node, operands, SCALARS[node.op])


@operator(*CHAINS)
def _chain(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    def folded(*values: Any) -> Any:
        result = values[0]
        for value in values[1:]:
            result = CHAINS[node.op](result, value)
        return result

    return elementwise(run, node, operands, folded)


@operator("Div")
def _divide(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    made = elementwise(run, node, operands, lambda a, b: a / b)
    return _whole(made) if made.dtype.kind in "iu" else made


@operator("Pow")
def _power(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    exponent = operands[1]
    number = (
        float(exponent.reshape(-1)[0]) if isinstance(exponent, np.ndarray) and exponent.size == 1 else None
    )
    if number == 0.5:
        return (
            elementwise(run, node, operands[:1], sqrt)
            if len(node.inputs) == 1
            else _unary(run, operands, sqrt)
        )
    if number is None or abs(number) > MOST_POWER or number != int(number):
        raise CompileError(f"supported are whole constant powers from -{MOST_POWER} to {MOST_POWER}, and 0.5")
    return _unary(run, operands, lambda x: x ** int(number))


def _unary(run: Evaluation, operands: Sequence[Any], function: Callable[..., Any]) -> Tensor:
    x: Tensor = operands[0]
    return run.result(function(run.operand(x, x.axes)), x.axes, [x])


@operator("LeakyRelu")
def _leaky(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    slope = node.attributes.get("alpha", 0.01)
    return _unary(run, operands, lambda x: where(greater_equal(x, 0.0), x, x * float(slope)))


@operator("Elu", "HardSigmoid")
def _shaped(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Functions with numbers as attributes."""
    alpha = float(node.attributes.get("alpha", 1.0 if node.op == "Elu" else 0.2))
    if node.op == "HardSigmoid":
        beta = float(node.attributes.get("beta", 0.5))
        return _unary(run, operands, lambda x: clamp(x * alpha + beta, 0.0, 1.0))
    return _unary(
        run, operands, lambda x: where(greater_equal(x, 0.0), x, (exp(minimum(x, 0.0)) - 1.0) * alpha)
    )


@operator("Clip")
def _clip(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    low, high = (_bound(node, limit) for limit in limits(node, operands))
    if low is not None and high is not None:
        return _unary(run, operands, lambda x: clamp(x, low, high))
    if low is not None:
        return _unary(run, operands, lambda x: maximum(x, low))
    return _unary(run, operands, lambda x: x if high is None else minimum(x, high))


def _bound(node: Node, limit: Any) -> float | None:
    if limit is None:
        return None
    if isinstance(limit, (Tensor, Given)) or np.size(limit) != 1:
        raise CompileError("its bounds must be constant numbers")
    number = float(np.asarray(limit).reshape(-1)[0])
    return number if math.isfinite(number) else None


@operator("Identity", "Dropout")
def _identity(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    return operands[0]


@operator("Cast", "CastLike")
def _cast(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Between truth, integers and floats: all are numbers here; floats become integers towards zero."""
    like = operands[1] if node.op == "CastLike" else None
    target = dtype_of(node) if like is None else getattr(like, "dtype", np.dtype(np.float32))
    if isinstance(operands[0], np.ndarray):
        return to_type(operands[0], target)
    x = tensor(run, node, operands)
    if target == np.bool_ and x.dtype != np.bool_:
        made = _unary(run, operands, lambda v: where(v, 1.0, 0.0))
    elif target.kind in "iu" and x.dtype.kind == "f":
        made = _whole(x)
    else:
        made = x
    return Tensor(made.value, made.axes, np.dtype(target), made.state, made.delayed)


def _whole(x: Tensor) -> Tensor:
    """Towards zero."""
    return Tensor(where(greater(x.value, 0.0), floor(x.value), -floor(-x.value)), x.axes, x.dtype, x.state)


@operator("Where")
def _where(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """A choice; one between two numbers is arithmetic on the spike, which keeps its gradient."""
    axes = broadcast(operands, run.lengths)
    condition, a, b = (run.operand(o, axes, name) for o, name in zip(operands, node.inputs, strict=True))
    if not isinstance(condition, Value):
        made = a if condition else b
        if not isinstance(made, Value):
            raise CompileError("chooses between numbers by a constant, which is not supported")
    elif isinstance(a, Value) or isinstance(b, Value):
        made = where(condition, a, b)
    elif (a, b) == (1.0, 0.0):
        made = condition
    else:
        made = (
            substitute(where(condition, a, b), condition * (a - b) + b) if a != b else where(condition, a, b)
        )
    dtype = next((o.dtype for o in operands[1:] if o is not None), None)
    return run.result(made, axes, operands, dtype)


COMPARISONS = {"Greater": (0, 1, True), "GreaterOrEqual": (0, 1, False),
               "Less": (1, 0, True), "LessOrEqual": (1, 0, False)}  # fmt: skip


@operator(*COMPARISONS)
def _compare(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """a > b is a spike of a - b: with gradual underflow the difference is positive exactly where a > b."""
    axes = broadcast(operands, run.lengths)
    left, right, strict = COMPARISONS[node.op]
    values = [run.operand(o, axes, name) for o, name in zip(operands, node.inputs, strict=True)]
    a, b = values[left], values[right]
    exact = strict or any(not isinstance(v, Value) and math.isfinite(v) for v in (a, b))
    fired = _spike(run, a, b, strict, exact)
    made = run.result(fired, axes, operands, np.bool_)
    return _reset(run, made)


def _spike(run: Evaluation, a: Any, b: Any, strict: bool, exact: bool) -> Value:
    difference = a if not isinstance(b, Value) and b == 0.0 else a - b
    fired: Value = spike(difference, run.spiking, strict=strict)
    # inf >= inf, though inf - inf is no number.
    return fired if exact else substitute(greater_equal(a, b), fired)


def _reset(run: Evaluation, fired: Tensor) -> Tensor:
    """A test on states alone is the reset of the step before: it has no gradient, as in snnTorch."""
    if not (fired.state and run.detach_reset):
        return fired
    return Tensor(detach(fired.value), fired.axes, fired.dtype, fired.state)


@operator("Equal")
def _equal(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    made = elementwise(run, node, operands, lambda a, b: greater_equal(a, b) * greater_equal(b, a))
    return Tensor(made.value, made.axes, np.dtype(np.bool_), made.state)


def _rectified_sign(run: Evaluation, node: Node) -> Tensor | None:
    """Relu(Sign(x)) is 1 where x > 0."""
    maker = run.makers.get(node.inputs[0])
    x = run.of(maker.inputs[0]) if maker is not None and maker.op == "Sign" else None
    if not isinstance(x, Tensor):
        return None
    fired: Value = spike(run.operand(x, x.axes), run.spiking)
    return _reset(run, run.result(fired, x.axes, [x]))


@operator("Add")
def _add(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    biased = with_bias(run, node, operands)
    return biased if biased is not None else elementwise(run, node, operands, lambda a, b: a + b)
