"""differentiate: append the backward half, in reverse mode.

before:  %y = mul(%x, %w)                   output y = %y
after:   %y = mul(%x, %w)
         %d_y = input<'y', role='cotangent'>()
         %d_x = mul(%d_y, %w)               gradient x = %d_x

The adjoint of a delay is an advance, so what was a scan comes back as a scan in reverse. Cotangents
arrive at a node from all its readers and are summed to the node's type: a value that does not vary
over time gets the sum over time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import CompileError
from ..graph import Builder, Graph, Node, Type, renamed
from ..ops import Value, expand, sum_to
from ..ops.elementwise import ELEMENTWISE
from ..ops.leaf import Input
from ..ops.time import Advance, Delay, first, first_steps
from ..ops.value import operand
from .base import Pass

LEAVES = ("constant", "input", "advance", "steps", "samples")  # these keep their names


@dataclass(frozen=True)
class Differentiate(Pass):
    """of: "loss" (the output of that name) or "outputs" (weighted by cotangents that the caller gives).

    inputs: gradients also of inputs and initial states, not only of learnable parameters. truncate: no
    gradient goes from a window of so many steps to the one before (0: through all steps).
    """

    of: str = "loss"
    inputs: bool = False
    truncate: int = 0

    def run(self, graph: Graph) -> Graph:
        if self.of == "loss" and not any(o.role == "loss" for o in graph.outputs):
            raise CompileError("there is no loss to differentiate: give loss= to compile")
        real = next((n.type.dtype for n in graph if n.type.dtype in ("f32", "f64")), "real")
        work = _Reverse(graph, self._wanted(graph), self.truncate)
        work.seed(self.of)
        work.sweep()
        work.finish()
        graph = renamed(work.builder.graph(), work.names)
        graph = graph.map(lambda n: _typed(n, real))
        # Who gives cotangents has the outputs already.
        asked = tuple(o for o in graph.outputs if o.role not in ("output", "state_out"))
        return Graph(graph.nodes, asked)

    def _wanted(self, graph: Graph) -> dict[str, tuple[str, str]]:
        """Nodes whose gradients leave the graph: node to (role, name)."""
        wanted: dict[str, tuple[str, str]] = {}
        for node in graph:
            op: Any = node.op
            if op.name == "parameter" and op.learnable:
                wanted[node.name] = ("gradient", op.label)
            elif self.inputs and op.name == "input" and op.role == "input" and op.dtype != "i32":
                wanted[node.name] = ("d_input", op.label)
            elif self.inputs and op.name == "state":
                wanted[node.name] = ("d_state", op.label)
        return wanted


def heard(node: Node) -> tuple[str, ...]:
    """The operands that a gradient comes back to: none of a detach, or of a spike without a surrogate."""
    op: Any = node.op
    if op.name == "detach" or (op.name == "spike" and op.surrogate is None):
        return ()
    if op.name == "affine":
        return node.inputs[:1]
    if op.name == "normalized":
        return (node.inputs[2], *node.inputs[4:])
    return node.inputs[1:] if op.name == "substitute" else node.inputs


class _Reverse:
    def __init__(self, graph: Graph, wanted: dict[str, tuple[str, str]], truncate: int) -> None:
        self.graph, self.wanted, self.truncate = graph, wanted, truncate
        self.builder = Builder(graph)
        self.builder.half = "backward"
        self.cotangents: dict[str, list[Value]] = {}
        self.carries: dict[str, Value] = {}  # delay's node: the advance of its cotangent
        self.names: dict[str, str] = {}  # the cotangent of %x is called %d_x
        self.varied = _reachable(graph, set(wanted))

    def value(self, name: str) -> Value:
        return Value(self.builder, name)

    def seed(self, of: str) -> None:
        """Cotangents of what is differentiated."""
        for output in self.graph.outputs:
            if of == "loss" and output.role == "loss":
                self.cotangents[output.value] = [Value(self.builder, operand(self.builder, 1.0))]
            elif of == "outputs" and output.role == "output" and output.value in self.varied:
                type = self.graph[output.value].type
                op = Input(output.name, "cotangent", type.features, type.time, type.dtype)
                given = Type(type.features, type.time, True, type.dtype)
                node = self.builder.add(op, name=f"d_{output.name}.given", type=given)
                self.cotangents.setdefault(output.value, []).append(self.value(node))
        self._open_carries()

    def _open_carries(self) -> None:
        """The advance of each delay's cotangent, closed once that is known: backward, loops stay loops."""
        useful = _needed(self.graph, set(self.cotangents))
        for node in self.graph:
            loop = isinstance(node.op, Delay) and node.name in self.varied & useful
            if loop and node.inputs[0] in self.varied:
                assert isinstance(node.op, Delay)
                op = Advance(node.type.features, node.op.steps, self.truncate)
                carry = self.builder.add(op, name=f"d_{node.name}.next", type=node.type)
                self.carries[node.name] = self.value(carry)
                self.cotangents.setdefault(node.inputs[0], []).append(self.carries[node.name])

    def sweep(self) -> None:
        """Nodes in reverse order; each hands its cotangent on to its operands."""
        for name in reversed(self.graph.order):
            if name in self.cotangents and name in self.varied:
                self._hand_on(self.graph[name], self._total(name))

    def _total(self, name: str) -> Value:
        """All cotangents of a node, added in the order in which they came."""
        first, *rest = self.cotangents[name]
        total = first
        for more in rest:
            total = total + more
        self.cotangents[name] = [total]
        if total.node not in self.graph.nodes and self.builder.nodes[total.node].op.name not in LEAVES:
            self.names.setdefault(total.node, f"d_{name}")
        return total

    def _hand_on(self, node: Node, grad: Value) -> None:
        if isinstance(node.op, Delay):
            self._close(node, grad)
        elif heard(node) and node.op.name != "state":
            before = len(self.builder.nodes)
            self.builder.scope = f"d_{node.name}"
            handed = node.op.vjp(grad, self.value(node.name), *map(self.value, node.inputs))
            for source, cotangent in zip(node.inputs, handed, strict=True):
                if cotangent is not None and source in self.varied:
                    self._receive(node, source, cotangent)
            self.builder.scope = ""
            self._sign(node, before)

    def _sign(self, node: Node, before: int) -> None:
        """New nodes carry the line of the node that they differentiate."""
        for name in list(self.builder.nodes)[before:]:
            self.builder.nodes[name] = replace(self.builder.nodes[name], where=node.where)

    def _receive(self, node: Node, source: str, cotangent: Value) -> None:
        target = self.graph[source].type
        if isinstance(node.op, ELEMENTWISE):
            cotangent = sum_to(cotangent, node.type, target)
        self.cotangents.setdefault(source, []).append(cotangent)

    def _close(self, node: Node, grad: Value) -> None:
        """A delay: its cotangent goes to the step before (through the carry) and to the initial value."""
        full = expand(grad, node.type)
        if node.name in self.carries:
            self.builder.connect(self.carries[node.name].node, full.node)
        start = node.inputs[1]
        if start in self.varied:
            assert isinstance(node.op, Delay)
            steps = node.op.steps
            window = min(self.truncate or steps, steps)
            began = first(full) if steps == 1 else first_steps(full, steps, window)
            self.cotangents.setdefault(start, []).append(began)

    def finish(self) -> None:
        """Outputs: a gradient for everything wanted, zeros where nothing arrived."""
        for delay, carry in self.carries.items():
            if not self.builder.nodes[carry.node].inputs:
                zero = expand(Value(self.builder, operand(self.builder, 0.0)), self.graph[delay].type)
                self.builder.connect(carry.node, zero.node)
        for name, (role, label) in self.wanted.items():
            type = self.graph[name].type
            if name in self.cotangents:
                grad = self._total(name)
            else:
                grad = Value(self.builder, operand(self.builder, 0.0))
            self.builder.output(label, role, expand(grad, type).node)


def _typed(node: Node, real: str) -> Node:
    return replace(node, type=replace(node.type, dtype=real)) if node.type.dtype == "real" else node


def _reachable(graph: Graph, sources: set[str]) -> set[str]:
    """What depends on `sources`, through edges along which a gradient can come back."""
    reached, work = set(sources), list(sources)
    readers = graph.readers()
    while work:
        source = work.pop()
        for node in readers[source]:
            if node.name not in reached and source in heard(node):
                reached.add(node.name)
                work.append(node.name)
    return reached


def _needed(graph: Graph, sinks: set[str]) -> set[str]:
    """What the sinks depend on, through edges along which a gradient goes back."""
    reached, work = set(sinks), list(sinks)
    while work:
        for source in heard(graph[work.pop()]):
            if source not in reached:
                reached.add(source)
                work.append(source)
    return reached
