"""Why a model is refused, in words that say where, what was expected, what was found, what to do.

Where onnx's own checker refuses it: does each node's operator exist, and does it get as many inputs as it
takes, of types and shapes that go together. Where we do: what each operator would need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import onnx

from ...errors import CompileError
from ..foreign import shown
from .constants import FOLDED
from .evaluate import OPERATORS
from .nodes import Flat
from .read import NEWEST, OLDEST, described, opset_of

REMEDY = "export the model again, or mend it there"
MOST_SHOWN = 300  # characters of onnx's own words
Types = Mapping[str, tuple[str, list[str] | None]]  # of values: element type, dimensions if known
MOST_NAMED = 8  # nodes that are not supported
ANOTHER = "would need an operator of snncc that it lacks; compute it outside, or from the operators below"
_LENGTH = "the length of what it makes hangs on the numbers; lengths must be known when compiling"
_WRITES = "supported where it writes a whole sequence step by step, or a 1 at each sample's ArgMax"
_INTEGERS = "is quantised; export the network before it is quantised"
_RANDOM = "draws random numbers; make them an input"
NEEDED = {  # what an operator that is not supported would need
    **dict.fromkeys(("NonZero", "Unique", "Compress", "NonMaxSuppression", "TopK"), _LENGTH),
    **dict.fromkeys(("ScatterND", "ScatterElements", "Scatter"), _WRITES),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv",
                     "QLinearMatMul", "ConvInteger", "MatMulInteger"), _INTEGERS),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
                     "Multinomial"), _RANDOM),
    "Einsum": "write it as Transpose, Reshape and MatMul",
    "GatherElements": "picks by numbers that are computed; supported are constant indices, with Gather",
    "GatherND": "picks by numbers that are computed; supported are constant indices, with Gather",
}  # fmt: skip
REFUSED = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    ValueError,
    TypeError,
)


@dataclass(frozen=True)
class Place:
    """A node, its schema if onnx knows its operator, and the values that it may read."""

    node: Any
    schema: Any
    types: Types
    call: bool  # of a function of the file

    def value(self, name: str) -> str:
        """`'W' int64[4, 3]`."""
        kind, dims = self.types.get(name, ("of a type that is not known", None))
        return f"{shown(name)!r} {kind}{'' if dims is None else '[' + ', '.join(dims) + ']'}"


def check_by_onnx(model: onnx.ModelProto) -> None:
    """Raises CompileError where onnx's own checker and its shape inference refuse a model."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except REFUSED as error:
        raise CompileError(refusal(model, str(error))) from None


def check_operators(flat: Flat) -> None:
    """Raises CompileError that says for each operator that has no meaning here what it would need."""
    wrong = [n for n in flat.nodes if n.op not in OPERATORS and n.op not in FOLDED]
    if not wrong:
        return
    listed = [f"{n.label}: {NEEDED.get(n.op, ANOTHER)}" for n in wrong[:MOST_NAMED]]
    if len(wrong) > MOST_NAMED:
        listed.append(f"and {len(wrong) - MOST_NAMED} more")
    names = ", ".join(sorted(op for op in OPERATORS if not op.startswith("@")))
    raise CompileError(
        f"not supported: {'; '.join(listed)} (operator set {flat.opset}; supported are {names}, If, "
        f"Loop, Scan, lists of tensors and functions, in operator sets {OLDEST} to {NEWEST})"
    )


def refusal(model: onnx.ModelProto, said: str) -> str:
    """Why a model is not sound. said: what onnx says."""
    places = list(_places(model))
    for place in places:
        for check in (_unknown, _counted, _attributes, _body, _typed, _multiplied):
            reason = check(place, opset_of(model))
            if reason:
                return f"{described(place.node)}: {reason}; {REMEDY}"
    text = shown(" ".join(said.replace("==> Context:", ";").split()), MOST_SHOWN)
    named = re.search(r"op_type: ?(\w+), node name: ?(.*?)\)", text)
    reason = text.rpartition("Error] ")[2].rpartition("Error]")[2].strip(" :") or text
    for place in places:
        if named and (place.node.op_type, shown(place.node.name)) == (named[1], named[2]):
            inputs = ", ".join(place.value(name) for name in place.node.input if name)
            outputs = ", ".join(place.value(name) for name in place.node.output if name)
            found = f"what it reads ({inputs}) and what it makes ({outputs}) do not go together: {reason}"
            return f"{described(place.node)}: {found}; {REMEDY}"
    return f"is no sound ONNX model: {text}; {REMEDY}"


def _places(model: onnx.ModelProto) -> Iterator[Place]:
    """Every node of the graph, of bodies within it and of functions."""
    with suppress(*REFUSED):  # types of inputs and initialisers are known all the same
        model = onnx.shape_inference.infer_shapes(model, strict_mode=False)
    own = {(f.domain, f.name) for f in model.functions}

    def of(nodes: Any, types: Types) -> Iterator[Place]:
        for node in nodes:
            call = (node.domain, node.op_type) in own
            yield Place(node, None if call else _schema(model, node), types, call)
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    yield from of(graph.node, {**types, **_types(graph)})

    yield from of(model.graph.node, _types(model.graph))
    for function in model.functions:
        yield from of(function.node, {})


