"""Calls of the hand-written kernels as C: one line each, by kind."""

from __future__ import annotations

from ..errors import InternalError
from ..program import Call
from .images import WINDOWS
from .place import Form, Place
from .products import FORMS
from .synapses import SYNAPSES

# Kinds whose numbers are sizes of both sides, then the index.
INDEXED = ("take", "scatter_add", "take_once", "scatter_add_once")
# Kinds of a function that moves features, or multiplies matrices of them, within each row.
MOVES = ("move", "move_once", "move_sum", "move_sum_once")
MATMULS = ("matmul", "matmul_once")
# Kinds of a function that multiplies over the steps of a sequence, so many.
OVER_STEPS = ("mix_steps", "mix_steps_transposed", "steps_gradient")
GROUPED = ("softmax", "log_softmax", "first_maximum", "max_last")  # of the last axis, all groups of a row
COUNTED = ("events_from_bits", "events_from_rows", "events_from_previous")  # return how many are listed


def _guarded(text: str) -> str:
    return f"snncc_note(crew->team, {text});"


def _image(call: Call) -> str:
    """The end of a function's name: whether the call's numbers say how many channels lie last."""
    return "_image" * (len(call.numbers) > 2)


def load(call: Call, place: Place) -> str:
    (tile,) = place.names
    steps, user = place.steps if call.time else "1", place.user(call)
    optional = call.field.startswith("d_")
    if optional and "+" in user:
        user = f"io->{call.field} ? {user} : NULL"
    kind = f"snncc_load{_image(call)}{'_optional' * optional}"
    return _guarded(place.shared(kind, steps, "rows", "batch", "first", *call.numbers, user, tile))


def load_missing(call: Call, place: Place) -> str:
    """Zeros for a cotangent that the caller does not give."""
    zeros = (place.rows(call), *call.numbers, f"(snncc_real *){place.names[0]}")
    return f"if (!io->{call.field}) {place.shared('snncc_zero_rows', *zeros)};"


def load_state(call: Call, place: Place) -> str:
    tile, default = place.names
    given = (f"io->{call.field}", default, place.literal(call.value))
    kind = f"snncc_load_state{_image(call)}"
    return _guarded(place.shared(kind, "rows", "batch", "first", *call.numbers, *given, tile))


def check_spikes(call: Call, place: Place) -> str:
    return _guarded(f"snncc_check_spikes(rows, {call.numbers[1]}, {place.names[0]})")


def load_labels(call: Call, place: Place) -> str:
    (tile,) = place.names
    return _guarded(f"snncc_load_labels(rows, first, {call.numbers[0]}, io->{call.field}, {tile})")


def load_lengths(call: Call, place: Place) -> str:
    (tile,) = place.names
    return _guarded(f"snncc_load_lengths(rows, first, steps, io->{call.field}, {tile})")


def load_indices(call: Call, place: Place) -> str:
    n, classes = call.numbers
    sizes = (place.steps if call.time else "1", "rows", "batch", "first", n, classes)
    return _guarded(f"snncc_load_indices({', '.join(map(str, sizes))}, {place.user(call)}, {place.names[0]})")


def store(call: Call, place: Place) -> str:
    (tile,) = place.names
    steps = place.steps if call.time else "1"
    place_of = ("rows", "batch", "first", *call.numbers, tile, place.user(call))
    copy = place.shared(f"snncc_store{_image(call)}", steps, *place_of)
    return f"if (io->{call.field}) {copy};"


def store_repeated(call: Call, place: Place) -> str:
    """The same rows at each step."""
    (tile,), n = place.names, call.numbers[0]
    user = f"{place.user(call)} + (size_t)t * batch * {n}"
    copy = place.shared("snncc_store", "1", "rows", "batch", "first", *call.numbers, tile, user)
    return f"if (io->{call.field}) for (int t = 0; t < {place.steps}; t++) {copy};"


def store_loss(call: Call, place: Place) -> str:
    (value,) = place.names
    return f"if (io->{call.field}) *io->{call.field} = (double){value}[0];"


def _rows_first(function: str) -> Form:
    """function(rows, sizes ..., buffers ...)."""

    def text(call: Call, place: Place) -> str:
        return place.shared(function, place.rows(call), *call.numbers, *place.names) + ";"

    return text


def product(call: Call, place: Place) -> str:
    """A wide gradient may start its sum: that of the first tile does, in the segment that comes first."""
    start = f"crew->fresh && segment == {place.first}" if place.start and call.time else "crew->fresh"
    fresh, panel = [start] * call.kind.startswith("wide"), ["panel"] * place.spot.panels
    return f"{place.function}({', '.join([*fresh, place.rows(call), *place.given(call), *panel])});"


def transpose_events(call: Call, place: Place) -> str:
    events, lists = place.names
    return place.shared("snncc_transpose_events", events, place.rows(call), call.numbers[0], lists) + ";"


def transpose_counted(call: Call, place: Place) -> str:
    """Lists by input, unless the gradient will be dense."""
    n_in, vectors = call.numbers[0], "SNNCC_PANEL_VECTORS"
    dense = f"snncc_gradient_is_dense({vectors}, {place.names[0]}, {place.rows(call)}, {n_in})"
    return f"if (!{dense}) {transpose_events(call, place)}"


def events_from_bits(call: Call, place: Place) -> str:
    bits, events = place.names
    return place.shared("snncc_events_from_bits", events, place.rows(call), call.numbers[0], bits) + ";"


