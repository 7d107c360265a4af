"""Names of neurons for the report: which states of a graph are the membranes of which known equations.

A state's next value is multiplied out to a sum of products of the state, a spike and what comes in. The graph
is left as it is: a name changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...graph import Graph

Symbol = tuple[Any, ...]  # ("state", label), ("spike", argument, strict) or ("in", name)
Monomial = tuple[Symbol, ...]
Sum = dict[Monomial, float]

DEEPEST, MOST_TERMS = 40, 32
CLOSE = 1e-6  # of numbers that an exporter rounded
SAME = ("detach", "expand", "substitute")
TESTS = {"spike": None, "greater": True, "greater_equal": False}


def recognised(graph: Graph) -> Iterator[tuple[str, str]]:
    """For each state that is known: its label, and the neuron that it belongs to."""
    for node in graph:
        op: Any = node.op
        if op.name == "delay" and op.steps == 1:
            label = graph[node.inputs[1]].op.label  # type: ignore[attr-defined]
            following = _sum(graph, node.inputs[0], 0)
            text = _neuron(("state", label), following)
            if text and not _fed_back(graph, following, node.name):
                yield label, text


def _fed_back(graph: Graph, following: Sum, state: str) -> bool:
    """Whether what comes in is computed from the state itself, as in exp(mem), other than by its spikes."""
    waiting = [symbol[1] for term in following for symbol in term if symbol[0] == "in"]
    seen = set(waiting)
    while waiting:
        node = graph[waiting.pop()]
        if node.name == state:
            return True
        if node.op.name not in ("delay", *TESTS):
            waiting += {*node.inputs} - seen
            seen.update(node.inputs)
    return False


def _sum(graph: Graph, name: str, depth: int) -> Sum:
    """A value as a sum of products; what is more than that stands for itself."""
    node, op = graph[name], graph[name].op.name
    itself: Sum = {(("in", name),): 1.0}
    if op == "constant":
        return {(): node.op.value}  # type: ignore[attr-defined]
    if op == "delay":
        return {(("state", graph[node.inputs[1]].op.label),): 1.0}  # type: ignore[attr-defined]
    if depth > DEEPEST:
        return itself
    if op in SAME:
        return _sum(graph, node.inputs[0], depth + 1)
    if op not in ("add", "sub", "mul", "div", "neg", "where", *TESTS):
        return itself
    operands = [_sum(graph, i, depth + 1) for i in node.inputs]
    made = _combined(op, operands, getattr(node.op, "strict", True))
    return itself if made is None or len(made) > MOST_TERMS else made


def _combined(op: str, operands: list[Sum], strict: bool) -> Sum | None:
    a, b = operands[0], operands[-1]
    if op == "neg":
        return _scaled(a, -1.0)
    if op in ("add", "sub"):
        return _added(a, _scaled(b, 1.0 if op == "add" else -1.0))
    if op == "mul":
        return _multiplied(a, b)
    if op == "div":
        number = b.get((), 0.0) if set(b) == {()} else 0.0
        return _scaled(a, 1.0 / number) if number else None
    if op == "where":
        return _chosen(*operands)
    difference = a if op == "spike" else _added(a, _scaled(b, -1.0))
    above = strict if op == "spike" else bool(TESTS[op])
    if next((v for t, v in sorted(difference.items(), key=repr) if t), 1.0) < 0:  # 1 - (-u >= 0) is u > 0
        return {(): 1.0, (("spike", _frozen(_scaled(difference, -1.0)), not above),): -1.0}
    return {(("spike", _frozen(difference), above),): 1.0}


def _chosen(condition: Sum, a: Sum, b: Sum) -> Sum | None:
    """A choice by a spike, or by none, is arithmetic on it."""
    if not all(term == () or (len(term) == 1 and term[0][0] == "spike") for term in condition):
        return None
    return _added(b, _multiplied(condition, _added(a, _scaled(b, -1.0))))


def _scaled(a: Sum, factor: float) -> Sum:
    return {term: value * factor for term, value in a.items()}


def _added(a: Sum, b: Sum) -> Sum:
    total = {term: a.get(term, 0.0) + b.get(term, 0.0) for term in {**a, **b}}
    return {term: value for term, value in total.items() if value}


def _multiplied(a: Sum, b: Sum) -> Sum:
    total: Sum = {}
    for left, x in a.items():
        for right, y in b.items():
            term = tuple(sorted((*left, *right), key=repr))
            total[term] = total.get(term, 0.0) + x * y
    return {term: value for term, value in total.items() if value}


def _frozen(a: Sum) -> tuple[Any, ...]:
    return tuple(sorted(a.items(), key=repr))


def _close(a: Mapping[Monomial, float], b: Mapping[Monomial, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[k] - b[k]) <= 1e-6 * max(1.0, abs(a[k])) for k in a)


def _neuron(state: Symbol, following: Sum) -> str:
    """What a state is whose next value is this, or nothing."""
    spikes = {s for term in following for s in term if s[0] == "spike"}
    beta = following.get((state,), 0.0)
    still = {t: v for t, v in following.items() if not any(s in spikes for s in t)}
    if not beta or len(spikes) > 1 or any(state in t and len(t) > 1 for t in still):
        return ""
    gains = [v for t, v in still.items() if len(t) == 1 and t[0][0] == "in"]
    if not gains or max(gains) - min(gains) > CLOSE:
        return ""
    gain = 1.0 if abs(gains[0] - 1.0) < CLOSE else gains[0]
    if not spikes:
        text = f"tau={_number(1.0 / gain)}" if abs(beta + gain - 1.0) < CLOSE else f"beta={_number(beta)}"
        known = gain == 1.0 or text.startswith("tau")
        return f"LI({text})" if known and abs(beta) < 1 else ""
    (spike,) = spikes
    argument = dict(spike[1])
    fires = "" if spike[2] else ", fires at its threshold"
    threshold = -argument.pop((), 0.0)
    fired = {tuple(s for s in t if s != spike): v for t, v in following.items() if spike in t}
    if _close(argument, {(state,): 1.0}):
        found = _delayed(state, still, fired, _Numbers(beta, gain, threshold, spike[2]))
    else:
        found = _at_once(argument, still, fired, _Numbers(beta, gain, threshold, spike[2]))
    return f"{found}{fires}" if found else ""


@dataclass(frozen=True)
class _Numbers:
    """A neuron's decay, the factor of what comes in, its threshold, and whether it must be passed."""

    beta: float
    gain: float
    threshold: float
    strict: bool

    def named(self, reset: str) -> str:
        """As SpikingJelly's neurons, which reset within the step."""
        return f"{_charging(self.beta, self.gain)}v_threshold={_number(self.threshold)}, {reset})"


