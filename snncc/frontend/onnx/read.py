"""Reads an ONNX file: bounded, checked, and with the weights in it. Nothing in it is trusted.

Every fault is a CompileError that names the node or tensor, and the reason. Sizes are looked at
before anything is allocated.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ...errors import CompileError
from ..foreign import shown

OLDEST, NEWEST = 7, min(28, onnx.defs.onnx_opset_version())
MOST_BYTES = 1 << 31  # of a file; protobuf holds no more
MOST_ELEMENTS = 1 << 28  # of a tensor
MOST_NODES = 200_000  # after functions are put in place
DEEPEST = 16  # graphs within graphs
SHORTEST_STRAY = 4096  # elements from which a tensor without its bytes is no oversight
DOMAIN = "snncc"  # of the neurons that snncc writes itself

DTYPES: dict[int, np.dtype[Any]] = {
    onnx.TensorProto.FLOAT: np.dtype(np.float32),
    onnx.TensorProto.DOUBLE: np.dtype(np.float64),
    onnx.TensorProto.FLOAT16: np.dtype(np.float16),
    onnx.TensorProto.INT64: np.dtype(np.int64),
    onnx.TensorProto.INT32: np.dtype(np.int32),
    onnx.TensorProto.INT8: np.dtype(np.int8),
    onnx.TensorProto.UINT8: np.dtype(np.uint8),
    onnx.TensorProto.INT16: np.dtype(np.int16),
    onnx.TensorProto.UINT16: np.dtype(np.uint16),
    onnx.TensorProto.UINT32: np.dtype(np.uint32),
    onnx.TensorProto.UINT64: np.dtype(np.uint64),
    onnx.TensorProto.BOOL: np.dtype(np.bool_),
}


def described(node: Any) -> str:
    """`node n_gemm (Gemm)`, or by its first output where it has no name."""
    name = node.name or f"that makes {shown(node.output[0]) if node.output else 'nothing'}"
    domain = f"{shown(node.domain)}::" if node.domain not in ("", "ai.onnx") else ""
    return f"node {shown(name)} ({domain}{shown(node.op_type)})"


def read_model(path: Path) -> onnx.ModelProto:
    """The model of a file, its external data read in, and what we rely on checked. Raises CompileError."""
    model = _parse(path)
    _check_fields(model)
    _check_frame(model)
    _check_graph(model.graph, _Names(), 0)
    for function in model.functions:
        _check_nodes(function.node, _Names(set(function.input)), 1, function)
    _count(model)
    for tensor in _tensors(model):
        _check_tensor(tensor, path.parent)
    return model


def _parse(path: Path) -> onnx.ModelProto:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CompileError("is not a file; give an .onnx file")
        if status.st_size > MOST_BYTES:
            raise CompileError(
                f"has {status.st_size:,} bytes, more than protobuf's {MOST_BYTES:,}; keep large "
                "weights in external data"
            )
        content = path.read_bytes()
    except OSError as error:
        raise CompileError(f"cannot be read: {error.strerror}") from None
    if not content:
        raise CompileError("is empty; it has no graph")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, RecursionError, ValueError, UnicodeError):
        raise CompileError(
            "is not an ONNX file, or it is cut off or damaged: its protobuf cannot be read"
        ) from None
    if not model.HasField("graph"):
        raise CompileError("is not an ONNX model: it has no graph")
    return model


def _check_fields(message: Any) -> None:
    """Text is text, and no dimension is negative: onnx's own code relies on both."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if _repeats(field) else (value,):
                _check_fields(part)
        elif field.type == field.TYPE_STRING:
            for text in value if _repeats(field) else (value,):
                if not isinstance(text, str):
                    raise CompileError(f"a {field.name} is not text: {shown(bytes(text))}")
        elif field.name == "dim_value" and not 0 <= value <= MOST_ELEMENTS:
            raise CompileError(f"a value has a dimension of {value}; expected 0 to {MOST_ELEMENTS:,}")


def _repeats(field: Any) -> bool:
    newer = hasattr(field, "is_repeated")  # protobuf 6 and later
    return bool(field.is_repeated) if newer else field.label == field.LABEL_REPEATED


def opset_of(model: Any) -> int:
    """The version of the default operator set."""
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    return max(versions, default=0)


def _check_frame(model: onnx.ModelProto) -> None:
    if not model.graph.output:
        raise CompileError("the graph has no outputs: there is nothing to compile")
    if not opset_of(model):
        raise CompileError("the model names no operator set (opset_import); export it again")
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not OLDEST <= opset.version <= NEWEST:
            age = "newer than the newest" if opset.version > NEWEST else "older than the oldest"
            raise CompileError(
                f"operator set {opset.version} is {age} that is supported; "
                f"export with opset {OLDEST} to {NEWEST}"
            )


class _Names:
    """Values that a node may read: those made so far in its graph, and around it."""

    def __init__(self, known: set[str] | None = None, outer: _Names | None = None) -> None:
        self.known, self.outer = known or set(), outer
        self.makers: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.known or (self.outer is not None and name in self.outer)

    def add(self, name: str, maker: str) -> None:
        if name in self.known:
            before = self.makers.get(name, "an input or initialiser")
            raise CompileError(f"tensor {shown(name)!r} is written twice: by {before} and by {maker}")
        self.known.add(name)
        self.makers[name] = maker


