"""From a network of modules to a graph: `trace` runs the network's `forward` on values."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ..arguments import shown
from ..errors import located, user_line
from ..graph import Builder, Graph, Node, Output, Type, renamed
from ..loss import Loss, Scores, Values
from ..loss.readout import score
from ..nn.module import Input, Module, Parameter, Table, tracing
from ..ops import Value, clamp, sum_time
from ..ops import leaf as leaves
from ..ops.lengths import LENGTHS, at_end, declare, within
from ..ops.lengths import lengths as own_lengths
from ..ops.reduce import expand
from ..ops.time import Delay, LastSteps
from ..ops.value import apply, operand

MOST_NUMBERS = 2**40  # of a parameter: 8 TiB, so that nobody has to try


@dataclass(frozen=True)
class Called:
    """A module's forward: its path, and the nodes that went in and came out."""

    path: str
    module: Module
    operands: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """A traced network: its graph (outputs and final states), and initial parameters by name.

    training: the graph of a training step, where layers compute something else in it (batch statistics,
    dropout); it may also update parameters. imported: of a network from a file, what its model's manifest
    says of that. steps: those that the file is for. calls: of modules, in the order in which they ended.
    """

    graph: Graph
    parameters: Mapping[str, np.ndarray]
    inputs: Mapping[str, Input]
    training: Graph | None = None
    imported: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    calls: tuple[Called, ...] = ()

    @property
    def trained(self) -> Graph:
        """The graph whose loss a training step differentiates."""
        return self.training or self.graph


def trace(
    network: Module,
    inputs: Mapping[str, Input] | None = None,
    seed: int = 0,
    by_rates: bool = False,
    lengths: bool = False,
) -> Network:
    """The graph of a network.

    inputs: by name, in the order of forward's arguments; default: the network's own `inputs`.
    seed: of the random initial parameters. by_rates: spikes have the gradient of the neuron's rate.
    lengths: samples may end before the last step. Raises CompileError with the user's line.
    """
    if not isinstance(network, Module):
        raise located(f"expected a network (an nn.Module), got {type(network).__name__}", user_line())
    declared = dict(inputs if inputs is not None else getattr(network, "inputs", {}))
    if not declared or not all(isinstance(n, str) and isinstance(i, Input) for n, i in declared.items()):
        raise network.error(
            "declare the network's inputs: inputs = {'x': nn.Input(784)} in the class, or inputs= here"
        )
    if lengths and LENGTHS in declared:
        raise network.error("lengths=True makes an input of the name lengths: rename the network's own")
    run = _Trace(network, seed, by_rates, lengths=lengths)
    graph = run.graph(declared)
    again = _Trace(network, seed, by_rates, mode=True, lengths=lengths)
    training = again.graph(declared) if run.differs else None
    imported, steps = getattr(network, "imported", {}), getattr(network, "num_steps", None)
    return Network(graph, run.parameters, declared, training, imported, steps, tuple(run.calls))


def add_loss(graph: Graph, loss: Loss) -> Graph:
    """The graph with the loss of its output as a further output, `loss`."""
    builder = Builder(graph)
    builder.scope = "loss"
    value = loss.value(Values(builder, {o.name: o.value for o in graph.outputs if o.role == "output"}))
    builder.scope = ""
    builder.output("loss", "loss", value.node)
    return builder.graph()


def add_sums(graph: Graph, chosen: Scores | None = None) -> Graph:
    """The graph with what accuracy needs: its outputs summed over time, and the scores of classes, if chosen.

    Final states stay, so that hidden layers have the same kernels as in a forward run.
    """
    builder = Builder(graph)
    sums = [o for o in graph.outputs if o.role == "output" and graph[o.value].type.time]
    builder.outputs = [o for o in graph.outputs if o.role in ("loss", "state_out")]
    for output in sums:
        total = sum_time(Value(builder, output.value))
        builder.outputs.append(Output(output.name, "sum", total.node))
    values = Values(builder, {o.name: o.value for o in graph.outputs if o.role == "output"})
    if chosen is not None:
        builder.scope = "scores"
        result = score(values.read(chosen.of, "accuracy"), chosen)
        builder.outputs.append(Output("classes", "score", result.node))
    return builder.graph()


def _named_outputs(network: Module, result: Any) -> dict[str, Value]:
    """The outputs of forward by name: a dict's keys, a named tuple's fields, or `out`."""
    if isinstance(result, Mapping):
        named = dict(result)
    elif hasattr(result, "_asdict"):
        named = result._asdict()
    else:
        named = {"out": result}
    for name, value in named.items():
        if not isinstance(name, str):
            raise network.error(f"outputs must have names, got {name!r}; return a dict of values by name")
        if not isinstance(value, Value):
            raise network.error(
                "forward must return a dict of values, one value, or a neuron's outputs; "
                f"{name} is {type(value).__name__}"
            )
    if not named:
        raise network.error("forward returned no outputs")
    return named


