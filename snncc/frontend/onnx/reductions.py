"""Operators of ONNX that reduce axes: sums, means, the largest and its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, permute, scatter_add, sum_features, sum_time
from ...ops.groups import sum_groups
from ...ops.last_axis import FirstMaximum, MaxLast
from ...ops.leaf import Vector
from ...ops.lengths import count_steps, mean_time, within
from ...ops.reduce import leaf
from ...ops.value import apply
from . import constants
from .axes import BATCH, TIME, AxisError, Tensor, described, features, length, plain, reshape
from .evaluate import Evaluation, operator, tensor
from .nodes import LARGEST, Node


@operator("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def _reduce(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    axes = constants.attribute_or_input(node, "axes", 1, operands)
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return x
    places = constants.axes_of(node, x.rank, axes) if axes else list(range(x.rank))
    atoms = [a for i in places for a in x.axes[i]]
    if BATCH in atoms:
        raise AxisError("reduces over the batch")
    value, kept = x.value, [() if i in places else axis for i, axis in enumerate(x.axes)]
    if node.op == "ReduceMax":
        value = _largest(x, places, value)
    elif node.op == "ReduceMin":
        value = -_largest(x, places, -value)
    else:
        value = _summed(x, places, value)
    count = math.prod(a for a in atoms if isinstance(a, int))
    if TIME in atoms:
        value = _over_time(node, value)
    if node.op == "ReduceMean" and count != 1:
        value = value / float(count)
    if not node.attributes.get("keepdims", 1):
        kept = [axis for i, axis in enumerate(kept) if i not in places]
    return replace(
        x, value=reshape(value, features(tuple(kept))), axes=tuple(kept), state=False, delayed=False
    )


def _over_time(node: Node, value: Value) -> Value:
    if node.op == "ReduceMean":
        return mean_time(value)
    if node.op in ("ReduceMax", "ReduceMin"):
        raise CompileError("the largest of all steps is not supported; a running maximum is Max and a state")
    return sum_time(within(value)) if value.type.time else value * count_steps(value)


def _summed(x: Tensor, places: Sequence[int], value: Value) -> Value:
    """Sums over features, in ascending order."""
    if not any(isinstance(a, int) for i in places for a in x.axes[i]):
        return value
    if all(i in places or not features((axis,)) for i, axis in enumerate(x.axes)):
        return sum_features(value)
    index, shape = _groups(x, places)
    result: Value = scatter_add(value, index, shape)
    return result


def _groups(x: Tensor, places: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """For each feature the place of its sum, and the shape of the sums."""
    sizes = [math.prod(a for a in axis if isinstance(a, int)) for axis in x.axes]
    left = [1 if i in places else n for i, n in enumerate(sizes)]
    index = np.broadcast_to(np.arange(math.prod(left)).reshape(left), sizes).reshape(-1)
    return index, features(tuple(axis for i, axis in enumerate(x.axes) if i not in places))


def _largest(x: Tensor, places: Sequence[int], value: Value) -> Value:
    """The largest along axes, which become the last one."""
    sizes = [math.prod(features((axis,))) for axis in x.axes]
    gone = [i for i in range(x.rank) if i in places and sizes[i] > 1]
    kept = [i for i in range(x.rank) if i not in gone]
    if not gone:
        return value
    turned = permute(reshape(value, tuple(sizes)), *kept, *gone)
    rows = tuple(sizes[i] for i in kept if sizes[i] > 1)
    found: Value = apply(MaxLast(), reshape(turned, (*rows, math.prod(sizes[i] for i in gone))))
    return found


@operator("ArgMax", "ArgMin")
def _arg(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """The place of the largest along an axis, of several the first. It has no gradient."""
    x = tensor(run, node, operands)
    (axis,) = constants.axes_of(node, x.rank, [int(node.attributes.get("axis", 0))])
    if node.attributes.get("select_last_index", 0):
        raise CompileError("takes the last of several that are equal; supported is the first")
    if not plain(x.axes[axis]):
        raise AxisError(f"looks along axis {axis} of {described(x.axes)}")
    count = length(x.axes[axis], run.lengths)
    before, behind = features(x.axes[:axis]), features(x.axes[axis + 1 :])
    shape = (*before, count, *behind)
    order = [*range(len(before)), *range(len(before) + 1, len(shape)), len(before)]
    value = reshape(x.value if node.op == "ArgMax" else -x.value, shape)
    chosen = apply(FirstMaximum(), permute(value, *order) if behind else value)
    places: Value = chosen * _numbers(chosen)
    found = sum_groups(places, (*before, *behind)) if before or behind else sum_features(places)
    kept = [() if i == axis else a for i, a in enumerate(x.axes)]
    axes = tuple(a for i, a in enumerate(kept) if i != axis or node.attributes.get("keepdims", 1))
    return Tensor(reshape(found, features(axes)), axes, np.dtype(np.int64))


def _numbers(like: Value) -> Value:
    """0, 1, ... along the last axis."""
    count, rows = like.type.features[-1], math.prod(like.type.features[:-1])
    table: Value = leaf(like, Vector(tuple(float(n) for n in range(count)) * rows))
    return reshape(table, like.type.features)


@operator(LARGEST)
def _at_largest(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    if x.rank != 2 or not plain(x.axes[1]):
        raise AxisError(f"looks for the largest of the features of {described(x.axes)}")
    shape = (length(x.axes[1], run.lengths),)
    made: Value = apply(FirstMaximum(), reshape(x.value, shape))
    return Tensor(reshape(made, features(x.axes)), x.axes)
