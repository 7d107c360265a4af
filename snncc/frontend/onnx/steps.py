"""Time in the flat form, on values: steps of sequences, and states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn import delay
from ...ops import Value
from ...ops.leaf import StepNumber
from ...ops.reduce import leaf
from ...ops.steps import at_step
from ...ops.time import Last
from ...ops.value import apply
from . import constants
from .axes import BATCH, TIME, Axes, AxisError, Tensor, described, features
from .evaluate import Evaluation, Given, operator
from .nodes import DELAY, LAST, NUMBER, STACK, STEP, Node

COMPARED = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")


@operator(STEP)
def _step(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    return read_step(run, operands[0], int(node.attributes["axis"]), node)


def read_step(run: Evaluation, x: Any, axis: int, node: Node) -> Tensor:
    """A sequence, step by step: its axis of time is gone."""
    if isinstance(x, np.ndarray):
        (place,) = constants.axes_of(node, x.ndim, [axis])
        if x.shape[place] != run.lengths.get(TIME):
            raise AxisError(
                f"reads {x.shape[place]} steps of a constant, there are {run.lengths.get(TIME, 'none')}"
            )
        rows = np.moveaxis(x, place, 0).astype(np.float64)
        axes: Axes = tuple((n,) if n != 1 else () for n in rows.shape[1:])
        held = run.weights.parameter(node.inputs[0], "steps", rows.reshape(len(rows), *features(axes)))
        return Tensor(at_step(held, features(axes)), axes, x.dtype)
    (place,) = constants.axes_of(node, x.rank, [axis])
    if x.axes[place] != (TIME,):
        raise AxisError(f"reads axis {place} of {described(x.axes)} step by step, which is not time")
    sequence: Tensor = x
    return replace(sequence, axes=sequence.axes[:place] + sequence.axes[place + 1 :])


@operator(STACK)
def _stack(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = _tensor(run, operands[0], node.inputs[0])
    (place,) = constants.axes_of(node, x.rank + 1, [int(node.attributes["axis"])])
    if TIME not in run.lengths:
        raise AxisError("no input and no loop says how many steps there are")
    if any(TIME in axis for axis in x.axes):
        raise AxisError("a sequence of sequences is not supported")
    return replace(x, axes=(*x.axes[:place], (TIME,), *x.axes[place:]), state=False)


@operator(LAST)
def _last(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = _tensor(run, operands[0], node.inputs[0])
    value = apply(Last(), x.value) if x.value.type.time else x.value
    return replace(x, value=value, state=False)


@operator(NUMBER)
def _number(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    count = operands[0]
    if not isinstance(count, np.ndarray) or count.size != 1:
        raise CompileError("its number of steps must be constant, or the length of an axis of the input")
    if int(count.reshape(-1)[0]) != run.lengths.get(TIME):
        raise AxisError(
            f"takes {int(count.reshape(-1)[0])} steps, the input has {run.lengths.get(TIME, 'none')}"
        )
    near = next(v.value for v in run.values.values() if isinstance(v, Tensor))
    return Tensor(leaf(near, StepNumber()), (), np.dtype(np.int64), number=True)


@operator(DELAY)
def _delay(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """The state of a loop; its shape is that of its initial value, the batch its first axis."""
    feed, initial = node.attributes["feed"], operands[0]
    spikes = _is_spike(run, feed.value)
    if isinstance(initial, Tensor):
        raise CompileError(
            f"the initial value of the state {feed.label!r} is computed from the input; supported are "
            "constants and inputs"
        )
    if isinstance(initial, np.ndarray):
        axes = _state_axes(run, node, initial.shape)
        start = run.constant(initial, axes, node.inputs[0])
    else:
        axes, start = _state_axes(run, node, initial.shape), run.flat.initial.get(node.inputs[0], 0.0)
    label = run.labels[node.inputs[0] if isinstance(initial, Given) else feed.label]
    loop = delay(shape=features(axes), initial=start, name=label)
    made = Tensor(loop.value, axes, np.dtype(np.float32), state=True, delayed=spikes)
    run.delays.append((node, loop, made))
    return made


def _state_axes(run: Evaluation, node: Node, shape: Sequence[int]) -> Axes:
    dims = tuple(node.attributes.get("shape", shape))
    dims = np.broadcast_shapes(dims, tuple(shape))
    axes: list[Any] = [(int(n),) if n != 1 else () for n in dims]
    if BATCH in run.lengths and dims and dims[0] == run.lengths[BATCH]:
        axes[0] = (BATCH,)
    return tuple(axes)


def _is_spike(run: Evaluation, name: str) -> bool:
    """Whether a value is a comparison, cast."""
    while (maker := run.makers.get(name)) is not None and maker.op in ("Cast", "CastLike", "Identity"):
        name = maker.inputs[0]
    return maker is not None and maker.op in COMPARED


def _tensor(run: Evaluation, operand: Any, name: str) -> Tensor:
    """An operand that may be constant, as a tensor of the network."""
    if isinstance(operand, Tensor):
        return operand
    near = next(v for v in run.values.values() if isinstance(v, Tensor))
    axes = _state_axes(run, Node("", (), ()), np.shape(operand))
    value = run.operand(operand, axes, name)
    if not isinstance(value, Value):
        raise CompileError(f"{name} is the same at every step and in every sample")
    return Tensor(value, axes, near.dtype)
