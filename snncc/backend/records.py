"""The records that templates take: finished text and flat fields, nothing to decide.

Each template names its record on its first line; a test demands exactly these fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LoopText:
    head: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class StepRecord:
    """What a sweep does in one step, for one block of neurons. loops: over them, each with its lines."""

    real: str
    rows: tuple[str, ...]
    arrays: tuple[str, ...]
    loops: tuple[tuple[str, ...], ...]
    packs: tuple[str, ...]


@dataclass(frozen=True)
class BlockRecord:
    """What a sweep does for one block of neurons of one sample."""

    real: str
    rows: tuple[str, ...]
    arrays: tuple[str, ...]
    start: tuple[str, ...]
    before: tuple[str, ...]
    packs: tuple[str, ...]
    loops: tuple[LoopText, ...]
    after: tuple[str, ...]
    packs_after: tuple[str, ...]


@dataclass(frozen=True)
class SweepRecord:
    name: str
    comment: str
    batch: bool
    step_function: bool
    step_kind: str
    step_parameters: str
    step: tuple[str, ...]
    block_function: bool
    block_parameters: str
    block: tuple[str, ...]
    parameters: str
    scalars: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True)
class ProductRecord:
    """A product of the runtime headers for given sizes, so that it is compiled once for them."""

    name: str
    comment: str
    parameters: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class UpdateRecord:
    name: str
    comment: str
    parameters: str
    scalars: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True)
class LevelText:
    """The function that runs the items before, in or after the tiles of a block."""

    name: str
    comment: str
    samples: str
    lines: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class PhaseText:
    """The functions of a phase, whose names end with its number where there are several."""

    suffix: str
    title: str
    last: bool
    clear: tuple[str, ...]
    blocks: bool
    levels: tuple[LevelText, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    sums: str  # where those of the first slot begin
    sum_reals: str
    finish: tuple[str, ...]
    finish_unused: tuple[str, ...]
    clear_kernel: str  # what the profile calls setting sums to zero and adding those of the slots
    add_kernel: str


@dataclass(frozen=True)
class EntryRecord:
    name: str
    prefix: str
    real: str
    trains: bool
    required: tuple[str, ...]
    listed: tuple[str, ...]  # rows to a sample that lists by input name
    prepare: tuple[str, ...]
    prepare_unused: tuple[str, ...]
    kept: bool  # whether what `prepare` makes lasts until a parameter changes
    forgets: bool  # whether it may overwrite what another entry point has prepared, or a parameter
    number: int
    phases: tuple[PhaseText, ...]
    exact_steps: int  # the only number of steps of a call; 0: any
    whole: bool  # whether it holds values of all samples
    fewest: tuple[str, ...]  # how many numbers statistics are made of, as C


@dataclass(frozen=True)
class Prototype:
    text: str
    comment: str


@dataclass(frozen=True)
class DeclarationsRecord:
    prefix: str
    real: str
    tensors: tuple[str, ...]
    members: tuple[str, ...]
    powers: int
    kernels: str
    prototypes: tuple[Prototype, ...]
    prepared: bool
    phased: bool


@dataclass(frozen=True)
class HeaderRecord:
    title: str
    version: str
    prefix: str
    guard: str
    declarations: str


@dataclass(frozen=True)
class ModelRecord:
    title: str
    version: str
    real_bits: int
    index_bits: int  # 0: as the headers have it
    header: str
    block_tiles: int
    segment: int
    kernels: tuple[str, ...]
    counted: tuple[str, ...]
    module: str


@dataclass(frozen=True)
class EntryMemory:
    """Sizes of an entry point, as C expressions."""

    name: str
    trains: bool
    sum_reals: int
    shared: int
    scratch: str
    panels: str
    whole: str  # "" where nothing lasts from phase to phase


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
    update: str
    update_kernel: str
    powers: tuple[str, ...]
    raised: tuple[str, ...]
    abi_version: int
    digest: str
    segmented: bool
    prepared: bool  # whether some entry point's preparations are kept
    phased: bool  # whether some entry point holds values of all samples


@dataclass(frozen=True)
class MakefileRecord:
    library: str


@dataclass(frozen=True)
class ExampleRecord:
    title: str
    version: str
    prefix: str
    real: str
    steps: int
    batch: int
    training: int
    training_comment: str
    tensors: tuple[Any, ...]
    arrays: tuple[Any, ...]
    allocated: str
    inputs: tuple[str, ...]
    outputs: tuple[Any, ...]
    train: bool
    update: bool
    backward: bool
    learning_rate: str
    seed: str
    phased: bool


@dataclass(frozen=True)
class ExampleTensor:
    name: str
    index: int
    count: int
    scale: str
    shift: str
    pattern: str  # of whole numbers: number k; "" for reals


@dataclass(frozen=True)
class ExampleArray:
    name: str
    type: str
    count: str
