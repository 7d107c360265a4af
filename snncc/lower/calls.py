"""Calls of hand-written kernels: for each operator that no sweep can hold, which kernel on which buffers."""

from __future__ import annotations

from typing import Any

from ..errors import InternalError
from ..graph import Graph, Node
from ..passes.choose_kernels import is_spike
from ..program import Buffer, Call
from .buffers import Buffers
from .layout import user_field

NARROW = 2  # SNNCC_NARROW of product.h


class Calls:
    """Makes the calls of one entry point."""

    def __init__(self, graph: Graph, buffers: Buffers) -> None:
        self.graph, self.buffers = graph, buffers

    def calls(self, node: Node) -> tuple[Call, ...]:
        """The hand-written kernels of a node that is no sweep."""
        return self._weight_gradient(node) if node.op.name == "weight_gradient" else (self._call(node),)

    def _call(self, node: Node) -> Call:
        op: Any = node.op
        buffer, pitch = self.buffers.buffer, self.buffers.pitch
        n, time = node.type.size, node.type.time and node.name not in self.buffers.stepped
        inputs = node.inputs
        match op.name:
            case "input" if node.type.dtype == "i32":
                classes = next(r.op.classes for r in self.buffers.readers[node.name])  # type: ignore[attr-defined]
                return Call("load_labels", (buffer(node.name, "labels"),), (classes,), field=op.label)
            case "input":
                role = "cotangent" if op.role == "cotangent" else "input"
                field = user_field(role, op.label)
                return Call("load", (buffer(node.name),), (n, pitch(node)), time, field)
            case "state":
                default, value = self.graph[inputs[0]], 0.0
                if default.op.name == "constant":
                    value = default.op.value  # type: ignore[attr-defined]
                given = None if default.op.name == "constant" else buffer(inputs[0])
                return Call(
                    "load_state",
                    (buffer(node.name), given),
                    (n, pitch(node)),
                    False,
                    user_field("state", op.label),
                    value=value,
                )
            case "linear" if self.by_transposing(node):
                return self._input_gradient(node, time)
            case "linear":
                return self._product(node, time)
            case "transpose":
                shape = self.graph[inputs[0]].type.features
                return Call("transpose", (buffer(inputs[0]), buffer(node.name, "panels")), shape)
            case "events":
                return self._events(node, time)
            case "log_softmax":
                return Call("log_softmax", (buffer(inputs[0]), buffer(node.name)), (n, pitch(node)), time)
            case "sum_features":
                x = self.graph[inputs[0]]
                kind = "sum_features" if x.type.batch else "sum_features_once"
                row = pitch(x) if x.type.batch else self.buffers.layout.stride(x.type.size)
                return Call(kind, (buffer(x.name), buffer(node.name)), (x.type.size, row), time)
            case "one_hot":
                labels = buffer(inputs[0], "labels")
                return Call("one_hot", (labels, buffer(node.name)), (n, pitch(node)), time)
        raise InternalError(f"%{node.name}: no kernel for {op.name}")

    def by_transposing(self, node: Node) -> bool:
        """Whether a product with transposed weights transposes what it needs of them itself, which pays
        where a panel of them serves many rows: not for one step of a loop."""
        op: Any = node.op
        weight = self.graph[node.inputs[1]] if op.name == "linear" else node
        dense = op.name != "linear" or op.kernel == "dense"
        many = dense and node.name not in self.buffers.stepped and node.type.size > 1
        return weight.op.name == "transpose" and self.graph[weight.inputs[0]].op.name == "parameter" and many

    def copied(self, node: Node) -> bool:
        """Whether transposed weights are needed as a whole."""
        return not all(
            r.op.name == "linear" and self.by_transposing(r) for r in self.buffers.readers[node.name]
        )

    def _input_gradient(self, node: Node, time: bool) -> Call:
        d_y, weight = self.graph[node.inputs[0]], self.graph[self.graph[node.inputs[1]].inputs[0]]
        buffers, layout = self.buffers, self.buffers.layout
        name, size = buffers.names.new(f"{node.name}.slice"), layout.slice_size
        slice = Buffer(name, "panel", (layout.panel,), layout="slice", size=size)
        operands = (
            buffers.buffer(d_y.name),
            buffers.buffer(weight.name, "panels"),
            slice,
            buffers.buffer(node.name),
        )
        return Call("input_gradient", operands, (d_y.type.size, node.type.size), time)

    def _list_layout(self, name: str) -> str:
        return "events" if is_spike(self.graph, name) else "valued"

    def _events(self, node: Node, time: bool) -> Call:
        x = self.graph[self.buffers.source(node.inputs[0])]
        layout = self._list_layout(node.name)
        target = self.buffers.buffer(node.name, layout)
        if layout == "events":
            return Call(
                "events_from_bits", (self.buffers.buffer(x.name, "bits"), target), (x.type.size,), time
            )
        numbers = (x.type.size, self.buffers.pitch(x))
        return Call("events_from_rows", (self.buffers.buffer(x.name), target), numbers, time)

    def _product(self, node: Node, time: bool) -> Call:
        op: Any = node.op
        x = self.graph[node.inputs[0]]
        lists = [i for i in node.inputs if self.graph[self.buffers.source(i)].op.name == "events"]
        rest = [i for i in node.inputs[1:] if i not in lists]
        weight, bias = (
            self.buffers.buffer(rest[0], "panels"),
            self.buffers.buffer(rest[1]) if len(rest) > 1 else None,
        )
        y = self.buffers.buffer(node.name)
        listed = tuple(self.buffers.buffer(i, self._list_layout(i)) for i in lists)
        numbers = (x.type.size, node.type.size)
        if op.kernel == "events":
            return Call("product_events", (*listed, weight, bias, y), numbers, time)
        dense = (self.buffers.buffer(x.name), weight, bias, y)
        return Call(
            "product" if op.kernel == "counted" else "product_dense", (*listed, *dense), numbers, time
        )

    def _weight_gradient(self, node: Node) -> tuple[Call, ...]:
        """A narrow gradient goes row by row; a wide one by input, from lists that are made first."""
        op: Any = node.op
        kernel: str = op.kernel
        d_y, x = (self.graph[i] for i in node.inputs[:2])
        buffer, layout = self.buffers.buffer, self.buffers.layout
        numbers, time = (x.type.size, d_y.type.size), x.type.time
        lists = {"dense": (), "events": (1,), "counted": (2,)}[kernel]
        events = tuple(buffer(node.inputs[k], self._list_layout(node.inputs[k])) for k in lists)
        rows = () if kernel == "events" else (buffer(x.name),)
        last = (buffer(d_y.name), buffer(node.name))
        narrow = layout.stride(d_y.type.size) <= NARROW * layout.lanes
        if narrow or kernel == "dense":
            return (
                Call(
                    f"{'narrow' if narrow else 'wide'}_gradient_{kernel}",
                    (*events, *rows, *last),
                    numbers,
                    time,
                ),
            )
        by_input = self._by_input(node, x, events[0].layout == "valued")
        counted = events if kernel == "counted" else ()
        return (
            Call(f"transpose_{kernel}", (*events, by_input), numbers, time),
            Call(f"wide_gradient_{kernel}", (*counted, *rows, by_input, *last), numbers, time),
        )

    def _by_input(self, node: Node, x: Node, valued: bool) -> Buffer:
        """Scratch for the events by input."""
        place = "block" if node.name in self.buffers.blocks else "tile"
        layout = "transposed_valued" if valued else "transposed"
        size = self.buffers.layout.size(layout, x.type.size, x.type.time, place)
        name = self.buffers.names.new(f"{node.name}.by_input")
        return Buffer(name, place, x.type.features, x.type.time, True, layout, size)
