"""The records that the templates of CUDA take, as those of C: finished text, nothing to decide."""

from __future__ import annotations

from dataclasses import dataclass

from ..records import HeaderRecord, Prototype

__all__ = ["HeaderRecord"]  # that of C serves


@dataclass(frozen=True)
class SweepRecord:
    """A kernel with a thread an element, and the function that starts it."""

    name: str
    comment: str
    parameters: str
    lines: tuple[str, ...]
    outer: str
    scalars: tuple[str, ...]
    arguments: str


@dataclass(frozen=True)
class MoveRecord:
    """A kernel with a thread for each of so many elements of a row, after so many of y were cleared."""

    name: str
    comment: str
    parameters: str
    lines: tuple[str, ...]
    elements: int
    cleared: int
    arguments: str
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class ElementRecord:
    """A function of the device for an element."""

    name: str
    comment: str
    parameters: str
    lines: tuple[str, ...]
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoopRecord:
    """A kernel for all steps of a loop, and the function that starts it.

    apart: samples that a block has alone, shapes: of values, slices: reals of shared memory; as C++.
    """

    name: str
    comment: str
    parameters: str
    lines: tuple[str, ...]
    outer: str
    apart: str
    shapes: str
    slices: str
    arguments: str


@dataclass(frozen=True)
class UpdateRecord:
    """The optimiser: a kernel for the numbers that all elements share, and one for these."""

    name: str
    comment: str
    prefix: str
    learnable: int
    numbers: tuple[str, ...]
    parameters: str
    body: tuple[str, ...]
    arguments: str
    raised: tuple[str, ...]


@dataclass(frozen=True)
class EntryRecord:
    name: str
    prefix: str
    real: str
    comment: str
    number: int  # of the entry point, from 1
    trains: bool
    update: str  # the function of the optimiser, of an entry point that its step may follow
    required: tuple[str, ...]
    lines: tuple[str, ...]
    unused: tuple[str, ...]
    exact_steps: int
    fewest: tuple[str, ...]
    blas: bool


@dataclass(frozen=True)
class EntryMemory:
    """Sizes of what an entry point keeps."""

    name: str
    trains: bool
    sum_reals: int
    shared: int
    scratch: str


@dataclass(frozen=True)
class ModuleRecord:
    prefix: str
    real: str
    learnable: int
    parameters: int
    moments: int
    entries: tuple[EntryMemory, ...]
    tensor_count: int
    tensors: tuple[str, ...]
    update: str  # the function of the optimiser, if there is one
    powers: int
    numbers: int  # of the optimiser, with the learning rate and the powers
    abi_version: int
    digest: str
    segment: int
    workspace: int  # bytes of cuBLAS


@dataclass(frozen=True)
class DeclarationsRecord:
    prefix: str
    real: str
    tensors: tuple[str, ...]
    members: tuple[str, ...]
    update: bool
    blas: bool
    prototypes: tuple[Prototype, ...]


@dataclass(frozen=True)
class ModelRecord:
    title: str
    version: str
    real_bits: int
    header: str
    segment: int
    parts: tuple[str, ...]
    module: str


@dataclass(frozen=True)
class MakefileRecord:
    library: str
