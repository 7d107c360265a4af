"""Calls of the hand-written kernels as C: one line each, by kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InternalError
from ..program import Call
from .products import FORMS

# Kinds whose numbers are sizes of both sides, then the index.
INDEXED = ("take", "scatter_add", "take_once", "scatter_add_once")


@dataclass(frozen=True)
class Place:
    """Where a call stands: C text of its buffers, how literals are written, a product's function."""

    names: list[str]
    literal: Callable[[float], str]
    in_loop: bool = False
    function: str = ""
    panels: bool = False  # whether in a loop over panels
    steps: str = "steps"
    start: str = ""  # first step of a segment of time
    first: str = ""  # the segment that comes first

    def rows(self, call: Call) -> str:
        """How many rows a kernel of whole rows runs over."""
        return f"{self.steps} * rows" if call.time and not self.in_loop else "rows"

    def user(self, call: Call) -> str:
        """The caller's array, from the first step on that a kernel of all steps runs over."""
        skipped = f" + (size_t){self.start} * batch * {call.numbers[0]}" if self.start and call.time else ""
        return f"io->{call.field}{skipped}"


def _guarded(text: str) -> str:
    return f"snncc_note(crew->team, {text});"


def load(call: Call, place: Place) -> str:
    n, stride = call.numbers
    (tile,) = place.names
    steps, user = place.steps if call.time else "1", place.user(call)
    optional = call.field.startswith("d_")
    if optional and "+" in user:
        user = f"io->{call.field} ? {user} : NULL"
    kind = "snncc_load_optional" if optional else "snncc_load"
    return _guarded(f"{kind}({steps}, rows, batch, first, {n}, {stride}, {user}, {tile})")


def load_state(call: Call, place: Place) -> str:
    n, stride = call.numbers
    tile, default = place.names
    value = place.literal(call.value)
    return _guarded(
        f"snncc_load_state(rows, batch, first, {n}, {stride}, io->{call.field}, {default}, {value}, {tile})"
    )


def load_labels(call: Call, place: Place) -> str:
    (tile,) = place.names
    return _guarded(f"snncc_load_labels(rows, first, {call.numbers[0]}, io->{call.field}, {tile})")


def store(call: Call, place: Place) -> str:
    n, stride = call.numbers
    (tile,) = place.names
    steps = place.steps if call.time else "1"
    user = f"{tile}, {place.user(call)}"
    return f"if (io->{call.field}) snncc_store({steps}, rows, batch, first, {n}, {stride}, {user});"


def store_loss(call: Call, place: Place) -> str:
    (value,) = place.names
    return f"if (io->{call.field}) *io->{call.field} = (double){value}[0];"


def _rows_first(function: str) -> Callable[[Call, Place], str]:
    """function(rows, sizes ..., buffers ...)."""

    def text(call: Call, place: Place) -> str:
        sizes = [str(n) for n in call.numbers]
        return f"{function}({', '.join([place.rows(call), *sizes, *place.names])});"

    return text


def product(call: Call, place: Place) -> str:
    """A wide gradient may start its sum: that of the first tile does, in the segment that comes first."""
    start = f"crew->fresh && segment == {place.first}" if place.start and call.time else "crew->fresh"
    fresh = [start] * call.kind.startswith("wide")
    return (
        f"{place.function}({', '.join([*fresh, place.rows(call), *place.names, *['panel'] * place.panels])});"
    )


def transpose_events(call: Call, place: Place) -> str:
    events, lists = place.names
    return f"snncc_transpose_events({events}, {place.rows(call)}, {call.numbers[0]}, {lists});"


def transpose_counted(call: Call, place: Place) -> str:
    """Lists by input, unless the gradient will be dense."""
    n_in, vectors = call.numbers[0], "SNNCC_PANEL_VECTORS"
    dense = f"snncc_gradient_is_dense({vectors}, {place.names[0]}, {place.rows(call)}, {n_in})"
    return f"if (!{dense}) {transpose_events(call, place)}"


def events_from_bits(call: Call, place: Place) -> str:
    bits, events = place.names
    return f"snncc_events_from_bits({events}, {place.rows(call)}, {call.numbers[0]}, {bits});"


def events_from_rows(call: Call, place: Place) -> str:
    x, events = place.names
    n, stride = call.numbers
    return f"snncc_events_from_rows({events}, {place.rows(call)}, {n}, {stride}, {x});"


def transpose(call: Call, place: Place) -> str:
    n_out, n_in = call.numbers
    return f"snncc_transpose_weights({n_out}, {n_in}, {', '.join(place.names)});"


def sum_features_once(call: Call, place: Place) -> str:
    return f"snncc_sum_features({', '.join(['1', *map(str, call.numbers), *place.names])});"


def indexed(call: Call, place: Place) -> str:
    rows = "1" if call.kind.endswith("_once") else place.rows(call)
    return f"{place.function}({rows}, {', '.join(place.names)});"


def copy_rows(call: Call, place: Place) -> str:
    source, target = place.names
    return f"memcpy({target}, {source}, (size_t)rows * {call.numbers[0]} * sizeof *{target});"


def copy_if_first(call: Call, place: Place) -> str:
    return f"if (segment == 0) {copy_rows(call, place)}"


def copy_gradient(call: Call, place: Place) -> str:
    source, target = place.names
    return f"memcpy({target}, {source}, {call.numbers[0]} * sizeof *{target});"


def zero_rows(call: Call, place: Place) -> str:
    (target,) = place.names
    return f"memset({target}, 0, (size_t)rows * {call.numbers[0]} * sizeof *{target});"


def keep_rows(call: Call, place: Place) -> str:
    """A state at the start of a segment of time."""
    state, marks = place.names
    n = call.numbers[0]
    return f"memcpy({marks} + (size_t)segment * rows * {n}, {state}, (size_t)rows * {n} * sizeof *{state});"


def restore_rows(call: Call, place: Place) -> str:
    state, marks = place.names
    n = call.numbers[0]
    return f"memcpy({state}, {marks} + (size_t)segment * rows * {n}, (size_t)rows * {n} * sizeof *{state});"


CALLS: dict[str, Callable[[Call, Place], str]] = {
    "load": load,
    "load_state": load_state,
    "load_labels": load_labels,
    "store": store,
    "store_loss": store_loss,
    **dict.fromkeys(FORMS, product),
    "transpose_events": transpose_events,
    "transpose_counted": transpose_counted,
    "events_from_bits": events_from_bits,
    "events_from_rows": events_from_rows,
    "transpose": transpose,
    "log_softmax": _rows_first("snncc_log_softmax"),
    "sum_features": _rows_first("snncc_sum_features"),
    "one_hot": _rows_first("snncc_one_hot"),
    "sum_features_once": sum_features_once,
    **dict.fromkeys(INDEXED, indexed),
    "copy_rows": copy_rows,
    "copy_if_first": copy_if_first,
    "copy_gradient": copy_gradient,
    "zero_rows": zero_rows,
    "keep_rows": keep_rows,
    "restore_rows": restore_rows,
}


def call_text(call: Call, place: Place) -> str:
    """The C statement of a call."""
    if call.kind not in CALLS:
        raise InternalError(f"the C backend has no form for {call.kind}")
    return CALLS[call.kind](call, place)
