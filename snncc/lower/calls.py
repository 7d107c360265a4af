"""Calls of hand-written kernels: for each operator that no sweep can hold, which kernel on which buffers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ..errors import InternalError, located
from ..graph import Node
from ..ops.layout import place_of, row_major
from ..passes.choose_kernels import is_spike, needs_spikes
from ..program import Buffer, Call, Nest
from .buffers import SHIFTS, Buffers
from .groups import of_node
from .images import IMAGES, of_tokens
from .layout import BY_INPUT, BY_ROW, user_field
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


def calls(buffers: Buffers, node: Node) -> tuple[Call, ...]:
    """The hand-written kernels of a node that is no sweep."""
    if node.op.name not in MAKERS:
        raise InternalError(f"%{node.name}: no kernel for {node.op.name}")
    matrix = next((i for i in node.inputs if buffers.source(i) in buffers.panelled), "")
    if matrix and node.op.name not in PANELLED:
        raise located(
            f"{node.op.name} of a weight matrix ({matrix}): what slices, permutes, sums takes "
            "values, or an nn.Parameter without panels=True",
            node.where,
        )
    made = MAKERS[node.op.name](buffers, node)
    return made if isinstance(made, tuple) else (made,)


def _both(buffers: Buffers, node: Node) -> tuple[Buffer, Buffer]:
    """The buffers of the first operand and of the result."""
    return buffers.buffer(node.inputs[0]), buffers.buffer(node.name)


def _input(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    if node.type.dtype == "i32":
        readers: list[Any] = [r.op for r in buffers.readers[node.name]]
        classes = min((r.classes for r in readers), default=MOST_CLASSES)
        labels = buffers.buffer(node.name, "labels")
        if op.role == "input":
            sizes = (node.type.size, classes)
            return Call("load_indices", (labels,), sizes, buffers.runs_all_steps(node), op.label)
        return Call("load_labels", (labels,), (classes,), field=op.label)
    if op.role == "lengths":
        return Call("load_lengths", (buffers.buffer(node.name),), (1, 1), field=op.label)
    field = user_field("cotangent" if op.role == "cotangent" else "input", op.label)
    numbers = (node.type.size, buffers.pitch(node), *[node.channels] * bool(node.channels))
    return Call("load", (buffers.buffer(node.name),), numbers, buffers.runs_all_steps(node), field)


def _state(buffers: Buffers, node: Node) -> tuple[Call, ...]:
    op: Any = node.op
    default, value = buffers.graph[node.inputs[0]], 0.0
    if default.op.name == "constant":
        value = default.op.value  # type: ignore[attr-defined]
    given = None if default.op.name == "constant" else buffers.buffer(node.inputs[0])
    numbers = (node.type.size, buffers.pitch(node), *[node.channels] * bool(node.channels))
    tile = buffers.buffer(node.name)
    load = Call("load_state", (tile, given), numbers, False, user_field("state", op.label), value=value)
    check = Call("check_spikes", (tile,), numbers[:2])
    return (load, check) if needs_spikes(buffers.graph, node) else (load,)


def _last(buffers: Buffers, node: Node) -> Call:
    """The value at the last step of a loop over products; anywhere else it is part of a sweep."""
    return Call("copy_last", _both(buffers, node), (buffers.pitch(node),))


def _shift(buffers: Buffers, node: Node) -> tuple[Call, ...]:
    """What no sweep reads of the step before is read where it lies."""
    return ()


def _linear(buffers: Buffers, node: Node) -> Call:
    if buffers.tokens(node):
        return of_tokens(buffers, node)
    make = _input_gradient if by_transposing(buffers, node) else _product
    return make(buffers, node, buffers.runs_all_steps(node))


def _transpose(buffers: Buffers, node: Node) -> Call:
    source = buffers.graph[node.inputs[0]]
    operands = (buffers.buffer(source.name), buffers.buffer(node.name, "panels"))
    return Call("transpose", operands, buffers.matrix(source))


def _rows(buffers: Buffers, node: Node) -> Call:
    """A kernel of groups of a row, each the last axis, that the operator is called after."""
    x = buffers.graph[node.inputs[0]]
    sizes = (x.type.size, x.type.features[-1])
    kind = node.op.name if node.type.batch else f"{node.op.name}_once"
    pitches = (buffers.layout.row(b) for b in _both(buffers, node))
    return Call(kind, _both(buffers, node), (*sizes, *pitches), buffers.runs_all_steps(node))


def _sum_features(buffers: Buffers, node: Node) -> Call:
    x, whole = buffers.graph[node.inputs[0]], buffers.layout.stride
    row = buffers.pitch(x) if x.type.batch else whole(x.type.size)
    kind = "sum_features" if x.type.batch else "sum_features_once"
    return Call(kind, _both(buffers, node), (x.type.size, row), buffers.runs_all_steps(node))


def _sum_groups(buffers: Buffers, node: Node) -> Call:
    x = buffers.graph[node.inputs[0]]
    if x.name in buffers.panelled:
        return Call("sum_panels", _both(buffers, node), buffers.matrix(x))
    found = of_node(node, x)
    row = buffers.layout.stride if not x.type.batch else buffers.layout.pitch
    numbers = (x.type.size, row(x.type.size), found.groups, found.inner, row(node.type.size))
    kind = "sum_groups" if x.type.batch else "sum_groups_once"
    return Call(kind, _both(buffers, node), numbers, buffers.runs_all_steps(node))


def _one_hot(buffers: Buffers, node: Node) -> Call:
    operands = (buffers.buffer(node.inputs[0], "labels"), buffers.buffer(node.name))
    return Call("one_hot", operands, (node.type.size, buffers.pitch(node)), buffers.runs_all_steps(node))


def _indexed(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    kind = op.name if node.type.batch else f"{op.name}_once"
    source = buffers.graph[node.inputs[0]]
    shorter, longer = (source, node) if op.name == "take" else (node, source)
    sizes = (source.type.size, node.type.size)
    elements = (row_major(k, longer.type.size, longer.channels) for k in range(longer.type.size))
    places = (place_of(op.index[e], shorter.type.size, shorter.channels) for e in elements)
    return Call(kind, _both(buffers, node), (*sizes, *places), buffers.runs_all_steps(node))


def _strides(buffers: Buffers, name: str) -> tuple[int, ...]:
    """How far apart the elements of each feature axis of a value lie in memory."""
    node = buffers.graph[name]
    return strides(node.type.features, node.channels)


def _moved(buffers: Buffers, node: Node, nests: tuple[Nest, ...], kind: str = "move") -> Call:
    """Copies of operands into their places of a row; what nothing is copied to is zero."""
    operands = tuple(buffers.buffer(name) for name in (*node.inputs, node.name))
    covered = sum(prod(n for n, _, to in nest.loops if to) for nest in nests)
    kind += "" if node.type.batch else "_once"
    numbers = (node.type.size, int(covered < node.type.size))
    return Call(kind, operands, numbers, buffers.runs_all_steps(node), nests=nests)


def _strided(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    x, y = _strides(buffers, node.inputs[0]), _strides(buffers, node.name)
    return _moved(buffers, node, (reading(op.view, x, y),))


def _strided_sum(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    x, y = _strides(buffers, node.inputs[0]), _strides(buffers, node.name)
    return _moved(buffers, node, (writing(op.view, x, y),), "move_sum" if op.view.sums else "move")


def _concat(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    views = op.views(node.type.features, (buffers.graph[i].type.features[op.axis] for i in node.inputs))
    y = _strides(buffers, node.name)
    pairs = zip(node.inputs, views, strict=True)
    return _moved(buffers, node, tuple(writing(view, _strides(buffers, i), y) for i, view in pairs))


def _matmul(buffers: Buffers, node: Node) -> Call:
    """Numbers: features of a row, zeros in a and b, matrices of a row, their sizes, which are turned."""
    op: Any = node.op
    a, b = (buffers.graph[i] for i in node.inputs)
    zeros = (int(op.zeros == operand) * (1 + op.ones) for operand in "ab")
    numbers = (
        node.type.size,
        *zeros,
        *op.sizes(a.type, b.type),
        int(op.transpose_a),
        int(op.transpose_b),
    )
    operands = tuple(buffers.buffer(name) for name in (*node.inputs, node.name))
    kind = "matmul" if node.type.batch else "matmul_once"
    precision = buffers.layout.product(spikes=False)  # of two matrices of values none is split
    return Call(kind, operands, numbers, buffers.runs_all_steps(node), precision=precision)


def _of_steps(buffers: Buffers, node: Node) -> Call:
    """A kernel that tells steps apart: sizes are their number, the features of a row, its length."""
    op: Any = node.op
    rows = node if node.type.batch else buffers.graph[node.inputs[0]]
    inputs = reversed(node.inputs) if op.name == "mix_steps" else node.inputs
    operands = tuple(buffers.buffer(name) for name in (*inputs, node.name))
    kind = "mix_steps_transposed" if op.name == "mix_steps" and op.transposed else op.name
    return Call(kind, operands, (op.steps, rows.type.size, buffers.pitch(rows)), True)


def _first_steps(buffers: Buffers, node: Node) -> tuple[Call, ...]:
    """Steps of a sequence as a row of a delay: sizes are those of the row, of the steps, and theirs. What
    steps there are not stays zero."""
    x, op, pitch = buffers.graph[node.inputs[0]], node.op, buffers.pitch
    sizes = (node.type.size, op.most, x.type.size, pitch(x), pitch(node))  # type: ignore[attr-defined]
    kept = Call("first_steps", _both(buffers, node), sizes)
    return (kept,) if buffers.segmented else (buffers.started(node), kept)


def _last_steps(buffers: Buffers, node: Node) -> Call:
    """Where time is cut into segments, each of them moves the row on."""
    x, before, *ends = map(buffers.buffer, node.inputs)
    op: Any = node.op
    kept, pitch = buffers.buffer(node.name), buffers.pitch
    sizes = (node.type.size, op.steps, x.count, pitch(buffers.graph[node.inputs[0]]), pitch(node))
    return Call(
        "last_steps", (x, ends[0] if ends else None, kept if buffers.segmented else before, kept), sizes
    )


def by_transposing(buffers: Buffers, node: Node) -> bool:
    """Whether a product with transposed weights transposes what it needs of them itself, which pays
    where a panel of them serves many rows: not for one step of a loop."""
    op: Any = node.op
    if buffers.tokens(node):
        return False
    weight = buffers.graph[node.inputs[1]] if op.name == "linear" else node
    dense = op.name != "linear" or op.kernel == "dense"
    many = dense and node.name not in buffers.stepped and node.type.size > 1
    return weight.op.name == "transpose" and buffers.graph[weight.inputs[0]].op.name == "parameter" and many


def copied(buffers: Buffers, node: Node) -> bool:
    """Whether transposed weights are needed as a whole."""
    return not all(r.op.name == "linear" and by_transposing(buffers, r) for r in buffers.readers[node.name])


def _input_gradient(buffers: Buffers, node: Node, time: bool) -> Call:
    d_y, weight = buffers.graph[node.inputs[0]], buffers.graph[buffers.graph[node.inputs[1]].inputs[0]]
    layout = buffers.layout
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


def _events(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    time, x = buffers.runs_all_steps(node), buffers.graph[buffers.source(node.inputs[0])]
    layout = buffers.list_layout(node.name)
    target, pitch = buffers.buffer(node.name, layout), buffers.pitch(x)
    if op.previous:
        before = buffers.before(node)
        assert before is not None
        numbers = (x.type.size, op.previous, buffers.layout.row(before))
        return Call("events_from_previous", (before, buffers.buffer(x.name, "bits"), target), numbers, time)
    source = buffers.operand(node, x.name, "bits" if layout == "events" else "real")
    if source.layout == "bits":
        return Call("events_from_bits", (source, target), (x.type.size,), time)
    return Call("events_from_rows", (source, target), (x.type.size, pitch), time)


def _product(buffers: Buffers, node: Node, time: bool) -> Call:
    op: Any = node.op
    x = buffers.graph[node.inputs[0]]
    lists = [i for i in node.inputs if buffers.graph[buffers.source(i)].op.name == "events"]
    rest = [i for i in node.inputs[1:] if i not in lists]
    weight, bias = (
        buffers.buffer(rest[0], "panels"),
        buffers.buffer(rest[1]) if len(rest) > 1 else None,
    )
    y = buffers.buffer(node.name)
    listed = tuple(buffers.buffer(i, buffers.list_layout(i)) for i in lists)
    numbers = (x.type.size, node.type.size)
    if op.kernel == "events":
        return Call("product_events", (*listed, weight, bias, y), numbers, time)
    dense = (buffers.operand(node, x.name), weight, bias, y)
    kind = "product" if op.kernel == "counted" else "product_dense"
    precision = buffers.layout.product(is_spike(buffers.graph, x.name))
    return Call(kind, (*listed, *dense), numbers, time, precision=precision)


def _weight_gradient(buffers: Buffers, node: Node) -> tuple[Call, ...]:
    """A narrow gradient goes row by row; a wide one by input, from lists that are made first."""
    op: Any = node.op
    if buffers.tokens(node):
        return (of_tokens(buffers, node),)
    kernel: str = op.kernel
    d_y, x = (buffers.graph[i] for i in node.inputs[:2])
    buffer, layout = buffers.buffer, buffers.layout
    numbers, time = (x.type.size, d_y.type.size), x.type.time
    lists = {"dense": (), "events": (1,), "counted": (2,)}[kernel]
    events = tuple(buffer(node.inputs[k], buffers.list_layout(node.inputs[k])) for k in lists)
    rows = () if kernel == "events" else (buffer(x.name),)
    last = (buffer(d_y.name), buffer(node.name))
    narrow = layout.stride(d_y.type.size) <= NARROW * layout.lanes
    if narrow or kernel == "dense":
        kind = f"{'narrow' if narrow else 'wide'}_gradient_{kernel}"
        precision = layout.product(is_spike(buffers.graph, x.name))
        return (Call(kind, (*events, *rows, *last), numbers, time, precision=precision),)
    by_input = _by_input(buffers, node, x, events[0])
    counted = events if kernel == "counted" else ()
    return (
        Call(f"transpose_{kernel}", (*events, by_input), numbers, time),
        Call(f"wide_gradient_{kernel}", (*counted, *rows, by_input, *last), numbers, time),
    )


def _by_input(buffers: Buffers, node: Node, x: Node, events: Buffer) -> Buffer:
    """Scratch for the events by input, of the same form."""
    place = "block" if node.name in buffers.blocks else "tile"
    layout = next(name for name, form in BY_INPUT.items() if form == BY_ROW[events.layout])
    size = buffers.layout.size(layout, x.type.size, x.type.time, place)
    name = buffers.names.new(f"{node.name}.by_input")
    return Buffer(name, place, x.type.features, x.type.time, True, layout, size)


# By operator: how its calls are made.
MAKERS: dict[str, Callable[[Buffers, Node], Call | tuple[Call, ...]]] = {
    "input": _input,
    "state": _state,
    "last": _last,
    **dict.fromkeys(SHIFTS, _shift),
    "linear": _linear,
    "transpose": _transpose,
    "events": _events,
    "weight_gradient": _weight_gradient,
    "softmax": _rows,
    "log_softmax": _rows,
    "max_last": _rows,
    "first_maximum": _rows,
    "sum_features": _sum_features,
    "sum_groups": _sum_groups,
    "one_hot": _one_hot,
    "strided": _strided,
    "strided_sum": _strided_sum,
    "concat": _concat,
    "matmul": _matmul,
    "take": _indexed,
    "scatter_add": _indexed,
    "mix_steps": _of_steps,
    "steps_gradient": _of_steps,
    "at_step": _of_steps,
    "sum_at_step": _of_steps,
    **IMAGES,
    **SYNAPSES,
    "first_steps": _first_steps,
    "last_steps": _last_steps,
}
