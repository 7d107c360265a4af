"""Calls of the kernels that tell steps apart, as CUDA."""

from __future__ import annotations

from ...program import Call
from .starts import Form, Place, added, start


def _mix_steps(call: Call, place: Place) -> str:
    steps, n, _ = call.numbers
    transposed = int(call.kind.endswith("_transposed"))
    return start("snncc_mix_steps", transposed, steps, "rows", n, *place.names)


def _of_steps(call: Call, place: Place) -> str:
    steps, n, _ = call.numbers
    return start(f"snncc_{call.kind}", steps, "rows", n, *place.names)


def _sum_at_step(call: Call, place: Place) -> str:
    steps, n, _ = call.numbers
    return start("snncc_add_samples", added(call), steps, "rows", n, *place.names)


def _kept_steps(call: Call, place: Place) -> str:
    """Numbers: features of a row that is kept, its steps, features of each."""
    _, kept, n, *_ = call.numbers
    return start(f"snncc_{call.kind}", place.steps, "rows", place.start or "0", kept, n, *place.names)


def _first_steps(call: Call, place: Place) -> str:
    """The same; steps that are wanted may be fewer than a row has."""
    row, wanted, n, *_ = call.numbers
    return start(
        "snncc_first_steps", place.steps, "rows", place.start or "0", wanted, row // n, n, *place.names
    )


def _start_ring(call: Call, place: Place) -> str:
    _, kept, n, *_ = call.numbers
    return start("snncc_start_ring", "steps", "rows", kept, n, *place.names)


STEPS: dict[str, Form] = {
    **dict.fromkeys(("mix_steps", "mix_steps_transposed"), _mix_steps),
    **dict.fromkeys(("steps_gradient", "at_step"), _of_steps),
    "sum_at_step": _sum_at_step,
    **dict.fromkeys(("last_steps", "keep_first", "keep_last"), _kept_steps),
    "first_steps": _first_steps,
    "start_ring": _start_ring,
}