def _schema(model: onnx.ModelProto, node: Any) -> Any:
    if node.domain not in ("", "ai.onnx"):
        return None
    try:
        return onnx.defs.get_schema(node.op_type, opset_of(model), "")
    except onnx.defs.SchemaError:
        return None


def _types(graph: Any) -> dict[str, tuple[str, list[str] | None]]:
    found: dict[str, tuple[str, list[str] | None]] = {}
    for tensor in graph.initializer:
        found[tensor.name] = _element(tensor.data_type), [str(n) for n in tensor.dims]
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.elem_type:
            dims = [str(d.dim_value) if d.HasField("dim_value") else shown(d.dim_param) or "?"
                    for d in kind.shape.dim]  # fmt: skip
            found.setdefault(value.name, (_element(kind.elem_type), dims if kind.HasField("shape") else None))
    return found


def _element(kind: int) -> str:
    """`float32` of 1."""
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, TypeError, ValueError):
        return f"type {kind}"


def _unknown(place: Place, opset: int) -> str:
    node = place.node
    if place.schema is not None or place.call or node.domain not in ("", "ai.onnx"):
        return ""
    return (
        f"operator set {opset} of ONNX has no operator {shown(node.op_type)}, and the file has no function "
        "of this name"
    )


def _counted(place: Place, opset: int) -> str:
    node, schema = place.node, place.schema
    if schema is None:
        return ""
    for what, names, low, high in (
        ("input", node.input, schema.min_input, schema.max_input),
        ("output", node.output, schema.min_output, schema.max_output),
    ):
        if not low <= len(names) <= high:
            wanted = str(low) if low == high else f"{low} to {high}"
            return f"expected {wanted} {what}s, found {len(names)}"
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    for k, name in enumerate(node.input):
        if not name and schema.inputs[min(k, len(schema.inputs) - 1)].option == single:
            return f"its input {k + 1} is missing"
    return ""


def _attributes(place: Place, opset: int) -> str:
    """Attributes that the operator needs, and none that it does not know."""
    if place.schema is None:
        return ""
    known, have = place.schema.attributes, {a.name: a for a in place.node.attribute}
    for name, attribute in known.items():
        if attribute.required and name not in have:
            return f"its attribute {shown(name)!r} is missing"
    for name, given in have.items():
        if name not in known:
            return f"its attribute {shown(name)!r} is none of this operator in operator set {opset}"
        wanted = known[name].type.name
        found = onnx.AttributeProto.AttributeType.Name(given.type)
        if not given.ref_attr_name and found != wanted:
            return f"its attribute {shown(name)!r} is of type {found}, expected {wanted}"
    return ""


def _body(place: Place, opset: int) -> str:
    """Whether the body of a Loop or Scan takes and gives as much as the node."""
    node = place.node
    body = next((a.g for a in node.attribute if a.name == "body"), None)
    if node.op_type not in ("Loop", "Scan") or body is None:
        return ""
    loop = node.op_type == "Loop"
    inputs = len(node.input)  # a Loop's count and condition are its body's step and condition
    outputs = len(node.output) + loop
    also = " with the condition to go on as the first" if loop else ""
    if len(body.output) != outputs:
        return f"its body must have {outputs} outputs{also}, found {len(body.output)}"
    if len(body.input) != inputs:
        return f"its body must have {inputs} inputs, as many as the node, found {len(body.input)}"
    return ""


def _typed(place: Place, opset: int) -> str:
    """Inputs of types that the operator takes, alike where they must be."""
    node, schema = place.node, place.schema
    if schema is None or not schema.inputs:
        return ""
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    bound: dict[str, str] = {}
    for k, name in enumerate(node.input):
        formal = schema.inputs[min(k, len(schema.inputs) - 1)]
        kind = place.types.get(name, ("", None))[0]
        if not kind or not formal.is_homogeneous:
            continue
        first = bound.setdefault(formal.type_str, name)
        if place.types[first][0] != kind:
            return f"its inputs {place.value(first)} and {place.value(name)} must be of one type"
        known = [_plain(text) for text in allowed.get(formal.type_str, [formal.type_str])]
        if kind not in known and all(known):
            return f"its input {place.value(name)} must be of type {', '.join(known)}"
    return ""


def _multiplied(place: Place, opset: int) -> str:
    """Whether the axes that a product sums over are of one length."""
    node = place.node
    if node.op_type not in ("Gemm", "MatMul") or place.schema is None:
        return ""
    turned = {a.name: bool(a.i) for a in node.attribute}
    a, b = (place.types.get(name, ("", None))[1] for name in node.input[:2])
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return ""
    left, right = a[-2 if turned.get("transA") else -1], b[-1 if turned.get("transB") else -2]
    if not (left.isdecimal() and right.isdecimal()) or left == right:
        return ""
    values = " by ".join(place.value(name) for name in node.input[:2])
    return f"multiplies {values}: expected axes of one length to sum over, found {left} and {right}"


def _plain(text: str) -> str:
    """`float32` of `tensor(float)`; nothing for what is no tensor."""
    found = re.fullmatch(r"tensor\((\w+)\)", text)
    names = {"float": "float32", "double": "float64"}
    return names.get(found[1], found[1]) if found else ""
