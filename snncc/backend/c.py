"""The C backend: a program as the files of a model folder. It prints; it decides nothing."""

from __future__ import annotations

import hashlib
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ..cost import Kernel, kernels
from ..lower import layout_of
from ..names import Names, plain_text
from ..program import BLOCK_TILES, Program, UserArray
from .dialects import dialect
from .entries import EntryText
from .example import example
from .kernels import Kernels, fold_long_lines
from .records import DeclarationsRecord, HeaderRecord, MakefileRecord, ModelRecord, ModuleRecord, Prototype
from .render import render
from .update import update_call, update_text

ABI_VERSION = 1
C_TYPES = {"float32": "float", "float64": "double", "int64": "int64_t"}
MEANING = {
    "state": "initial state",
    "state_out": "final state",
    "cotangent": "gradient with respect to an output",
    "d_input": "gradient with respect to an input",
    "d_state": "gradient with respect to an initial state",
    "sum": "output summed over the steps",
    "score": "the largest one's class is chosen",
    "lengths": "steps of each sample; NULL: all",
    "seed": "of random numbers, and the number of the first step; NULL: 0, 0",
}
WRITTEN = ("output", "state_out", "d_input", "d_state", "loss", "sum", "score")


@dataclass(frozen=True)
class Sources:
    """The text files of a model, by name, and the declarations that cffi reads."""

    files: dict[str, str]
    declarations: str
    digest: str


def emit(program: Program, version: str) -> Sources:
    """model.h, model.c, example.c and Makefile of a program."""
    prefix, real = program.name, "float" if program.real_bits == 32 else "double"
    title = plain_text(f"The network {program.name}" + (f" of {program.source}" if program.source else ""))
    counted = kernels(program)
    declarations = render("c/declarations.h.j2", _declarations(program, prefix, real, len(counted)))
    digest = hashlib.sha256(declarations.encode()).hexdigest()
    header = HeaderRecord(title, version, prefix, f"{prefix.upper()}_MODEL_H", declarations)
    functions = Kernels(program)
    texts = [EntryText(program, e, functions, counted) for e in program.entries]
    module = render("c/module.c.j2", _module(program, prefix, real, digest, texts, counted))
    entries = [text.text() for text in texts]
    update = [update_text(program.update, layout_of(program))] if program.update else []
    parts = ("/* ---- kernels ---- */\n", *functions.texts(), *update, *entries)
    lengths = BLOCK_TILES, program.segment
    model = ModelRecord(
        title,
        version,
        program.real_bits,
        program.index_bits if program.index_bits != 16 else 0,
        "model.h",
        *lengths,
        parts,
        _constants(counted),
        module,
    )
    files = {
        "model.h": render("c/model.h.j2", header),
        "model.c": fold_long_lines(render("c/model.c.j2", model)),
        "example.c": render("c/example.c.j2", example(program, title, version)),
        "Makefile": render("c/Makefile.j2", MakefileRecord(f"lib{prefix}.so")),
    }
    return Sources(files, declarations, digest)


def _constants(counted: tuple[Kernel, ...]) -> tuple[str, ...]:
    """Members of the enum of kernels, those of an entry point on lines of their own."""
    groups = itertools.groupby(counted, lambda kernel: kernel.entry)
    lines = [", ".join(kernel.constant for kernel in group) + "," for _, group in groups]
    return tuple(line for long in lines for line in textwrap.wrap(long, 112))


def _declarations(program: Program, prefix: str, real: str, count: int) -> DeclarationsRecord:
    members = tuple(member(a) for a in program.arrays)
    powers, prototypes = max(1, len(program.powers)), tuple(_prototypes(program, prefix))
    kernels = f"{prefix.upper()}_KERNELS = {count}"
    names = tensor_names(program, prefix)
    return DeclarationsRecord(
        prefix, real, names, members, powers, kernels, prototypes, program.keeps, _phased(program)
    )


def _phased(program: Program) -> bool:
    """Whether memory depends on the batch of a call."""
    return any(entry.whole for entry in program.entries)


def tensor_names(program: Program, prefix: str) -> tuple[str, ...]:
    """Members of the enum of parameters, in order of index."""
    names = Names()
    found = [names.new(f"{prefix}_{t.name}".upper()) for t in program.tensors]
    shapes = ["".join(f"[{n}]" for n in t.shape) or "one number" for t in program.tensors]
    return tuple(
        f"{name} = {k}, /* {shape} */" for k, (name, shape) in enumerate(zip(found, shapes, strict=True))
    )


def member(array: UserArray) -> str:
    const = "" if array.role in WRITTEN else "const "
    axes = ["steps"] * array.time + ["batch"] * array.batch + [str(n) for n in array.shape]
    shape = "".join(f"[{a}]" for a in axes) or "one number"
    return (
        f"{const}{C_TYPES[array.dtype]} *{array.field}; /* {MEANING.get(array.role, array.role)}: {shape} */"
    )


