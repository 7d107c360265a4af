"""Calls of the kernels of sparse synapses, and of rows of weights by whole numbers, as CUDA."""

from __future__ import annotations

from ...program import Call
from .starts import Form, Place, start


def _sparse_rows(call: Call, place: Place) -> str:
    n_in, n, *_ = call.numbers
    return start("snncc_sparse_rows", place.rows, n_in, n, *place.names)


def _sparse_gradient(call: Call, place: Place) -> str:
    n_in, n, synapses, *_ = call.numbers
    return start("snncc_sparse_gradient", synapses, place.rows, n_in, n, *place.names)


def _sparse_input_gradient(call: Call, place: Place) -> str:
    """The scratch of the C kernel is not used."""
    n_in, n, *_ = call.numbers
    *wired, _, d_x = place.names
    return start("snncc_sparse_input_gradient", place.rows, n_in, n, *wired, d_x)


def late_layer(call: Call, names: list[str], steps: str) -> list[str]:
    """C++ of the layer, and the names of what else a kernel takes."""
    longest, n_in, n_out, synapses, *_, learned, _ = call.numbers
    values, positions, index, offsets, *rest = names
    sizes = f"{steps}, rows, {longest}, {n_in}, {n_out}, {synapses}"
    late = f"NULL, {positions}" if learned else f"{positions}, NULL"
    return [f"snncc_late{{{sizes}, {offsets}, {index}, {late}, {values}}}", *rest]


def _late_rows(call: Call, place: Place) -> str:
    return start("snncc_late_rows", *late_layer(call, place.names, place.steps))


def _late_before(call: Call, place: Place) -> str:
    return start("snncc_late_before", *late_layer(call, place.names, place.steps))


def _late_step(call: Call, place: Place) -> str:
    """A layer of the steps that are left, the first of which is at hand."""
    return start(f"snncc_{call.kind}", *late_layer(call, place.names, "steps - t"))


def _late_gradient(call: Call, place: Place) -> str:
    """Of synapses, or of inputs; the last number says which of its two results is meant."""
    layer, *rest = late_layer(call, place.names, place.steps)
    return start(f"snncc_{call.kind.removesuffix('_rows')}", layer, call.numbers[-1], *rest)


def _embedding(call: Call, place: Place) -> str:
    _, count, n, _ = call.numbers
    return start("snncc_embedding", place.rows, count, n, *place.names)


def _embedding_gradient(call: Call, place: Place) -> str:
    _, count, n, _ = call.numbers
    table = call.buffers[-1]
    rows = table.count // n if table else 0
    return start("snncc_embedding_gradient", place.rows, count, n, rows, *place.names)


SYNAPSES: dict[str, Form] = {
    "sparse_rows": _sparse_rows,
    "sparse_gradient_rows": _sparse_gradient,
    "sparse_input_gradient": _sparse_input_gradient,
    "late_rows": _late_rows,
    "late_before": _late_before,
    **dict.fromkeys(("late_step", "late_input_gradient_step"), _late_step),
    **dict.fromkeys(("late_gradient_rows", "late_input_gradient"), _late_gradient),
    "embedding": _embedding,
    "embedding_gradient": _embedding_gradient,
}
