"""Shapes of values, as onnx infers them from constants that are computed here.

onnx can propagate constants itself, but makes an object of each number, of vectors of any length: a file of a
kilobyte then takes gigabytes. So ours, which are bounded, go into the model instead, round by round: what
computes with shapes makes constants, which make shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ...errors import CompileError
from ..foreign import shown
from . import constants
from .nodes import Node
from .read import array_of, described, opset_of

Shapes = dict[str, tuple[int, ...]]
MOST_ROUNDS = 8
LONGEST_SHAPE = 4096  # elements of a constant that may be a shape, or axes, or pads


def known_shapes(model: onnx.ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> Shapes:
    """The shapes of values where they can be inferred. inputs: theirs, with stand-ins for open dimensions."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.ir_version = max(fixed.ir_version, 4)  # initialisers need not be inputs
    for value in fixed.graph.input:
        for dim, length in zip(value.type.tensor_type.shape.dim, inputs[value.name], strict=True):
            dim.dim_value = length
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    short = [t for t in fixed.graph.initializer if math.prod(t.dims) <= LONGEST_SHAPE]
    known = {t.name: array_of(t) for t in short}
    shapes = dict(inputs)
    for _ in range(MOST_ROUNDS):
        try:
            inferred = onnx.shape_inference.infer_shapes(fixed, strict_mode=False)
        except (RuntimeError, ValueError, onnx.shape_inference.InferenceError):
            return shapes
        shapes |= _found(inferred.graph)
        if not _computed(fixed, known, shapes):
            break
    return shapes


def _found(graph: Any) -> Shapes:
    found = {}
    for value in (*graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            found[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    return found


def _computed(fixed: onnx.ModelProto, known: dict[str, np.ndarray], shapes: Shapes) -> bool:
    """Puts constants in the place of nodes that make them. Whether onnx may infer more from them."""
    more, rest = False, []
    for proto in fixed.graph.node:
        made = _made(proto, known, shapes, opset_of(fixed))
        if made is None or any(array.size > LONGEST_SHAPE for array in made):
            rest.append(proto)
            continue
        more = more or proto.op_type != "Constant"
        for name, array in zip(proto.output, made, strict=False):
            known[name], shapes[name] = array, array.shape
            fixed.graph.initializer.append(numpy_helper.from_array(array, name))
    kept = [onnx.NodeProto.FromString(proto.SerializeToString()) for proto in rest]
    del fixed.graph.node[:]
    fixed.graph.node.extend(kept)
    return more


def _made(proto: Any, known: Mapping[str, np.ndarray], shapes: Shapes, opset: int) -> list[np.ndarray] | None:
    """The results of a node, if it is one of constants."""
    if proto.op_type not in constants.FOLDED or proto.domain not in ("", "ai.onnx"):
        return None
    label, attributes = described(proto), attributes_of(proto)
    node = Node(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, label, opset)
    if node.op == "Shape":
        shape = shapes.get(node.inputs[0])
        return None if shape is None else constants.shape(node, shape)
    if not all(i in known for i in node.inputs if i):
        return None
    return constants.fold(node, [known.get(i) for i in node.inputs])


def attributes_of(proto: Any) -> dict[str, Any]:
    """A node's attributes: text as str, tensors as arrays, graphs as they are. Raises CompileError."""
    return {a.name: _attribute(a) for a in proto.attribute}


def _attribute(attribute: Any) -> Any:
    kinds = onnx.AttributeProto
    if attribute.ref_attr_name:
        raise CompileError(f"attribute {shown(attribute.name)!r} refers to a function's that has no value")
    if attribute.type == kinds.TENSOR:
        return array_of(attribute.t)
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == kinds.STRINGS:
        return [s.decode("utf-8", "replace") for s in attribute.strings]
    if attribute.type == kinds.GRAPH:
        return attribute.g
    if attribute.type in (kinds.INT, kinds.FLOAT, kinds.INTS, kinds.FLOATS):
        value = onnx.helper.get_attribute_value(attribute)
        return value if isinstance(value, (int, float)) else list(value)
    raise CompileError(f"attribute {shown(attribute.name)!r} is of a kind that is not supported")
