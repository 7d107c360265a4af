"""Calls of the kernels of sparse synapses, and of rows of weights by whole numbers, as C."""

from __future__ import annotations

from ..program import Call
from .place import Form, Place


def _sparse_events(call: Call, place: Place) -> str:
    _, n, _, _, pitch = call.numbers
    return (
        place.shared("snncc_sparse_events", place.names[0], place.rows(call), n, pitch, *place.names[1:])
        + ";"
    )


def _sparse_rows(call: Call, place: Place) -> str:
    n_in, n, _, row, pitch = call.numbers
    return place.shared("snncc_sparse_rows", place.rows(call), n_in, row, n, pitch, *place.names) + ";"


def _sparse_gradient(call: Call, place: Place) -> str:
    n_in, *_, pitch = call.numbers
    rows = (place.names[0], place.rows(call), n_in, pitch)
    return place.shared("snncc_sparse_gradient", *rows, *place.names[1:]) + ";"


def _sparse_input_gradient(call: Call, place: Place) -> str:
    n_in, n, _, row, pitch = call.numbers
    return (
        place.shared("snncc_sparse_input_gradient", place.rows(call), n_in, row, n, pitch, *place.names) + ";"
    )


def _late(call: Call, place: Place, steps: str = "") -> tuple[str, list[str], int]:
    """C of the layer, names of what else a kernel takes, and which of its two results is meant."""
    longest, n_in, n_out, _, x, before, y, learned, which = call.numbers
    values, positions, index, offsets, *rest = place.names
    sizes = f"{steps or place.steps}, rows, {longest}, {n_in}, {n_out}, {x}, {before}, {y}"
    late = f"NULL, {positions}" if learned else f"{positions}, NULL"
    return f"&(const snncc_late){{{sizes}, {offsets}, {index}, {late}, {values}}}", rest, which


def _late_events(call: Call, place: Place) -> str:
    layer, rest, _ = _late(call, place)
    return place.shared("snncc_late_events", layer, *rest) + ";"


def _late_before(call: Call, place: Place) -> str:
    layer, rest, _ = _late(call, place)
    return place.shared("snncc_late_before", layer, *rest) + ";"


def _late_step(call: Call, place: Place) -> str:
    """A layer of the steps that are left, the first of which is at hand."""
    layer, rest, _ = _late(call, place, "steps - t")
    return place.shared(f"snncc_{call.kind}", layer, *rest) + ";"


def _late_gradient(call: Call, place: Place) -> str:
    layer, rest, which = _late(call, place)
    return place.shared("snncc_late_gradient", layer, which, *rest) + ";"


def _late_input_gradient(call: Call, place: Place) -> str:
    layer, rest, which = _late(call, place)
    return place.shared("snncc_late_input_gradient", layer, which, *rest) + ";"


def _embedding(call: Call, place: Place) -> str:
    """Of rows, or of the gradient of what they were taken from."""
    return place.shared(f"snncc_{call.kind}", place.rows(call), *call.numbers[1:], *place.names) + ";"


SYNAPSES: dict[str, Form] = {
    "sparse_events": _sparse_events,
    "sparse_rows": _sparse_rows,
    "sparse_gradient": _sparse_gradient,
    "sparse_input_gradient": _sparse_input_gradient,
    "late_events": _late_events,
    "late_before": _late_before,
    **dict.fromkeys(("late_step", "late_input_gradient_step"), _late_step),
    "late_gradient": _late_gradient,
    "late_input_gradient": _late_input_gradient,
    "embedding": _embedding,
    "embedding_gradient": _embedding,
}