def _prototypes(program: Program, prefix: str) -> list[Prototype]:
    model, io = f"{prefix}_model *model", f"const {prefix}_io *io"
    call = f"{model}, {io}, int32_t steps, int32_t batch"
    meaning = {
        "forward": "Outputs and final states of a batch.",
        "backward": "Gradients of parameters, inputs and initial states, given cotangents of the outputs.",
        "train": "The loss and its gradients for the parameters; update applies them.",
        "learn": "Outputs, final states, and what the weights learn by their rule; update applies it.",
        "evaluate": "The loss, and the outputs summed over the steps.",
    }
    found = [
        Prototype(
            f"size_t {prefix}_arena_bytes(const {prefix}_config *config)",
            "0 if the configuration is invalid.",
        ),
        Prototype(
            f"int32_t {prefix}_init({model}, const {prefix}_config *config, void *arena, size_t bytes)",
            "Parameters start at zero: set them.",
        ),
        Prototype(
            f"int32_t {prefix}_set({model}, int32_t index, const void *values)",
            "Tensors by index, row-major.",
        ),
        Prototype(f"int32_t {prefix}_get(const {model}, int32_t index, void *values)", "As they are now."),
        *(Prototype(f"int32_t {prefix}_{e.name}({call})", meaning[e.name]) for e in program.entries),
        Prototype(
            f"int32_t {prefix}_step({model}, {io}, int32_t batch)",
            "One time step, for streaming: pass the states and take the next ones.",
        ),
    ]
    if program.update:
        found.append(
            Prototype(f"int32_t {prefix}_update({model}, double learning_rate)", "One step of the optimiser.")
        )
    found.append(
        Prototype(
            f"int32_t {prefix}_profile({model}, int64_t *counts)",
            f"Calls from now on add to counts, [threads][{prefix.upper()}_KERNELS][4]; with NULL no more.",
        )
    )
    found.append(
        Prototype(f"int64_t {prefix}_clock(void)", "Ticks of the clock of profiles; 0: there is none.")
    )
    found.append(Prototype(f"const char *{prefix}_error(int32_t code)", "What a return code means."))
    found.append(
        Prototype(
            f"void {prefix}_abi({prefix}_abi_record *record)", "Sizes and digest of these declarations."
        )
    )
    return found


def tensor_roles(program: Program) -> list[tuple[str, str, int]]:
    """(role, name, number of the moment) of every tensor that set and get know, in order of index."""
    learnable = [t for t in program.tensors if t.learnable]
    found = [("structure" if t.table else "parameter", t.name, 0) for t in program.tensors]
    if any(e.trains for e in program.entries):
        found += [("gradient", t.name, 0) for t in learnable]
    if program.update:
        found += [("powers", "powers", 0)] if program.powers else []
        found += [("optimizer", t.name, k) for k in range(len(program.moments)) for t in learnable]
    return found


def tensor_lines(program: Program) -> tuple[str, ...]:
    """The table of tensors that set and get read, in order of index."""
    by_name = {t.name: t for t in program.tensors}
    lines = []
    for role, name, moment in tensor_roles(program):
        if role == "powers":
            lines.append(f"{{2, 0, {len(program.powers)}, 0, 0}},")
            continue
        t = by_name[name]
        count = 1
        for n in t.shape:
            count *= n
        rows, columns = (t.shape[0], count // t.shape[0]) if t.panels else (-1 if t.table else 0, count)
        number = {"parameter": 0, "structure": 0, "gradient": 1, "optimizer": 3 + moment}[role]
        label = name if role in ("parameter", "structure") else f"{role} of {name}"
        lines.append(f"{{{number}, {rows}, {columns}, {t.channels}, {t.offset}}}, /* {plain_text(label)} */")
    return tuple(lines)


def _module(
    program: Program, prefix: str, real: str, digest: str, texts: list[EntryText], counted: tuple[Kernel, ...]
) -> ModuleRecord:
    lines = tensor_lines(program)
    return ModuleRecord(
        prefix,
        real,
        sum(t.length for t in program.tensors if t.learnable),
        sum(t.length for t in program.tensors),
        len(program.moments),
        tuple(text.memory() for text in texts),
        len(lines),
        lines,
        update_call(program, "begin", "end"),
        counted[-1].constant if program.update else "",
        tuple(f"model->powers[{k}] *= {v!r};" for k, (_, v) in enumerate(program.powers)),
        tuple(_raised(program)),
        ABI_VERSION,
        digest,
        bool(program.segment),
        program.keeps,
        _phased(program),
    )


def _raised(program: Program) -> Iterator[str]:
    """Parameters that an update may not leave below a bound."""
    for tensor in program.tensors:
        if tensor.learnable and tensor.at_least is not None:
            low, end = dialect(program.real_bits).literal(tensor.at_least), tensor.offset + prod(tensor.shape)
            element = "model->parameters[i]"
            yield f"for (size_t i = {tensor.offset}; i < {end}; i++) {element} = snncc_max({element}, {low});"
