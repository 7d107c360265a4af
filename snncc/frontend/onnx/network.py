"""An imported ONNX network: a module that runs the file's graph, and what it was understood as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import CompileError
from ...graph import Type
from ...nn.module import Input, Module
from ...ops import Value
from ...ops.reduce import expand
from ..foreign import plain_names, shown
from ..report import Report
from . import images, products, recurrent, reductions, resize, scalars, spikes, steps, views  # noqa: F401
from .axes import BATCH, TIME, Axes, AxisError, Tensor, described, features, reshape
from .evaluate import Evaluation, Given, Operand, Weights
from .nodes import DELAY, LAST, NUMBER, STACK, STEP, Flat

RECURRENT = ("RNN", "GRU", "LSTM")
TIMED = (STEP, STACK, DELAY, LAST, NUMBER, *RECURRENT)

OWN = ("plan", "surrogate", "detach_reset", "report", "num_steps", "exact_steps", "names", "weights",
       "inputs", "layout", "became")  # fmt: skip


@dataclass(frozen=True)
class Roles:
    """Which axes of an input are time and batch; None where there is none."""

    time: int | None
    batch: int | None

    def axes(self, shape: Sequence[int]) -> Axes:
        """The axes of an input of this shape."""
        named = {self.time: TIME, self.batch: BATCH}
        return tuple((named[i],) if i in named else ((n,) if n != 1 else ()) for i, n in enumerate(shape))

    def lengths(self, shape: Sequence[int]) -> dict[str, int]:
        places = ((TIME, self.time), (BATCH, self.batch))
        return {name: int(shape[place]) for name, place in places if place is not None}


@dataclass
class Plan:
    """How a flat graph is run: inputs by role, their axes, and the number of steps if it is fixed.

    sequences: inputs by name with the roles of their axes. initial: inputs that are initial states. weights:
    inputs that hold weights. stepwise: the file is one step; all inputs and outputs get an axis of time.
    """

    flat: Flat
    sequences: dict[str, Roles]
    initial: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    stepwise: bool = False
    steps: int | None = None
    lengths: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raises AxisError for an open dimension that is neither time nor batch."""
        for name, port in self.flat.inputs.items():
            roles = self.sequences.get(name, Roles(None, 0))
            for axis, symbol in port.open.items():
                if axis not in (roles.time, roles.batch):
                    raise AxisError(
                        f"axis {axis} of the input {shown(name)!r} is open ({shown(symbol)}), and is neither "
                        "time nor batch; export with a fixed length"
                    )