def _delayed(state: Symbol, still: Sum, fired: Sum, n: _Numbers) -> str:
    """The state is the membrane before it resets: what the spike of the step before takes away comes now."""
    rest, level = still.get((), 0.0), fired.get((), 0.0) / n.beta
    if set(fired) == {()} and not rest:
        if n.gain == 1.0 and abs(fired[()] + n.threshold) < CLOSE and (n.strict or n.beta != 1.0):
            return f"Leaky(beta={_number(n.beta)}, threshold={_number(n.threshold)}, reset=subtract)"
        return n.named("v_reset=None") if abs(level + n.threshold) < CLOSE else ""
    if not _close({t: v for t, v in fired.items() if t}, {(state,): -n.beta}):
        return ""
    if n.gain == 1.0 and n.strict and not level and not rest:
        return f"Leaky(beta={_number(n.beta)}, threshold={_number(n.threshold)}, reset=zero)"
    decays = abs(rest - level * (1.0 - n.beta)) < CLOSE
    return n.named(f"v_reset={_number(level)}") if decays else ""


def _at_once(argument: Sum, still: Sum, fired: Sum, n: _Numbers) -> str:
    """The membrane resets within its step: the spike tests what it has charged to."""
    charge = {t: v for t, v in still.items() if t != ()}
    if not _close(argument, charge):
        return ""
    rest = _added(fired, charge)  # of a hard reset, v_reset is left
    if set(rest) <= {()}:
        return n.named(f"v_reset={_number(rest.get((), 0.0))}")
    return n.named("v_reset=None") if _close(fired, {(): -n.threshold}) else ""


def _charging(beta: float, gain: float) -> str:
    if beta == gain == 1.0:
        return "IF("
    if gain and abs(beta + gain - 1.0) < 1e-6:
        return f"LIF(tau={_number(1.0 / gain)}, "
    if gain == 1.0:
        return f"LIF(tau={_number(1.0 / (1.0 - beta))}, decay_input=False, "
    return f"LIF(beta={_number(beta)}, gain={_number(gain)}, "


def _number(value: float) -> str:
    return f"{np.float32(value):.6g}"
