"""Views of feature axes: the operators behind permute, slice, broadcast, sums, pads and concatenation.

`strided` and `strided_sum` are each other's adjoint. They say along which axis of the one side each axis of
the other walks, so that the index arithmetic is left to whoever knows how values lie in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .index import full
from .value import apply

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """An axis of a view: `length` elements; along: the axis of the source that it walks along, `step`
    elements at a time, or -1, so that it meets the same element again and again."""

    length: int
    along: int = -1
    step: int = 1

    def __str__(self) -> str:
        return (
            f"{self.length}"
            + (f" of {self.along}" if self.along >= 0 else "")
            + f" by {self.step}" * (self.step != 1)
        )


@dataclass(frozen=True)
class View:
    """view[i] is source[j] with j[a] = starts[a] + step of k * i[k], k the axis of the view along a, if any.

    At most one axis of the view walks along each of the source: sums over it hit each element in one place.
    """

    source: Shape
    starts: Shape
    axes: tuple[Axis, ...]

    @property
    def features(self) -> Shape:
        return tuple(axis.length for axis in self.axes)

    @property
    def sums(self) -> bool:
        """Whether what is written through it is summed."""
        return any(axis.along < 0 and axis.length > 1 for axis in self.axes)

    def of(self, outer: View) -> View:
        """This view of a view as one."""
        starts, axes = list(outer.starts), []
        for start, axis in zip(self.starts, outer.axes, strict=True):
            if axis.along >= 0:
                starts[axis.along] += axis.step * start
        for axis in self.axes:
            below = outer.axes[axis.along] if axis.along >= 0 else axis
            axes.append(Axis(axis.length, below.along, axis.step * below.step if below.along >= 0 else 1))
        return View(outer.source, tuple(starts), tuple(axes))

    def look(self, array: Any) -> Any:
        """The view of an array [T, B, *source], of the same memory."""
        first = array[(slice(None), slice(None), *(slice(s, s + 1) for s in self.starts))]
        strides = array.strides[2:]
        steps = (a.step * strides[a.along] if a.along >= 0 else 0 for a in self.axes)
        shape = array.shape[:2] + self.features
        return np.lib.stride_tricks.as_strided(first, shape, (*array.strides[:2], *steps))

    def __str__(self) -> str:
        starts = f" from {list(self.starts)}" if any(self.starts) else ""
        return f"{', '.join(map(str, self.axes))}{starts}"


def whole(features: Shape) -> View:
    """The view that shows everything as it is."""
    return View(features, (0,) * len(features), tuple(Axis(n, k) for k, n in enumerate(features)))


@dataclass(frozen=True)
class OfView(Op):
    """Base: an operator on one operand and a view."""

    view: View = field()

    def attributes(self) -> str:
        return f"<{self.view}>"

    def _checked(self, x: Type, expected: Shape, made: Shape) -> Type:
        if x.features != expected:
            raise CompileError(f"{self.name}: expected features {list(expected)}, found {list(x.features)}")
        return Type(made, x.time, x.batch, "real" if x.dtype in ("number", "scalar") else x.dtype)


@dataclass(frozen=True)
class Strided(OfView):
    """y = the view of x: a slice, a permutation, a broadcast, or all of it at once."""

    name = "strided"

    def infer(self, *types: Type) -> Type:
        return self._checked(types[0], self.view.source, self.view.features)

    def evaluate(self, *arrays: Any) -> Any:
        return self.view.look(np.asarray(arrays[0])).copy()

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (apply(StridedSum(self.view), full(grad, out)),)


@dataclass(frozen=True)
class StridedSum(OfView):
    """The view of y plus x: each element of y is the sum of those of x that the view shows of it, or 0."""

    name = "strided_sum"

    def infer(self, *types: Type) -> Type:
        return self._checked(types[0], self.view.features, self.view.source)

    def evaluate(self, *arrays: Any) -> Any:
        x = np.asarray(arrays[0])
        again = tuple(k + 2 for k, axis in enumerate(self.view.axes) if axis.along < 0)
        y = np.zeros((*x.shape[:2], *self.view.source), x.dtype)
        once = tuple(_met_once(a) for a in self.view.axes)
        View(self.view.source, self.view.starts, once).look(y)[...] = x.sum(axis=again, keepdims=True)
        return y

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (apply(Strided(self.view), full(grad, out)),)


def _met_once(axis: Axis) -> Axis:
    """An axis that meets an element again and again meets it once."""
    return axis if axis.along >= 0 else Axis(1)


@dataclass(frozen=True)
class Concat(Op):
    """Operands one after the other along an axis."""

    axis: int
    name = "concat"

    def infer(self, *types: Type) -> Type:
        rest = {t.features[: self.axis] + t.features[self.axis + 1 :] for t in types}
        if len(rest) > 1 or any(len(t.features) <= self.axis for t in types):
            shown = ", ".join(str(list(t.features)) for t in types)
            raise CompileError(
                f"concat along axis {self.axis} needs feature shapes that are equal but for it, found {shown}"
            )
        length = sum(t.features[self.axis] for t in types)
        features = (*types[0].features[: self.axis], length, *types[0].features[self.axis + 1 :])
        dtype = next((t.dtype for t in types if t.dtype not in ("number", "scalar")), "real")
        return Type(features, any(t.time for t in types), any(t.batch for t in types), dtype)

    def evaluate(self, *arrays: Any) -> Any:
        lead = np.broadcast_shapes(*(np.shape(a)[:2] for a in arrays))
        return np.concatenate([np.broadcast_to(a, lead + np.shape(a)[2:]) for a in arrays], self.axis + 2)

    def views(self, features: Shape, lengths: Iterable[int]) -> tuple[View, ...]:
        """Of a result of this shape, that of each operand's part; lengths: along the axis."""
        found, start = [], 0
        for length in lengths:
            axes = (Axis(length if k == self.axis else n, k) for k, n in enumerate(features))
            starts = tuple(start if k == self.axis else 0 for k in range(len(features)))
            found.append(View(features, starts, tuple(axes)))
            start += length
        return tuple(found)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        views = self.views(out.type.features, (x.type.features[self.axis] for x in inputs))
        grad = full(grad, out)
        return tuple(apply(Strided(view), grad) for view in views)
