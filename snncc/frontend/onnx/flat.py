"""One list of plain nodes from a checked model: functions, constant `If`s and constants are gone.

Values keep their names; what comes from a body within gets a prefix. Dimensions that the file leaves open
stand as small primes, so that shapes can be computed; `network` checks that no result hangs on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.inliner

from ...errors import CompileError
from ..foreign import shown
from . import constants
from .domain import own_functions
from .lists import HANDLERS, Lists, place_list
from .loops import place_loop, place_scan
from .nodes import Flat, Node, Port, Seen
from .read import DTYPES, MOST_ELEMENTS, array_of, described, opset_of
from .shapes import attributes_of, known_shapes

MOST_GROWN = 1 << 28  # bytes of constants that are computed, beyond those that they are computed from
STAND_INS = (13, 17, 19, 23, 29, 31, 37, 41)  # for open dimensions, in the order of their appearance


def flatten(model: onnx.ModelProto, offset: int = 0) -> Flat:
    """The flat form. offset: of the stand-ins. Raises CompileError for bodies that cannot be put in place."""
    calls = list(_calls(model))
    model = _inlined(model)
    ports = _ports(model.graph, offset)
    shapes = known_shapes(model, {name: port.shape for name, port in ports.items()})
    run = _Flattening(Flat([], {}, ports, (), shapes, opset_of(model), frozenset()))
    stored = {t.name: array_of(t) for t in model.graph.initializer}
    for tensor in model.graph.sparse_initializer:
        raise CompileError(f"tensor {shown(tensor.values.name)!r} is sparse; store it dense")
    flat = run.flat
    flat.constants.update(stored)
    flat.weights = frozenset(stored)
    flat.inputs = {name: port for name, port in ports.items() if name not in stored}
    flat.seen += calls
    run.scope({name: name for name in (*stored, *ports)}, model.graph.node, "")
    flat.outputs = tuple(o.name for o in model.graph.output)
    for name in flat.outputs:
        if name in run.lists.found:
            raise CompileError(
                f"the output {shown(name)!r} is a list of tensors; join it (ConcatFromSequence)"
            )
    return flat


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_selected_functions(model, own_functions(model), exclude=True)
    except (RuntimeError, ValueError) as error:
        raise CompileError(f"functions cannot be put in place: {shown(error)}") from None


def _calls(model: onnx.ModelProto) -> Iterator[Seen]:
    """Nodes that call functions of the file, those in bodies too."""
    own = {(f.domain, f.name) for f in model.functions} - set(own_functions(model))

    def of(nodes: Iterable[Any]) -> Iterator[Seen]:
        for node in nodes:
            if (node.domain, node.op_type) in own:
                yield _seen(node, "", "the nodes of its function")
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    yield from of(graph.node)

    yield from of(model.graph.node)
    for function in model.functions:
        yield from of(function.node)


def _seen(proto: Any, prefix: str, became: str = "") -> Seen:
    outputs = tuple(f"{prefix}{o}" for o in proto.output if o)
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}::"
    name = proto.name or (f"-> {proto.output[0]}" if outputs else "without a name")
    return Seen(name, f"{domain}{proto.op_type}", outputs, became)


def _ports(graph: Any, offset: int) -> dict[str, Port]:
    """Inputs with stand-ins for the dimensions that are open."""
    symbols: dict[str, int] = {}
    ports = {}
    for value in graph.input:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type not in DTYPES:
            raise CompileError(f"input {shown(value.name)!r} is no tensor of numbers")
        if not kind.HasField("shape"):
            raise CompileError(f"input {shown(value.name)!r} has no shape; export with the shapes of inputs")
        shape, open_axes = [], {}
        for axis, dim in enumerate(kind.shape.dim):
            if dim.HasField("dim_value"):
                shape.append(dim.dim_value)
                continue
            symbol = dim.dim_param or f"{value.name} axis {axis}"
            place = symbols.setdefault(symbol, len(symbols))
            if place + offset >= len(STAND_INS):
                raise CompileError(f"more than {len(STAND_INS)} open dimensions; export with fixed ones")
            shape.append(STAND_INS[place + offset])
            open_axes[axis] = symbol
        if any(n < 1 for n in shape) or np.prod([float(n) for n in shape]) > MOST_ELEMENTS:
            raise CompileError(f"input {shown(value.name)!r} has the shape {shape}; expected lengths from 1")
        ports[value.name] = Port(value.name, tuple(shape), open_axes, DTYPES[kind.elem_type])
    return ports


class _Flattening:
    """Walks graphs within graphs; each body has its own names for its values."""

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self.lists = Lists()
        self.bodies = 0
        self.grown = 0  # bytes

    def scope(self, names: dict[str, str], nodes: Iterable[Any], prefix: str) -> dict[str, str]:
        """Adds nodes; names: of values of this graph and around it, as they are called in the flat form."""
        for proto in nodes:
            inputs = tuple(names[i] if i else "" for i in proto.input)
            outputs = tuple(f"{prefix}{o}" if o else "" for o in proto.output)
            attributes = attributes_of(proto)
            op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}::{proto.op_type}"
            node = Node(op, inputs, outputs, attributes, described(proto), self.flat.opset, _layer(proto))
            names.update((o, f"{prefix}{o}") for o in proto.output if o)
            if op == "If":
                became = self._branch(node, names)
            elif op in ("Loop", "Scan"):
                became = self._loop(node, names)
            elif op in HANDLERS or any(i in self.lists.found for i in inputs):
                became = place_list(self, node)
            else:
                became = self.add(node)
            self.flat.seen.append(_seen(proto, prefix, became))
        return names

    def add(self, node: Node) -> str:
        """A node, or the constants that it makes. What it became, if that is known."""
        flat = self.flat
        known = [flat.constants.get(i) for i in node.inputs]
        if node.op == "Shape" and node.inputs[0] in flat.shapes and known[0] is None:
            flat.open_shapes = flat.open_shapes or any(p.open for p in flat.inputs.values())
            made = constants.shape(node, flat.shapes[node.inputs[0]])
        elif node.op in constants.FOLDED and all(
            k is not None or not i for k, i in zip(known, node.inputs, strict=True)
        ):
            made = constants.fold(node, known)
        else:
            flat.nodes.append(node)
            return ""
        self.grown += max(0, sum(a.nbytes for a in made) - sum(k.nbytes for k in known if k is not None))
        if self.grown > MOST_GROWN:
            raise node.error(f"constants that are computed take {MOST_GROWN:,} bytes more than the file's")
        for name, array in zip(node.outputs, made, strict=False):
            flat.constants[name] = array
            flat.shapes[name] = array.shape
            if node.op == "Identity":
                flat.sources[name] = flat.sources.get(node.inputs[0], node.inputs[0])
        return "a constant"

    def _branch(self, node: Node, names: dict[str, str]) -> str:
        """An If with a constant condition is its branch."""
        condition = self.flat.constants.get(node.inputs[0])
        if condition is None:
            raise node.error("its condition is not constant; both ways at once would need Where")
        taken = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        graph = node.attributes[taken]
        self.bodies += 1
        inner = self.body(graph, names, f"body{self.bodies}/", {})
        for made, result in zip(node.outputs, inner, strict=True):
            self.add(replace(node, op="Identity", inputs=(result,), outputs=(made,), attributes={}))
        return f"its {taken}"

    def body(self, graph: Any, names: Mapping[str, str], prefix: str, given: Mapping[str, str]) -> list[str]:
        """Puts a body in place; given: its inputs. The names of its outputs."""
        inner = {**names, **given}
        for tensor in graph.initializer:
            self.flat.constants[f"{prefix}{tensor.name}"] = array_of(tensor)
            inner[tensor.name] = f"{prefix}{tensor.name}"
        inner = self.scope(inner, graph.node, prefix)
        return [inner[o.name] for o in graph.output]

    def _loop(self, node: Node, names: Mapping[str, str]) -> str:
        self.bodies += 1
        place = place_loop if node.op == "Loop" else place_scan
        place(self, node, names, f"body{self.bodies}/")
        return "a loop over time"


def _layer(proto: Any) -> str:
    """The module that a node is of: by PyTorch's metadata, or by a name like /lif1/Mul. A hint, no more."""
    for entry in getattr(proto, "metadata_props", ()):
        if entry.key == "namespace":
            parts = [part.partition(":")[0].strip() for part in entry.value.split("/")]
            return next((part for part in reversed(parts[:-1]) if part), "")
    return proto.name.rpartition("/")[0].rpartition("/")[2] if "/" in proto.name else ""
