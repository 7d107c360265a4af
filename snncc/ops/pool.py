"""Pooling of images [channels, *space]: what one window of a channel comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .reduce import expand
from .value import Value, apply
from .windows import Windows


@dataclass(frozen=True)
class Pool(Op):
    """Base: an image of windows of an image."""

    windows: Windows

    def attributes(self) -> str:
        return f"<{self.windows}>"

    def infer(self, *types: Type) -> Type:
        (x,) = types
        if len(x.features) != len(self.windows.size) + 1:
            axes = len(self.windows.size)
            raise CompileError(
                f"pooling takes images with {axes} axes of space, found shape {list(x.features)}"
            )
        space = self.windows.outputs(x.features[1:])
        if min(space) < 1:
            raise CompileError(
                f"windows of {list(self.windows.span())} pixels do not fit an image of {list(x.features[1:])}"
            )
        return Type((x.features[0], *space), x.time, x.batch, x.dtype)

    def _windowed(self, x: Any, outside: float) -> Any:
        """[T, B, channels, *space of the windows, places]."""
        padded, space = self.windows.padded(x, outside), self.windows.outputs(x.shape[3:])
        return np.stack([padded[self.windows.at(p, space)] for p in self.windows.places()], axis=-1)


@dataclass(frozen=True)
class MaxPool(Pool):
    """max_pool(x): the largest pixel of each window, NaN if there is one; ends do not count."""

    name = "max_pool"

    def evaluate(self, *arrays: Any) -> Any:
        return self._windowed(arrays[0], -np.inf).max(axis=-1)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        (x,) = inputs
        builder = x.builder
        half, builder.half = builder.half, "forward"  # a place takes less memory until then than an image
        where: Any = apply(MaxPlace(self.windows), x)
        builder.half = half
        full = expand(grad, Type(out.type.features, grad.type.time, out.type.batch))
        return (apply(MaxUnpool(self.windows, x.type.features[1:]), full, where),)


@dataclass(frozen=True)
class MaxPlace(Pool):
    """max_place(x): which place of each window is the largest, the first of several. It has no gradient."""

    name = "max_place"

    def evaluate(self, *arrays: Any) -> Any:
        return self._windowed(arrays[0], -np.inf).argmax(axis=-1).astype(arrays[0].dtype)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (None,)


@dataclass(frozen=True)
class Unpool(Op):
    """Base of the adjoints. space: of the image that was pooled."""

    windows: Windows
    space: tuple[int, ...]

    def attributes(self) -> str:
        return f"<{self.windows}>"

    def infer(self, *types: Type) -> Type:
        y = types[0]
        time, batch = any(t.time for t in types), any(t.batch for t in types)
        return Type((y.features[0], *self.space), time, batch, y.dtype)

    def _spread(self, parts: Any, dtype: Any) -> Any:
        """Sums of what each window gives to its places: arrays [T, B, channels, *windows] by place."""
        windows, parts = self.windows, dict(parts)
        one = next(iter(parts.values()))
        x = np.zeros((*one.shape[:3], *windows.room(self.space)), dtype)
        for place, part in parts.items():
            x[windows.at(place, one.shape[3:])] += part
        return windows.inside(x, self.space)


@dataclass(frozen=True)
class MaxUnpool(Unpool):
    """max_unpool(y, where): y of each window at its place `where`; places of several windows add up."""

    name = "max_unpool"

    def evaluate(self, *arrays: Any) -> Any:
        y, where = arrays
        return self._spread(
            ((p, np.where(where == k, y, 0)) for k, p in enumerate(self.windows.places())), y.dtype
        )

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


@dataclass(frozen=True)
class SumPool(Pool):
    """sum_pool(x): the sum of each window.

    mean: divided by its places, "window"; by those in the image, "inside"; "" for the sum. beyond: how many
    of the last ends never count as places.
    """

    mean: str = ""
    beyond: tuple[int, ...] = ()
    name = "sum_pool"

    def attributes(self) -> str:
        return f"<{self.windows}{f', mean={self.mean}' if self.mean else ''}>"

    def evaluate(self, *arrays: Any) -> Any:
        total = self._windowed(arrays[0], 0.0).sum(axis=-1)
        return total / shares(self, arrays[0].shape[3:]) if self.mean else total

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        full = expand(grad, Type(out.type.features, grad.type.time, grad.type.batch))
        return (apply(SumUnpool(self.windows, inputs[0].type.features[1:], self.mean, self.beyond), full),)


@dataclass(frozen=True)
class SumUnpool(Unpool):
    """sum_unpool(y): y of each window, or its share, at all places of it. The adjoint of `sum_pool`."""

    mean: str = ""
    beyond: tuple[int, ...] = ()
    name = "sum_unpool"

    def evaluate(self, *arrays: Any) -> Any:
        (y,) = arrays
        part = y / shares(self, self.space) if self.mean else y
        return self._spread(((p, part) for p in self.windows.places()), y.dtype)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (apply(SumPool(self.windows, self.mean, self.beyond), expand(grad, out.type)),)


def shares(op: SumPool | SumUnpool, space: tuple[int, ...]) -> np.ndarray:
    """For each window how many places a mean is over, [*windows]."""
    windows, counts = op.windows, np.ones((), np.int64)
    for axis, pixels in enumerate(space):
        inside = op.mean == "inside"
        beyond = op.beyond[axis] if op.beyond else 0
        first, last = (
            (0, pixels) if inside else (-windows.before[axis], pixels + windows.after[axis] - beyond)
        )
        starts = np.arange(windows.outputs(space)[axis]) * windows.stride[axis] - windows.before[axis]
        places = starts[:, None] + np.arange(windows.size[axis]) * windows.dilation[axis]
        counts = np.multiply.outer(counts, ((places >= first) & (places < last)).sum(axis=1))
    return counts


POOLS = ("max_pool", "max_place", "sum_pool")
UNPOOLS = ("max_unpool", "sum_unpool")


def max_pool(x: Value, windows: Windows) -> Value:
    """The largest pixel of each window of an image."""
    result: Value = apply(MaxPool(windows), x)
    return result


def sum_pool(x: Value, windows: Windows, mean: str = "", beyond: tuple[int, ...] = ()) -> Value:
    """The sum, or mean, of each window of an image."""
    result: Value = apply(SumPool(windows, mean, beyond), x)
    return result