def _check_graph(graph: Any, names: _Names, depth: int) -> None:
    if depth > DEEPEST:
        raise CompileError(f"graphs within graphs are more than {DEEPEST} deep")
    for value in graph.input:
        names.add(value.name, "an input")
    for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer)):
        names.known.add(tensor.name)
    _check_nodes(graph.node, names, depth, graph)


def _check_nodes(nodes: Sequence[Any], names: _Names, depth: int, owner: Any) -> None:
    """Every value is made once, and before it is read."""
    later = {output for node in nodes for output in node.output}
    for node in nodes:
        for name in node.input:
            if name and name not in names:
                raise CompileError(_unmade(node, name, name in later))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _check_graph(inner, _Names(outer=names), depth + 1)
        for name in node.output:
            if name:
                names.add(name, described(node))
    for output in owner.output:
        name = output if isinstance(output, str) else output.name
        if name not in names:
            raise CompileError(f"nothing makes the output {shown(name)!r}")


def _unmade(node: Any, name: str, later: bool) -> str:
    if later:
        return (
            f"{described(node)} reads {shown(name)!r}, which only this node or a later one makes: the graph "
            "has a cycle, or its nodes are out of order; a state goes through an input and an output"
        )
    return f"{described(node)} reads {shown(name)!r}, which no input, initialiser or node makes"


def _count(model: onnx.ModelProto) -> None:
    """Refuses functions that call functions until there are too many nodes, before they are put in place."""
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[Any], calling: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in calling or len(calling) > DEEPEST:
                raise CompileError(f"{described(node)}: functions call each other without end")
            if key in functions:
                if key not in sizes:
                    sizes[key] = size(functions[key].node, (*calling, key))
                total += sizes[key]
            total += 1 + sum(size(g.node, calling) for a in node.attribute for g in (a.g, *a.graphs))
        return total

    found = size(model.graph.node, ())
    if found > MOST_NODES:
        raise CompileError(f"{found:,} nodes with functions put in place; {MOST_NODES:,} are supported")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the file: initialisers and attributes, of graphs within too."""

    def of(nodes: Iterable[Any]) -> Iterator[onnx.TensorProto]:
        for node in nodes:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors
                for graph in (attribute.g, *attribute.graphs):
                    yield from graph.initializer
                    yield from of(graph.node)

    yield from model.graph.initializer
    yield from of(model.graph.node)
    for function in model.functions:
        yield from of(function.node)


def _check_tensor(tensor: onnx.TensorProto, folder: Path) -> None:
    """Its dtype is known, and it has as many elements as it says. External data is read into it."""
    label = f"tensor {shown(tensor.name)!r}" if tensor.name else "a constant"
    if any(n < 0 for n in tensor.dims):
        raise CompileError(f"{label} has a negative dimension: {list(tensor.dims)}")
    count = math.prod(tensor.dims)
    if count > MOST_ELEMENTS:
        raise CompileError(f"{label} of shape {list(tensor.dims)} has more than {MOST_ELEMENTS:,} elements")
    dtype: Any = DTYPES.get(tensor.data_type)
    if dtype is None:
        kinds = onnx.TensorProto.DataType.items()
        name = next((n for n, v in kinds if v == tensor.data_type), str(tensor.data_type))
        raise CompileError(f"{label} is of type {name.lower()}; float, integer and bool are supported")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _read_external(tensor, label, count * dtype.itemsize, folder)
    given = len(tensor.raw_data) // dtype.itemsize
    if not tensor.HasField("raw_data"):
        lists = (
            tensor.float_data,
            tensor.int32_data,
            tensor.int64_data,
            tensor.double_data,
            tensor.uint64_data,
        )
        given = max(len(values) for values in lists)
    if given != count or len(tensor.raw_data) % dtype.itemsize:
        raise CompileError(f"{label} of shape {list(tensor.dims)} has data for {given} elements")


def _read_external(tensor: onnx.TensorProto, label: str, length: int, folder: Path) -> None:
    """The bytes of a tensor from a file beside the model, which must lie in its folder, links followed."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    leaves = f"{label}: its external data {shown(location)!r} leaves the model's folder"
    if Path(location).is_absolute() or ".." in Path(location).parts:  # whether or not it is there
        raise CompileError(leaves)
    try:
        place = (folder / location).resolve(strict=True)
        inside = place.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        raise CompileError(f"{label}: its external data {shown(location)!r} cannot be read") from None
    if not inside:
        raise CompileError(leaves)
    try:
        offset, stated = int(entries.get("offset", "0")), int(entries.get("length", str(length)))
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(place, flags), "rb") as file:
            status = os.fstat(file.fileno())
            sound = stat.S_ISREG(status.st_mode) and 0 <= offset <= status.st_size - length
            if not sound or stated != length:
                said = "" if stated == length else f", the model says {stated:,}"
                kind = "a file" if stat.S_ISREG(status.st_mode) else "no file"
                raise CompileError(
                    f"{label} of {length:,} bytes: its external data {shown(location)!r} must have these "
                    f"from byte {offset:,} on{said}; found {kind} of {status.st_size:,} bytes"
                )
            file.seek(offset)
            content = file.read(length)
    except (OSError, ValueError) as error:
        raise CompileError(
            f"{label}: its external data {shown(location)!r} cannot be read: {error}"
        ) from None
    tensor.raw_data = content
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def array_of(tensor: onnx.TensorProto) -> np.ndarray:
    """A checked tensor as an array."""
    try:
        return np.array(numpy_helper.to_array(tensor))
    except (TypeError, ValueError) as error:
        raise CompileError(f"tensor {shown(tensor.name)!r}: {shown(error)}") from None
