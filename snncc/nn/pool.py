"""Pooling and resampling of images [channels, *space], with PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ops import Value, scatter_add, take
from ..ops.leaf import Vector
from ..ops.pool import max_pool, sum_pool
from ..ops.reduce import Reshape
from ..ops.value import apply
from ..ops.windows import Windows
from .conv import Numbers, each
from .module import Module


class Pooling(Module):
    """Base: windows of an image. axes: of space."""

    axes: ClassVar[int] = 2

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None, padding: Numbers, ceil_mode: bool
    ) -> None:
        self.kernel_size = each(self, "kernel_size", kernel_size, self.axes)
        self.stride = self.kernel_size if stride is None else each(self, "stride", stride, self.axes)
        self.padding = each(self, "padding", padding, self.axes, least=0)
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise self.error(f"padding must be at most half of kernel_size, got {padding!r}")

    def windows(self, x: Value, dilation: tuple[int, ...]) -> tuple[Windows, tuple[int, ...]]:
        """The windows on an image, and by how much the last ones reach beyond its padding (ceil_mode)."""
        if len(x.shape) != self.axes + 1:
            raise self.error(f"expected [channels, {self.axes} axes of space], the input has {list(x.shape)}")
        plain = Windows(self.kernel_size, self.stride, self.padding, self.padding, dilation)
        beyond = tuple(
            _overhang(n + 2 * pad, n + pad, span, step) if self.ceil_mode else 0
            for n, pad, span, step in zip(x.shape[1:], self.padding, plain.span(), self.stride, strict=True)
        )
        after = tuple(p + b for p, b in zip(self.padding, beyond, strict=True))
        return Windows(self.kernel_size, self.stride, self.padding, after, dilation), beyond


def _overhang(length: int, last: int, span: int, stride: int) -> int:
    """What a window needs behind `length` padded pixels so that it counts; it must start before `last`."""
    missing = -(length - span) % stride
    starts = length - span + missing
    return missing if missing and starts < last else 0


class MaxPool2d(Pooling):
    """The largest pixel of each window, as PyTorch's. stride: kernel_size if not given."""

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        dilation: Numbers = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = each(self, "dilation", dilation, self.axes)
        if return_indices:
            raise self.error("return_indices=True is not supported; leave it out")

    def forward(self, x: Value) -> Value:
        return max_pool(x, self.windows(x, self.dilation)[0])


class MaxPool1d(MaxPool2d):
    """The largest of each window of a sequence; otherwise as `MaxPool2d`."""

    axes = 1


class MaxPool3d(MaxPool2d):
    """The largest pixel of each window of a volume; otherwise as `MaxPool2d`."""

    axes = 3


class AvgPool2d(Pooling):
    """The mean of each window, as PyTorch's. count_include_pad: whether zeros at the ends count."""

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Value) -> Value:
        windows, beyond = self.windows(x, (1,) * self.axes)
        return sum_pool(x, windows, "window" if self.count_include_pad else "inside", beyond)


class AvgPool1d(AvgPool2d):
    """The mean of each window of a sequence; otherwise as `AvgPool2d`."""

    axes = 1


class AvgPool3d(AvgPool2d):
    """The mean of each window of a volume; otherwise as `AvgPool2d`."""

    axes = 3


class SumPool2d(Pooling):
    """The sum of each window, as NIR's and sinabs'. stride: kernel_size if not given."""

    def __init__(self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0) -> None:
        super().__init__(kernel_size, stride, padding, False)

    def forward(self, x: Value) -> Value:
        return sum_pool(x, self.windows(x, (1,) * self.axes)[0])


class SumPool1d(SumPool2d):
    """The sum of each window of a sequence; otherwise as `SumPool2d`."""

    axes = 1


class SumPool3d(SumPool2d):
    """The sum of each window of a volume; otherwise as `SumPool2d`."""

    axes = 3


