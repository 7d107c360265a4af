"""ONNX's sequences, which are lists of tensors: each element is known by name, so no list is left.

A list that a loop appends one value to at each step is that value at all steps; PyTorch's scripted loops
write what they collect in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from . import constants
from .nodes import STACK, Flat, Node


@dataclass(frozen=True)
class Known:
    """A list of values by name; of an axis that was cut, the sequence that it was cut from and the axis."""

    values: tuple[str, ...]
    cut: str = ""
    axis: int = 0
    kept: bool = False  # whether each element still has the axis, of length 1


@dataclass(frozen=True)
class Growing:
    """A list in the body of a loop: empty before it, and the value that each step appends, once it does."""

    name: str
    value: str = ""


List = Known | Growing


@dataclass
class Lists:
    """The lists of a graph by name."""

    found: dict[str, List] = field(default_factory=dict)
    made: int = 0

    def known(self, node: Node) -> Known:
        found = self.found.get(node.inputs[0])
        if isinstance(found, Known):
            return found
        raise node.error("works on a list that a loop grows; supported is to append one value at each step")

    def name(self, node: Node) -> str:
        self.made += 1
        return f"{node.outputs[0]}@{self.made}"


class Adding(Protocol):
    """What nodes are added to."""

    flat: Flat
    lists: Lists

    def add(self, node: Node) -> str:
        """Adds a node, or the constants that it makes."""


def place_list(run: Adding, node: Node) -> str:
    """A node that works on lists, in place. What it became."""
    if node.op == "Identity":
        run.lists.found[node.outputs[0]] = run.lists.found[node.inputs[0]]
        return "the same list"
    if node.op not in HANDLERS:
        raise node.error("reads a list of tensors, which it cannot here; join it first (ConcatFromSequence)")
    HANDLERS[node.op](run, node)
    return "values of a list"


def _construct(run: Adding, node: Node) -> None:
    run.lists.found[node.outputs[0]] = Known(node.inputs)


def _insert(run: Adding, node: Node) -> None:
    before, place = run.lists.found.get(node.inputs[0]), _index(run, node, 2)
    if isinstance(before, Growing):
        if before.value or place is not None:
            raise node.error("a loop may append one value to a list at each step, at its end")
        run.lists.found[node.outputs[0]] = replace(before, value=node.inputs[1])
        return
    values = list(run.lists.known(node).values)
    values.insert(len(values) if place is None else place, node.inputs[1])
    run.lists.found[node.outputs[0]] = Known(tuple(values))


def _erase(run: Adding, node: Node) -> None:
    values, place = list(run.lists.known(node).values), _index(run, node, 1)
    del values[_within(node, -1 if place is None else place, len(values))]
    run.lists.found[node.outputs[0]] = Known(tuple(values))


def _length(run: Adding, node: Node) -> None:
    array = np.array(len(run.lists.known(node).values), np.int64)
    run.add(replace(node, op="Constant", inputs=(), attributes={"value": array}))


def _at(run: Adding, node: Node) -> None:
    """An element; by the number of the step it is the step of what was cut."""
    found = run.lists.known(node)
    if node.inputs[1] in run.flat.constants:
        place = _within(node, _index(run, node, 1) or 0, len(found.values))
        run.add(replace(node, op="Identity", inputs=(found.values[place],)))
        return
    if not found.cut:
        raise node.error("takes an element by a number that is computed; the list is not of steps")
    gathered = run.lists.name(node) if found.kept else node.outputs[0]
    index = (found.cut, node.inputs[1])
    run.add(replace(node, op="Gather", inputs=index, outputs=(gathered,), attributes={"axis": found.axis}))
    if found.kept:
        run.add(replace(node, op="Unsqueeze", inputs=(gathered,), attributes={"axes": [found.axis]}))


def _split(run: Adding, node: Node) -> None:
    """One part a place along an axis, or parts of a given length."""
    shape = run.flat.shapes.get(node.inputs[0])
    if shape is None:
        raise node.error("cuts a value whose shape is not known")
    (axis,) = constants.axes_of(node, len(shape), [int(node.attributes.get("axis", 0))])
    given = run.flat.constants.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
    if given is None and len(node.inputs) > 1 and node.inputs[1]:
        raise node.error("its lengths must be constant")
    kept = given is not None or bool(node.attributes.get("keepdims", 1))
    length = 1 if given is None else int(given.reshape(-1)[0])
    if given is not None and given.ndim:
        sizes = [int(n) for n in given.reshape(-1)]
    else:
        whole, rest = divmod(shape[axis], max(1, length))
        sizes = [length] * whole + [rest] * (rest > 0)
    if not sizes or min(sizes) < 1 or sum(sizes) != shape[axis]:
        raise node.error(f"cannot cut {shape[axis]} into {sizes}")
    parts = tuple(run.lists.name(node) for _ in sizes)
    taken = {"axis": axis, "split": sizes}
    run.add(replace(node, op="Split", inputs=node.inputs[:1], outputs=parts, attributes=taken))
    values = parts
    if not kept:
        values = tuple(run.lists.name(node) for _ in sizes)
        for part, value in zip(parts, values, strict=True):
            run.add(
                replace(node, op="Squeeze", inputs=(part,), outputs=(value,), attributes={"axes": [axis]})
            )
    steps = set(sizes) == {1}
    run.lists.found[node.outputs[0]] = Known(values, node.inputs[0] if steps else "", axis, kept)


def _concat(run: Adding, node: Node) -> None:
    found = run.lists.found.get(node.inputs[0])
    axis, new = int(node.attributes.get("axis", 0)), bool(node.attributes.get("new_axis", 0))
    if isinstance(found, Growing):
        if not new:
            raise node.error("joins what a loop collected along an old axis; supported is a new one")
        run.add(replace(node, op=STACK, inputs=(found.value,), attributes={"axis": axis}))
        return
    values = run.lists.known(node).values
    if new:
        lifted = [run.lists.name(node) for _ in values]
        for value, name in zip(values, lifted, strict=True):
            run.add(
                replace(node, op="Unsqueeze", inputs=(value,), outputs=(name,), attributes={"axes": [axis]})
            )
        values = tuple(lifted)
    run.add(replace(node, op="Concat", inputs=values, attributes={"axis": axis}))


def _index(run: Adding, node: Node, place: int) -> int | None:
    """A place in a list, None if none is given."""
    name = node.inputs[place] if len(node.inputs) > place else ""
    if not name:
        return None
    array = run.flat.constants.get(name)
    if array is None or array.size != 1:
        raise node.error("its place in the list must be constant")
    return int(array.reshape(-1)[0])


def _within(node: Node, place: int, count: int) -> int:
    if not -count <= place < count:
        raise node.error(f"there is no element {place} in a list of {count}")
    return place


def loop_list(lists: Lists, node: Node, initial: str, inside: str) -> bool:
    """Whether a state of a loop is a list; if so, `inside` grows in its body."""
    found = lists.found.get(initial)
    if found is None:
        return False
    if not isinstance(found, Known) or found.values:
        raise node.error("goes on with a list; supported is one that is empty before the loop")
    lists.found[inside] = Growing(inside)
    return True


def grown(lists: Lists, node: Node, inside: str, result: str, made: str) -> None:
    """The list that a loop leaves. inside, result: what it is in the body, before and after."""
    found = lists.found.get(result)
    if not isinstance(found, Growing) or found.name != inside or not found.value:
        raise node.error("a loop may append one value to a list at each step, at its end")
    lists.found[made] = found


HANDLERS: dict[str, Callable[[Adding, Node], None]] = {
    "SequenceConstruct": _construct, "SequenceEmpty": _construct, "SequenceInsert": _insert,
    "SequenceErase": _erase, "SequenceLength": _length, "SequenceAt": _at, "SplitToSequence": _split,
    "ConcatFromSequence": _concat,
}  # fmt: skip
