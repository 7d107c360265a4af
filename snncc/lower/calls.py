"""Calls of hand-written kernels: for each operator that no sweep can hold, which kernel on which buffers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..errors import InternalError, located
from ..graph import Graph, Node
from ..ops.layout import place_of, row_major
from ..passes.choose_kernels import is_spike, needs_spikes
from ..program import Buffer, Call, Nest
from .buffers import SHIFTS, Buffers
from .groups import of_node
from .images import IMAGES, of_tokens
from .layout import user_field
from .nests import reading, strides, writing
from .synapses import SYNAPSES

PANELLED = (
    "sum_groups",
    "linear",
    "conv",
    "conv_transpose",
    "transpose",
    "sum_features",
)  # kernels that know panels, or to whom order is nothing
MOST_CLASSES = 2**31 - 1
NARROW = 2  # SNNCC_NARROW of product.h


class Calls:
    """Makes the calls of one entry point."""

    def __init__(self, graph: Graph, buffers: Buffers) -> None:
        self.graph, self.buffers = graph, buffers

    def calls(self, node: Node) -> tuple[Call, ...]:
        """The hand-written kernels of a node that is no sweep."""
        if node.op.name not in MAKERS:
            raise InternalError(f"%{node.name}: no kernel for {node.op.name}")
        matrix = next((i for i in node.inputs if self.buffers.source(i) in self.buffers.panelled), "")
        if matrix and node.op.name not in PANELLED:
            raise located(
                f"{node.op.name} of a weight matrix ({matrix}): what slices, permutes, sums takes "
                "values, or an nn.Parameter without panels=True",
                node.where,
            )
        made = MAKERS[node.op.name](self, node)
        return made if isinstance(made, tuple) else (made,)

    def runs_all_steps(self, node: Node) -> bool:
        """Whether a call runs over all steps at once."""
        return node.type.time and node.name not in self.buffers.stepped

    def _both(self, node: Node) -> tuple[Buffer, Buffer]:
        """The buffers of the first operand and of the result."""
        return self.buffers.buffer(node.inputs[0]), self.buffers.buffer(node.name)

    def _input(self, node: Node) -> Call:
        op: Any = node.op
        if node.type.dtype == "i32":
            readers: list[Any] = [r.op for r in self.buffers.readers[node.name]]
            classes = min((r.classes for r in readers), default=MOST_CLASSES)
            labels = self.buffers.buffer(node.name, "labels")
            if op.role == "input":
                sizes = (node.type.size, classes)
                return Call("load_indices", (labels,), sizes, self.runs_all_steps(node), op.label)
            return Call("load_labels", (labels,), (classes,), field=op.label)
        if op.role == "lengths":
            return Call("load_lengths", (self.buffers.buffer(node.name),), (1, 1), field=op.label)
        field = user_field("cotangent" if op.role == "cotangent" else "input", op.label)
        numbers = (node.type.size, self.buffers.pitch(node), *[node.channels] * bool(node.channels))
        return Call("load", (self.buffers.buffer(node.name),), numbers, self.runs_all_steps(node), field)

    def _state(self, node: Node) -> tuple[Call, ...]:
        op: Any = node.op
        default, value = self.graph[node.inputs[0]], 0.0
        if default.op.name == "constant":
            value = default.op.value  # type: ignore[attr-defined]
        given = None if default.op.name == "constant" else self.buffers.buffer(node.inputs[0])
        numbers = (node.type.size, self.buffers.pitch(node), *[node.channels] * bool(node.channels))
        tile = self.buffers.buffer(node.name)
        load = Call("load_state", (tile, given), numbers, False, user_field("state", op.label), value=value)
        check = Call("check_spikes", (tile,), numbers[:2])
        return (load, check) if needs_spikes(self.graph, node) else (load,)

    def _last(self, node: Node) -> Call:
        """The value at the last step of a loop over products; anywhere else it is part of a sweep."""
        return Call("copy_last", self._both(node), (self.buffers.pitch(node),))

    def _shift(self, node: Node) -> tuple[Call, ...]:
        """What no sweep reads of the step before is read where it lies."""
        return ()

    def _linear(self, node: Node) -> Call:
        if self.buffers.tokens(node):
            return of_tokens(self, node)
        make = self._input_gradient if self.by_transposing(node) else self._product
        return make(node, self.runs_all_steps(node))

    def _transpose(self, node: Node) -> Call:
        source = self.graph[node.inputs[0]]
        buffers = (self.buffers.buffer(source.name), self.buffers.buffer(node.name, "panels"))
        return Call("transpose", buffers, self.buffers.matrix(source))

    def _rows(self, node: Node) -> Call:
        """A kernel of groups of a row, each the last axis, that the operator is called after."""
        x = self.graph[node.inputs[0]]
        sizes = (x.type.size, x.type.features[-1])
        kind = node.op.name if node.type.batch else f"{node.op.name}_once"
        pitches = (self.buffers.layout.row(b) for b in self._both(node))
        return Call(kind, self._both(node), (*sizes, *pitches), self.runs_all_steps(node))

    def _sum_features(self, node: Node) -> Call:
        x, whole = self.graph[node.inputs[0]], self.buffers.layout.stride
        row = self.buffers.pitch(x) if x.type.batch else whole(x.type.size)
        kind = "sum_features" if x.type.batch else "sum_features_once"
        return Call(kind, self._both(node), (x.type.size, row), self.runs_all_steps(node))

    def _sum_groups(self, node: Node) -> Call:
        x = self.graph[node.inputs[0]]
        if x.name in self.buffers.panelled:
            return Call("sum_panels", self._both(node), self.buffers.matrix(x))
        found = of_node(node, x)
        row = self.buffers.layout.stride if not x.type.batch else self.buffers.layout.pitch
        numbers = (x.type.size, row(x.type.size), found.groups, found.inner, row(node.type.size))
        kind = "sum_groups" if x.type.batch else "sum_groups_once"
        return Call(kind, self._both(node), numbers, self.runs_all_steps(node))

    def _one_hot(self, node: Node) -> Call:
        buffers = (self.buffers.buffer(node.inputs[0], "labels"), self.buffers.buffer(node.name))
        return Call("one_hot", buffers, (node.type.size, self.buffers.pitch(node)), self.runs_all_steps(node))

    def _indexed(self, node: Node) -> Call:
        op: Any = node.op
        kind = op.name if node.type.batch else f"{op.name}_once"
        source = self.graph[node.inputs[0]]
        shorter, longer = (source, node) if op.name == "take" else (node, source)
        sizes = (source.type.size, node.type.size)
        elements = (row_major(k, longer.type.size, longer.channels) for k in range(longer.type.size))
        places = (place_of(op.index[e], shorter.type.size, shorter.channels) for e in elements)
        return Call(kind, self._both(node), (*sizes, *places), self.runs_all_steps(node))

    def _strides(self, name: str) -> tuple[int, ...]:
        """How far apart the elements of each feature axis of a value lie in memory."""
        node = self.graph[name]
        return strides(node.type.features, node.channels)

    def _moved(self, node: Node, nests: tuple[Nest, ...], kind: str = "move") -> Call:
        """Copies of operands into their places of a row; what nothing is copied to is zero."""
        buffers = tuple(self.buffers.buffer(name) for name in (*node.inputs, node.name))
        covered = sum(prod(n for n, _, to in nest.loops if to) for nest in nests)
        kind += "" if node.type.batch else "_once"
        numbers = (node.type.size, int(covered < node.type.size))
        return Call(kind, buffers, numbers, self.runs_all_steps(node), nests=nests)

    def _strided(self, node: Node) -> Call:
        op: Any = node.op
        x, y = self._strides(node.inputs[0]), self._strides(node.name)
        return self._moved(node, (reading(op.view, x, y),))

    def _strided_sum(self, node: Node) -> Call:
        op: Any = node.op
        x, y = self._strides(node.inputs[0]), self._strides(node.name)
        return self._moved(node, (writing(op.view, x, y),), "move_sum" if op.view.sums else "move")

    def _concat(self, node: Node) -> Call:
        op: Any = node.op
        views = op.views(node.type.features, (self.graph[i].type.features[op.axis] for i in node.inputs))
        y = self._strides(node.name)
        pairs = zip(node.inputs, views, strict=True)
        return self._moved(node, tuple(writing(view, self._strides(i), y) for i, view in pairs))

    def _matmul(self, node: Node) -> Call:
        """Numbers: features of a row, zeros in a and b, matrices of a row, their sizes, which are turned."""
        op: Any = node.op
        a, b = (self.graph[i] for i in node.inputs)
        zeros = (int(op.zeros == operand) * (1 + op.ones) for operand in "ab")
        numbers = (
            node.type.size,
            *zeros,
            *op.sizes(a.type, b.type),
            int(op.transpose_a),
            int(op.transpose_b),
        )
        buffers = tuple(self.buffers.buffer(name) for name in (*node.inputs, node.name))
        kind = "matmul" if node.type.batch else "matmul_once"
        precision = self.buffers.layout.product(spikes=False)  # of two matrices of values none is split
        return Call(kind, buffers, numbers, self.runs_all_steps(node), precision=precision)

    def _of_steps(self, node: Node) -> Call:
        """A kernel that tells steps apart: sizes are their number, the features of a row, its length."""
        op: Any = node.op
        rows = node if node.type.batch else self.graph[node.inputs[0]]
        operands = reversed(node.inputs) if op.name == "mix_steps" else node.inputs
        buffers = tuple(self.buffers.buffer(name) for name in (*operands, node.name))
        kind = "mix_steps_transposed" if op.name == "mix_steps" and op.transposed else op.name
        return Call(kind, buffers, (op.steps, rows.type.size, self.buffers.pitch(rows)), True)

    def _kept_steps(self, node: Node) -> Call:
        """Steps of a sequence as rows of a delay: sizes are those of a row, of the steps, and theirs."""
        x = self.graph[node.inputs[0]]
        buffers = tuple(self.buffers.buffer(name) for name in (*node.inputs, node.name))
        sizes = (node.type.size, node.op.steps, x.type.size)  # type: ignore[attr-defined]
        return Call(node.op.name, buffers, (*sizes, self.buffers.pitch(x), self.buffers.pitch(node)))

    def by_transposing(self, node: Node) -> bool:
        """Whether a product with transposed weights transposes what it needs of them itself, which pays
        where a panel of them serves many rows: not for one step of a loop."""
        op: Any = node.op
        if self.buffers.tokens(node):
            return False
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
        precision = layout.product(spikes=False)
        return Call("input_gradient", operands, (d_y.type.size, node.type.size), time, precision=precision)

    def list_layout(self, name: str) -> str:
        return "events" if is_spike(self.graph, name) else "valued"

    def _events(self, node: Node) -> Call:
        op: Any = node.op
        time, x = self.runs_all_steps(node), self.graph[self.buffers.source(node.inputs[0])]
        layout = self.list_layout(node.name)
        target, pitch = self.buffers.buffer(node.name, layout), self.buffers.pitch(x)
        if op.previous:
            spikes = (self.buffers.before(node), self.buffers.buffer(x.name, "bits"), target)
            return Call("events_from_previous", spikes, (x.type.size, pitch), time)
        source = self.buffers.operand(node, x.name, "bits" if layout == "events" else "real")
        if source.layout == "bits":
            return Call("events_from_bits", (source, target), (x.type.size,), time)
        return Call("events_from_rows", (source, target), (x.type.size, pitch), time)

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
        listed = tuple(self.buffers.buffer(i, self.list_layout(i)) for i in lists)
        numbers = (x.type.size, node.type.size)
        if op.kernel == "events":
            return Call("product_events", (*listed, weight, bias, y), numbers, time)
        dense = (self.buffers.operand(node, x.name), weight, bias, y)
        kind = "product" if op.kernel == "counted" else "product_dense"
        precision = self.buffers.layout.product(is_spike(self.graph, x.name))
        return Call(kind, (*listed, *dense), numbers, time, precision=precision)

    def _weight_gradient(self, node: Node) -> tuple[Call, ...]:
        """A narrow gradient goes row by row; a wide one by input, from lists that are made first."""
        op: Any = node.op
        if self.buffers.tokens(node):
            return (of_tokens(self, node),)
        kernel: str = op.kernel
        d_y, x = (self.graph[i] for i in node.inputs[:2])
        buffer, layout = self.buffers.buffer, self.buffers.layout
        numbers, time = (x.type.size, d_y.type.size), x.type.time
        lists = {"dense": (), "events": (1,), "counted": (2,)}[kernel]
        events = tuple(buffer(node.inputs[k], self.list_layout(node.inputs[k])) for k in lists)
        rows = () if kernel == "events" else (buffer(x.name),)
        last = (buffer(d_y.name), buffer(node.name))
        narrow = layout.stride(d_y.type.size) <= NARROW * layout.lanes
        if narrow or kernel == "dense":
            kind = f"{'narrow' if narrow else 'wide'}_gradient_{kernel}"
            precision = layout.product(is_spike(self.graph, x.name))
            return (Call(kind, (*events, *rows, *last), numbers, time, precision=precision),)
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


# By operator: how its calls are made.
MAKERS: dict[str, Callable[[Calls, Node], Call | tuple[Call, ...]]] = {
    "input": Calls._input,
    "state": Calls._state,
    "last": Calls._last,
    **dict.fromkeys(SHIFTS, Calls._shift),
    "linear": Calls._linear,
    "transpose": Calls._transpose,
    "events": Calls._events,
    "weight_gradient": Calls._weight_gradient,
    "softmax": Calls._rows,
    "log_softmax": Calls._rows,
    "max_last": Calls._rows,
    "first_maximum": Calls._rows,
    "sum_features": Calls._sum_features,
    "sum_groups": Calls._sum_groups,
    "one_hot": Calls._one_hot,
    "strided": Calls._strided,
    "strided_sum": Calls._strided_sum,
    "concat": Calls._concat,
    "matmul": Calls._matmul,
    "take": Calls._indexed,
    "scatter_add": Calls._indexed,
    "mix_steps": Calls._of_steps,
    "steps_gradient": Calls._of_steps,
    "at_step": Calls._of_steps,
    "sum_at_step": Calls._of_steps,
    **IMAGES,
    **SYNAPSES,
    "first_steps": Calls._kept_steps,
    "last_steps": Calls._kept_steps,
}