class OnnxNetwork(Module):
    """A network from an ONNX file. Made by `snncc.import_onnx`; a layer like any other.

    report: what became of each node, and what was inferred. layout: for each input, output and state, by
    (role, name), the axes of its array in the file's order, as places in [T, B, *features].
    became: what stands for each value of the file in the graph, once traced.
    num_steps: the number of steps of the file, if it says one. exact_steps: whether it can run no other.
    """

    def __init__(self, plan: Plan, surrogate: Any, detach_reset: bool, report: Report) -> None:
        reserved = frozenset((*dir(self), *OWN))
        self.plan, self.surrogate, self.detach_reset = plan, surrogate, detach_reset
        self.report = report
        self.num_steps, self.exact_steps = plan.steps, plan.steps is not None
        self.names = plain_names(
            dict.fromkeys((*plan.sequences, *plan.initial, *plan.weights, *plan.flat.outputs))
        )
        self.weights = Weights(self, plan.flat, reserved)
        self.inputs = dict(self._inputs())
        self.layout: dict[tuple[str, str], tuple[int, ...]] = {}
        self.became: dict[str, str] = {}

    def _inputs(self) -> Iterator[tuple[str, Input]]:
        for name, roles in self.plan.sequences.items():
            shape = self.plan.flat.inputs[name].shape
            kept = tuple(n for i, n in enumerate(shape) if i not in (roles.time, roles.batch))
            timed = roles.time is not None or self.plan.stepwise
            yield self.names[name], Input(*kept, static=not timed)

    def rename(self, outputs: Mapping[str, str]) -> None:
        """Gives outputs of the file other names. Raises CompileError."""
        for name, other in outputs.items():
            taken = other in self.names.values() or not other.isidentifier()
            if name not in self.plan.flat.outputs or taken:
                listed = ", ".join(shown(n) for n in self.plan.flat.outputs)
                raise CompileError(
                    f"output {shown(name)}={shown(other)}: expected an output of the file ({listed}) and a "
                    "name that is free"
                )
            self.names[name] = other

    unsaid = (  # why `export_nir` refuses it
        "a network from ONNX is arithmetic, of which NIR knows sums only; write its layers, and the neurons "
        "that `snncc inspect` names, as modules of snncc.nn and export these with --weights, or export to "
        "NIR where the file comes from"
    )

    @property
    def numbers(self) -> dict[str, float]:
        """Numbers that are part of the network, by the names of the file's initialisers."""
        flat = self.plan.flat
        stored = {name: array for name, array in flat.constants.items() if name in flat.weights}
        return {name: float(a.reshape(-1)[0]) for name, a in stored.items() if a.size == 1}

    @property
    def imported(self) -> dict[str, Any]:
        """For the manifest: the report, names that were made plain, the order of axes in arrays."""
        roles: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}, "weight": {}}
        for (role, name), order in self.layout.items():
            roles[role][name] = list(order)
        return {
            **self.report.record(),
            "names": {name: plain for name, plain in self.names.items() if name != plain},
            "order": {role: orders for role, orders in roles.items() if orders},
            "weights": [self.names[name] for name in self.plan.weights],
        }

    def forward(self, *operands: Any) -> dict[str, Value]:
        """The outputs of the file by plain name."""
        plan = self.plan
        start: dict[str, Operand] = {}
        for (name, roles), value in zip(plan.sequences.items(), operands, strict=True):
            port = plan.flat.inputs[name]
            axes = roles.axes(port.shape)
            start[name] = Tensor(reshape(value, features(axes)), axes, port.dtype)
            self._lay("input", self.names[name], axes, plan.stepwise)
        for name in (*plan.initial, *plan.weights):
            start[name] = Given(name, plan.flat.inputs[name].shape)
        labels = {name: self.names[name] for name in plan.initial}
        run = Evaluation(
            plan.flat, self.weights, plan.lengths, self.surrogate, self.detach_reset, labels=_Labels(labels)
        )
        run.run(start)
        self.became = run.became
        for name in self.weights.turned:
            self.layout["weight", self.names[name]] = (1, 0)
        return {self.names[name]: self._output(run, name) for name in plan.flat.outputs}

    def _output(self, run: Evaluation, name: str) -> Value:
        found = run.of(name)
        if not isinstance(found, Tensor):
            raise CompileError(f"the output {shown(name)!r} is constant; it hangs on no input")
        if any(len(axis) > 1 and not all(isinstance(a, int) for a in axis) for axis in found.axes):
            raise AxisError(
                f"the output {shown(name)!r} is {described(found.axes)}, time and batch in one axis"
            )
        dims = found.dims(run.lengths)
        kept = tuple(n for n, axis in zip(dims, found.axes, strict=True) if axis not in ((TIME,), (BATCH,)))
        self._lay("output", self.names[name], found.axes, self.plan.stepwise)
        value = reshape(found.value, kept)
        timed = self.plan.stepwise or any(axis == (TIME,) for axis in found.axes)
        return expand(value, Type(value.type.features, timed, True))

    def _lay(self, role: str, name: str, axes: Axes, stepwise: bool) -> None:
        """Notes the order of an array's axes where it is not that of snncc."""
        timed = stepwise or (TIME,) in axes
        first = int(timed) + 1
        order = [0] * stepwise
        for axis in axes:
            if axis == (TIME,):
                order.append(0)
            elif axis == (BATCH,):
                order.append(int(timed))
            else:
                order.append(first)
                first += 1
        if order != list(range(first)):
            self.layout[role, name] = tuple(order)


class _Labels(dict[str, str]):
    """Names of states: those of inputs as they are, others made plain when they come."""

    def __missing__(self, name: str) -> str:
        self[name] = next(iter(plain_names([name], self.values()).values()))
        return self[name]


def sequences(flat: Flat) -> set[str]:
    """All values that are read step by step, and what they are computed from."""
    makers = flat.made_by()
    numbers = {node.outputs[0] for node in flat.nodes if node.op == NUMBER}
    waiting = [n.inputs[0] for n in flat.nodes if n.op in (STEP, *RECURRENT)]
    waiting += [n.inputs[0] for n in flat.nodes if n.op == "Gather" and n.inputs[1] in numbers]
    found = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            node = makers.get(name)
            waiting += [] if node is None or node.op in (STACK, DELAY) else node.inputs
    return found
