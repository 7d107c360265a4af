"""What exporters write as ScatterND and ScatterElements, where that is one of two things.

`rec[t] = spk` for each t is the sequence of all spk: a chain of writes, each of one place of an axis, becomes
a Concat. A 1 for each sample at its ArgMax, as in snnTorch's inhibition, is the largest of the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import constants
from .nodes import LARGEST, Flat, Node, needed

SCATTERS = ("ScatterND", "ScatterElements")
UNCHANGED = ("Unsqueeze", "Squeeze", "Reshape", "Expand", "Identity")  # of what is one number a sample


@dataclass(frozen=True)
class Write:
    """One place of an axis is replaced. part: what by, with the axis of length 1."""

    before: str
    axis: int
    place: int
    part: str


def unscattered(flat: Flat) -> Flat:
    """The flat graph with those two as what they mean; other writes are left."""
    if not any(node.op in SCATTERS for node in flat.nodes):
        return flat
    makers = flat.made_by()
    writes = {
        node.outputs[0]: write
        for node in flat.nodes
        if node.op in SCATTERS and (write := _write(flat, node)) is not None
    }
    nodes: list[Node] = []
    for node in flat.nodes:
        if node.op in SCATTERS:
            nodes += _collected(flat, node, writes) or _largest(flat, node, makers) or [node]
        else:
            nodes.append(node)
    return needed(replace(flat, nodes=nodes))


def _write(flat: Flat, node: Node) -> Write | None:
    """What a node writes, if that is all of one place of an axis."""
    data, indices, updates = node.inputs[:3]
    index, shape, part = flat.constants.get(indices), _shape(flat, data), _shape(flat, updates)
    plain = node.attributes.get("reduction", "none") == "none"
    if index is None or not index.size or shape is None or part is None or not plain:
        return None
    axis = 0
    if node.op == "ScatterElements":
        (axis,) = constants.axes_of(node, len(shape), [int(node.attributes.get("axis", 0))])
    elif index.shape != (1, 1):
        return None
    place = int(index.reshape(-1)[0])
    place = place + shape[axis] if place < 0 else place
    whole = part == (*shape[:axis], 1, *shape[axis + 1 :])
    if not whole or not 0 <= place < shape[axis] or not np.all(index == index.reshape(-1)[0]):
        return None
    return Write(data, axis, place, updates)


def _shape(flat: Flat, name: str) -> tuple[int, ...] | None:
    return flat.constants[name].shape if name in flat.constants else flat.shapes.get(name)


def _collected(flat: Flat, node: Node, writes: Mapping[str, Write]) -> list[Node]:
    """The sequence that writes of all places make; nothing if they do not."""
    name, last = node.outputs[0], writes.get(node.outputs[0])
    parts: dict[int, str] = {}
    while last is not None and (write := writes.get(name)) is not None and write.axis == last.axis:
        parts.setdefault(write.place, write.part)  # a later write counts
        name = write.before
    if last is None or len(parts) < (_shape(flat, last.before) or ())[last.axis]:
        return []
    along, made, rows = {"axes": [last.axis]}, [], []
    for place in sorted(parts):
        value, row = f"{node.outputs[0]}@value{place}", f"{node.outputs[0]}@row{place}"
        made.append(replace(node, op="Squeeze", inputs=(parts[place],), outputs=(value,), attributes=along))
        made.append(replace(node, op="Unsqueeze", inputs=(value,), outputs=(row,), attributes=along))
        rows.append(row)
    return [*made, replace(node, op="Concat", inputs=tuple(rows), attributes={"axis": last.axis})]


def _largest(flat: Flat, node: Node, makers: Mapping[str, Node]) -> list[Node]:
    """1 for each sample at the place that ArgMax found, 0 elsewhere."""
    data, ones = (flat.constants.get(node.inputs[i]) for i in (0, 2))
    pairs = makers.get(node.inputs[1])
    if node.op != "ScatterND" or data is None or ones is None or data.ndim != 2 or pairs is None:
        return []
    if np.any(data) or np.any(ones != 1) or pairs.op != "Concat" or len(pairs.inputs) != 2:
        return []
    samples, found = flat.constants.get(pairs.inputs[0]), makers.get(pairs.inputs[1])
    while found is not None and found.op in UNCHANGED:
        found = makers.get(found.inputs[0])
    if samples is None or not np.array_equal(samples.reshape(-1), np.arange(len(data))) or found is None:
        return []
    along = int(found.attributes.get("axis", 0)), bool(found.attributes.get("select_last_index", 0))
    if found.op != "ArgMax" or along not in ((1, False), (-1, False)):
        return []
    if flat.shapes.get(found.inputs[0]) != data.shape:
        return []
    return [replace(node, op=LARGEST, inputs=found.inputs[:1], attributes={})]
