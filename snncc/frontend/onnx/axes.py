"""Tensors of ONNX as values of the graph: which of their axes are time, batch and features.

A value of the graph has its axes in one order, [T, B, *features]; a tensor of ONNX has them in any, fused or
split. So a tensor is a value with its axes: each a tuple of atoms, TIME, BATCH or the length of a feature
axis; the empty tuple is an axis of length 1. The features of the value are the tensor's feature atoms in
their order. Within a step no axis is TIME, though the value varies over time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, take
from ...ops.reduce import Reshape
from ...ops.value import apply

TIME, BATCH = "T", "B"
Atom = str | int
Axis = tuple[Atom, ...]
Axes = tuple[Axis, ...]
Lengths = Mapping[str, int]


MOST_MOVED = 1 << 20  # features of a sample that change places
FLOAT = np.dtype(np.float32)


class AxisError(CompileError):
    """The axes of time and batch do not go through an operator: others may."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    dtype: in the file; truth and integers are numbers here. state: made of states and constants alone.
    delayed: a spike of the step before. number: the number of the step. product: the operand and the weight
    of a product without a bias.
    """

    value: Value
    axes: Axes
    dtype: np.dtype[Any] = FLOAT
    state: bool = False
    delayed: bool = False
    number: bool = False
    product: tuple[Value, Value] | None = None

    @property
    def rank(self) -> int:
        return len(self.axes)

    def dims(self, lengths: Lengths) -> tuple[int, ...]:
        return tuple(length(axis, lengths) for axis in self.axes)


def length(axis: Axis, lengths: Lengths) -> int:
    return math.prod(lengths[a] if isinstance(a, str) else a for a in axis)


def features(axes: Axes) -> tuple[int, ...]:
    """The feature shape of a value with these axes."""
    return tuple(a for axis in axes for a in axis if isinstance(a, int))


def atoms(shape: Sequence[int]) -> Axes:
    """The axes of features of this shape."""
    return tuple((int(n),) if n != 1 else () for n in shape)


def plain(axis: Axis) -> bool:
    """Whether an axis is features alone, or of length 1."""
    return all(isinstance(a, int) for a in axis)


def described(axes: Axes) -> str:
    """`[T, B*4, 1]`."""
    return f"[{', '.join('*'.join(map(str, axis)) or '1' for axis in axes)}]"


def reshape(value: Value, shape: tuple[int, ...]) -> Value:
    """The same features in another shape."""
    result: Value = value if value.type.features == shape else apply(Reshape(shape), value)
    return result


def regrouped(axes: Axes, dims: Sequence[int], lengths: Lengths) -> Axes:
    """The axes of a reshaped tensor. Raises AxisError where time or batch would be cut."""
    atoms = [a for axis in axes for a in axis]
    result: list[Axis] = []
    for place, wanted in enumerate(dims):
        taken: list[Atom] = []
        size = 1
        while size < wanted or (size == wanted == 1 and _is_unit(atoms, lengths, len(dims) - place)):
            if not atoms:
                raise AxisError(f"cannot reshape {described(axes)} to {list(dims)}")
            atom = atoms.pop(0)
            count = lengths[atom] if isinstance(atom, str) else atom
            if size * count > wanted:
                part = wanted // size
                if isinstance(atom, str) or count % part or wanted % size:
                    raise AxisError(
                        f"reshaping {described(axes)} to {list(dims)} would cut an axis in pieces"
                    )
                atoms.insert(0, count // part)
                atom, count = part, part
            size *= count
            taken.append(atom)
            if size == wanted == 1:
                break
        result.append(tuple(taken))
    if atoms:  # of length 1
        result[-1:] = [(*(result[-1] if result else ()), *atoms)]
    return tuple(result)


def _is_unit(atoms: Sequence[Atom], lengths: Lengths, axes_left: int) -> bool:
    """Whether time or batch of length 1 comes next: it takes an axis of length 1."""
    return bool(atoms) and isinstance(atoms[0], str) and lengths[atoms[0]] == 1 and axes_left > 0


def refined(axes: Sequence[Axis]) -> Axis:
    """The one axis that all of these are, cut where any of them is cut; axes of length 1 give way."""
    result: Axis = ()
    for axis in axes:
        result = _meet(result, axis) if result and axis else result or axis
    return result


def _meet(a: Axis, b: Axis) -> Axis:
    left, right, met = list(a), list(b), []
    while left and right:
        x, y = left.pop(0), right.pop(0)
        if x == y:
            met.append(x)
        elif isinstance(x, str) or isinstance(y, str):
            raise AxisError(f"an axis {described((a,))} meets an axis {described((b,))}")
        elif max(x, y) % min(x, y):
            raise AxisError(f"axes {described((a,))} and {described((b,))} are not alike")
        else:
            met.append(min(x, y))
            (left if x > y else right).insert(0, max(x, y) // min(x, y))
    if left or right:
        raise AxisError(f"axes {described((a,))} and {described((b,))} are not alike")
    return tuple(met)


def broadcast(operands: Sequence[Any], lengths: Lengths) -> Axes:
    """The axes of an elementwise result."""
    if any(o is None for o in operands):
        raise CompileError("an input is missing")
    operands = [o if isinstance(o, (Tensor, np.ndarray)) else np.empty(o.shape) for o in operands]
    rank = max(o.rank if isinstance(o, Tensor) else o.ndim for o in operands)
    result = []
    for place in range(-rank, 0):
        tensors = [o.axes[place] for o in operands if isinstance(o, Tensor) and o.rank >= -place]
        axis = refined(tensors)
        for array in operands:
            if isinstance(array, np.ndarray) and array.ndim >= -place and array.shape[place] != 1:
                axis = axis or (int(array.shape[place]),)
                if array.shape[place] != length(axis, lengths):
                    raise AxisError(f"a constant of shape {list(array.shape)} meets {described((axis,))}")
        result.append(axis)
    return tuple(result)


def fitted(tensor: Tensor, axes: Axes) -> Value:
    """The tensor's value with the features of a result with these axes."""
    if tensor.rank > len(axes):
        raise AxisError(f"{described(tensor.axes)} has more axes than {described(axes)}")
    own = ((),) * (len(axes) - tensor.rank) + tensor.axes
    if not features(own) or features(own) == features(axes):
        return tensor.value
    shape, wanted = [], features(axes)
    for have, full in zip(own, axes, strict=True):
        shape += [a if have else 1 for a in full if isinstance(a, int)]
    if math.prod(shape) != tensor.value.type.size:
        raise AxisError(f"{described(tensor.axes)} does not fit {described(axes)}")
    index = np.broadcast_to(np.arange(tensor.value.type.size).reshape(shape), wanted)
    if index.size == tensor.value.type.size:
        return reshape(tensor.value, wanted)
    result: Value = take(tensor.value, index, wanted)
    return result


