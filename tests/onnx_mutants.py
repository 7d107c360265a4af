"""Mutants of sound ONNX files: bytes flipped, and fields of nodes, tensors and types changed at random."""

from __future__ import annotations

import random
from collections.abc import Callable

import onnx

HOSTILE = (-(2**63), -1, 0, 1, 2, 7, 2**20, 2**31, 2**40, 2**62)
OPS = (
    *("Add", "Mul", "Gemm", "MatMul", "Concat", "Reshape", "Slice", "Gather", "Where", "Cast", "Expand"),
    *("Scan", "Loop", "If", "Transpose", "ReduceSum", "Squeeze", "ConstantOfShape", "Split", "Tile"),
    *("Range", "Bogus", "Pad", "ConvTranspose", "Resize", "ArgMax", "LSTM", "GRU", "ScatterND", "Identity"),
    *("SequenceInsert", "SequenceAt", "SequenceConstruct", "SplitToSequence", "ConcatFromSequence"),
)


def mutant(content: bytes, seed: int) -> bytes:
    """The file with one to three changes; the same for the same seed."""
    draw = random.Random(seed)
    if draw.random() < 0.25:
        return _bytes(content, draw)
    model = onnx.ModelProto.FromString(content)
    for _ in range(draw.randint(1, 3)):
        draw.choice(CHANGES)(model, draw)
    return bytes(model.SerializeToString())


def _bytes(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(changed))
        match draw.randrange(3):
            case 0:
                changed[place] = draw.randrange(256)
            case 1:
                del changed[place : place + draw.randint(1, 16)]
            case 2:
                changed[place:place] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 8)))
        if not changed:
            break
    return bytes(changed)


def _graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    found = [model.graph]
    for graph in found:
        found += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return found


def _node(model: onnx.ModelProto, draw: random.Random) -> onnx.NodeProto:
    nodes = [node for graph in _graphs(model) for node in graph.node]
    return draw.choice(nodes) if nodes else model.graph.node.add()


def _operator(model: onnx.ModelProto, draw: random.Random) -> None:
    _node(model, draw).op_type = draw.choice(OPS)


def _wire(model: onnx.ModelProto, draw: random.Random) -> None:
    node, other = _node(model, draw), _node(model, draw)
    names = [*other.input, *other.output, ""]
    if node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(names)


def _drop(model: onnx.ModelProto, draw: random.Random) -> None:
    graph = draw.choice(_graphs(model))
    field = draw.choice((graph.node, graph.input, graph.output, graph.initializer))
    if field:
        del field[draw.randrange(len(field))]


def _repeat(model: onnx.ModelProto, draw: random.Random) -> None:
    graph = draw.choice(_graphs(model))
    field = draw.choice((graph.node, graph.input, graph.output, graph.initializer))
    if field:
        field.add().CopyFrom(draw.choice(list(field)))


def _dimension(model: onnx.ModelProto, draw: random.Random) -> None:
    values = [*model.graph.input, *model.graph.output]
    dims = [d for value in values for d in value.type.tensor_type.shape.dim]
    if dims:
        dim = draw.choice(dims)
        if draw.random() < 0.3:
            dim.dim_param = draw.choice(("T", "batch", "n;}", "\u202e"))
        else:
            dim.dim_value = draw.choice(HOSTILE)


def _tensor(model: onnx.ModelProto, draw: random.Random) -> None:
    tensors = [t for graph in _graphs(model) for t in graph.initializer]
    tensors += [a.t for graph in _graphs(model) for n in graph.node for a in n.attribute if a.HasField("t")]
    if not tensors:
        return
    tensor = draw.choice(tensors)
    match draw.randrange(4):
        case 0 if tensor.dims:
            tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice(HOSTILE)
        case 1:
            tensor.data_type = draw.randrange(20)
        case 2 if tensor.raw_data:
            place = draw.randrange(len(tensor.raw_data))
            changed = bytearray(tensor.raw_data)
            changed[place] = draw.randrange(256)
            tensor.raw_data = bytes(changed)
        case _:
            tensor.dims.append(draw.choice(HOSTILE))


def _attribute(model: onnx.ModelProto, draw: random.Random) -> None:
    attributes = list(_node(model, draw).attribute)
    if not attributes:
        return
    attribute = draw.choice(attributes)
    match draw.randrange(4):
        case 0:
            attribute.i = draw.choice(HOSTILE)
        case 1 if attribute.ints:
            attribute.ints[draw.randrange(len(attribute.ints))] = draw.choice(HOSTILE)
        case 2:
            attribute.type = draw.randrange(15)
        case _:
            attribute.f = draw.choice((0.0, -1.0, float("nan"), float("inf"), 1e38))


def _element(model: onnx.ModelProto, draw: random.Random) -> None:
    value = draw.choice([*model.graph.input, *model.graph.output] or [model.graph.input.add()])
    value.type.tensor_type.elem_type = draw.randrange(20)


def _opset(model: onnx.ModelProto, draw: random.Random) -> None:
    for opset in model.opset_import:
        opset.version = draw.choice((1, 7, 8, 9, 10, 11, 12, 13, 18, 21, 30))


CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _operator, _wire, _wire, _drop, _repeat, _dimension, _tensor, _tensor, _attribute, _element, _opset,
)  # fmt: skip
