"""model.h, model.cu and Makefile of a program for a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ...names import plain_text
from ...plan_memory import WORKSPACE
from ...program import Program
from ..c import Sources, member, tensor_lines, tensor_names
from ..kernels import fold_long_lines
from ..records import HeaderRecord, Prototype
from ..render import render
from .entries import LEARNING, DeviceEntry
from .kernels import Kernels
from .records import DeclarationsRecord, MakefileRecord, ModelRecord, ModuleRecord
from .update import count_numbers, learnable_reals, update_text

ABI_VERSION = 1
MEANING = {
    "forward": "Outputs and final states of a batch.",
    "backward": "Gradients of parameters, inputs and initial states, given cotangents of the outputs.",
    "train": "The loss and its gradients for the parameters; update applies them.",
    "learn": "Outputs, final states, and what the weights learn by their rule; update applies it.",
    "evaluate": "The loss, and the outputs summed over the steps.",
}


def emit(program: Program, version: str) -> Sources:
    """The text files of a model for a GPU."""
    prefix, real = program.name, "float" if program.real_bits == 32 else "double"
    title = plain_text(f"The network {program.name}" + (f" of {program.source}" if program.source else ""))
    members = tuple(map(member, program.arrays))
    declared = DeclarationsRecord(
        prefix,
        real,
        tensor_names(program, prefix),
        members,
        program.update is not None,
        bool(program.precision),
        tuple(_prototypes(program, prefix)),
    )
    declarations = render("cuda/declarations.h.j2", declared)
    digest = hashlib.sha256(declarations.encode()).hexdigest()
    header = HeaderRecord(title, version, prefix, f"{prefix.upper()}_MODEL_H", declarations)
    kernels = Kernels(program)
    texts = [DeviceEntry(program, e, kernels) for e in program.entries]
    entries = [text.text() for text in texts]
    parts = (
        "/* ---- kernels ---- */\n",
        *kernels.texts(),
        update_text(program),
        "/* ---- entry points ---- */\n",
        *entries,
    )
    module = render("cuda/module.cu.j2", _module(program, prefix, real, digest, texts))
    model = ModelRecord(title, version, program.real_bits, "model.h", program.segment, parts, module)
    files = {
        "model.h": render("cuda/model.h.j2", header),
        "model.cu": fold_long_lines(render("cuda/model.cu.j2", model)),
        "Makefile": render("cuda/Makefile.j2", MakefileRecord(f"lib{prefix}.so")),
    }
    return Sources(files, declarations, digest)


def _prototypes(program: Program, prefix: str) -> Iterator[Prototype]:
    model, io = f"{prefix}_model *model", f"const {prefix}_io *io"
    known = f"const {model}"
    call = f"{model}, {io}, int32_t steps, int32_t batch"
    yield Prototype(
        f"size_t {prefix}_arena_bytes(const {prefix}_config *config)", "0 if the configuration is invalid."
    )
    yield Prototype(
        f"int32_t {prefix}_init({model}, const {prefix}_config *config, void *arena, size_t bytes)",
        "The arena is device memory. Parameters start at zero: set them.",
    )
    yield Prototype(
        f"int32_t {prefix}_set({model}, int32_t index, const void *values)",
        "Tensors by index, row-major, from the host's memory.",
    )
    yield Prototype(f"int32_t {prefix}_get({known}, int32_t index, void *values)", "As they are now.")
    for entry in program.entries:
        yield Prototype(f"int32_t {prefix}_{entry.name}({call})", MEANING[entry.name])
    yield Prototype(
        f"int32_t {prefix}_step({model}, {io}, int32_t batch)",
        "One time step, for streaming: pass the states and take the next ones.",
    )
    yield from _updates(program, prefix)
    if program.precision:
        yield Prototype(
            f"int32_t {prefix}_library({model}, const char *path)",
            "After init: the cuBLAS, by path or name, for products; without it kernels make them.",
        )
    yield Prototype(
        f"int32_t {prefix}_wait({known})",
        "Until all work is done; the worst that calls since the last wait found.",
    )
    yield Prototype(
        f"void {prefix}_close({model})", "Forgets recorded calls: before an arena ends or is used anew."
    )
    yield Prototype(
        f"int32_t {prefix}_here({known})", "0 where the model lies on the thread's current device."
    )
    yield from _orders(prefix, known)
    yield Prototype(f"int32_t {prefix}_allocate(size_t bytes, void **memory)", "Device memory.")
    yield Prototype(f"int32_t {prefix}_release(void *memory)", "Device memory, given back.")
    yield Prototype(f"int32_t {prefix}_available(size_t *bytes)", "Device memory that is free.")
    yield Prototype(
        f"int32_t {prefix}_device_of(const void *memory)", "The device's number; -1: it is memory of none."
    )
    yield Prototype(
        f"int32_t {prefix}_to_device({known}, void *device, const void *host, size_t bytes)",
        "A copy on the model's stream.",
    )
    yield Prototype(
        f"int32_t {prefix}_to_host({known}, void *host, const void *device, size_t bytes)",
        "A copy on the model's stream.",
    )
    yield Prototype(f"const char *{prefix}_error(int32_t code)", "What a return code means.")
    yield Prototype(
        f"void {prefix}_abi({prefix}_abi_record *record)", "Sizes and digest of these declarations."
    )


def _updates(program: Program, prefix: str) -> Iterator[Prototype]:
    """The optimiser's step, alone or with the call before it."""
    if program.update is None:
        return
    model = f"{prefix}_model *model"
    yield Prototype(
        f"int32_t {prefix}_update({model}, double learning_rate)",
        "One step of the optimiser; none if a call since the last wait found something wrong.",
    )
    for name in (e.name for e in program.entries if e.name in LEARNING):
        yield Prototype(
            f"int32_t {prefix}_{name}_step({model}, const {prefix}_io *io, int32_t steps, int32_t batch, "
            "double learning_rate)",
            f"{name} and update, as one call.",
        )


def _orders(prefix: str, known: str) -> Iterator[Prototype]:
    """Between streams, and between a stream and the host."""
    yield Prototype(
        f"int32_t {prefix}_order(void *first, void *then)",
        "Work put on stream `then` from now on waits for what is on `first` now.",
    )
    yield Prototype(
        f"int32_t {prefix}_mark({known}, void **event)", "A new event, after all work of the model so far."
    )
    yield Prototype(f"int32_t {prefix}_reached(void *event)", "0 once that work is done; does not wait.")
    yield Prototype(f"void {prefix}_unmark(void *event)", "The event's end.")


def _module(program: Program, prefix: str, real: str, digest: str, texts: list[DeviceEntry]) -> ModuleRecord:
    lines = tensor_lines(program)
    return ModuleRecord(
        prefix,
        real,
        learnable_reals(program),
        sum(t.length for t in program.tensors),
        len(program.moments),
        tuple(text.memory() for text in texts),
        len(lines),
        lines,
        program.update.name if program.update else "",
        len(program.powers),
        count_numbers(program),
        ABI_VERSION,
        digest,
        program.segment,
        WORKSPACE if program.precision else 0,
    )