class AdaptiveAvgPool2d(Module):
    """Means of as many windows as output_size has pixels, as PyTorch's. None: those of the image."""

    axes: ClassVar[int] = 2

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        sizes = (output_size,) * self.axes if not isinstance(output_size, Sequence) else tuple(output_size)
        given = tuple(1 if n is None else n for n in sizes)
        each(self, "output_size", given, self.axes)
        self.output_size = sizes

    def forward(self, x: Value) -> Value:
        if len(x.shape) != self.axes + 1:
            raise self.error(f"expected [channels, {self.axes} axes of space], the input has {list(x.shape)}")
        wanted = tuple(n or have for n, have in zip(self.output_size, x.shape[1:], strict=True))
        pairs = list(zip(x.shape[1:], wanted, strict=True))
        if all(n % m == 0 for n, m in pairs):
            size = tuple(n // m for n, m in pairs)
            ends = (0,) * self.axes
            return sum_pool(x, Windows(size, size, ends, ends, (1,) * self.axes), "window")
        return self._uneven(x, wanted, pairs)

    def _uneven(self, x: Value, wanted: tuple[int, ...], pairs: list[tuple[int, int]]) -> Value:
        """Windows of different sizes: every pixel of each by its place, times its share, summed."""
        ranges = [[range(k * n // m, -(-(k + 1) * n // m)) for k in range(m)] for n, m in pairs]
        pixels = np.arange(np.prod(x.shape)).reshape(x.shape)
        index, result, shares = [], [], []
        for out, place in enumerate(np.ndindex(x.shape[0], *wanted)):
            window = [list(r[p]) for r, p in zip(ranges, place[1:], strict=True)]
            found = pixels[place[0]][np.ix_(*window)].ravel()
            index += found.tolist()
            result += [out] * len(found)
            shares += [1.0 / len(found)] * len(found)
        parts = take(x, index, (len(index),)) * apply_vector(x, shares)
        total: Value = scatter_add(parts, result, (x.shape[0], *wanted))
        return total


class AdaptiveAvgPool1d(AdaptiveAvgPool2d):
    """Of sequences; otherwise as `AdaptiveAvgPool2d`."""

    axes = 1


class AdaptiveAvgPool3d(AdaptiveAvgPool2d):
    """Of volumes; otherwise as `AdaptiveAvgPool2d`."""

    axes = 3


class Upsample(Module):
    """Images made larger, as PyTorch's, by mode="nearest" or "bilinear" (of images [channels, height,
    width]).

    size: pixels of the result, or scale_factor: how many times as many. align_corners: where the corners of
    bilinear images lie.
    """

    def __init__(
        self,
        size: Numbers | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise self.error("give either size or scale_factor")
        if mode not in ("nearest", "bilinear"):
            raise self.error(f"mode must be 'nearest' or 'bilinear', got {mode!r}")
        if align_corners and mode == "nearest":
            raise self.error("align_corners=True is for mode='bilinear'")
        for name, given in (("size", size), ("scale_factor", scale_factor)):
            numbers = given if isinstance(given, Sequence) else () if given is None else (given,)
            if not all(n > 0 for n in numbers) or (given is not None and not numbers):
                raise self.error(f"{name} must be positive, got {given!r}")
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Value) -> Value:
        space, axes = x.shape[1:], len(x.shape) - 1
        if axes < 1 or (self.mode == "bilinear" and axes != 2):
            raise self.error(f"expected images [channels, *space], the input has shape {list(x.shape)}")
        scales = [self._scale(i, axes) for i in range(axes)]
        if self.size is not None:
            wanted = each(self, "size", self.size, axes)
        else:
            wanted = tuple(int(n * (s or 1.0)) for n, s in zip(space, scales, strict=True))
            if min(wanted) < 1:
                raise self.error(f"scale_factor leaves nothing of an image of {list(space)} pixels")
        if self.mode == "nearest":
            lines = [_nearest(n, m, s) for n, m, s in zip(space, wanted, scales, strict=True)]
            return self._taken(x, lines)
        rows, columns = (
            _between(n, m, s, self.align_corners) for n, m, s in zip(space, wanted, scales, strict=True)
        )
        parts = [
            self._taken(x, [near, beside]) * apply_vector(x, np.tile(np.outer(high, low), (x.shape[0], 1, 1)))
            for near, high in rows
            for beside, low in columns
        ]
        return parts[0] + parts[1] + parts[2] + parts[3]

    def _scale(self, axis: int, axes: int) -> float | None:
        if self.scale_factor is None:
            return None
        given = self.scale_factor
        factors = tuple(given) if isinstance(given, Sequence) else (given,) * axes
        if len(factors) != axes:
            wanted = "a positive number" + (f", or {axes} of them" if axes > 1 else "")
            raise self.error(f"scale_factor must be {wanted}, got {given!r}")
        return factors[axis]

    def _taken(self, x: Value, lines: Sequence[np.ndarray]) -> Value:
        pixels = np.arange(np.prod(x.shape)).reshape(x.shape)
        taken: Value = take(x, pixels[np.ix_(np.arange(x.shape[0]), *lines)])
        return taken


def _nearest(pixels: int, wanted: int, scale: float | None) -> np.ndarray:
    """For each pixel of the result the one that it shows."""
    real = np.float32  # PyTorch's, which decides what lies on a border
    step = real(pixels) / real(wanted) if scale is None else real(1.0 / scale)
    return np.minimum((np.arange(wanted, dtype=real) * step).astype(np.int64), pixels - 1)


def _between(
    pixels: int, wanted: int, scale: float | None, corners: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each pixel of the result the two that it lies between, and how much of each it takes."""
    if corners:
        at = np.arange(wanted) * ((pixels - 1) / (wanted - 1) if wanted > 1 else 0.0)
    else:
        step = pixels / wanted if scale is None else 1.0 / scale
        at = np.maximum((np.arange(wanted) + 0.5) * step - 0.5, 0.0)
    first = np.minimum(at.astype(np.int64), pixels - 1)
    share = at - first
    return [(first, 1.0 - share), (np.minimum(first + 1, pixels - 1), share)]


def apply_vector(like: Value, numbers: Any) -> Value:
    """Constant numbers, one a feature, in their own shape."""
    array = np.asarray(numbers, np.float64)
    builder = like.builder
    flat = Value(builder, builder.add(Vector(tuple(array.ravel().tolist()))))
    shaped: Value = flat if array.ndim == 1 else apply(Reshape(array.shape), flat)
    return shaped
