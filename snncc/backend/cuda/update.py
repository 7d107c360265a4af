"""The optimiser's update as CUDA: a thread for each element of all parameters.

The learning rate and the powers of decays lie on the device, so a step that was recorded reads and advances
them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ...lower import layout_of
from ...program import Program
from ..dialects import dialect
from ..render import render
from ..sweeps import SweepText
from ..update import update_arrays, update_numbers
from .records import UpdateRecord


def update_text(program: Program) -> str:
    """The kernels of the update and the function that starts them, "" if there is none."""
    sweep = program.update
    if sweep is None:
        return ""
    work, learnable = SweepText(sweep, layout_of(program)), learnable_reals(program)
    constant = ("" if p.written else "const " for p in sweep.pointers)
    pointers = [
        f"{const}{work.real} *SNNCC_RESTRICT {p.name}_at"
        for const, p in zip(constant, sweep.pointers, strict=True)
    ]
    first = 1 + len(program.powers)
    shared = (
        f"const {work.real} {x.target} = ({work.real})numbers[{first + k}];"
        for k, x in enumerate(sweep.scalars)
    )
    arrays = update_arrays(sweep, program.moments, str(learnable))
    return render(
        "cuda/update.cu.j2",
        UpdateRecord(
            sweep.name,
            "; ".join(sweep.comment),
            program.name,
            learnable,
            tuple(_numbers(program, work)),
            ", ".join(["const int32_t *status, size_t count", *pointers, "const double *numbers"]),
            (*shared, *(work.line(s) for s in sweep.before)),
            ", ".join(["model->status", f"(size_t){learnable}", *arrays, "model->numbers"]),
            tuple(_raised(program)),
        ),
    )


def learnable_reals(program: Program) -> int:
    """Of the parameters that have gradients, with the pads between them."""
    return sum(t.length for t in program.tensors if t.learnable)


def count_numbers(program: Program) -> int:
    """The learning rate, the powers, and what follows from them."""
    return 1 + len(program.powers) + len(program.update.scalars) if program.update else 0


def _numbers(program: Program, work: SweepText) -> Iterator[str]:
    """Statements that advance the powers, then make what follows."""
    read = update_numbers(work.sweep)
    if "learning_rate" in read:
        yield "const double learning_rate = numbers[0];"
    for k, (name, decay) in enumerate(program.powers, start=1):
        advanced = f"numbers[{k}] *= {decay!r};"
        yield f"const double {name}_power = {advanced}" if f"{name}_power" in read else advanced
    yield from work.scalars
    for k, scalar in enumerate(work.sweep.scalars, start=1 + len(program.powers)):
        yield f"numbers[{k}] = {scalar.target};"


def _raised(program: Program) -> Iterator[str]:
    """Parameters that an update may not leave below a bound."""
    for tensor in program.tensors:
        if tensor.learnable and tensor.at_least is not None:
            low, place = (
                dialect(program.real_bits).literal(tensor.at_least),
                f"model->parameters + {tensor.offset}",
            )
            yield f"snncc_raise(stream, model->status, {prod(tensor.shape)}, {low}, {place});"
