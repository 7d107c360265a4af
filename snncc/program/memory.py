"""What a program keeps in memory: buffers, regions that they share, parameters, and callers' arrays."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDED = {"float32": 4, "float16": 2, "bfloat16": 2}  # layouts of values kept in another format: their bytes
NARROW = {"halves": 2, "parts": 6}  # layouts of factors as bf16, whole or in three parts: bytes of an element
CALLERS = ("given", "optional", "result", "state")  # places of what lies in the caller's arrays
BLOCK_TILES = 16  # tiles of a block: enough rows for a product to pay for reading its weights


@dataclass(frozen=True)
class Size:
    """Bytes that depend on the call: (seq * steps held + row + mark * segments of time) * tile
    + block * samples of a block + fixed."""

    seq: int = 0
    row: int = 0
    block: int = 0
    fixed: int = 0
    mark: int = 0

    def at(self, steps: int, tile: int, segment: int = 0, block: int = 0) -> int:
        """Bytes for so many steps, of which `segment` are held (0: all), samples a tile, and a block (0:
        those of all its tiles), up to a whole cache line."""
        held = min(steps, segment) if segment else steps
        marks = -(-steps // segment) if segment else 1
        rows = tile * (self.seq * held + self.row + self.mark * marks)
        rows += (block or tile * BLOCK_TILES) * self.block
        return (rows + self.fixed + 63) // 64 * 64


@dataclass(frozen=True)
class Buffer:
    """An array of the program.

    place: "tile" or "block" (scratch of a slot), "panel" (scratch of a thread: one panel of its
    features at a time), "whole" (of all samples, tile by tile, for later phases), "given" (rows of the
    caller's array `label`), "optional" or "result" (of one that he may leave out; then scratch of a slot),
    "state" (of one that he may leave out; then each element is `value`; channels: that lie last in rows of
    others),
    "sum" or "gradient" (a slot's sum over its tiles), "shared" (made once a call), "parameter".
    layout: "real" rows, rows rounded to "float32", "float16" or "bfloat16", spike "bits", "events", "valued"
    events, "labels", "table" (whole numbers of 32 bits), weight "panels", or "transposed" lists (scratch of a
    gradient), or "scratch" of a kernel; factors for tensor cores as bf16 "halves" or three "parts". ring:
    of how many steps of a loop there are rows, which take turns, for later steps to read; 0: of one.
    """

    name: str
    place: str
    features: tuple[int, ...]
    time: bool = False
    batch: bool = False
    layout: str = "real"
    size: Size = Size()
    label: str = ""  # what the user calls it, where he has a name for it
    ring: int = 0
    value: float = 0.0
    channels: int = 0

    @property
    def count(self) -> int:
        """Features of a row."""
        result = 1
        for n in self.features:
            result *= n
        return result

    @property
    def packed(self) -> bool:
        """Whether sweeps read and write its rows by way of an array of reals."""
        return self.layout == "bits" or (self.time and self.layout in ROUNDED)

    def __str__(self) -> str:
        steps = "segments" if self.layout == "marks" else "T"
        axes = (
            [steps] * self.time
            + [str(self.ring)] * bool(self.ring)
            + ["tile"] * self.batch
            + [str(n) for n in self.features]
        )
        return f"{self.name}: {self.layout}[{', '.join(axes)}] in {self.place}"


@dataclass(frozen=True)
class Region:
    """A piece of memory that several buffers share, one after the other."""

    size: Size
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter as the user knows it, and where it lies (in reals from the start of its array)."""

    name: str
    shape: tuple[int, ...]
    learnable: bool
    panels: bool
    offset: int
    length: int  # with padding
    at_least: float | None = None  # raised to this after each update
    channels: int = 0  # that lie side by side, last in an image or in the columns of a matrix; 0: row-major
    table: tuple[int, bool, str] | None = None  # of whole numbers of 32 bits: most, ascending, digest


@dataclass(frozen=True)
class UserArray:
    """An array that the caller passes: a member of the io struct.

    below: of whole numbers, how many there are to choose from; 0: not said. reader: the layer that has a row
    for each of them.
    """

    name: str
    field: str
    role: str
    shape: tuple[int, ...]
    time: bool
    batch: bool
    dtype: str
    entries: tuple[str, ...] = ()
    below: int = 0
    reader: str = ""
