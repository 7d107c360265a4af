"""Time in the flat form, on values: steps of sequences, states, reductions over axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn import delay
from ...ops import Value, maximum, scatter_add, sum_features, sum_time, tanh
from ...ops.leaf import StepNumber, Steps
from ...ops.linear import linear
from ...ops.pool import max_pool
from ...ops.reduce import leaf, mean_time
from ...ops.steps import at_step
from ...ops.time import Last
from ...ops.value import apply
from ...ops.windows import Windows
from . import constants
from .axes import BATCH, TIME, Axes, AxisError, Tensor, described, features, plain, reshape
from .evaluate import Evaluation, Given, operator, tensor
from .loops import DELAY, LAST, NUMBER, STACK, STEP
from .nodes import Node

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


@operator("ReduceSum", "ReduceMean", "ReduceMax")
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
    if node.op == "ReduceMax":
        raise CompileError("the largest of all steps is not supported; a running maximum is Max and a state")
    return sum_time(value) if value.type.time else value * leaf(value, Steps())


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
    """The largest of the last feature axes: pooling with one window."""
    last = [i for i in range(x.rank) if i in places and features((x.axes[i],))]
    kept = [i for i in range(x.rank) if i not in places and features((x.axes[i],))]
    if not last:
        return value
    if kept and max(kept) > min(last):
        raise CompileError("the largest over axes is supported for the last ones alone")
    width = math.prod(features(tuple(x.axes[i] for i in last)))
    rows = math.prod(features(tuple(x.axes[i] for i in kept)))
    window = Windows((width,), (1,), (0,), (0,), (1,))
    return max_pool(reshape(value, (rows, width)), window)


@operator("RNN")
def _rnn(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """The plain recurrent layer, forwards, with Relu or Tanh."""
    x, weight, recurrent, bias, lengths, initial = (*operands, None, None, None)[:6]
    function = (node.attributes.get("activations") or ["Tanh"])[0]
    plain_kind = node.attributes.get("direction", "forward") == "forward" and not node.attributes.get(
        "layout", 0
    )
    if function not in ("Relu", "Tanh") or not plain_kind or lengths is not None or "clip" in node.attributes:
        raise CompileError("supported is one direction, forward, with Relu or Tanh, without lengths and clip")
    if not isinstance(weight, np.ndarray) or not isinstance(recurrent, np.ndarray):
        raise CompileError("its weights must be constant")
    seen = read_step(run, x, 0, node)
    if len(seen.axes) != 2 or not plain(seen.axes[1]) or isinstance(initial, Tensor):
        raise CompileError("needs an input [steps, batch, features] and a constant initial state")
    size = recurrent.shape[-1]
    w, r = (_matrix(run, name, a) for name, a in zip(node.inputs[1:3], (weight, recurrent), strict=True))
    both = np.zeros((1, 2 * size)) if bias is None else np.asarray(bias)
    halves = np.split(both[0].astype(np.float64), 2)
    biases = [run.weights.parameter(node.inputs[3], f"part {k}", half, True) for k, half in enumerate(halves)]
    loop = delay(
        shape=(size,), initial=_initial(run, initial, node, seen, size), name=run.names[node.outputs[0]]
    )
    total = linear(reshape(seen.value, w.type.features[1:]), w, biases[0]) + linear(loop.value, r, biases[1])
    made = loop.feed(maximum(total, 0.0) if function == "Relu" else tanh(total))
    axes = (seen.axes[0], (size,) if size != 1 else ())
    y = Tensor(reshape(made, features(axes)), ((TIME,), (), *axes))
    last: Value = apply(Last(), y.value)
    return [y, Tensor(last, ((), *axes))]


def _matrix(run: Evaluation, name: str, array: np.ndarray) -> Value:
    return run.weights.parameter(name, "", array[0].astype(np.float64), True, panels=True)


def _initial(run: Evaluation, initial: Any, node: Node, seen: Tensor, size: int) -> Any:
    if initial is None:
        return 0.0
    axes = ((), seen.axes[0], (size,) if size != 1 else ())
    return run.constant(initial, axes, node.inputs[5])
