"""Convolutions, with PyTorch's arguments, parameter names and shapes: images are [channels, *space]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ops import Value
from ..ops.conv import conv, conv_transpose
from ..ops.windows import Windows
from .layers import positive
from .module import LARGEST, Module, Parameter

Numbers = int | Sequence[int]


def each(module: Module, name: str, given: Numbers, axes: int, least: int = 1) -> tuple[int, ...]:
    """One whole number an axis of space, from a number for all of them or one each."""
    numbers = (given,) * axes if not isinstance(given, Sequence) else tuple(given)
    if len(numbers) != axes or not all(least <= n <= LARGEST for n in numbers):
        wanted = f"a whole number from {least}" + (f", or {axes} of them" if axes > 1 else "")
        raise module.error(f"{name} must be {wanted}, got {given!r}")
    return numbers


class Convolution(Module):
    """Base: arguments that all convolutions have. axes: of space."""

    axes: ClassVar[int] = 2

    def _declare(
        self, in_channels: int, out_channels: int, kernel_size: Numbers, groups: int, padding_mode: str
    ) -> None:
        positive(self, in_channels=in_channels, out_channels=out_channels, groups=groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each(self, "kernel_size", kernel_size, self.axes)
        if in_channels % groups or out_channels % groups:
            raise self.error(
                f"groups must divide both channels, got {groups} for {in_channels} and {out_channels}"
            )
        if padding_mode != "zeros":
            raise self.error(f"padding_mode must be 'zeros', the only one here, got {padding_mode!r}")

    def _weights(self, shape: tuple[int, ...], bias: bool) -> None:
        """Uniform in +-1/sqrt(inputs of an output), as PyTorch's are."""
        bound, channels = 1.0 / np.sqrt(np.prod(shape[1:])), (self.out_channels,)
        self.has_bias = bias
        self.weight = Parameter(shape, lambda rng: rng.uniform(-bound, bound, shape), panels=True)
        if bias:
            self.bias = Parameter(channels, lambda rng: rng.uniform(-bound, bound, channels))

    def _operands(self) -> list[Any]:
        # Parameters are values while the network is traced.
        return [self.weight, *([self.bias] if self.has_bias else [])]


class Conv2d(Convolution):
    """Convolution of images [in_channels, height, width], as PyTorch's.

    weight [out_channels, in_channels / groups, *kernel_size] and bias [out_channels] start uniform in
    +-1/sqrt(in_channels / groups * places of a window). padding: zeros at both ends of each axis, or "same"
    (with stride 1), or "valid" for none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        self._declare(in_channels, out_channels, kernel_size, groups, padding_mode)
        steps = each(self, "stride", stride, self.axes)
        apart = each(self, "dilation", dilation, self.axes)
        before, after = self._ends(padding, steps, apart)
        self.windows = Windows(self.kernel_size, steps, before, after, apart)
        self._weights((out_channels, in_channels // groups, *self.kernel_size), bias)

    def _ends(
        self, padding: Numbers | str, stride: tuple[int, ...], dilation: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if padding == "same":
            if set(stride) != {1}:
                raise self.error(f"padding='same' needs stride 1, got {stride}")
            room = [d * (k - 1) for k, d in zip(self.kernel_size, dilation, strict=True)]
            return tuple(n // 2 for n in room), tuple(n - n // 2 for n in room)
        if padding == "valid":
            padding = 0
        if isinstance(padding, str):
            raise self.error(f"padding must be numbers, 'same' or 'valid', got {padding!r}")
        ends = each(self, "padding", padding, self.axes, least=0)
        return ends, ends

    def forward(self, x: Value) -> Value:
        return conv(x, *self._operands(), windows=self.windows, groups=self.groups)


def same_size(module: Module, kernel_size: Numbers) -> tuple[int, ...]:
    """The padding with which a convolution of stride 1 leaves an image its size: kernel_size // 2."""
    sizes = each(module, "kernel_size", kernel_size, 2)
    if any(size % 2 == 0 for size in sizes):
        raise module.error(f"kernel_size must be odd, so that images keep their size, got {kernel_size!r}")
    return tuple(size // 2 for size in sizes)


class Conv1d(Conv2d):
    """Convolution of sequences [in_channels, length]; otherwise as `Conv2d`."""

    axes = 1


class Conv3d(Conv2d):
    """Convolution of volumes [in_channels, depth, height, width]; otherwise as `Conv2d`."""

    axes = 3


class ConvTranspose2d(Convolution):
    """Transposed convolution of images [in_channels, height, width], as PyTorch's: the adjoint of a
    convolution.

    weight [in_channels, out_channels / groups, *kernel_size], bias [out_channels]. The result has
    (n - 1) stride - 2 padding + dilation (size - 1) + output_padding + 1 pixels an axis.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        padding_mode: str = "zeros",
    ) -> None:
        self._declare(in_channels, out_channels, kernel_size, groups, padding_mode)
        steps, ends = each(self, "stride", stride, self.axes), each(self, "padding", padding, self.axes, 0)
        apart = each(self, "dilation", dilation, self.axes)
        self.output_padding = each(self, "output_padding", output_padding, self.axes, least=0)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, steps, apart, strict=True)):
            raise self.error(f"output_padding must be below stride or dilation, got {output_padding!r}")
        after = tuple(end - more for end, more in zip(ends, self.output_padding, strict=True))
        self.windows = Windows(self.kernel_size, steps, ends, after, apart)
        self._weights((in_channels, out_channels // groups, *self.kernel_size), bias)

    def forward(self, x: Value) -> Value:
        if len(x.shape) != self.axes + 1 or x.shape[0] != self.in_channels:
            raise self.error(
                f"expected images [{self.in_channels}, height, width], the input has shape {list(x.shape)}"
            )
        w = self.windows
        sizes = zip(x.shape[1:], w.stride, w.before, w.after, w.span(), strict=True)
        space = tuple((n - 1) * step - before - after + span for n, step, before, after, span in sizes)
        if min(space) < 1:
            raise self.error(f"padding leaves nothing of an image of {list(x.shape[1:])} pixels")
        return conv_transpose(x, *self._operands(), windows=w, space=space, groups=self.groups)


class ConvTranspose1d(ConvTranspose2d):
    """Transposed convolution of sequences [in_channels, length]; otherwise as `ConvTranspose2d`."""

    axes = 1
