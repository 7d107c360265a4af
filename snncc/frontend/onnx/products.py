"""Products, convolutions, pooling and normalisation of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, log_softmax, softmax
from ...ops.conv import conv
from ...ops.groups import spread, sum_space
from ...ops.linear import linear
from ...ops.matmul import matmul
from ...ops.pool import max_pool, sum_pool
from ...ops.steps import mix_steps
from ...ops.windows import Windows
from .axes import (
    TIME,
    Axes,
    AxisError,
    Tensor,
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


def atoms(shape: Sequence[int]) -> Axes:
    """The axes of features of this shape."""
    return tuple((int(n),) if n != 1 else () for n in shape)


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


@operator("Conv")
def _conv(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x, weight, bias = (*operands, None)[:3]
    x = tensor(run, node, [x])
    if not isinstance(weight, np.ndarray) or not (bias is None or isinstance(bias, np.ndarray)):
        raise CompileError("its weight and bias must be constant")
    image, shape = _image(run, x)
    groups, size = int(node.attributes.get("group", 1)), weight.shape[2:]
    if (
        weight.ndim != x.rank
        or groups < 1
        or shape[0] != weight.shape[1] * groups
        or weight.shape[0] % groups
    ):
        raise CompileError(
            f"a weight of shape {list(weight.shape)} in {groups} groups does not fit {described(x.axes)}"
        )
    windows = _windows(node, size, shape[1:])
    held = run.weights.parameter(node.inputs[1], "", weight.astype(np.float64), True, panels=True)
    more = [] if bias is None else [run.weights.parameter(node.inputs[2], "", bias.astype(np.float64), True)]
    return _image_of(run, x, conv(image, held, *more, windows=windows, groups=groups))


def _image(run: Evaluation, x: Tensor) -> tuple[Value, tuple[int, ...]]:
    """A tensor [batch, channels, *space] as an image [channels, *space]."""
    if x.rank < 3 or features(x.axes[:1]) or not all(plain(axis) for axis in x.axes[1:]):
        raise AxisError(f"needs images [batch, channels, ...], found {described(x.axes)}")
    shape = tuple(length(axis, run.lengths) for axis in x.axes[1:])
    return reshape(x.value, shape), shape


def _image_of(run: Evaluation, x: Tensor, value: Value) -> Tensor:
    axes = (x.axes[0], *atoms(value.type.features))
    return replace(run.result(reshape(value, features(axes)), axes, [x]), state=False)


def _windows(node: Node, size: Sequence[int], space: Sequence[int]) -> Windows:
    """The windows of a convolution or pooling; what reaches beyond the ends for ceil_mode is added."""
    rank = len(size)
    stride, dilation = (
        tuple(int(n) for n in node.attributes.get(name, [1] * rank)) for name in ("strides", "dilations")
    )
    pads = [int(n) for n in node.attributes.get("pads", [0] * 2 * rank)]
    spans = [d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True)]
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        room = [
            max(0, (-(-n // s) - 1) * s + span - n) for n, s, span in zip(space, stride, spans, strict=True)
        ]
        small = [r // 2 if mode == "SAME_UPPER" else r - r // 2 for r in room]
        pads = [*small, *(r - p for r, p in zip(room, small, strict=True))]
    if len(pads) != 2 * rank or min(pads, default=0) < 0 or min(*stride, *dilation, *size) < 1:
        raise CompileError("its pads, strides and dilations do not fit its windows")
    if node.attributes.get("ceil_mode", 0):
        for i, (n, span, s) in enumerate(zip(space, spans, stride, strict=True)):
            missing = -(n + pads[i] + pads[rank + i] - span) % s
            # A window that starts in the padding behind the image does not count.
            starts = n + pads[i] + pads[rank + i] - span + missing
            pads[rank + i] += missing if starts < n + pads[i] else 0
    return Windows(tuple(size), stride, tuple(pads[:rank]), tuple(pads[rank:]), dilation)


@operator("MaxPool", "AveragePool")
def _pool(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    image, shape = _image(run, x)
    size = node.attributes.get("kernel_shape", [])
    if len(size) != len(shape) - 1 or len([o for o in node.outputs if o]) > 1:
        raise CompileError("needs a window of as many axes as the image, and gives no indices")
    windows = _windows(node, [int(n) for n in size], shape[1:])
    if node.op == "MaxPool":
        return _image_of(run, x, max_pool(image, windows))
    if node.attributes.get("ceil_mode", 0) and node.attributes.get("count_include_pad", 0):
        raise CompileError("ceil_mode with count_include_pad is not supported")
    inside = "window" if node.attributes.get("count_include_pad", 0) else "inside"
    return _image_of(run, x, sum_pool(image, windows, inside))


@operator("GlobalAveragePool")
def _global_average(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    image, shape = _image(run, x)
    value = sum_space(image) / float(math.prod(shape[1:]))
    axes = (x.axes[0], *atoms([shape[0]]), *[()] * (x.rank - 2))
    return replace(run.result(reshape(value, features(axes)), axes, [x]), state=False)


@operator("BatchNormalization")
def _batch_norm(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """In inference form: a factor and a term a channel, made of four constants."""
    x = tensor(run, node, operands)
    if node.attributes.get("training_mode", 0) or any(not isinstance(o, np.ndarray) for o in operands[1:5]):
        raise CompileError("is in training mode; export the model in evaluation mode")
    scale, bias, mean, variance = operands[1:5]
    if (
        x.rank < 2
        or not plain(x.axes[1])
        or any(a.shape != (length(x.axes[1], run.lengths),) for a in operands[1:5])
    ):
        raise AxisError(f"needs one number for each channel of {described(x.axes)}")
    factor = scale / np.sqrt(variance + scale.dtype.type(node.attributes.get("epsilon", 1e-5)))
    made = x
    for array, form, combine in ((factor, "factor", 0), (bias - mean * factor, "term", 1)):
        upright = array.reshape(-1, *[1] * (x.rank - 2))
        held = _per_channel(run, upright, x, f"{node.inputs[1 + combine]}", form)
        made = replace(made, value=made.value + held if combine else made.value * held)
    return replace(made, state=False, delayed=False, product=None)


def _per_channel(run: Evaluation, upright: np.ndarray, x: Tensor, name: str, form: str) -> Any:
    channels = upright.shape[0]
    own = features(x.axes)
    if np.array_equal(upright, np.full_like(upright, upright.reshape(-1)[0])):
        return float(upright.reshape(-1)[0])
    held = run.weights.parameter(name, form, upright.reshape(channels).astype(np.float64))
    return spread(held, own)
