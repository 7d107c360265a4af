"""Products of ONNX, with matrices and of two values, and softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, log_softmax, softmax
from ...ops.conv import conv
from ...ops.linear import linear
from ...ops.matmul import matmul
from ...ops.steps import mix_steps
from ...ops.windows import Windows
from .axes import (
    TIME,
    AxisError,
    Tensor,
    atoms,
    broadcast,
    described,
    features,
    length,
    plain,
    refined,
    reshape,
)
from .constants import axes_of
from .evaluate import Evaluation, Given, operator, tensor
from .nodes import Node
from .views import transposed


@operator("MatMul")
def _matmul(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    a, b = operands
    if isinstance(b, Tensor):
        return _from_left(run, node, a, b)
    if not isinstance(a, Tensor):
        raise CompileError("multiplies two constants that hold weights")
    if len(b.shape) != 2:
        raise CompileError(f"multiplies by a weight of shape {list(b.shape)}; supported is a matrix")
    return _linear(run, a, b, node.inputs[1], turned=False)


@operator("Gemm")
def _gemm(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    a, b, bias = (*operands, None)[:3]
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    trans_a, trans_b = int(node.attributes.get("transA", 0)), int(node.attributes.get("transB", 0))
    if isinstance(b, Tensor):
        b = transposed(b, [1, 0]) if trans_b else b
        a = a.T if isinstance(a, np.ndarray) and trans_a else a
        made = _from_left(run, node, a, b)
    elif isinstance(a, Tensor):
        x = transposed(a, [1, 0]) if trans_a else a
        plain_bias = bias if (alpha, beta) == (1.0, 1.0) else None
        made = _linear(
            run, x, b, node.inputs[1], bool(trans_b), plain_bias, node.inputs[2] if bias is not None else ""
        )
        if plain_bias is not None and made.product is None and not features(x.axes[:-1]):
            return made
    else:
        raise CompileError("multiplies two inputs that hold weights")
    if alpha != 1:
        made = replace(made, value=made.value * alpha, product=None)
    if bias is None or beta == 0:
        return made
    added = with_bias(run, node, [made, bias], node.inputs[2]) if beta == 1 else None
    if added is not None:
        return added
    axes = broadcast([made, np.empty(bias.shape) if isinstance(bias, Given) else bias], run.lengths)
    term = run.operand(bias, axes, node.inputs[2])
    return run.result(made.value + (term if beta == 1 else term * beta), axes, [made])


def _linear(
    run: Evaluation,
    x: Tensor,
    weight: Any,
    name: str,
    turned: bool,
    bias: Any = None,
    bias_name: str = "",
) -> Tensor:
    """x times a matrix over its last axis. turned: the matrix is [outputs, inputs] already.

    bias: added if it is one number an output; then the result has no `product`.
    """
    inputs = weight.shape[1] if turned else weight.shape[0]
    last = x.axes[-1] if x.axes else ()
    if not plain(last):
        raise AxisError(f"sums over an axis {described((last,))}")
    if length(last, run.lengths) != inputs:
        raise CompileError(f"multiplies {described(x.axes)} by a weight of shape {list(weight.shape)}")
    outputs = weight.size // inputs if isinstance(weight, np.ndarray) else math.prod(weight.shape) // inputs
    rows = features(x.axes[:-1])
    if rows:
        return _by_rows(run, x, weight, name, turned, rows)
    held = _matrix(run, weight, name, turned)
    operand = reshape(x.value, (inputs,))
    axes = (*x.axes[:-1], *atoms([outputs]))
    added = _bias(run, bias, outputs, bias_name)
    value = linear(operand, held, *added)
    made = run.result(reshape(value, features(axes)), axes, [x])
    return replace(made, product=None if added else (operand, held), state=False)


def _bias(run: Evaluation, bias: Any, outputs: int, name: str) -> list[Value]:
    """The parameter of a bias with one number an output; nothing for any other."""
    if (
        bias is None
        or isinstance(bias, Tensor)
        or math.prod(bias.shape) != outputs
        or bias.shape[-1:] != (outputs,)
    ):
        return []
    array = np.zeros(outputs) if isinstance(bias, Given) else bias.reshape(outputs).astype(np.float64)
    return [run.weights.parameter(name, "", array, True)]


def _matrix(run: Evaluation, weight: Any, name: str, turned: bool) -> Value:
    """The parameter [outputs, inputs] of a weight."""
    array = np.zeros(weight.shape) if isinstance(weight, Given) else weight.astype(np.float64)
    if isinstance(weight, Given) and not turned:
        run.weights.turned.add(name)
    return run.weights.parameter(name, "matrix", array if turned else array.T, True, panels=True)


def _by_rows(
    run: Evaluation, x: Tensor, weight: Any, name: str, turned: bool, rows: tuple[int, ...]
) -> Tensor:
    """Several rows of features times one matrix: a convolution with windows of one pixel."""
    count, last = math.prod(rows), x.rank - 1
    if isinstance(weight, Given):
        raise CompileError("rows of features times a weight that is an input are not supported")
    array = weight if turned else weight.T
    held = run.weights.parameter(name, "pixels", array[:, :, None].astype(np.float64), True, panels=True)
    upright = transposed(x, [last, *range(last)])
    image = reshape(upright.value, (array.shape[1], count))
    made = conv(image, held, windows=Windows((1,), (1,), (0,), (0,), (1,)))
    axes = (*atoms([array.shape[0]]), *x.axes[:-1])
    result = run.result(reshape(made, features(axes)), axes, [x])
    return transposed(replace(result, state=False), [*range(1, x.rank), 0])


def _from_left(run: Evaluation, node: Node, a: Any, b: Tensor) -> Tensor:
    """A constant matrix times a tensor: a mixture of steps, or a product over another axis."""
    if isinstance(a, Tensor):
        return _of_two(run, a, b)
    if not isinstance(a, np.ndarray) or a.ndim != 2 or b.rank < 2:
        raise CompileError("multiplies two values of the network, which is not supported")
    if b.axes[-2] == (TIME,):
        steps = run.lengths[TIME]
        if a.shape != (steps, steps):
            raise CompileError(f"mixes {steps} steps by a matrix of shape {list(a.shape)}")
        held = run.weights.parameter(node.inputs[0], "", a.astype(np.float64), True)
        return replace(run.result(mix_steps(b.value, held), b.axes, [b]), state=False)
    order = [*range(b.rank - 2), b.rank - 1, b.rank - 2]
    return transposed(_linear(run, transposed(b, order), a, node.inputs[0], turned=True), order)


def _of_two(run: Evaluation, a: Tensor, b: Tensor) -> Tensor:
    """Two tensors, matrices in their last two axes, of each sample at each step by itself."""
    rank = max(a.rank, b.rank)
    padded = [((),) * (rank - t.rank) + t.axes for t in (a, b)]
    matrices = [axis for axes in padded for axis in axes[-2:]]
    if a.rank < 2 or b.rank < 2 or not all(map(plain, matrices)):
        raise AxisError(f"multiplies {described(a.axes)} by {described(b.axes)}")
    front = tuple(refined(pair) for pair in zip(padded[0][:-2], padded[1][:-2], strict=True))
    values = []
    for x, axes in zip((a, b), padded, strict=True):
        shape = tuple(length(axis, run.lengths) for axis in axes[-2:])
        if features(axes[:-2]) != features(front):
            raise CompileError(
                f"multiplies {described(a.axes)} by {described(b.axes)}: expand the shorter one"
            )
        values.append(reshape(x.value, (*features(front), *shape)))
    made: Value = matmul(values[0], values[1])
    axes = (*front, *atoms(made.type.features[-2:]))
    return replace(run.result(reshape(made, features(axes)), axes, [a, b]), state=False)


@operator("Softmax", "LogSoftmax")
def _softmax(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Along one axis, as from operator set 13 on; earlier ones flatten what follows the axis."""
    x = tensor(run, node, operands)
    (axis,) = axes_of(node, x.rank, [int(node.attributes.get("axis", -1 if node.opset >= 13 else 1))])
    if node.opset < 13 and axis != x.rank - 1:
        raise CompileError("before operator set 13 it is supported along the last axis")
    if not plain(x.axes[axis]):
        raise AxisError(f"sums over axis {axis} of {described(x.axes)}")
    shape = (*features(x.axes[:axis]), length(x.axes[axis], run.lengths), *features(x.axes[axis + 1 :]))
    along = softmax if node.op == "Softmax" else log_softmax
    made: Value = along(reshape(x.value, shape), len(features(x.axes[:axis])))
    return replace(run.result(reshape(made, features(x.axes)), x.axes, [x]), state=False)


def with_bias(run: Evaluation, node: Node, operands: Sequence[Any], name: str = "") -> Tensor | None:
    """A product plus one number an output, as one product with a bias; None where it is none."""
    for x, bias, label in zip(operands, reversed(operands), reversed(node.inputs), strict=False):
        if not isinstance(x, Tensor) or x.product is None or isinstance(bias, Tensor) or bias is None:
            continue
        added = _bias(run, bias, length(x.axes[-1], run.lengths), name or label)
        if not added or len(bias.shape) > x.rank:
            continue
        made: Value = linear(*x.product, *added)
        return replace(x, value=reshape(made, features(x.axes)), product=None)
    return None