@dataclass
class _Trace:
    """Answers modules while their `forward` runs; keeps the graph so far."""

    network: Module
    seed: int
    by_rates: bool = False
    mode: bool = False  # what `training` answers
    differs: bool = False  # whether anybody asked
    lengths: bool = False  # whether samples may end before the last step
    builder: Builder = field(default_factory=Builder)
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)
    open_delays: dict[str, str] = field(default_factory=dict)  # delay's node: where it was made
    states: list[tuple[str, str]] = field(default_factory=list)  # state's label, delay's node
    renames: dict[str, str] = field(default_factory=dict)
    calls: list[Called] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = {id(module): path for path, module in self.network.named_modules()}
        self.builder.title = type(self.network).__name__
        self.values: dict[str, Value] = {}
        self.updated: dict[str, Value] = {}  # parameters that a training step changes, beside learning

    @property
    def training(self) -> bool:
        self.differs = True
        return self.mode

    def graph(self, inputs: Mapping[str, Input]) -> Graph:
        """Runs the network's forward."""
        token = tracing.set(self)
        if self.lengths:
            declare(self.builder)
        try:
            operands = [self.input(name, given) for name, given in inputs.items()]
            outputs = _named_outputs(self.network, self.call(self.network, *operands))
        finally:
            tracing.reset(token)
        return self.finish(outputs)

    def input(self, name: str, declared: Input) -> Value:
        dtype = {"int": "i32"}.get(declared.dtype, "real")
        op = leaves.Input(name, "input", declared.shape, not declared.static, dtype)
        return Value(self.builder, self.builder.add(op, name=name))

    def call(self, module: Module, *operands: Any) -> Any:
        """Run a module's forward within its scope; errors below get its line."""
        path = self.paths.get(id(module))
        if path is None:
            raise module.error("modules must be attributes of the network, not made inside forward")
        _check_values(module, path, operands)
        outer = (self.builder.scope, self.builder.where)
        self.builder.scope, self.builder.where = path, module.where
        try:
            result = module.forward(*operands)
        finally:
            self.builder.scope, self.builder.where = outer
        self.calls.append(Called(path, module, _nodes(operands), _nodes(result)))
        return result

    def parameter(self, module: Module, name: str) -> Value:
        """The value of a module's parameter, clamped to its limits."""
        declared, path = module._parameters[name], self.paths.get(id(module), "")
        label = f"{path}.{name}" if path else name
        if label not in self.values:
            self.values[label] = self._declare(label, declared)
        return self.values[label]

    def _declare(self, label: str, declared: Parameter) -> Value:
        if isinstance(declared, Table):
            return self._table(label, declared)
        op = leaves.Parameter(label, declared.shape, declared.learnable, declared.panels, declared.at_least)
        value = Value(self.builder, self.builder.add(op, name=label))
        self.parameters[label] = self._drawn(label, declared)
        if declared.limits is None:
            return value
        scope, self.builder.scope = self.builder.scope, label
        clamped: Value = clamp(value, *declared.limits)
        self.builder.scope = scope
        self.name(clamped, f"{label}.clamped", exact=True)
        return clamped

    def _drawn(self, label: str, declared: Parameter) -> np.ndarray:
        """A parameter's initial numbers."""
        generator = np.random.default_rng([self.seed, len(self.parameters)])
        try:
            if prod(declared.shape) > MOST_NUMBERS:
                raise MemoryError
            return declared.draw(generator)
        except MemoryError:
            found = f"{label}: shape {list(declared.shape)} is more than memory holds; take smaller layers"
            raise located(found, self.builder.where) from None

    def update(self, module: Module, name: str, value: Value) -> None:
        """A parameter's value after the training step, which later readers see as well."""
        self.parameter(module, name)
        path = self.paths.get(id(module), "")
        label = f"{path}.{name}" if path else name
        self.values[label] = self.updated[label] = value

    def _table(self, label: str, declared: Table) -> Value:
        numbers = self.parameters[label] = np.ascontiguousarray(declared.initial, "<i4")
        digest = hashlib.sha256(numbers.tobytes()).hexdigest()
        op = leaves.Table(label, declared.shape, declared.most, declared.ascending, digest)
        return Value(self.builder, self.builder.add(op, name=label))

    def state(self, module: Module, name: str, shape: tuple[int, ...], initial: Any) -> Value:
        """A state of a neuron: the delay that carries it."""
        return self._delay(shape, initial, f"{self.builder.scope or 'neuron'}.{name}")

    def delay(self, shape: tuple[int, ...], initial: float | Value, name: str, steps: int) -> Value:
        scope = self.builder.scope
        label = f"{scope}.{name or 'delay'}" if scope else name or "delay"
        value = self._delay(shape, initial, label, steps)
        self.open_delays[value.node] = user_line()
        return value

    def _delay(self, shape: tuple[int, ...], initial: Any, label: str, steps: int = 1) -> Value:
        label = self._free_label(label)
        default = operand(self.builder, initial)
        given = self.builder.nodes[default].type.features
        if given not in ((), shape):
            raise located(
                f"{label}: the initial value has shape {list(given)}, the state {list(shape)}",
                self.builder.where,
            )
        held = shape if steps == 1 else (steps, *shape)
        start = self.builder.add(leaves.State(label, held), [default], name=f"{label}.initial")
        op = Delay(shape, steps)
        node = self.builder.add(op, [start, start], name=f"{label}.prev", type=op.infer())
        self.open_delays[node] = self.builder.where
        self.states.append((label, node))
        return Value(self.builder, node)

    def _free_label(self, label: str) -> str:
        """A label that no other state has."""
        taken = {label for label, _ in self.states}
        candidate, count = label, 1
        while candidate in taken:
            count += 1
            candidate = f"{label}.{count}"
        return candidate

    def close(self, state: Value, following: Value) -> None:
        """Feed a delay; shapes must agree."""
        if state.node not in self.open_delays:
            raise located(f"%{state.node} is no open delay; each is fed once", self.builder.where)
        if following.shape not in ((), state.shape):
            raise located(
                f"{state.node.removesuffix('.prev')}: the state has shape {list(state.shape)}, "
                f"its next value {list(following.shape)}; is a per-neuron coefficient of the wrong length?",
                self.builder.where,
            )
        following = expand(following, state.type)
        initial = self.builder.nodes[state.node].inputs[1]
        self.builder.connect(state.node, following.node, initial)
        del self.open_delays[state.node]

    def name(self, value: Value, name: str, exact: bool = False) -> None:
        """A better name for a value that so far is called after its operator."""
        node = self.builder.nodes[value.node]
        protected = ("delay", "input", "parameter", "constant", "state")
        if node.op.name in protected or value.node in self.renames:
            return
        scope = self.builder.scope
        self.renames[value.node] = name if exact or not scope else f"{scope}.{name}"

    def finish(self, outputs: Mapping[str, Value]) -> Graph:
        """The graph with its outputs and final states, under the names that were asked for."""
        for node, where in self.open_delays.items():
            raise located(
                f"{node.removesuffix('.prev')}: this delay is never fed; call its .feed(value)", where
            )
        for mixing in [n for n in self.builder.nodes.values() if n.op.name == "mix_steps"]:
            x, weight = mixing.inputs  # whose steps all read what lies past the end
            self.builder.connect(mixing.name, within(Value(self.builder, x)).node, weight)
        for name, value in outputs.items():
            full = expand(value, Type(value.shape, False, True))
            self.builder.output(name, "output", (within(full) if full.type.time else full).node)
        for label, node in self.states:
            last = self._held(self.builder.nodes[node])
            self.renames[last.node] = f"{label}.last"
            self.builder.output(label, "state_out", last.node)
        for label, value in self.updated.items():
            self.builder.output(label, "parameter", value.node)
        graph = renamed(self.builder.graph(), self.renames)
        names = dict(zip(self.builder.nodes, graph.nodes, strict=True))
        self.calls = [
            Called(c.path, c.module, *(tuple(names[n] for n in nodes) for nodes in (c.operands, c.results)))
            for c in self.calls
        ]
        return graph

    def _held(self, delay: Node) -> Value:
        """What a delay holds at the end of each sample."""
        following, initial = (Value(self.builder, i) for i in delay.inputs)
        steps: int = delay.op.steps  # type: ignore[attr-defined]
        if steps == 1:
            return at_end(following)
        own = own_lengths(self.builder)
        result: Value = apply(LastSteps(steps), following, initial, *[own] * (own is not None))
        return result


def _check_values(module: Module, path: str, operands: tuple[Any, ...]) -> None:
    """Layers of ours take values; a neuron's outputs are several."""
    for parameter, given in zip(
        inspect.signature(module.forward).parameters.values(), operands, strict=False
    ):
        if parameter.annotation not in ("Value", Value) or isinstance(given, Value):
            continue
        name = path or type(module).__name__
        raise located(f"{name}: expected a value of the network, got {shown(given)}", user_line())


def _nodes(values: Any) -> tuple[str, ...]:
    """The nodes of a value, or of several in a tuple or a dict."""
    if isinstance(values, Value):
        return (values.node,)
    several = values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple) else ()
    return tuple(value.node for value in several if isinstance(value, Value))
