"""Operators of ONNX that move features, and the shapes they are told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import concat, first
from ...ops.reduce import Reshape
from ...ops.time import Last
from ...ops.value import Value, apply
from . import constants
from .axes import (
    TIME,
    Axes,
    AxisError,
    Tensor,
    after_move,
    described,
    features,
    length,
    moved,
    plain,
    refined,
    regrouped,
    reshape,
    without_samples,
)
from .evaluate import Evaluation, operator, tensor
from .nodes import Node
from .steps import read_step


def _known(node: Node, operand: Any, what: str) -> np.ndarray:
    if not isinstance(operand, np.ndarray):
        raise CompileError(f"its {what} must be constant; it is computed from the input")
    return operand


@operator("Shape")
def _shape(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    dims = tensor(run, node, operands).dims(run.lengths)
    run.flat.open_shapes = True
    return constants.shape(node, dims)[0]


@operator("Size")
def _size(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    run.flat.open_shapes = True
    return np.array(math.prod(tensor(run, node, operands).dims(run.lengths)), np.int64)


@operator("Reshape")
def _reshape(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    wanted = [int(n) for n in _known(node, operands[1], "shape").reshape(-1)]
    return _in_shape(run, x, constants.reshaped(node, x.dims(run.lengths), wanted))


def _in_shape(run: Evaluation, x: Tensor, dims: Sequence[int]) -> Tensor:
    axes = regrouped(x.axes, dims, run.lengths)
    return replace(x, value=_shaped(x.value, axes), axes=axes)


def _shaped(value: Value, axes: Axes) -> Value:
    return value if value.type.features == features(axes) else apply(Reshape(features(axes)), value)


@operator("Flatten")
def _flatten(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    axis, dims = int(node.attributes.get("axis", 1)), x.dims(run.lengths)
    if not -x.rank <= axis <= x.rank:
        raise CompileError(f"axis {axis} does not fit a value of {x.rank} axes")
    axis = axis + x.rank if axis < 0 else axis
    return _in_shape(run, x, (math.prod(dims[:axis]), math.prod(dims[axis:])))


@operator("Squeeze")
def _squeeze(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    gone = constants.squeezed(
        node, x.dims(run.lengths), constants.attribute_or_input(node, "axes", 1, operands)
    )
    if any(x.axes[a] for a in gone):
        raise AxisError(f"takes away axes {gone} of {described(x.axes)}, the batch or time among them")
    return replace(x, axes=tuple(axis for i, axis in enumerate(x.axes) if i not in gone))


@operator("Unsqueeze")
def _unsqueeze(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    new = constants.attribute_or_input(node, "axes", 1, operands) or []
    places = constants.axes_of(node, x.rank + len(new), new)
    rest = iter(x.axes)
    return replace(x, axes=tuple(() if i in places else next(rest) for i in range(x.rank + len(places))))


@operator("Transpose")
def _transpose(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    return transposed(
        x, constants.axes_of(node, x.rank, node.attributes.get("perm", list(range(x.rank))[::-1]))
    )


def transposed(x: Tensor, order: Sequence[int]) -> Tensor:
    """The tensor with its axes in another order."""
    if len(order) != x.rank:
        raise CompileError(f"an order of {len(order)} axes does not fit a value of {x.rank}")
    value, _ = moved(x, lambda index: index.transpose(order))
    axes = tuple(x.axes[i] for i in order)
    return replace(x, value=reshape(value, features(axes)), axes=axes)


@operator("Expand")
def _expand(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    wanted = _known(node, operands[1], "shape").reshape(-1)
    target = [int(n) for n in wanted]
    try:
        dims = np.broadcast_shapes(x.dims(run.lengths), tuple(target))
    except ValueError:
        raise AxisError(f"expands {described(x.axes)} to {target}") from None
    if dims == x.dims(run.lengths):
        return x
    missing = len(dims) - x.rank
    grown = replace(x, axes=((),) * missing + x.axes)
    for axis, n, m in zip(grown.axes, grown.dims(run.lengths), dims, strict=True):
        if n != m and axis:
            raise AxisError(f"expands {described(x.axes)} to {list(dims)}")
    full = [m if plain(axis) else math.prod(a for a in axis if isinstance(a, int))
              for axis, m in zip(grown.axes, dims, strict=True)]  # fmt: skip
    value, made = moved(grown, lambda index: np.broadcast_to(index, full))
    return after_move(grown, value, grown.axes, made)


@operator("Tile")
def _tile(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    repeats = [int(n) for n in _known(node, operands[1], "repeats").reshape(-1)]
    if len(repeats) != x.rank or any(n < 1 for n in repeats):
        raise CompileError(f"repeats {repeats} do not fit a value of {x.rank} axes")
    if any(n != 1 and not plain(axis) for n, axis in zip(repeats, x.axes, strict=True)):
        raise AxisError(f"repeats time or the batch of {described(x.axes)}")
    value, dims = moved(x, lambda index: np.tile(index, repeats))
    return after_move(x, value, x.axes, dims)


@operator("Gather")
def _gather(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x, index = operands
    if isinstance(index, Tensor) and index.number:
        return read_step(run, x, int(node.attributes.get("axis", 0)), node)
    x, places = tensor(run, node, operands), _known(node, index, "indices")
    (axis,) = constants.axes_of(node, x.rank, [node.attributes.get("axis", 0)])
    if x.axes[axis] == (TIME,):
        return _at_end(run, x, axis, places)
    if not plain(x.axes[axis]):
        raise AxisError(f"picks from axis {axis} of {described(x.axes)}")
    value, dims = moved(x, lambda flat: constants.gathered(node, flat, places))
    axes = x.axes[:axis] + tuple((int(n),) if n != 1 else () for n in places.shape) + x.axes[axis + 1 :]
    return after_move(x, value, axes, dims)


def _at_end(run: Evaluation, x: Tensor, axis: int, places: np.ndarray) -> Tensor:
    """The first or the last step of a sequence."""
    at = int(places.reshape(-1)[0]) if places.size == 1 else None
    if at in (0, -run.lengths[TIME]):
        value = first(x.value) if x.value.type.time else x.value
    elif at in (-1, run.lengths[TIME] - 1):
        value = apply(Last(), x.value) if x.value.type.time else x.value
    else:
        raise AxisError(f"reads step {at} of {described(x.axes)}")
    return replace(x, value=value, axes=x.axes[:axis] + ((),) * places.ndim + x.axes[axis + 1 :])


@operator("Slice")
def _slice(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    taken = list(constants.slices(node, x.rank, operands))
    for place, axis in enumerate(x.axes):
        if not plain(axis):
            count = length(axis, run.lengths)
            if taken[place].indices(count) != (0, count, 1):
                raise AxisError(f"cuts axis {place} of {described(x.axes)}")
            taken[place] = slice(None)
    value, dims = moved(x, lambda flat: flat[tuple(taken)])
    if 0 in dims:
        raise CompileError("takes nothing")
    return after_move(x, value, x.axes, dims)


@operator("Split")
def _split(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    (axis,) = constants.axes_of(node, x.rank, [node.attributes.get("axis", 0)])
    if not plain(x.axes[axis]):
        raise AxisError(f"cuts axis {axis} of {described(x.axes)}")
    sizes = constants.split_sizes(node, length(x.axes[axis], run.lengths), len(node.outputs), operands)
    parts, start = [], 0
    for size in sizes:
        cut = (slice(None),) * axis + (slice(start, start + size),)
        value, dims = moved(x, lambda flat, cut=cut: flat[cut])  # type: ignore[misc]
        parts.append(after_move(x, value, x.axes, dims))
        start += size
    return parts


@operator("Concat")
def _concat(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    tensors = [o for o in operands if isinstance(o, Tensor)]
    if not tensors or not all(isinstance(o, (Tensor, np.ndarray)) for o in operands):
        raise CompileError("puts together what is missing, or weights that are inputs")
    (axis,) = constants.axes_of(node, tensors[0].rank, [node.attributes.get("axis", 0)])
    if any(not plain(t.axes[axis]) for t in tensors):
        raise AxisError(
            f"puts together {', '.join(described(t.axes) for t in tensors)} along time or the batch"
        )
    frame = [refined([t.axes[i] for t in tensors]) if i != axis else () for i in range(tensors[0].rank)]
    before = len(features(tuple(frame[:axis])))
    parts, total = [], 0
    for operand, name in zip(operands, node.inputs, strict=True):
        known = (
            operand.shape[axis]
            if isinstance(operand, np.ndarray)
            else length(operand.axes[axis], run.lengths)
        )
        own = (*frame[:axis], (known,) if known != 1 else (), *frame[axis + 1 :])
        shape = (*features(own[:axis]), known, *features(own[axis + 1 :]))
        parts.append(_part(run, operand, own, shape, name))
        total += known
    value = concat(parts, before)
    return run.result(value, (*frame[:axis], (total,) if total != 1 else (), *frame[axis + 1 :]), tensors)


def _part(run: Evaluation, operand: Any, own: Axes, shape: tuple[int, ...], name: str) -> Any:
    """A part of a Concat with these features; a constant becomes a parameter."""
    if not isinstance(operand, np.ndarray):
        return reshape(run.operand(operand, own, name), shape)
    laid = without_samples(operand, own, run.lengths)
    flat = np.broadcast_to(laid, [a if isinstance(a, int) else 1 for axis in own for a in axis])
    return run.weights.parameter(name, f"part {shape}", flat.reshape(shape).astype(np.float64))
