"""The optimiser's update as C."""

from __future__ import annotations

from ..lower import Layout
from ..program import Program, Sweep
from .records import UpdateRecord
from .render import render
from .stages import refs
from .sweeps import SweepText


def update_text(sweep: Sweep, layout: Layout) -> str:
    """The optimiser's update: one flat loop over all elements of all parameters."""
    work = SweepText(sweep, layout)
    pointers = [
        f"{'' if p.written else 'const '}{work.real} *SNNCC_RESTRICT {p.name}_at" for p in sweep.pointers
    ]
    parameters = ["size_t begin", "size_t end", *pointers, *(f"double {n}" for n in update_numbers(sweep))]
    body = tuple(work.line(s) for s in sweep.before)
    return render(
        "c/update.c.j2",
        UpdateRecord(sweep.name, "; ".join(sweep.comment), ", ".join(parameters), tuple(work.scalars), body),
    )


def update_numbers(sweep: Sweep) -> list[str]:
    """Names of the numbers that the update takes after its arrays."""
    return sorted({t for s in sweep.scalars for t in refs(s.value)})


def update_call(program: Program, *leading: str) -> str:
    """The call of the update, or nothing if there is none: `leading` arguments, arrays, numbers."""
    sweep = program.update
    if sweep is None:
        return ""
    numbers = {f"{name}_power": f"model->powers[{k}]" for k, (name, _) in enumerate(program.powers)}
    numbers["learning_rate"] = "learning_rate"
    arrays = update_arrays(sweep, program.moments, "LEARNABLE")
    given = (*leading, *arrays, *(numbers[n] for n in update_numbers(sweep)))
    return f"{sweep.name}({', '.join(given)});"


def update_arrays(sweep: Sweep, moments: tuple[str, ...], learnable: str) -> list[str]:
    """Where the arrays of the update lie, in the order of its pointers."""
    arrays = {"parameter": "model->parameters", "gradient": "model->sums"}
    for k, moment in enumerate(moments):
        arrays[moment] = f"model->moments + (size_t){k} * {learnable}" if k else "model->moments"
    return [arrays[p.buffer.label] for p in sweep.pointers]
