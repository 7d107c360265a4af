"""Spike-timing dependent plasticity: weights that follow pairs of spikes, as a graph of its own.

before:  %cur = linear(%x, %w)   %spk = spike(...)
after:   the same, and    %pre = delay(%pre) - delay(%pre) / tau_pre + %x    %post likewise of %spk
         gradient w = f_pre(%w) weight_gradient(%post, %x) - f_post(%w) weight_gradient(%spk, %pre)
                                                         (conv_gradient for %cur = conv(%x, %w))

The gradient is minus the change, so that gradient descent applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from ..arguments import check_fields
from ..errors import located, user_line
from ..graph import Builder, Graph, Node, Op
from ..ops import Value, clamp
from ..ops.conv import ConvGradient
from ..ops.elementwise import ELEMENTWISE, Elementwise
from ..ops.leaf import State
from ..ops.linear import WeightGradient
from ..ops.time import Delay, Last
from ..ops.value import apply, operand
from .base import Rule

Bounds = Annotated[tuple[float, float], "(low, high)"]
SAME = ("reshape", "expand")
# By layer, the product of what comes out and what goes in that has the shape of its weight.
GRADIENTS: dict[str, Callable[[Any], Op]] = {
    "linear": lambda op: WeightGradient(),
    "conv": lambda op: ConvGradient(op.windows, op.groups),
}


@dataclass(frozen=True)
class Clamped:
    """F(w) = w limited to [low, high]: SNNGrow's."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low < self.high:
            raise located(f"Clamped: low must be below high, got {self.low} and {self.high}", user_line())

    def __call__(self, weight: Any) -> Any:
        return clamp(weight, self.low, self.high)


@dataclass(frozen=True)
class Power:
    """F(w) = w (exponent 1, snnTorch's) or 1 (exponent 0: a change that does not depend on the weight)."""

    exponent: int

    def __post_init__(self) -> None:
        check_fields(self)
        if self.exponent not in (0, 1):
            raise located(f"Power: exponent must be 0 or 1, got {self.exponent}", user_line())

    def __call__(self, weight: Any) -> Any:
        return weight if self.exponent else weight * 0.0 + 1.0


@dataclass(frozen=True)
class STDP(Rule):
    """Pair-based spike-timing dependent plasticity with traces (SNNGrow's `STDP`, snnTorch's `stdp_learner`).

        pre  = pre  - pre  / tau_pre  + x       (traces, this step's spikes included)
        post = post - post / tau_post + spk
        change of w[j, i] = f_post(w) sum over the batch of pre[i] spk[j] - f_pre(w) sum of post[j] x[i]

    every: "step": weights change after each step (SNNGrow's tutorial). "call": changes are summed over the
    steps with the weights held, then applied (snnTorch). tau_pre, tau_post [steps]: at least 1. f_pre,
    f_post: how a change depends on the weight, by default Clamped(-1, 1); Power(1) is snnTorch's. bounds:
    weights stay within these. layers: names of the layers that learn, linear ones and convolutions (from all
    places of their windows); by default all with a neuron behind.
    """

    tau_pre: float = 2.0
    tau_post: float = 2.0
    f_pre: Callable[[Any], Any] = Clamped()
    f_post: Callable[[Any], Any] = Clamped()
    every: str = "step"
    bounds: Bounds | None = None
    layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("tau_pre", "tau_post"):
            if not getattr(self, name) >= 1:
                raise located(
                    f"stdp: {name} must be at least 1 step, got {getattr(self, name)!r}", user_line()
                )
        if self.every not in ("step", "call"):
            raise located(f"stdp: every must be 'step' or 'call', got {self.every!r}", user_line())
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise located(f"stdp: bounds must be (low, high), got {self.bounds!r}", user_line())

    def learning(self, graph: Graph) -> Graph:
        """The graph whose gradients are the changes. Raises CompileError if no layer can learn."""
        return _Plasticity(self, graph).run()

    def __str__(self) -> str:
        return f"stdp(every={self.every!r})"


