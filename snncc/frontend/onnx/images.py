"""Operators of ONNX on images [batch, channels, *space]: convolutions, pooling, normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, conv, conv_transpose, max_pool, sum_pool, sum_space
from ...ops.groups import spread
from ...ops.windows import Windows
from .axes import AxisError, Tensor, atoms, described, features, length, plain, reshape
from .evaluate import Evaluation, operator, tensor
from .nodes import Node


@operator("Conv")
def _conv(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x, weight, groups = _convolved(run, node, operands, channels=1)
    image, shape = _image(run, x)
    windows = _windows(node, weight.shape[2:], shape[1:])
    return _image_of(run, x, conv(image, *_held(run, node, operands), windows=windows, groups=groups))


@operator("ConvTranspose")
def _conv_transpose(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """The adjoint of a convolution, as PyTorch's: each pixel times the weights, added up where it lands."""
    x, weight, groups = _convolved(run, node, operands, channels=0)
    image, shape = _image(run, x)
    windows, space = _landing(node, weight.shape[2:], shape[1:])
    held = _held(run, node, operands)
    return _image_of(run, x, conv_transpose(image, *held, windows=windows, space=space, groups=groups))


def _convolved(
    run: Evaluation, node: Node, operands: Sequence[Any], channels: int
) -> tuple[Tensor, np.ndarray, int]:
    """The operand of a convolution, its weight and groups, checked. channels: the weight's axis of inputs."""
    x, weight, bias = (*operands, None)[:3]
    x, groups = tensor(run, node, [x]), int(node.attributes.get("group", 1))
    if not isinstance(weight, np.ndarray) or not (bias is None or isinstance(bias, np.ndarray)):
        raise CompileError("its weight and bias must be constant")
    _, shape = _image(run, x)
    inputs = 0 if weight.ndim != x.rank else weight.shape[1] * groups if channels else weight.shape[0]
    if groups < 1 or shape[0] != inputs or weight.shape[0] % groups:
        raise CompileError(
            f"a weight of shape {list(weight.shape)} in {groups} groups does not fit {described(x.axes)}"
        )
    outputs = weight.shape[0] if channels else weight.shape[1] * groups
    if bias is not None and bias.shape != (outputs,):
        raise CompileError(f"a bias of shape {list(bias.shape)} does not fit {outputs} channels")
    return x, weight, groups


def _held(run: Evaluation, node: Node, operands: Sequence[Any]) -> list[Value]:
    """The parameters of a convolution: weight and, if there is one, bias."""
    pairs = [(name, a) for name, a in zip(node.inputs[1:3], operands[1:3], strict=False) if a is not None]
    return [
        run.weights.parameter(name, "", array.astype(np.float64), True, panels=array.ndim > 1)
        for name, array in pairs
    ]


def _landing(node: Node, size: Sequence[int], space: Sequence[int]) -> tuple[Windows, tuple[int, ...]]:
    """The windows of a transposed convolution, and the pixels of its result."""
    rank = len(size)
    stride, dilation, more = (
        tuple(int(n) for n in node.attributes.get(name, [default] * rank))
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    pads = [int(n) for n in node.attributes.get("pads", [0] * 2 * rank)]
    if {len(stride), len(dilation), len(more)} != {rank} or len(pads) != 2 * rank:
        raise CompileError("its pads, strides and dilations do not fit its windows")
    if min(*stride, *dilation, *size) < 1 or min(*pads, *more) < 0 or any(
        m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)
    ):  # fmt: skip
        raise CompileError("its output_padding must be below its stride or dilation, and no number negative")
    mode = node.attributes.get("auto_pad", "NOTSET")
    full = [s * (n - 1) + m + d * (k - 1) + 1
            for n, s, d, m, k in zip(space, stride, dilation, more, size, strict=True)]  # fmt: skip
    wanted = node.attributes.get("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(space, stride, strict=True)]
    if wanted is not None:
        room = [f - int(n) for f, n in zip(full, wanted, strict=True)]
        if min(room) < 0:
            raise CompileError(f"cannot give {list(wanted)} pixels, only up to {full}")
        small = [r // 2 if mode == "SAME_UPPER" else r - r // 2 for r in room]
        pads = [*small, *(r - p for r, p in zip(room, small, strict=True))]
    made = tuple(f - a - b for f, a, b in zip(full, pads[:rank], pads[rank:], strict=True))
    if min(made) < 1:
        raise CompileError("its padding leaves nothing of the image")
    after = tuple(p - m for p, m in zip(pads[rank:], more, strict=True))
    return Windows(tuple(size), stride, tuple(pads[:rank]), after, dilation), made


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


@operator("GlobalMaxPool")
def _global_max(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    image, shape = _image(run, x)
    ones = (1,) * (x.rank - 2)
    none = (0,) * (x.rank - 2)
    value = max_pool(image, Windows(shape[1:], ones, none, none, ones))
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
