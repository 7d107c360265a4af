"""Time: what Scan, Loop, pairs of states and unrolled steps all become.

The flat form has five operators of its own for it. Outside of a loop a sequence has a time axis; inside,
a value stands for each step and has none.

    @step(x) axis         a sequence, step by step
    @stack(v) axis        the values of all steps as a sequence
    @delay(initial) feed  the value named `feed` of the step before
    @last(v)              the value of the last step
    @number()             the number of the step, an integer from 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .lists import Lists, grown, loop_list
from .nodes import DELAY, LAST, NUMBER, STACK, STEP, Flat, Node


@dataclass(frozen=True)
class Feed:
    """What a delay hands on at the next step, and what the state is called."""

    value: str
    label: str


class Placing(Protocol):
    """What puts bodies in place: the flat form so far, and how a body is added to it."""

    flat: Flat
    lists: Lists

    def body(self, graph: Any, names: Mapping[str, str], prefix: str, given: Mapping[str, str]) -> list[str]:
        """Adds a body's nodes; given: its inputs. The names of its outputs."""


def delay(node: Node, made: str, initial: str, feed: str, label: str) -> Node:
    """A state: its value of the step before."""
    return Node(DELAY, (initial,), (made,), {"feed": Feed(feed, label)}, node.label)


def place_scan(run: Placing, node: Node, names: Mapping[str, str], prefix: str) -> None:
    """A Scan's body in place, its states as delays."""
    body, scanned = node.attributes["body"], int(node.attributes.get("num_scan_inputs", 0))
    states = len(node.inputs) - scanned
    if node.opset < 9 or scanned < 1 or states < 0 or len(body.input) != len(node.inputs):
        raise node.error(
            f"its body takes {len(body.input)} values, {len(node.inputs)} are given, {scanned} of them step "
            "by step; expected operator set 9 or later, and as many as are given"
        )
    if len(body.output) < states or len(body.output) != len(node.outputs):
        raise node.error(f"the body must have {len(node.outputs)} outputs, it has {len(body.output)}")
    for name in ("scan_input_directions", "scan_output_directions"):
        if any(node.attributes.get(name, [])):
            raise node.error("reads or writes time backwards; only forwards is supported")
    axes = node.attributes.get("scan_input_axes", [0] * scanned)
    given = _states(node, body, prefix, range(states), 0)
    for place, axis in zip(range(states, len(node.inputs)), axes, strict=True):
        given[body.input[place].name] = made = f"{prefix}{body.input[place].name}"
        run.flat.nodes.append(Node(STEP, (node.inputs[place],), (made,), {"axis": axis}, node.label))
    _place(run, node, body, names, prefix, _Shape(states, 0, 0), given)


def place_loop(run: Placing, node: Node, names: Mapping[str, str], prefix: str) -> None:
    """A Loop's body in place; its condition has to stay true until the steps are done."""
    body, states = node.attributes["body"], len(node.inputs) - 2
    if len(body.input) != states + 2:
        raise node.error(f"the body must take 2 + {states} values, it takes {len(body.input)}")
    if len(body.output) < states + 1 or len(body.output) - 1 != len(node.outputs):
        outputs = len(node.outputs)
        raise node.error(f"the body must have 1 + {outputs} outputs, it has {len(body.output)}")
    going = run.flat.constants.get(node.inputs[1]) if node.inputs[1] else np.array(True)
    if going is None or not bool(going.reshape(-1)[0]):
        raise node.error("its condition must be true from the start; others are not supported")
    if not node.inputs[0]:
        raise node.error("has no number of steps, only a condition; give it one")
    count, condition = (f"{prefix}{value.name}" for value in body.input[:2])
    run.flat.constants[condition] = np.array(True)
    run.flat.nodes.append(Node(NUMBER, (node.inputs[0],), (count,), {}, node.label))
    given = {body.input[0].name: count, body.input[1].name: condition}
    given |= _states(node, body, prefix, range(2, states + 2), 2)
    results = _place(run, node, body, names, prefix, _Shape(states, 2, 1), given)
    kept = run.flat.constants.get(results[0])
    if kept is None or not bool(kept.reshape(-1)[0]):
        raise node.error(
            "its condition is computed in the body; loops of a fixed number of steps are supported"
        )


@dataclass(frozen=True)
class _Shape:
    """How a loop's operands lie: states, what precedes them among inputs and among outputs."""

    states: int
    before_inputs: int
    before_outputs: int


def _states(node: Node, body: Any, prefix: str, places: Sequence[int], first: int) -> dict[str, str]:
    return {body.input[place].name: f"{prefix}{body.input[place].name}" for place in places}


def _place(
    run: Placing,
    node: Node,
    body: Any,
    names: Mapping[str, str],
    prefix: str,
    shape: _Shape,
    given: Mapping[str, str],
) -> list[str]:
    """Delays, the body, and what leaves the loop. The names of the body's outputs."""
    first = len(run.flat.nodes)
    carried = [body.input[shape.before_inputs + k].name for k in range(shape.states)]
    lists = {k for k, name in enumerate(carried)
             if loop_list(run.lists, node, node.inputs[shape.before_inputs + k], given[name])}  # fmt: skip
    results = run.body(body, names, prefix, given)
    delays = []
    for k, name in enumerate(carried):
        following = results[shape.before_outputs + k]
        initial = node.inputs[shape.before_inputs + k]
        if k not in lists:
            delays.append(delay(node, given[name], initial, following, name))
    run.flat.nodes[first:first] = delays
    for k, made in enumerate(node.outputs):
        if not made:
            continue
        result = results[shape.before_outputs + k]
        if k in lists:
            grown(run.lists, node, given[carried[k]], result, made)
        elif k < shape.states:
            run.flat.nodes.append(Node(LAST, (result,), (made,), {}, node.label))
        else:
            axes = node.attributes.get("scan_output_axes", [0] * len(node.outputs))
            axis = axes[k - shape.states] if k - shape.states < len(axes) else 0
            run.flat.nodes.append(Node(STACK, (result,), (made,), {"axis": axis}, node.label))
    return results