class _Plasticity:
    def __init__(self, rule: STDP, graph: Graph) -> None:
        self.rule, self.graph, self.builder = rule, graph, Builder(graph)
        self.readers = graph.readers()

    def value(self, name: str) -> Value:
        return Value(self.builder, name)

    def run(self) -> Graph:
        weights = {node: self._weight(node) for node in self.graph}
        learned = {
            self._learn(node, weight, self._spikes(node)) for node, weight in weights.items() if weight
        }
        self._check(learned)
        return self.builder.graph()

    def _weight(self, node: Node) -> Node | None:
        """The matrix of a layer that learns."""
        if node.op.name not in GRADIENTS:
            return None
        weight = self.graph[node.inputs[1]]
        op: Any = weight.op
        if op.name != "parameter" or not op.learnable:
            return None
        chosen = self.rule.layers is None or op.label.rpartition(".")[0] in self.rule.layers
        return weight if chosen else None

    def _check(self, learned: set[str]) -> None:
        operators: list[Any] = [n.op for n in self.graph]
        given = [op for op in operators if op.name == "parameter" and op.learnable]
        layers, found = (
            {label.rpartition(".")[0] for label in labels}
            for labels in ((op.label for op in given if op.panels), learned)
        )
        missing = [name for name in self.rule.layers or () if name not in found]
        if missing or not learned:
            what = missing[0] if missing else "this network"
            known = ", ".join(sorted(layers)) or "none"
            raise located(
                f"rule='stdp': {what} has no weights to learn; layers that have: {known}", user_line()
            )
        others = [op.label for op in given if op.label not in learned]
        if self.rule.bounds and others:
            raise located(
                "rule='stdp': with bounds, expected no other parameters that train, found "
                f"{', '.join(others)}; use bias=False and coefficients that do not learn",
                user_line(),
            )

    def _spikes(self, node: Node) -> Node:
        """The spikes that a layer's current makes within the step."""
        found, seen, work = [], {node.name}, [node.name]
        while work:
            for reader in self.readers[work.pop()]:
                if reader.name in seen:
                    continue
                seen.add(reader.name)
                if reader.op.name == "spike":
                    found.append(reader)
                elif isinstance(reader.op, ELEMENTWISE) or reader.op.name in SAME:
                    work.append(reader.name)
        if len(found) != 1:
            raise located(
                f"rule='stdp': expected one neuron behind %{node.name}, found {len(found)}; name the layers "
                "that learn with rules.stdp(layers=(...))",
                node.where,
            )
        return found[0]

    def _learn(self, node: Node, weight: Node, spikes: Node) -> str:
        """Adds the change of a layer's weights; returns the parameter's name."""
        self.builder.scope = layer = weight.name.rpartition(".")[0]
        self.builder.where = node.where
        x, w = self.value(node.inputs[0]), self.value(weight.name)
        spk = self.value(spikes.name).reshape(*node.type.features)
        pre = self._trace(f"{layer}.trace_pre", x, self.rule.tau_pre)
        post = self._trace(f"{layer}.trace_post", spk, self.rule.tau_post)
        self.builder.half = "backward"
        pairs = GRADIENTS[node.op.name](node.op)
        growing, shrinking = apply(pairs, spk, pre), apply(pairs, post, x)
        change = self.rule.f_pre(w) * shrinking - self.rule.f_post(w) * growing
        self.builder.half = "forward"
        op: Any = weight.op
        label: str = op.label
        self.builder.output(label, "gradient", change.node)
        return label

    def _trace(self, name: str, x: Value, tau: float) -> Value:
        """A state that decays and takes up the spikes of the step."""
        zero = operand(self.builder, 0.0)
        start = self.builder.add(State(name, x.shape), [zero], name=f"{name}.initial")
        op = Delay(x.shape)
        before = self.builder.add(op, [start, start], name=f"{name}.prev", type=op.infer())
        old = self.value(before)
        now: Value = apply(Elementwise("add"), old - old / tau, x, name=name)
        self.builder.connect(before, now.node, start)
        self.builder.output(name, "state_out", apply(Last(), now, name=f"{name}.last").node)
        return now
