"""The buffers of an entry point as C: pointers into the arena, and to the rows of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from ..lower import layout_of
from ..lower.layout import BY_INPUT, BY_ROW
from ..plan_memory import SCRATCH, sum_reals
from ..program import CALLERS, Buffer, Entry, Item, Program, Region, Size, used
from .records import EntryMemory
from .sweeps import ROWS, samples

TYPES = {
    "bits": "uint64_t",
    "labels": "int32_t",
    **dict.fromkeys(BY_INPUT, "void"),
    **ROWS,
}


class BufferText:
    """Where the buffers of one entry point lie. held: steps that a buffer has room for, as C."""

    types: ClassVar = TYPES

    def __init__(self, program: Program, entry: Entry) -> None:
        self.entry = entry
        self.real = "float" if program.real_bits == 32 else "double"
        self.layout = layout_of(program)
        self.offsets = {t.name: t.offset for t in program.tensors}
        self.learnable = sum(t.length for t in program.tensors if t.learnable)
        self.sums = "model->sums" if entry.trains else "model->other_sums"
        self.held = "most" if program.segment else "steps"

    def memory(self) -> EntryMemory:
        """Sizes of all of them."""
        e = self.entry
        scratch, panels, whole = (
            [f"snncc_align({bytes_text(r.size, 'seq', 'tile', 'block', 'mark')})" for r in regions]
            for regions in (e.regions, e.panels, e.whole)
        )
        return EntryMemory(
            e.name,
            e.trains,
            sum_reals(e, self.layout.real_bytes),
            sum(r.size.at(0, 0) for r in e.shared),
            "\n           + ".join(scratch) or "0",
            "\n           + ".join(panels) or "0",
            "\n           + ".join(whole),
        )

    def clear(self, started: list[Buffer], reals: int) -> list[str]:
        """Sums that start at zero: all but the weight gradients that the first tile starts itself."""
        gaps = self.gaps(started, reals)
        return [f"snncc_clear(sums{f' + {at}' if at else ''}, {n}, &crew);" for at, n in gaps]

    def gaps(self, started: list[Buffer], reals: int) -> Iterator[tuple[int, int]]:
        """First real and length of what lies between sums that something else than zero starts."""
        at = 0
        for begin, length in [*sorted(map(self.sum_range, started)), (reals, 0)]:
            if begin > at:
                yield at, begin - at
            at = begin + length

    def phase_sums(self, phase: int) -> tuple[int, int]:
        """Where the sums of a phase lie that are added over all slots when it is done: first real and length.
        Gradients come first, beside those of the last phase."""
        last = len(self.entry.phases) - 1
        reals = [sum_reals(self.entry, self.layout.real_bytes, k) for k in range(last + 1)]
        gradients = self.learnable if self.entry.trains else 0
        if phase == last:
            return 0, gradients + reals[last]
        return gradients + reals[last] + sum(reals[:phase]), reals[phase]

    def _sum_offset(self, buffer: Buffer) -> int:
        phase = next(k for k, sums in enumerate(self.entry.sums) if buffer in sums)
        offset, length = self.phase_sums(phase)
        if phase == len(self.entry.phases) - 1:
            offset = length - sum_reals(self.entry, self.layout.real_bytes, phase)
        for other in self.entry.sums[phase]:
            if other == buffer:
                break
            offset += other.size.at(0, 0) // self.layout.real_bytes
        return offset

    def declarations(self, items: tuple[Item, ...], level: str, phase: int) -> list[str]:
        """Pointers to all buffers that a level of a phase touches."""
        touched = set(unique(items))
        lines = [self.pointer(b, phase) for b in unique(items) if b.place not in SCRATCH]
        for regions, at, prefix in (
            (self.entry.regions, "scratch", "region"),
            (self.entry.panels, "panels", "panel"),
            (self.entry.whole, "whole", "whole"),
        ):
            last = max((k for k, r in enumerate(regions) if touched & set(r.buffers)), default=-1)
            if prefix == "whole" and last >= 0:
                lines.append("char *whole = model->whole;")
            for number, region in enumerate(regions[: last + 1]):
                piece, mine = f"{prefix}{number}", [b for b in region.buffers if b in touched]
                take = f"snncc_take(&{at}, {self._region_bytes(region, prefix)});"
                lines.append(f"void *const {piece} = {take}" if mine else f"(void){take}")
                lines += [self._in_region(b, piece, level) for b in mine]
        return lines

    def _region_bytes(self, region: Region, kind: str) -> str:
        """Bytes of a region for the samples of a tile, or for all."""
        rows = "batch" if kind == "whole" else "rows"
        return bytes_text(
            region.size,
            f"(size_t){self.held} * {rows}",
            f"(size_t){rows}",
            "(size_t)model->config.tile * BLOCK_TILES",
            f"(size_t)segments * {rows}",
        )

    def _in_region(self, buffer: Buffer, piece: str, level: str) -> str:
        if buffer.layout in BY_ROW:
            rows = f"{self.held} * rows" if buffer.time else "rows"
            place = f"{piece}, {rows}, {buffer.count}, {BY_ROW[buffer.layout]}"
            return f"const snncc_events {buffer.name} = snncc_events_at({place});"
        if buffer.layout == "scratch":
            return f"void *const {buffer.name} = {piece};"
        type, length = self.types.get(buffer.layout, self.real), self.row_length(buffer)
        if buffer.place in CALLERS:
            const = "const " * (buffer.place == "optional")
            return f"{const}{self._caller(buffer)} : {piece};"
        steps = "segments" if buffer.layout == "marks" else self.held
        turns = [str(buffer.ring)] * (buffer.ring > 0)
        axes = "".join(f"[{a}]" for a in ([steps] * buffer.time + turns + ["rows"] + [str(length)]))
        start = piece
        if buffer.place == "block" and level == "tile":
            start = f"({type} *){piece} + (size_t)(first - from) * {length}"
        elif buffer.place == "whole":  # tiles one after the other, each as in scratch
            start = f"({type} *){piece} + (size_t)first * {f'{steps} * ' * buffer.time}{length}"
        return f"{type} *const {buffer.name} = {start}; /* {axes} */"

    def _caller(self, buffer: Buffer) -> str:
        """A pointer to the caller's rows, as far as where he may give none."""
        given = f"io->{buffer.label} ? " * (buffer.place != "given")
        rows = f"io->{buffer.label} + (size_t)first * {buffer.count}"
        return f"{self.real} *const {buffer.name} = {given}{rows}"

    def row_length(self, buffer: Buffer) -> int:
        """Distance between two rows, in elements."""
        if buffer.layout == "bits":
            return (buffer.count + 63) // 64
        if buffer.layout in ("labels", *BY_INPUT):
            return buffer.count
        return self.layout.row(buffer)

    def pointer(self, buffer: Buffer, phase: int, updated: bool = False) -> str:
        """A buffer outside of the scratch."""
        if buffer.place in ("given", "state"):
            return f"const {self._caller(buffer)}; /* {'[steps]' * buffer.time}[batch][{buffer.count}] */"
        if buffer.layout == "table":
            at = f"model->parameters + {self.offsets[buffer.label]}"
            return f"const int32_t *const {buffer.name} = (const int32_t *)(const void *)({at});"
        if buffer.place == "parameter":
            const, offset = "" if updated else "const ", self.offsets[buffer.label]
            return f"{const}{self.real} *const {buffer.name} = model->parameters + {offset};"
        if buffer.place == "gradient":
            return f"{self.real} *const {buffer.name} = sums + {self.offsets[buffer.label]};"
        if buffer.place == "sum":
            mine = buffer in self.entry.sums[phase]
            sums = "sums" if mine else self.sums  # added over all slots, in the first one's
            return f"{self.real} *const {buffer.name} = {sums} + {self._sum_offset(buffer)};"
        offset = 0
        for region in self.entry.shared:
            if region.buffers[0] == buffer:
                break
            offset += region.size.at(0, 0)
        type = self.types.get(buffer.layout, self.real)
        return f"{type} *const {buffer.name} = ({type} *)(void *)(model->shared + {offset});"

    def row_of(self, buffer: Buffer, step: str) -> str:
        """The rows of a step, "" for all."""
        if not step or not (buffer.time or buffer.ring):
            return buffer.name
        step = step if step.isidentifier() else f"({step})"
        place, rows = f"({step} % {buffer.ring})" if buffer.ring else step, samples(buffer)
        rows = rows if rows.isidentifier() else f"({rows})"
        return f"{buffer.name} + (size_t){place} * {rows} * {self.row_length(buffer)}"

    def sum_range(self, buffer: Buffer) -> tuple[int, int]:
        """Where a sum lies: first real and length."""
        begin = self.offsets[buffer.label] if buffer.place == "gradient" else self._sum_offset(buffer)
        return begin, self.layout.parameter_length(buffer.features, buffer.layout == "panels")


def bytes_text(size: Size, seq: str, row: str, block: str, mark: str) -> str:
    """A size as a C expression."""
    lengths = ((seq, size.seq), (row, size.row), (block, size.block), (mark, size.mark))
    terms = [f"{text} * {n}" for text, n in lengths if n]
    return " + ".join([*terms, *[str(size.fixed)] * bool(size.fixed or not terms)])


def unique(items: Iterable[Item]) -> list[Buffer]:
    return list(dict.fromkeys(b for item in items for b in used(item)))
