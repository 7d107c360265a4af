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
    return start(f"snncc_{call.kind}", place.steps, "rows", kept, n, *place.names)


STEPS: dict[str, Form] = {
    **dict.fromkeys(("mix_steps", "mix_steps_transposed"), _mix_steps),
    **dict.fromkeys(("steps_gradient", "at_step"), _of_steps),
    "sum_at_step": _sum_at_step,
    **dict.fromkeys(("first_steps", "last_steps"), _kept_steps),
}
