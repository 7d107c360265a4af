"""Online training through time: gradients of the step at hand, times what the inputs left behind.

before:  %cur = linear(%x, %w, %b)    %mem.prev = delay(%mem, 0)    %mem = beta %mem.prev + %cur
after:   %cur = substitute(linear(%x, %w, %b), linear(%x, detach(%w)) + linear(%trace, %w) + count %b)
         %mem.prev, read as a constant; %trace = beta delay(%trace) + %x; %count = beta delay(%count) + 1

Values stay what they are. What a gradient reads of a layer's input is its trace, the sum of inputs that
the membrane still remembers, and nothing goes back through a delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import located
from ..graph import Builder, Graph, Node
from ..ops import Value, detach, expand, spread, substitute
from ..ops.elementwise import Elementwise
from ..ops.time import Delay, Shift
from ..ops.value import apply, operand
from .base import Rule

HELD = 16  # steps that are computed at once
PRODUCTS = ("linear", "conv", "conv_transpose")  # of an input and a weight; layers with such learn by traces
# Linear in their first operand, step by step: a trace goes through as well.
LAYERS = (
    *PRODUCTS,
    *("reshape", "take", "scatter_add", "strided", "strided_sum", "reorder"),
    *("spread", "sum_groups", "sum_features", "sum_pool"),
)
UNTRACED = ("sparse_linear", "delayed_linear", "embedding")
SUMS = ("add", "sub", "neg", "expand", "substitute", "concat")


@dataclass(frozen=True)
class OTTT(Rule):
    """Online training through time (Xiao et al. 2022, OTTT_A; for one hidden layer, symmetric e-prop).

    The gradient of a weight is the sum over steps of the current's cotangent, which comes from the loss of
    the same step alone, times the trace of the input, which decays as the membrane does. Memory does not
    grow with the number of steps where the loss is a sum over steps ("mem" and "rate").

    For the last layer of a network with a detached reset it is BPTT's own gradient; below, it leaves out
    what a spike does to later steps of the layers above. Weights and biases learn by traces; a neuron's
    own coefficients learn from the step at hand alone. Needs membranes that decay by one number.
    """

    @property
    def held(self) -> int:
        return HELD

    def prepared(self, graph: Graph) -> Graph:
        return _Online(graph).run()

    def __str__(self) -> str:
        return "ottt"


class _Online:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.builder = graph, Builder(graph)
        self.readers = graph.readers()
        self.delays = [n for n in graph if isinstance(n.op, Delay)]

    def value(self, name: str) -> Value:
        return Value(self.builder, name)

    def run(self) -> Graph:
        for node in self.graph:
            if node.op.name in UNTRACED:
                raise located(
                    f"rule='ottt': %{node.name}: sparse synapses and embeddings have no traces; use "
                    "rule=rules.bptt(truncate=k)",
                    node.where,
                )
        layers = [(n, leak) for n in self.graph if n.op.name in PRODUCTS for leak in self._leak(n)]
        for node in self.delays:
            self._reads(node.name, detach(self.value(node.name)).node)
        for node, leak in layers:
            self._learn(node, leak)
        return self.builder.graph()

    def _reads(self, old: str, new: str) -> None:
        """All that read the one value read the other."""
        for reader in self.readers[old]:
            inputs = self.builder.nodes[reader.name].inputs
            self.builder.connect(reader.name, *(new if i == old else i for i in inputs))
        self.builder.outputs = [replace(o, value=new) if o.value == old else o for o in self.builder.outputs]

    def _learn(self, node: Node, leak: float) -> None:
        """A layer whose parameters learn from traces."""
        self.builder.scope, self.builder.where = node.name, node.where
        x, weight, *bias = map(self.value, self.builder.nodes[node.name].inputs)
        y = self.value(node.name)
        count = self._trace("count", self.value(operand(self.builder, 1.0)), leak)
        if x.type.time:
            learning = apply(node.op, self._trace("trace", detach(x), leak), weight)
        else:
            learning = count * apply(node.op, detach(x), weight)
        stand_in = apply(node.op, x, detach(weight)) + learning
        for b in bias:
            stand_in = stand_in + spread(count * b, y.shape, trailing=node.op.name == "linear")
        self._reads(node.name, substitute(expand(y, stand_in.type), stand_in).node)
        self.builder.scope = self.builder.where = ""

    def _trace(self, name: str, x: Value, leak: float) -> Value:
        """leak * (itself one step before) + x."""
        still = replace(x.type, time=False, batch=True)
        zero = expand(self.value(operand(self.builder, 0.0)), still).node
        name = f"{self.builder.scope}.{name}"
        before = self.builder.add(Delay(x.type.features), [zero, zero], f"{name}.prev")
        now: Value = apply(Elementwise("add"), leak * self.value(before), x, name=name)
        self.builder.connect(before, now.node, zero)
        return now

    def _leak(self, node: Node) -> Iterator[float]:
        """The decay of the membrane that a layer's output flows into; none if it flows into no state."""
        straight, reached = self._reached(node, linear=True), self._reached(node, linear=False)
        fed = [d for d in self.delays if d.inputs[0] in reached]
        for delay in fed:
            slope = self._slope(delay.inputs[0], delay.name, {})
            why = ""
            if len(fed) > 1:
                why = "flows into several states"
            elif delay.inputs[0] not in self._reached(delay, linear=False):
                why = "flows into a delay"
            elif slope is None:
                why = "flows into a membrane with another decay"
            elif delay.inputs[0] not in straight:
                why = "flows into a membrane through a curved function"
            if why or slope is None:
                raise located(
                    "rule='ottt': expected a layer on a neuron with one state that decays by one number "
                    "(nn.Leaky with a number for beta, reset='subtract' or 'none', reset_delay=True); "
                    f"%{node.name} {why}; use such a neuron, or rule=rules.bptt(truncate=k)",
                    node.where,
                )
            yield slope

    def _reached(self, node: Node, linear: bool) -> set[str]:
        """What a current flows into within a step, up to the spikes that it causes; linear: through sums and
        weights alone, which a trace goes through as well."""
        found, work = {node.name}, [node.name]
        while work:
            name = work.pop()
            for reader in self.readers[name]:
                passes = self._linear(reader, name) if linear else self._passes(reader)
                if passes and reader.name not in found:
                    found.add(reader.name)
                    work.append(reader.name)
        return found

    def _passes(self, reader: Node) -> bool:
        """Whether a gradient may come back through a node within the step, but for spikes."""
        return reader.op.name not in ("spike", "detach") and not isinstance(reader.op, Shift)

    def _linear(self, reader: Node, source: str) -> bool:
        """Whether a node is linear in one operand, by factors that are the same at every step."""
        others = [i for i in reader.inputs if i != source]
        if reader.op.name in ("mul", "div"):
            first = reader.op.name == "mul" or reader.inputs[0] == source
            return first and len(others) == 1 and not self.graph[others[0]].type.time
        return reader.op.name in SUMS or (reader.op.name in LAYERS and reader.inputs[0] == source)

    def _slope(self, top: str, bottom: str, known: dict[str, float | None]) -> float | None:
        """The derivative of one value by another of the same step; None if it is no number."""
        if top not in known:
            known[top] = 1.0 if top == bottom else self._rule(self.graph[top], bottom, known)
        return known[top]

    def _rule(self, node: Node, bottom: str, known: dict[str, float | None]) -> float | None:
        op: Any = node.op
        if op.name in ("detach", "substitute") or isinstance(op, Delay) or not node.inputs:
            return 0.0 if op.name != "substitute" else self._slope(node.inputs[1], bottom, known)
        slopes = [self._slope(i, bottom, known) for i in node.inputs]
        if all(s == 0.0 for s in slopes) or (op.name == "spike" and op.surrogate is None):
            return 0.0
        numbers = [getattr(self.graph[i].op, "value", None) for i in node.inputs]
        match op.name, slopes:
            case ("add", [float(a), float(b)]):
                return a + b
            case ("sub", [float(a), float(b)]):
                return a - b
            case ("neg", [float(a)]):
                return -a
            case ("expand" | "reshape", [float(a)]):
                return a
            case ("mul", [float(a), 0.0]) if numbers[1] is not None:
                return a * float(numbers[1])
            case ("mul", [0.0, float(b)]) if numbers[0] is not None:
                return b * float(numbers[0])
            case ("div", [float(a), 0.0]) if numbers[1] is not None:
                return a / float(numbers[1])
        return None
