"""Recurrent layers of ONNX, RNN, GRU and LSTM: one product for what comes in, and a loop over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn import delay
from ...ops import Value, maximum, sigmoid, split, tanh
from ...ops.linear import linear
from ...ops.time import Last
from ...ops.value import apply
from .axes import TIME, Axes, Tensor, atoms, features, plain, reshape
from .evaluate import Evaluation, operator
from .nodes import Node
from .steps import read_step

FUNCTIONS = {"Tanh": tanh, "Sigmoid": sigmoid, "Relu": lambda x: maximum(x, 0.0)}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUTS = 8  # of an LSTM: x, weights, recurrent weights, bias, lengths, states, peepholes


@dataclass(frozen=True)
class _Layer:
    """A recurrent layer: what it reads at each step, its matrices [gates * size, ...] and biases."""

    run: Evaluation
    node: Node
    seen: Tensor
    weight: Value
    recurrent: Value
    biases: tuple[Value, Value]
    functions: tuple[Any, ...]
    initial: tuple[Any, ...]

    @property
    def size(self) -> int:
        """Neurons."""
        return int(self.recurrent.type.features[1])

    @property
    def incoming(self) -> Value:
        """What the input adds to each gate."""
        x = reshape(self.seen.value, self.weight.type.features[1:])
        return linear(x, self.weight, self.biases[0])

    def again(self, before: Value) -> Value:
        """What the step before adds to each gate."""
        return linear(before, self.recurrent, self.biases[1])

    def state(self, place: int) -> Any:
        """A state as a loop. place: among the outputs, h and c."""
        label = self.run.names[self.node.outputs[0] or next(o for o in self.node.outputs if o)]
        start: Any = 0.0
        given = self.initial[place - 1]
        if given is not None:
            axes = ((), self.seen.axes[0], *atoms([self.size]))
            start = self.run.constant(given, axes, self.node.inputs[4 + place])
        return delay(shape=(self.size,), initial=start, name=label if place == 1 else f"{label}_cell")

    def results(self, *states: Value) -> list[Tensor]:
        """The sequence of the first state, and the last value of each."""
        axes: Axes = (self.seen.axes[0], *atoms([self.size]))
        shaped = [reshape(state, features(axes)) for state in states]
        lasts = [Tensor(apply(Last(), value), ((), *axes)) for value in shaped]
        return [Tensor(shaped[0], ((TIME,), (), *axes)), *lasts]


@operator("RNN")
def _rnn(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    layer = _layer(run, node, operands)
    h = layer.state(1)
    return layer.results(h.feed(layer.functions[0](layer.incoming + layer.again(h.value))))


@operator("GRU")
def _gru(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Gates z, r and the hidden one; the reset multiplies behind the product (linear_before_reset)."""
    layer = _layer(run, node, operands)
    if not node.attributes.get("linear_before_reset", 0):
        raise CompileError("is supported with linear_before_reset=1 alone, which PyTorch writes")
    gate, inner = layer.functions
    h = layer.state(1)
    z_in, r_in, n_in = split(layer.incoming, layer.size)
    z_h, r_h, n_h = split(layer.again(h.value), layer.size)
    z, r = gate(z_in + z_h), gate(r_in + r_h)
    n = inner(n_in + r * n_h)
    return layer.results(h.feed((1.0 - z) * n + z * h.value))


@operator("LSTM")
def _lstm(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Gates i, o, f and c."""
    layer = _layer(run, node, operands)
    gate, inner, outer = layer.functions
    h, c = layer.state(1), layer.state(2)
    i, o, f, new = split(layer.incoming + layer.again(h.value), layer.size)
    cell = c.feed(gate(f) * c.value + gate(i) * inner(new))
    return layer.results(h.feed(gate(o) * outer(cell)), cell)


def _layer(run: Evaluation, node: Node, operands: Sequence[Any]) -> _Layer:
    """The parts of a layer, forwards, checked."""
    x, weight, recurrent, bias, lengths, *initial = (*operands, *[None] * INPUTS)[:INPUTS]
    told = node.attributes
    names = list(told.get("activations") or USUAL[node.op])
    forward = told.get("direction", "forward") == "forward" and not told.get("layout", 0)
    if lengths is not None or initial[2] is not None or "clip" in told or told.get("input_forget", 0):
        raise CompileError("lengths, peepholes, clip and input_forget are not supported")
    if not forward or len(names) != len(USUAL[node.op]) or not all(n in FUNCTIONS for n in names):
        known = ", ".join(FUNCTIONS)
        raise CompileError(f"supported is one direction, forward, with activations of {known}; found {names}")
    if any(not isinstance(a, np.ndarray) or a.ndim != 3 for a in (weight, recurrent)):
        raise CompileError("its weights must be constant")
    if any(isinstance(a, Tensor) for a in (bias, *initial)):
        raise CompileError("its bias and initial states must be constant")
    seen, rows = read_step(run, x, 0, node), GATES[node.op] * recurrent.shape[-1]
    if len(seen.axes) != 2 or not plain(seen.axes[1]):
        raise CompileError("needs an input [steps, batch, features]")
    if weight.shape[:2] != (1, rows) or recurrent.shape[:2] != (1, rows):
        raise CompileError(f"weights {list(weight.shape)} and {list(recurrent.shape)} do not fit each other")
    held = [
        run.weights.parameter(name, "", array[0].astype(np.float64), True, panels=True)
        for name, array in zip(node.inputs[1:3], (weight, recurrent), strict=True)
    ]
    both = np.zeros(2 * rows) if bias is None else np.asarray(bias, np.float64).reshape(-1)
    label = node.inputs[3] if bias is not None else f"{node.outputs[0]}.bias"
    halves = [
        run.weights.parameter(label, f"part {k}", half, True) for k, half in enumerate(np.split(both, 2))
    ]
    functions = tuple(FUNCTIONS[name] for name in names)
    return _Layer(run, node, seen, held[0], held[1], (halves[0], halves[1]), functions, tuple(initial[:2]))
