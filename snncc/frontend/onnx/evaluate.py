"""Runs a flat ONNX graph on values of the graph under construction: each node by the meaning of its operator.

What only constants go into is computed at once. Operands are tensors, constants (arrays), inputs that hold
weights, or None where the file leaves one out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...nn.module import Module, Parameter
from ...nn.surrogate import ATan
from ...ops import Value, detach
from ...ops.groups import spread
from ...ops.reduce import expand
from ...ops.steps import at_step
from ..foreign import plain_names, shown
from . import constants
from .axes import TIME, Axes, AxisError, Lengths, Tensor, broadcast, features, fitted, without_samples
from .nodes import Flat, Node


@dataclass(frozen=True)
class Given:
    """An input of the graph that holds weights: a parameter whose numbers come with each run."""

    name: str
    shape: tuple[int, ...]


Operand = Tensor | np.ndarray | Given | None
Handler = Callable[["Evaluation", Node, Sequence[Any]], Any]
OPERATORS: dict[str, Handler] = {}


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Registers what operators mean."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


@dataclass
class Weights:
    """The parameters of a network from the constants of a file, each declared when it is first read."""

    module: Module
    flat: Flat
    reserved: frozenset[str]  # names of the module's own attributes
    turned: set[str] = field(default_factory=set)  # inputs that hold weights and are kept transposed
    declared: dict[tuple[str, str], str] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plain = plain_names(sorted(self.flat.weights))

    def parameter(
        self, name: str, form: str, array: np.ndarray, learnable: bool = False, panels: bool = False
    ) -> Value:
        """The parameter that holds a constant in a form of its own ("" is as the file has it)."""
        source = self.flat.sources.get(name, name)
        if (source, form) not in self.declared:
            wanted = self.plain.get(source) or next(iter(plain_names([source])))
            label = next(iter(plain_names([wanted], (*self.declared.values(), *self.reserved)).values()))
            if not np.isfinite(array).all():
                raise CompileError(f"{shown(source)!r} has NaN or infinity in it; weights must be finite")
            self.declared[source, form] = label
            setattr(self.module, label, Parameter(array.shape, array, learnable, panels=panels))
        value: Value = getattr(self.module, self.declared[source, form])
        return value


@dataclass
class Evaluation:
    """One run over a flat graph.

    lengths: of the axes of time and batch. batch_first: whether states have the batch as their first
    axis. surrogate: of spikes; None for ATan, or what the file says. detach_reset: a spike of the step
    before that resets has no gradient.
    """

    flat: Flat
    weights: Weights
    lengths: Lengths
    surrogate: Any = None
    detach_reset: bool = True
    values: dict[str, Operand] = field(default_factory=dict)
    delays: list[tuple[Node, Any, Tensor]] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # of states
    became: dict[str, str] = field(default_factory=dict)  # what stands for each value, for the report

    def run(self, start: Mapping[str, Operand]) -> None:
        """All nodes, in order. start: the inputs."""
        self.values.update(start)
        self.makers = self.flat.made_by()
        outputs = dict.fromkeys(name for node in self.flat.nodes for name in node.outputs if name)
        plain = plain_names(dict.fromkeys(name.lstrip("@/") for name in outputs))
        self.names = {name: plain[name.lstrip("@/")] for name in outputs}
        builder = next(v.value.builder for v in start.values() if isinstance(v, Tensor))
        for node in self.flat.nodes:
            builder.scope = "" if node.op == "@delay" else self._scope(node)
            try:
                made = self._made(node)
            except CompileError as error:
                raise _labelled(error, node) from None
            for name, result in zip(node.outputs, made, strict=False):
                self.values[name] = result
                self.became[name] = _word(result, [self.of(i) for i in node.inputs])
        builder.scope = ""
        for node, loop, state in self.delays:
            try:
                self._feed(node, loop, state)
            except CompileError as error:
                raise _labelled(error, node) from None

    def _scope(self, node: Node) -> str:
        """What the values of a node are called after: its layer, or its first output."""
        if not node.layer:
            return self.names[next(o for o in node.outputs if o)]
        if node.layer not in self.layers:
            taken = (*self.names.values(), *self.layers.values())
            self.layers[node.layer] = next(iter(plain_names([node.layer], taken).values()))
        return self.layers[node.layer]

    @property
    def spiking(self) -> Any:
        """The surrogate of comparisons."""
        return ATan() if self.surrogate is None else self.surrogate

    def of(self, name: str) -> Operand:
        if not name:
            return None
        return self.flat.constants[name] if name in self.flat.constants else self.values[name]

    def _made(self, node: Node) -> Sequence[Operand]:
        operands = [self.of(name) for name in node.inputs]
        constant = all(o is None or isinstance(o, np.ndarray) for o in operands)
        if constant and node.op in constants.FOLDED:
            return constants.fold(node, operands)
        handler = OPERATORS.get(node.op)
        if handler is None:
            raise CompileError("is supported for constants alone; values of the network go into it")
        result = handler(self, node, operands)
        return result if isinstance(result, list) else [result]

    def _feed(self, node: Node, loop: Any, state: Tensor) -> None:
        feed = node.attributes["feed"]
        following = self.of(feed.value)
        if broadcast([following, state], self.lengths) != state.axes:
            raise CompileError(f"the state {feed.label!r} changes its shape from step to step")
        value = self.operand(following, state.axes, feed.value)
        if not isinstance(value, Value):
            value = expand(state.value * 0.0 + value, state.value.type)
        loop.feed(value)

    def operand(self, operand: Operand, axes: Axes, name: str = "", learnable: bool = False) -> Any:
        """An operand of an elementwise result with these axes: a value, or a number."""
        if isinstance(operand, Tensor):
            value = fitted(operand, axes)
            return detach(value) if operand.delayed and self.detach_reset else value
        if isinstance(operand, Given):
            held = self.weights.parameter(operand.name, "", np.zeros(operand.shape), True)
            return fitted(Tensor(held, tuple((n,) if n != 1 else () for n in operand.shape)), axes)
        assert operand is not None
        return self.constant(operand, axes, name, learnable)

    def constant(self, array: np.ndarray, axes: Axes, name: str = "", learnable: bool = False) -> Any:
        """A constant beside a result with these axes: a number if it is one, else a parameter."""
        if not array.size:
            raise CompileError(f"{shown(name)!r} is empty")
        laid = without_samples(array, axes, self.lengths)
        first = laid.reshape(-1)[0]
        if not learnable and np.array_equal(laid, np.full_like(laid, first), equal_nan=True):
            if not np.isfinite(first):
                raise CompileError(f"{shown(name)!r} is {first}; constants must be finite")
            return float(first)
        atoms = [a for axis in axes for a in axis]
        steps = next((i for i, a in enumerate(atoms) if a == TIME and laid.shape[i] > 1), None)
        shape = tuple(n for n, a in zip(laid.shape, atoms, strict=True) if isinstance(a, int))
        full = features(axes)
        if steps is not None:
            rows = np.moveaxis(laid, steps, 0)
            rows = np.broadcast_to(rows.reshape(rows.shape[0], *shape), (rows.shape[0], *full))
            return at_step(self.weights.parameter(name, f"steps {full}", rows.astype(np.float64)), full)
        held = laid.reshape(shape).astype(np.float64)
        if len(shape) > 1 and shape[0] > 1 and set(shape[1:]) == {1}:
            form = "" if array.ndim == 1 else f"channels {shape[:1]}"
            return spread(self.weights.parameter(name, form, held.reshape(shape[:1]), learnable), full)
        form = "" if array.shape == full else f"shape {full}"
        return self.weights.parameter(name, form, np.broadcast_to(held, full), learnable)

    def result(self, value: Any, axes: Axes, like: Sequence[Operand], dtype: Any = None) -> Tensor:
        """The tensor of an elementwise result of these operands."""
        tensors = [o for o in like if isinstance(o, Tensor)]
        if value.type.features != features(axes):
            value = expand(value, replace(value.type, features=features(axes)))
        state = all(t.state for t in tensors) and not any(isinstance(o, Given) for o in like)
        return Tensor(value, axes, np.dtype(dtype) if dtype is not None else tensors[0].dtype, state)


def elementwise(
    run: Evaluation, node: Node, operands: Sequence[Any], function: Callable[..., Value]
) -> Tensor:
    """A scalar function of operands that are broadcast against each other."""
    present = [o for o in operands if o is not None]
    if len(present) < len(operands) or not present:
        raise CompileError(f"its input {1 + len(present)} is missing")
    if not any(isinstance(o, Tensor) for o in present):
        raise CompileError("computes with weights alone that are inputs; keep them as initialisers")
    shaped = [np.empty(o.shape) if isinstance(o, Given) else o for o in present]
    axes = broadcast(shaped, run.lengths)
    names = [name for name, o in zip(node.inputs, operands, strict=True) if o is not None]
    values = [run.operand(o, axes, name) for o, name in zip(present, names, strict=True)]
    return run.result(function(*values), axes, present)


def tensor(run: Evaluation, node: Node, operands: Sequence[Any], place: int = 0) -> Tensor:
    """An operand that must be computed by the network."""
    operand = operands[place] if place < len(operands) else None
    if isinstance(operand, Given):
        axes = tuple((n,) if n != 1 else () for n in operand.shape)
        return Tensor(run.operand(operand, axes, operand.name), axes)
    if isinstance(operand, np.ndarray):
        raise CompileError(f"its input {place + 1} is constant, which is not supported here")
    if operand is None:
        raise CompileError(f"its input {place + 1} is missing")
    found: Tensor = operand
    return found


def _word(operand: Operand, inputs: Sequence[Operand]) -> str:
    """What a result is: the operator that made it."""
    if not isinstance(operand, Tensor):
        return "a constant" if isinstance(operand, np.ndarray) else "a weight"
    if any(isinstance(i, Tensor) and i.value.node == operand.value.node for i in inputs):
        return "the same value"
    nodes, name = operand.value.builder.nodes, operand.value.node
    detached = nodes[name].op.name == "detach"
    return nodes[nodes[name].inputs[0]].op.name + ", no gradient" if detached else nodes[name].op.name


def _labelled(error: CompileError, node: Node) -> CompileError:
    text = str(error)
    kind = AxisError if isinstance(error, AxisError) else CompileError
    return kind(text if text.startswith(node.label) else f"{node.label}: {text}")
