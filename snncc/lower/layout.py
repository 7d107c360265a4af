"""Sizes of arrays in memory, which depend on the dtype, and names of the caller's arrays in C."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod

from ..names import identifier
from ..program import CALLERS, ROUNDED, Buffer, Program, Size

PANEL = 64  # SNNCC_PANEL of target.h: a word of spike bits, in either dtype
WHOLE = 1 << 30  # wider than any matrix
# Lists of events, by row and by input, with their forms in events.h: of ones, of numbers, and of numbers that
# only kernels read which are dense from a density of LISTED on.
BY_ROW = {"events": 0, "valued": 1, "counted": 2}
BY_INPUT = {"transposed": 0, "transposed_valued": 1, "transposed_counted": 2}
LISTS = {**BY_ROW, **BY_INPUT}
LISTED = Fraction(5, 8)  # SNNCC_LISTED of events.h
ROOM = 5 * 64  # bytes: a vector behind the indices and one behind the values, and three arrays' ends
SLICE = 128  # SNNCC_SLICE of gradient.h
PAD = 8  # SNNCC_PAD of split.h: numbers of 2 bytes that rows are padded to


@dataclass(frozen=True)
class Layout:
    """Sizes that depend on the dtype. index_bytes: of what a list of events names. device: rows have no pads,
    and a matrix is one panel, [n_in][n_out]: threads, not vectors, lie side by side. precision: of products
    that cuBLAS computes, "" for none: "float32", "float64", "tf32", "bf16", or "split", where spikes meet
    float32 numbers in three parts."""

    real_bytes: int
    index_bytes: int = 2
    device: bool = False
    precision: str = ""

    @property
    def lanes(self) -> int:
        return 64 // self.real_bytes

    def stride(self, n: int) -> int:
        """Distance between rows of n features, as snncc_stride has it."""
        if self.device:
            return n
        return 1 if n == 1 else (n + self.lanes - 1) // self.lanes * self.lanes

    def pitch(self, n: int, layout: str = "real") -> int:
        """Distance between rows of n features in scratch: rows a multiple of 1 KiB apart would share a few
        sets of the cache, so those are a cache line longer."""
        stride, bytes = self.stride(n), ROUNDED.get(layout, self.real_bytes)
        if self.device:
            return stride
        return stride + 64 // bytes if stride * bytes % 1024 == 0 else stride

    @property
    def panel(self) -> int:
        """Features of a panel: SNNCC_PANEL of target.h."""
        return WHOLE if self.device else PANEL

    def row(self, buffer: Buffer) -> int:
        """Distance between two rows of a buffer of reals, or of what they are rounded to."""
        if buffer.place == "panel":
            return self.panel
        if buffer.place in CALLERS:
            return buffer.count
        scratch = buffer.place in ("tile", "block", "whole")
        return self.pitch(buffer.count, buffer.layout) if scratch else self.stride(buffer.count)

    def panel_size(self, buffer: Buffer) -> Size:
        """Bytes of one panel of a buffer of rows."""
        row, size = self.panel * ROUNDED.get(buffer.layout, self.real_bytes), buffer.size
        row *= buffer.ring or 1
        return Size(*(row if n else 0 for n in (size.seq, size.row, size.block)))

    def product(self, spikes: bool) -> str:
        """The precision of a product, which may have spikes as a factor."""
        return "float32" if self.precision == "split" and not spikes else self.precision

    @property
    def slice_size(self) -> Size:
        """Bytes of the transposed weights that snncc_input_gradient_panel holds at a time."""
        return Size(fixed=SLICE * self.panel * self.real_bytes)

    def parameter_length(self, shape: tuple[int, ...], panels: bool) -> int:
        """Reals that a parameter takes, padded so that the next one starts on a cache line."""
        count = prod(shape)
        length = count // shape[0] * self.stride(shape[0]) if panels else self.stride(count)
        return (length + self.lanes - 1) // self.lanes * self.lanes

    def table_length(self, shape: tuple[int, ...]) -> int:
        """Reals that a table of 32-bit numbers takes, padded likewise."""
        return -(-4 * prod(shape) // 64) * self.lanes

    def size(self, layout: str, count: int, time: bool, rows: str, shape: tuple[int, ...] = ()) -> Size:
        """Bytes of a buffer of the samples of a "tile" or "block", or of none ("").

        Lists are sized as snncc_events_bytes has it: for any density, or up to LISTED and one row more.
        """
        real, words, form = self.real_bytes, 8 * ((count + 63) // 64), LISTS.get(layout, 0)
        event = self.index_bytes + real * (form > 0)
        listed = event * (ceil(LISTED * count) if form == 2 else count)
        one = event * (form == 2)
        if layout == "panels":
            return Size(fixed=self.parameter_length(shape, True) * real)
        row = {
            "real": (self.pitch(count) if rows else self.stride(count)) * real,
            "bits": words,
            "labels": 4 * count,
            **dict.fromkeys(BY_ROW, 4 + listed),
            **dict.fromkeys(BY_INPUT, listed + one),
            **{name: self.pitch(count, name) * bytes for name, bytes in ROUNDED.items()},
        }[layout]
        per_list = {**dict.fromkeys(BY_ROW, one * count), **dict.fromkeys(BY_INPUT, 4 * count)}
        fixed = ROOM + per_list[layout] if layout in LISTS else 0
        if not rows:
            return Size(fixed=row + fixed)
        axis = "seq" if time else {"tile": "row", "block": "block"}[rows]
        return Size(**{axis: row}, fixed=fixed)


def padded(n: int) -> int:
    """Numbers of a row of n in bf16, for tensor cores."""
    return -(-n // PAD) * PAD


def halved(n: int) -> int:
    """Its bytes."""
    return 2 * padded(n)


def layout_of(program: Program) -> Layout:
    """How a program's buffers lie in memory."""
    return Layout(program.real_bits // 8, program.index_bits // 8, program.device, program.precision)


def user_field(role: str, name: str) -> str:
    """The member of the io struct for an array of the caller."""
    prefix = {
        "cotangent": "d_",
        "d_input": "grad_",
        "d_state": "grad_",
        "sum": "sum_",
        "score": "score_",
    }.get(role, "")
    suffix = {"state_out": "_next"}.get(role, "")
    return identifier(f"{prefix}{name}{suffix}")
