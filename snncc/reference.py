"""The NumPy interpreter of a graph at any stage: the meaning of every operator, one after the other.

Every value is an array with all axes, [T or 1, B or 1, *features]. What lies on a cycle runs step by
step, everything else for all steps at once. Slow and simple; the compiled code must agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InternalError
from .graph import Graph, Node, Output
from .ops.time import Advance

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Call:
    """The arguments of a run.

    inputs: by label, [T, B, *features], or [B, *features] without a time axis; targets and cotangents
    among them (cotangents under `d_` + the output's name; missing ones are zero). parameters: by label.
    states: initial states by label, [B, *features]; missing ones start at their defaults.
    seed, first_step: of random numbers.
    smooth: spikes give the antiderivative of their surrogate instead of 0 and 1 (for finite differences).
    """

    inputs: Arrays
    parameters: Arrays
    states: Arrays
    steps: int
    batch: int
    dtype: Any = np.float64
    seed: int = 0
    first_step: int = 0
    smooth: bool = False


def evaluate(graph: Graph, call: Call) -> dict[tuple[str, str], np.ndarray]:
    """The graph's outputs by (role, name), without the axes that their types lack."""
    run = _Run(graph, call)
    return {(o.role, o.name): run.result(o) for o in graph.outputs}


def evaluate_nodes(graph: Graph, call: Call) -> dict[str, np.ndarray]:
    """Every value of the graph, with all axes."""
    return _Run(graph, call).values


class _Run:
    def __init__(self, graph: Graph, call: Call) -> None:
        self.graph, self.call = graph, call
        self.values: dict[str, np.ndarray] = {}
        for members in graph.components:
            if len(members) == 1 and members[0] not in graph[members[0]].inputs:
                self.values[members[0]] = self._all_steps(graph[members[0]])
            else:
                self._step_by_step([graph[m] for m in members])

    def _leaf(self, node: Node) -> np.ndarray | None:
        op: Any = node.op
        call = self.call
        match op.name:
            case "constant":
                return np.full((1, 1), op.value, call.dtype)
            case "steps" | "samples":
                return np.full((1, 1), call.steps if op.name == "steps" else call.batch, np.float64)
            case "parameter":
                return np.asarray(call.parameters[op.label], call.dtype)[None, None]
            case "table":
                return np.asarray(call.parameters[op.label], np.int64)[None, None]
            case "state":
                given = call.states.get(op.label)
                array = self.values[node.inputs[0]] if given is None else np.asarray(given, call.dtype)[None]
                return array.reshape(array.shape + (1,) * (2 + len(node.type.features) - array.ndim))
            case "input":
                return self._input(node)
            case "step_number":
                return np.arange(call.steps, dtype=call.dtype)[:, None]
            case "uniform":
                drawn = op.numbers(call.steps, call.batch, call.seed, call.first_step)
                return np.asarray(drawn, call.dtype)
        return None

    def _input(self, node: Node) -> np.ndarray:
        op: Any = node.op
        label = f"d_{op.label}" if op.role == "cotangent" else op.label
        if op.role == "lengths" and label not in self.call.inputs:
            return np.full((1, self.call.batch), self.call.steps, self.call.dtype)
        if op.role == "cotangent" and label not in self.call.inputs:
            return np.zeros((1, 1, *node.type.features), self.call.dtype)
        array = np.asarray(self.call.inputs[label])
        array = array if node.type.dtype == "i32" else array.astype(self.call.dtype)
        return array if node.type.time else array[None]

    def _full(self, node: Node, array: np.ndarray) -> np.ndarray:
        """With the extent in time and batch that the type says."""
        lead = (self.call.steps if node.type.time else 1, self.call.batch if node.type.batch else 1)
        return np.broadcast_to(array, lead + node.type.features)

    def _compute(self, node: Node, operands: list[np.ndarray]) -> np.ndarray:
        op: Any = node.op
        if self.call.smooth and op.name == "spike" and op.surrogate is not None:
            smooth: np.ndarray = op.surrogate.primitive(operands[0])
            return smooth
        result: np.ndarray = op.evaluate(*operands)
        kept = node.type.dtype in ("scalar", "number")
        return result if kept else result.astype(self.call.dtype, copy=False)

    def _all_steps(self, node: Node) -> np.ndarray:
        array = self._leaf(node)
        if array is None:
            array = self._compute(node, [self.values[i] for i in node.inputs])
        return self._full(node, array)

    def _step_by_step(self, members: list[Node]) -> None:
        """A strongly connected component: a scan over time, in the direction of its delays."""
        forward = {n.name for n in members if n.op.name in ("delay", "memorize")}
        reverse = {n.name for n in members if n.op.name in ("advance", "carry")}
        if bool(forward) == bool(reverse):
            raise InternalError(f"a loop must have delays or advances, not both: {[n.name for n in members]}")
        steps = range(self.call.steps) if forward else reversed(range(self.call.steps))
        history: dict[str, list[np.ndarray]] = {n.name: [] for n in members}
        inside = {n.name for n in members}
        for t in steps:
            now: dict[str, np.ndarray] = {}
            for node in members:
                if node.name in forward or node.name in reverse:
                    now[node.name] = self._carried(node, history, t)
                    continue
                operands = [now[i] if i in inside else self._at(i, t) for i in node.inputs]
                if node.op.spans:  # from the first step on, or in reverse from this one
                    rows = [*history[node.inputs[0]], operands[0]]
                    operands[0] = np.concatenate(rows if forward else rows[::-1])
                made = self._compute(node, operands)
                now[node.name] = (made[-1:] if forward else made[:1]) if node.op.spans else made
            for name, array in now.items():
                history[name].append(
                    np.broadcast_to(array, (1, self.call.batch, *self.graph[name].type.features))
                )
        for name, rows in history.items():
            self.values[name] = np.concatenate(rows if forward else rows[::-1])

    def _carried(self, node: Node, history: dict[str, list[np.ndarray]], t: int) -> np.ndarray:
        op: Any = node.op
        before: list[np.ndarray] = history[node.inputs[0]]
        if len(before) >= op.steps and not (isinstance(op, Advance) and op.ends(t)):
            return before[-int(op.steps)]
        if len(node.inputs) > 1:
            initial: np.ndarray = op.before(self.values[node.inputs[1]], t)
            return initial
        return np.zeros((1, self.call.batch, *node.type.features), self.call.dtype)

    def _at(self, name: str, t: int) -> np.ndarray:
        array = self.values[name]
        return array[t : t + 1] if self.graph[name].type.time else array

    def result(self, output: Output) -> np.ndarray:
        type = self.graph[output.value].type
        array = self.values[output.value]
        array = array if type.time else array[0]
        return array if type.batch else array[(slice(None), 0) if type.time else 0]
