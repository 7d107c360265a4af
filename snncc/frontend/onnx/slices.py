"""Which values are steps of a sequence, and which sequences are made of steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import CompileError
from . import constants
from .nodes import Flat, Node

FEWEST = 3  # steps that show a pattern


@dataclass(frozen=True)
class Slice:
    """One step of a sequence."""

    sequence: str
    axis: int
    step: int


def slice_of(flat: Flat, makers: dict[str, Node], name: str) -> Slice | None:
    """The step of a sequence that a value is: by Gather, or by Slice or Split and Squeeze."""
    node = makers.get(name)
    if node is None or not node.inputs:
        return None
    if node.op == "Gather":
        at = flat.constants.get(node.inputs[1])
        if at is None or at.ndim:
            return None
        return _slice(flat, node.inputs[0], int(node.attributes.get("axis", 0)), int(at))
    if node.op != "Squeeze":
        return None
    axes = constants.attribute_or_input(node, "axes", 1, [None, flat.constants.get((*node.inputs, "")[1])])
    cut = makers.get(node.inputs[0])
    if axes is None or len(axes) != 1 or cut is None:
        return None
    if cut.op == "Slice":
        return _slice_cut(flat, cut, axes[0])
    if cut.op == "Split" and int(cut.attributes.get("axis", 0)) == axes[0]:
        return _slice(flat, cut.inputs[0], axes[0], cut.outputs.index(node.inputs[0]))
    return None


def _slice_cut(flat: Flat, cut: Node, axis: int) -> Slice | None:
    rank = len(flat.shapes.get(cut.inputs[0], ()))
    try:
        known = [None, *(flat.constants.get(i) for i in cut.inputs[1:])]
        taken = constants.slices(cut, rank, known)
    except CompileError:
        return None
    axis = axis + rank if axis < 0 else axis
    others = [s for i, s in enumerate(taken) if i != axis]
    own = taken[axis] if axis < rank else slice(None)
    if any(s != slice(None) for s in others) or own.start is None or own.stop != own.start + 1:
        return None
    return _slice(flat, cut.inputs[0], axis, int(own.start))


def _slice(flat: Flat, sequence: str, axis: int, step: int) -> Slice:
    shape = flat.shapes.get(sequence)
    if shape is not None:
        axis = axis + len(shape) if axis < 0 else axis
        step = step + shape[axis] if step < 0 and axis < len(shape) else step
    return Slice(sequence, axis, step)


def stacked(flat: Flat, makers: dict[str, Node]) -> Iterator[tuple[Node, int, list[str]]]:
    """Every Concat that makes a sequence of values: the node, its axis, the values."""
    for node in flat.nodes:
        if node.op != "Concat" or len(node.inputs) < FEWEST:
            continue
        parts, axis = [], int(node.attributes.get("axis", 0))
        for name in node.inputs:
            maker = makers.get(name)
            if maker is None or maker.op != "Unsqueeze":
                break
            given = [None, flat.constants.get((*maker.inputs, "")[1])]
            axes = constants.attribute_or_input(maker, "axes", 1, given)
            if axes is None or len(axes) != 1 or axes[0] != axis:
                break
            parts.append(maker.inputs[0])
        if len(parts) == len(node.inputs):
            yield node, axis, parts