def events_from_previous(call: Call, place: Place) -> str:
    initial, bits, events = place.names
    n, steps, row = call.numbers
    ring = call.buffers[0].ring  # type: ignore[union-attr]
    step = f"rows * {row}" if ring else n  # from a step before the first one to the next
    arguments = (events, place.rows(call), "rows", n, steps, place.start or "0", row, step, initial, bits)
    return f"snncc_events_from_previous({', '.join(map(str, arguments))});"


def events_from_rows(call: Call, place: Place) -> str:
    x, events = place.given(call)
    if call.buffers[0].place == "given":  # type: ignore[union-attr]
        return place.shared("snncc_events_from_given", events, place.rows(call), call.numbers[0], x) + ";"
    return place.shared("snncc_events_from_rows", events, place.rows(call), *call.numbers, x) + ";"


def transpose(call: Call, place: Place) -> str:
    n_out, n_in = call.numbers
    return f"snncc_transpose_weights({n_out}, {n_in}, {', '.join(place.names)});"


def once(call: Call, place: Place) -> str:
    """A kernel of whole rows on one row."""
    return place.shared(f"snncc_{call.kind.removesuffix('_once')}", 1, *call.numbers, *place.names) + ";"


def groups(call: Call, place: Place) -> str:
    """A kernel of the last axis; what has no batch axis is one row."""
    rows = "1" if call.kind.endswith("_once") else place.rows(call)
    function = f"snncc_{call.kind.removesuffix('_once')}"
    return place.shared(function, rows, *call.numbers, *place.names) + ";"


def within_rows(call: Call, place: Place) -> str:
    rows = "1" if call.kind.endswith("_once") else place.rows(call)
    return place.shared(place.function, rows, *place.names) + ";"


def sum_panels(call: Call, place: Place) -> str:
    return f"snncc_sum_panels({', '.join(map(str, (*call.numbers, *place.names)))});"


def indexed(call: Call, place: Place) -> str:
    rows = "1" if call.kind.endswith("_once") else place.rows(call)
    return f"{place.function}({rows}, {', '.join(place.names)});"


def over_steps(call: Call, place: Place) -> str:
    return place.shared(place.function, "rows", *place.names) + ";"


def of_steps(call: Call, place: Place) -> str:
    steps, n, pitch = call.numbers
    return f"snncc_{call.kind}({steps}, rows, {n}, {pitch}, {', '.join(place.names)});"


def windows(call: Call, place: Place) -> str:
    return place.shared(place.function, place.rows(call), *place.names) + ";"


def kept_steps(call: Call, place: Place) -> str:
    """Between rows of a delay, the sequence, and a ring."""
    sizes = (place.steps, "rows", place.start or "0", *call.numbers[1:])
    return place.shared(f"snncc_{call.kind}", *sizes, *place.names) + ";"


def start_ring(call: Call, place: Place) -> str:
    return place.shared(f"snncc_{call.kind}", "steps", "rows", *call.numbers[1:], *place.names) + ";"


def copy_rows(call: Call, place: Place) -> str:
    return place.shared("snncc_copy_rows", "rows", call.numbers[0], *place.names) + ";"


def copy_if_first(call: Call, place: Place) -> str:
    return f"if (segment == 0) {copy_rows(call, place)}"


def copy_gradient(call: Call, place: Place) -> str:
    source, target = place.names
    return f"memcpy({target}, {source}, {call.numbers[0]} * sizeof *{target});"


def zero_rows(call: Call, place: Place) -> str:
    return place.shared("snncc_zero_rows", "rows", call.numbers[0], *place.names) + ";"


def keep_rows(call: Call, place: Place) -> str:
    """A state at the start of a segment of time."""
    state, marks = place.names
    n = call.numbers[0]
    return place.shared("snncc_copy_rows", "rows", n, state, f"{marks} + (size_t)segment * rows * {n}") + ";"


def restore_rows(call: Call, place: Place) -> str:
    state, marks = place.names
    n = call.numbers[0]
    return place.shared("snncc_copy_rows", "rows", n, f"{marks} + (size_t)segment * rows * {n}", state) + ";"


CALLS: dict[str, Form] = {
    "load": load,
    "load_missing": load_missing,
    "load_state": load_state,
    "check_spikes": check_spikes,
    "load_labels": load_labels,
    "load_lengths": load_lengths,
    "load_indices": load_indices,
    "store": store,
    "store_repeated": store_repeated,
    "store_loss": store_loss,
    **dict.fromkeys(FORMS, product),
    "transpose_events": transpose_events,
    "transpose_counted": transpose_counted,
    "events_from_bits": events_from_bits,
    "events_from_rows": events_from_rows,
    "events_from_previous": events_from_previous,
    "transpose": transpose,
    **{f"{name}{once}": groups for name in GROUPED for once in ("", "_once")},
    **dict.fromkeys((*MOVES, *MATMULS), within_rows),
    "sum_features": _rows_first("snncc_sum_features"),
    "one_hot": _rows_first("snncc_one_hot"),
    "sum_panels": sum_panels,
    "sum_groups": _rows_first("snncc_sum_groups"),
    **dict.fromkeys(("sum_features_once", "sum_groups_once", "reorder_once"), once),
    **dict.fromkeys(INDEXED, indexed),
    **dict.fromkeys(OVER_STEPS, over_steps),
    **dict.fromkeys(("at_step", "sum_at_step"), of_steps),
    **dict.fromkeys(WINDOWS, windows),
    "reorder": _rows_first("snncc_reorder"),
    **dict.fromkeys(("first_steps", "last_steps", "keep_first", "keep_last"), kept_steps),
    **dict.fromkeys(("start_ring", "start_ring_bits"), start_ring),
    **SYNAPSES,
    **dict.fromkeys(("copy_rows", "copy_last", "copy_first"), copy_rows),
    "pack_rows": _rows_first("snncc_pack_rows"),
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
