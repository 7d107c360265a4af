"""Convolutions over images [channels, *space], and what their gradients need.

A weight is [outputs, channels / groups, *size], as PyTorch's. Like that of a linear layer it is a matrix
with a row an output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Graph, Node, Op, Type
from .groups import sum_space
from .linear import transpose
from .reduce import expand, sum_to
from .time import sum_time
from .value import Value, apply
from .windows import Windows


@dataclass(frozen=True)
class Slides(Op):
    """Base of the three: the windows, and groups of channels that know nothing of each other.

    kernel: as of `Linear`.
    """

    windows: Windows
    groups: int = 1
    kernel: str = ""

    def attributes(self) -> str:
        groups = [f"groups={self.groups}"] * (self.groups > 1)
        return f"<{', '.join([str(self.windows), *groups, *[self.kernel] * bool(self.kernel)])}>"


@dataclass(frozen=True)
class Conv(Slides):
    """conv(x, weight[, bias]): each window of x times the weights, as PyTorch's (a cross-correlation)."""

    name = "conv"

    def infer(self, *types: Type) -> Type:
        x, weight = types[0], types[1]
        outputs, channels, axes = weight.features[0], weight.features[1] * self.groups, len(self.windows.size)
        if len(x.features) != axes + 1 or x.features[0] != channels:
            wanted = (
                f"[{channels}, {', '.join(['height', 'width', 'depth'][:axes]) if axes > 1 else 'length'}]"
            )
            raise CompileError(f"convolution takes images {wanted}, its input has shape {list(x.features)}")
        space = self.windows.outputs(x.features[1:])
        if min(space) < 1:
            raise CompileError(
                f"windows of {list(self.windows.span())} pixels do not fit an image of {list(x.features[1:])}"
                f"{' with its padding' if any(self.windows.before) else ''}"
            )
        return Type((outputs, *space), x.time, x.batch, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        bias = arrays[2 : len(arrays) - (self.kernel == "counted")]
        weight = _matrix(arrays[1], 2 + len(self.windows.size))
        x, space = self.windows.padded(arrays[0]), self.windows.outputs(arrays[0].shape[3:])
        y = np.zeros((*x.shape[:2], len(weight), *space), np.result_type(x, weight))
        for place in self.windows.places():
            here = _grouped(x[self.windows.at(place, space)], self.groups)
            taps = _split(weight[(..., *place)], self.groups)
            y += np.einsum("tbgc...,goc->tbgo...", here, taps).reshape(y.shape)
        return y + _upright(bias[0], y) if bias else y

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        x, weight, *bias = inputs
        full = expand(grad, Type(out.type.features, grad.type.time, out.type.batch))
        operand = sum_time(x) if x.type.time and not full.type.time else x
        back = ConvTranspose(self.windows, self.groups, space=x.type.features[1:])
        d_x: Any = apply(back, full, transpose(weight))
        d_weight: Any = apply(ConvGradient(self.windows, self.groups), full, operand)
        return (d_x, d_weight, *(_channel_sums(full, b) for b in bias))


@dataclass(frozen=True)
class ConvTranspose(Slides):
    """conv_transpose(y, turned[, bias]): each pixel of y times the weights, added up where its window is.

    The adjoint of `conv` by its input, and a layer of its own. turned: `transpose` of that convolution's
    weight, [channels / groups, *size, outputs]; y: [outputs, ...]. space: of the result [channels, *space].
    """

    space: tuple[int, ...] = ()
    name = "conv_transpose"

    def infer(self, *types: Type) -> Type:
        y, turned = types[0], types[1]
        if y.features != (turned.features[-1], *self.windows.outputs(self.space)):
            raise CompileError(
                f"transposed convolution takes images [{turned.features[-1]}, ...] of "
                f"{list(self.windows.outputs(self.space))} pixels, its input has shape {list(y.features)}"
            )
        return Type((turned.features[0] * self.groups, *self.space), y.time, y.batch, y.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        y, bias = arrays[0], arrays[2 : len(arrays) - (self.kernel == "counted")]
        weight = np.moveaxis(_matrix(arrays[1], 2 + len(self.space)), -1, 0)
        windows, taps = self.windows, _split(weight, self.groups)
        channels = weight.shape[1] * self.groups
        x = np.zeros((*y.shape[:2], channels, *windows.room(self.space)), np.result_type(y, weight))
        for place in windows.places():
            at = windows.at(place, y.shape[3:])
            here = np.einsum("tbgo...,goc->tbgc...", _grouped(y, self.groups), taps[(..., *place)])
            x[at] += here.reshape(*y.shape[:2], channels, *y.shape[3:])
        x = windows.inside(x, self.space)
        return x + _upright(bias[0], x) if bias else x

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        y, turned, *bias = inputs
        full = expand(grad, Type(out.type.features, grad.type.time, out.type.batch))
        weight, operand = turned, sum_time(y) if y.type.time and not full.type.time else y
        d_y: Any = apply(Conv(self.windows, self.groups), full, transpose(weight, back=True))
        d_weight: Any = apply(ConvGradient(self.windows, self.groups), operand, full)
        return (d_y, transpose(d_weight), *(_channel_sums(full, b) for b in bias))


@dataclass(frozen=True)
class ConvGradient(Slides):
    """conv_gradient(d_y, x): the gradient of a convolution's weight, summed over steps and samples."""

    name = "conv_gradient"

    def infer(self, *types: Type) -> Type:
        d_y, x = types[:2]
        channels = x.features[0] // self.groups
        return Type((d_y.features[0], channels, *self.windows.size), False, False, d_y.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x = arrays[0], self.windows.padded(arrays[1])
        lead = np.broadcast_shapes(d_y.shape[:2], x.shape[:2])
        d_y, x = (np.broadcast_to(a, (*lead, *a.shape[2:])) for a in (d_y, x))
        space, channels = d_y.shape[3:], x.shape[2] // self.groups
        gradient = np.zeros((d_y.shape[2], channels, *self.windows.size), np.result_type(d_y, x))
        for place in self.windows.places():
            pair = (d_y, x[self.windows.at(place, space)])
            pixels = (a.reshape(*lead, self.groups, a.shape[2] // self.groups, -1) for a in pair)
            pairs = np.einsum("tbgop,tbgcp->goc", *pixels)
            at: Any = (slice(None), slice(None), *place)
            gradient[at] = pairs.reshape(gradient.shape[:2])
        return gradient[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


SLIDING = ("conv", "conv_transpose", "conv_gradient")
SLICED = (
    8  # outputs of a group from which it is multiplied as a convolution of its own: half a vector of floats
)
LISTED = (
    32  # channels of a group from which their events are listed; at 10 % of spikes 16 are slower than dense
)


def in_lanes(graph: Graph, node: Node) -> bool:
    """Whether a convolution, its adjoint or its gradient is in groups of few outputs: all groups are computed
    side by side, a vector over the channels of several."""
    op: Any = node.op
    outputs = node.type if op.name == "conv" else graph[node.inputs[0]].type
    return bool(op.groups > 1 and outputs.features[0] // op.groups < SLICED)


def in_narrow_groups(graph: Graph, node: Node) -> bool:
    """Whether groups are too narrow for lists of events: a place would have one now and then."""
    op: Any = node.op
    if op.groups == 1 or op.name == "conv_transpose":
        return in_lanes(graph, node)
    image = graph[node.inputs[1 if op.name == "conv_gradient" else 0]].type
    return bool(in_lanes(graph, node) or image.features[0] // op.groups < LISTED)


def _matrix(weight: Any, axes: int) -> Any:
    """A parameter's array of so many axes, without time and batch."""
    return weight.reshape(weight.shape[weight.ndim - axes :])


def _channel_sums(full: Value, bias: Value) -> Value:
    """The gradient of a bias."""
    sums = sum_space(full)
    return sum_to(sums, sums.type, bias.type)


def _grouped(x: Any, groups: int) -> Any:
    """[T, B, channels, ...] as [T, B, groups, channels of a group, ...]."""
    return x.reshape(*x.shape[:2], groups, x.shape[2] // groups, *x.shape[3:])


def _split(weight: Any, groups: int) -> Any:
    """[outputs, ...] as [groups, outputs of a group, ...]."""
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _upright(bias: Any, image: Any) -> Any:
    """A number a channel, to be added to images [T, B, channels, *space]."""
    return np.reshape(bias, (-1, *(1,) * (image.ndim - 3)))


def conv(x: Value, weight: Value, *bias: Value, windows: Windows, groups: int = 1) -> Value:
    """Each window of x [channels, *space] times weight [outputs, channels / groups, *size], + bias."""
    result: Value = apply(Conv(windows, groups), x, weight, *bias)
    return result


def conv_transpose(
    y: Value, weight: Value, *bias: Value, windows: Windows, space: tuple[int, ...], groups: int = 1
) -> Value:
    """The adjoint of `conv` with this weight and these windows, on images of `space` pixels, + bias."""
    result: Value = apply(ConvTranspose(windows, groups, space=space), y, transpose(weight), *bias)
    return result
