"""example.c of a model folder: a program that runs and trains the network with no Python."""

from __future__ import annotations

from ..names import plain_text
from ..program import Program, Tensor, UserArray
from .records import ExampleArray, ExampleRecord, ExampleTensor

BATCH = 6
C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t"}


def example(program: Program, title: str, version: str) -> ExampleRecord:
    """Made-up weights and inputs, a forward run, and five updates if the network trains."""
    names = [e.name for e in program.entries]
    arrays = [a for a in program.arrays if a.role != "loss"]
    tensors = [
        ExampleTensor(
            plain_text(t.name),
            k,
            _count(t.shape),
            "0.2" if t.panels else "1.0",
            "0.4" if t.learnable else "0",
            _pattern(t),
        )
        for k, t in enumerate(program.tensors)
    ]
    trains, steps = "train" in names, min(program.num_steps, 10)
    return ExampleRecord(
        title,
        version,
        program.name,
        "float" if program.real_bits == 32 else "double",
        steps,
        BATCH,
        int(any(e.trains for e in program.entries)),
        ", then trains a few steps" if trains else "",
        tuple(tensors),
        tuple(ExampleArray(a.field, C_TYPES[a.dtype], _elements(a)) for a in arrays),
        " || ".join(f"!{a.field}" for a in arrays),
        tuple(_fill(a) for a in arrays if a.role in ("input", "target") and a.dtype != "int64"),
        tuple(ExampleArray(a.field, "", _elements(a)) for a in arrays if a.role == "output"),
        trains,
        program.update is not None,
        "backward" in names,
        "1e-3",
        next((a.field for a in arrays if a.role == "seed"), ""),
        any(e.whole for e in program.entries),
    )


def _pattern(tensor: Tensor) -> str:
    """Connections of a made-up kind: spread evenly, whatever the network's own are."""
    if tensor.table is None:
        return ""
    most, ascending, _ = tensor.table
    return f"k * {most} / {_count(tensor.shape) - 1}" if ascending else f"k % {most + 1}"


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _elements(array: UserArray) -> str:
    factors = ["STEPS"] * array.time + ["BATCH"] * array.batch + [str(_count(array.shape))]
    return "(size_t)" + " * ".join(factors)


def _fill(array: UserArray) -> str:
    return f"fill({array.field}, {_elements(array)}, 7u);"
