"""Calls for sparse synapses, late ones among them, and for rows of weights by whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Node
from ..program import Buffer, Call, Size
from .buffers import Buffers


def _given(buffers: Buffers, kernel: str, x: str) -> Buffer:
    """What synapses are given: the list of events that x is, or its rows."""
    return buffers.buffer(x, buffers.list_layout(x) if kernel == "events" else "real")


def _of_rows(kind: str, kernel: str) -> str:
    return f"{kind}_rows" if kernel == "rows" else kind


def _sparse_linear(buffers: Buffers, node: Node) -> Call:
    """Sizes of sparse products: inputs, outputs, synapses, and the row of what is given and made."""
    op: Any = node.op
    x, values, indices, offsets, *bias = node.inputs
    given = _given(buffers, op.kernel, x)
    wired = tuple(map(buffers.buffer, (offsets, indices, values)))
    started = buffers.buffer(bias[0]) if bias else None
    n_in, synapses = buffers.graph[x].type.size, buffers.graph[values].type.size
    sizes = (n_in, op.n_out, synapses, buffers.pitch(buffers.graph[x]), buffers.pitch(node))
    operands = (given, *wired, started, buffers.buffer(node.name))
    return Call(f"sparse_{op.kernel}", operands, sizes, buffers.runs_all_steps(node))


def _sparse_gradient(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    d_y, x, indices, offsets = node.inputs
    rows = buffers.graph[d_y]
    wired = tuple(map(buffers.buffer, (offsets, indices, d_y, node.name)))
    sizes = (buffers.graph[x].type.size, rows.type.size, node.type.size, 0, buffers.pitch(rows))
    operands = (_given(buffers, op.kernel, x), *wired)
    return Call(_of_rows("sparse_gradient", op.kernel), operands, sizes, buffers.graph[x].type.time)


def _sparse_input_gradient(buffers: Buffers, node: Node) -> Call:
    d_y, values, indices, offsets = node.inputs
    buffers, rows, layout = buffers, buffers.graph[d_y], buffers.layout
    beside = Size(fixed=rows.type.size * layout.lanes * layout.real_bytes)
    name = buffers.names.new(f"{node.name}.lanes")
    lanes = Buffer(name, "panel", rows.type.features, layout="slice", size=beside)
    wired = tuple(map(buffers.buffer, (d_y, offsets, indices, values)))
    synapses = buffers.graph[values].type.size
    sizes = (node.type.size, rows.type.size, synapses, buffers.pitch(node), buffers.pitch(rows))
    operands = (*wired, lanes, buffers.buffer(node.name))
    return Call("sparse_input_gradient", operands, sizes, buffers.runs_all_steps(node))


def _late(
    kind: str, buffers: Buffers, node: Node, tables: tuple[str, ...], rest: list[Buffer | None]
) -> Call:
    """Sizes of late products: longest delay, inputs, outputs, synapses, rows of inputs, of what was before
    and of outputs; whether positions are learned, and which of two results is meant."""
    op: Any = node.op
    graph = buffers.graph
    values, positions, _, offsets = tables
    n_in, synapses = graph[offsets].type.size - 1, graph[values].type.size
    n_out = op.n_out if node.op.name == "delayed_linear" else graph[node.inputs[0]].type.size
    pitch = buffers.layout.pitch
    rows = (pitch(n_in), pitch(op.longest * n_in), pitch(n_out))
    learned = int(graph[positions].type.dtype != "i32")
    which = int(getattr(op, "of_positions", False) or getattr(op, "of_before", False))
    operands = (*map(buffers.buffer, tables), *rest, buffers.buffer(node.name))
    return Call(kind, operands, (op.longest, n_in, n_out, synapses, *rows, learned, which))


def _late_linear(buffers: Buffers, node: Node) -> Call:
    """In a loop over time each step adds what it hands on to what `late_before` has begun."""
    op: Any = node.op
    x, before, *tables = node.inputs
    given = _given(buffers, op.kernel, x)
    if not buffers.runs_all_steps(node):
        return _late("late_step", buffers, node, tuple(tables[:4]), [given])
    rest = [given, *_begun(buffers, before, tables)]
    return _late(f"late_{op.kernel}", buffers, node, tuple(tables[:4]), rest)


def _begun(buffers: Buffers, before: str, tables: list[str]) -> list[Buffer | None]:
    """What sums of late synapses begin with: what came before the first step, and the bias."""
    return [buffers.buffer(before), buffers.buffer(tables[4]) if len(tables) > 4 else None]


def late_before(buffers: Buffers, node: Node) -> Call:
    """The sums of all steps, before a loop over time adds to them."""
    _, before, *tables = node.inputs
    return _late("late_before", buffers, node, tuple(tables[:4]), _begun(buffers, before, tables))


def _late_gradient(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    d_y, x, before, *tables = node.inputs
    rest: list[Buffer | None] = [_given(buffers, op.kernel, x), *map(buffers.buffer, (before, d_y))]
    return _late(_of_rows("late_gradient", op.kernel), buffers, node, tuple(tables), rest)


def _late_input_gradient(buffers: Buffers, node: Node) -> Call:
    d_y, *tables = node.inputs
    step = node.type.time and not buffers.runs_all_steps(node)
    kind = "late_input_gradient" + "_step" * step
    return _late(kind, buffers, node, tuple(tables), [buffers.buffer(d_y)])


def _embedding(buffers: Buffers, node: Node) -> Call:
    """Sizes: features of a row of y, numbers of a row, features of each, the row's length."""
    x, weight = node.inputs
    count = buffers.graph[x].type.size
    operands = (buffers.buffer(x, "labels"), buffers.buffer(weight), buffers.buffer(node.name))
    sizes = (node.type.size, count, node.type.size // count, buffers.pitch(node))
    return Call("embedding", operands, sizes, buffers.runs_all_steps(node))


def _embedding_gradient(buffers: Buffers, node: Node) -> Call:
    d_y, x = node.inputs
    buffers, rows, count = buffers, buffers.graph[d_y], buffers.graph[x].type.size
    operands = (buffers.buffer(x, "labels"), buffers.buffer(d_y), buffers.buffer(node.name))
    sizes = (rows.type.size, count, rows.type.size // count, buffers.pitch(rows))
    return Call("embedding_gradient", operands, sizes, rows.type.time)


# By operator: how its call is made.
SYNAPSES: dict[str, Callable[[Buffers, Node], Call]] = {
    "sparse_linear": _sparse_linear,
    "sparse_weight_gradient": _sparse_gradient,
    "sparse_input_gradient": _sparse_input_gradient,
    "delayed_linear": _late_linear,
    "delayed_gradient": _late_gradient,
    "delayed_input_gradient": _late_input_gradient,
    "embedding": _embedding,
    "embedding_gradient": _embedding_gradient,
}
