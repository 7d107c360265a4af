"""Calls of the hand-written kernels as CUDA: one line each, by kind.

The functions have the names of those of the C headers, and start kernels on a stream; see include/snncc/cuda.
"""

from __future__ import annotations

from ...errors import CompileError
from ...program import Call
from ..calls import INDEXED, MOVES
from .images import WINDOWS, of_spikes, used
from .products import PRODUCTS
from .starts import Form, Place, added, once, plain, start
from .steps import STEPS
from .synapses import SYNAPSES


def _channels(call: Call) -> int:
    """Of an image, how many lie last; 0 of what is no image."""
    return call.numbers[2] if len(call.numbers) > 2 else 0


def load(call: Call, place: Place) -> str:
    size, user = (place.rows, call.numbers[0], _channels(call)), place.user(call)
    if call.field.startswith("d_"):
        given = f"io->{call.field} ? {user} : NULL" if "+" in user else user
        return start("snncc_load_optional", "status", *size, given, *place.names)
    return start("snncc_load", "status", *size, user, *place.names)


def load_missing(call: Call, place: Place) -> str:
    """Zeros for a cotangent that the caller does not give."""
    count = f"(size_t)({place.rows}) * {call.numbers[0]}"
    return f"if (!io->{call.field}) {start('snncc_clear', f'(snncc_real *){place.names[0]}', count)}"


def check_finite(call: Call, place: Place) -> str:
    """Of the caller's array."""
    return start("snncc_check_finite", "status", f"(size_t)({place.rows}) * {call.numbers[0]}", *place.names)


def load_state(call: Call, place: Place) -> str:
    tile, default = place.names
    size = ("rows", call.numbers[0], _channels(call))
    return start(
        "snncc_load_state", "status", *size, f"io->{call.field}", default, place.literal(call.value), tile
    )


def check_spikes(call: Call, place: Place) -> str:
    return start("snncc_check_spikes", "status", "rows", call.numbers[0], *place.names)


def load_labels(call: Call, place: Place) -> str:
    return start("snncc_load_labels", "status", "rows", call.numbers[0], f"io->{call.field}", *place.names)


def load_indices(call: Call, place: Place) -> str:
    n, classes = call.numbers
    return start(
        "snncc_load_labels", "status", f"{place.rows} * {n}", classes, place.user(call), *place.names
    )


def load_lengths(call: Call, place: Place) -> str:
    return start("snncc_load_lengths", "status", "rows", "steps", f"io->{call.field}", *place.names)


def store(call: Call, place: Place) -> str:
    copy = start("snncc_store", place.rows, call.numbers[0], _channels(call), *place.names, place.user(call))
    return f"if (io->{call.field}) {copy}"


def store_loss(call: Call, place: Place) -> str:
    return f"if (io->{call.field}) {start('snncc_store_loss', *place.names, f'io->{call.field}')}"


def add_samples(call: Call, place: Place) -> str:
    steps = place.steps if call.time else "1"
    return start("snncc_add_samples", added(call), steps, "rows", *call.numbers, *place.names)


def add_all_samples(call: Call, place: Place) -> str:
    terms, sums = place.names[::2], place.names[1::2]
    each = (f"{{{x}, {y}, {n}}}" for x, y, n in zip(terms, sums, call.numbers, strict=True))
    return start("snncc_add_all_samples", "rows", len(sums), f"{{{{{', '.join(each)}}}}}")


def load_one_hot(call: Call, place: Place) -> str:
    return start("snncc_load_one_hot", "status", "rows", call.numbers[0], f"io->{call.field}", *place.names)


def copy_rows(call: Call, place: Place) -> str:
    return start("snncc_copy", f"(size_t)rows * {call.numbers[0]}", *place.names)


def copy_if_first(call: Call, place: Place) -> str:
    return f"if (segment == 0) {copy_rows(call, place)}"


def copy_gradient(call: Call, place: Place) -> str:
    return start("snncc_copy", call.numbers[0], *place.names)


def zero_rows(call: Call, place: Place) -> str:
    return start("snncc_clear", *place.names, f"(size_t)rows * {call.numbers[0]}")


def keep_rows(call: Call, place: Place) -> str:
    """A state at the start of a segment of time."""
    state, marks = place.names
    count = f"(size_t)rows * {call.numbers[0]}"
    return start("snncc_copy", count, state, f"{marks} + segment * {count}")


def restore_rows(call: Call, place: Place) -> str:
    state, marks = place.names
    count = f"(size_t)rows * {call.numbers[0]}"
    return start("snncc_copy", count, f"{marks} + segment * {count}", state)


def within_rows(call: Call, place: Place) -> str:
    """A generated kernel of features of a row."""
    return start(place.function, "1" if call.kind.endswith("_once") else place.rows, *place.names)


def reorder(call: Call, place: Place) -> str:
    n, _, lines = call.numbers
    rows = "1" if call.kind.endswith("_once") else place.rows
    return start("snncc_reorder", rows, n, lines, *place.names)


def windows(call: Call, place: Place) -> str:
    names = (place.names[k] for k in used(call))
    more = ["blas"] * bool(call.precision) + ["rows"] * of_spikes(call)
    return start(place.function, *more, place.rows, *names)


GROUPED = ("softmax", "log_softmax", "first_maximum", "max_last")

CALLS: dict[str, Form] = {
    "load": load,
    "load_missing": load_missing,
    "check_finite": check_finite,
    "load_state": load_state,
    "check_spikes": check_spikes,
    "load_labels": load_labels,
    "load_indices": load_indices,
    "load_lengths": load_lengths,
    "store": store,
    "store_loss": store_loss,
    **PRODUCTS,
    "transpose": once("snncc_transpose_weights"),
    **{f"{name}{one}": plain(f"snncc_{name}") for name in GROUPED for one in ("", "_once")},
    **dict.fromkeys(("sum_features", "sum_features_once"), plain("snncc_sum_features")),
    **dict.fromkeys(("sum_groups", "sum_groups_once"), plain("snncc_sum_groups")),
    "sum_panels": once("snncc_sum_panels"),
    **dict.fromkeys(WINDOWS, windows),
    "one_hot": plain("snncc_one_hot"),
    "add_samples": add_samples,
    "add_all_samples": add_all_samples,
    "load_one_hot": load_one_hot,
    **dict.fromkeys((*MOVES, *INDEXED), within_rows),
    **dict.fromkeys(("reorder", "reorder_once"), reorder),
    **STEPS,
    **SYNAPSES,
    **dict.fromkeys(("copy_rows", "copy_last", "copy_first"), copy_rows),
    "copy_if_first": copy_if_first,
    "copy_gradient": copy_gradient,
    "zero_rows": zero_rows,
    "keep_rows": keep_rows,
    "restore_rows": restore_rows,
}


def call_text(call: Call, place: Place) -> str:
    """The C++ statement of a call."""
    if call.kind not in CALLS:
        raise CompileError(f"target='cuda' has no kernel for {call.kind} ({call.layer}): use target='c'")
    return CALLS[call.kind](call, place)