def moved(tensor: Tensor, move: Callable[[np.ndarray], np.ndarray]) -> tuple[Value, tuple[int, ...]]:
    """A tensor's features after `move`, which gets an index array shaped like the tensor.

    Time and batch have length 1 in it. The value, flat, and the dimensions of the moved array.
    """
    shape = [math.prod(a for a in axis if isinstance(a, int)) for axis in tensor.axes]
    if math.prod(shape) > MOST_MOVED:
        raise CompileError(f"moves {math.prod(shape):,} features; up to {MOST_MOVED:,} are supported")
    index = move(np.arange(tensor.value.type.size).reshape(shape))
    flat = index.reshape(-1)
    if flat.size > MOST_MOVED:
        raise CompileError(f"makes {flat.size:,} features; up to {MOST_MOVED:,} are supported")
    if flat.size == tensor.value.type.size and np.array_equal(flat, np.arange(flat.size)):
        return tensor.value, index.shape
    return take(tensor.value, flat, flat.shape), index.shape


def after_move(tensor: Tensor, value: Value, old: Axes, dims: Sequence[int]) -> Tensor:
    """The tensor of a moved value: `old` are the axes where they stayed, dims the new lengths of features."""
    axes: list[Axis] = []
    for axis, count in zip(old, dims, strict=True):
        kept = tuple(a for a in axis if isinstance(a, str))
        same = math.prod(features((axis,))) == count
        axes.append(axis if same else (*kept, *([int(count)] if count != 1 else [])))
    made = tuple(axes)
    return replace(tensor, value=reshape(value, features(made)), axes=made)


def without_samples(array: np.ndarray, axes: Axes, lengths: Lengths) -> np.ndarray:
    """A constant that meets a tensor, with an axis for each atom of it; of length 1 over the batch.

    Raises AxisError where samples would differ.
    """
    shape = (1,) * (len(axes) - array.ndim) + array.shape
    fits = zip(axes, shape, strict=False)
    if len(shape) != len(axes) or any(n not in (1, length(axis, lengths)) for axis, n in fits):
        raise AxisError(f"a constant of shape {list(array.shape)} does not fit {described(axes)}")
    parts: list[int] = []
    atoms: list[Atom] = []
    for axis, count in zip(axes, shape, strict=True):
        atoms += axis
        full = count == length(axis, lengths) and count != 1
        parts += [(lengths[a] if isinstance(a, str) else a) if full else 1 for a in axis]
    laid = array.reshape(parts)
    for place, atom in enumerate(atoms):
        if atom == BATCH or (atom == TIME and _same(laid, place)):
            if not _same(laid, place):
                raise AxisError("a constant differs from sample to sample of the batch")
            laid = np.take(laid, [0], place)
    return laid


def _same(array: np.ndarray, axis: int) -> bool:
    return np.array_equal(array, np.broadcast_to(np.take(array, [0], axis), array.shape), equal_nan=True)
