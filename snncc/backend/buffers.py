"""The buffers of an entry point as C: pointers into the arena, and to the rows of a step."""

from __future__ import annotations

from collections.abc import Iterable

from ..lower import Layout
from ..plan_memory import SCRATCH
from ..program import Buffer, Entry, Item, Program, Size, used
from .sweeps import ROWS

TYPES = {
    "bits": "uint64_t",
    "scratch": "char",
    "labels": "int32_t",
    "transposed": "void",
    "transposed_valued": "void",
    **ROWS,
}


class BufferText:
    """Where the buffers of one entry point lie. held: steps that a buffer has room for, as C."""

    def __init__(self, program: Program, entry: Entry) -> None:
        self.entry = entry
        self.real = "float" if program.real_bits == 32 else "double"
        self.layout = Layout(program.real_bits // 8)
        self.offsets = {t.name: t.offset for t in program.tensors}
        self.learnable = sum(t.length for t in program.tensors if t.learnable)
        self.held = "most" if program.segment else "steps"

    def declarations(self, items: tuple[Item, ...], level: str) -> list[str]:
        """Pointers to all buffers that a level touches."""
        touched = set(unique(items))
        rows = (
            f"(size_t){self.held} * rows",
            "(size_t)rows",
            "(size_t)model->config.tile * BLOCK_TILES",
            "(size_t)segments * rows",
        )
        lines = [self.pointer(b) for b in unique(items) if b.place not in SCRATCH]
        for regions, at, prefix in (
            (self.entry.regions, "scratch", "region"),
            (self.entry.panels, "panels", "panel"),
        ):
            last = max((k for k, r in enumerate(regions) if touched & set(r.buffers)), default=-1)
            for number, region in enumerate(regions[: last + 1]):
                piece, mine = f"{prefix}{number}", [b for b in region.buffers if b in touched]
                take = f"snncc_take(&{at}, {bytes_text(region.size, *rows)});"
                lines.append(f"void *const {piece} = {take}" if mine else f"(void){take}")
                lines += [self._in_region(b, piece, level) for b in mine]
        return lines

    def _in_region(self, buffer: Buffer, piece: str, level: str) -> str:
        if buffer.layout in ("events", "valued"):
            rows = f"{self.held} * rows" if buffer.time else "rows"
            valued = int(buffer.layout == "valued")
            place = f"{piece}, {rows}, {buffer.count}, {valued}"
            return f"const snncc_events {buffer.name} = snncc_events_at({place});"
        type, length = TYPES.get(buffer.layout, self.real), self.row_length(buffer)
        steps = "segments" if buffer.layout == "marks" else self.held
        axes = "".join(f"[{a}]" for a in ([steps] * buffer.time + ["rows"] + [str(length)]))
        if buffer.place == "block" and level == "tile":
            start = f"({type} *){piece} + (size_t)(first - from) * {length}"
            return f"{type} *const {buffer.name} = {start}; /* {axes} */"
        return f"{type} *const {buffer.name} = {piece}; /* {axes} */"

    def row_length(self, buffer: Buffer) -> int:
        if buffer.layout == "bits":
            return (buffer.count + 63) // 64
        if buffer.layout in ("labels", "transposed", "transposed_valued"):
            return buffer.count
        return self.layout.row(buffer)

    def pointer(self, buffer: Buffer) -> str:
        """A buffer outside of the scratch."""
        if buffer.layout == "table":
            at = f"model->parameters + {self.offsets[buffer.label]}"
            return f"const int32_t *const {buffer.name} = (const int32_t *)(const void *)({at});"
        if buffer.place == "parameter":
            return (
                f"const {self.real} *const {buffer.name} = model->parameters + {self.offsets[buffer.label]};"
            )
        if buffer.place == "gradient":
            return f"{self.real} *const {buffer.name} = sums + {self.offsets[buffer.label]};"
        if buffer.place == "sum":
            return f"{self.real} *const {buffer.name} = sums + {self._sum_offset(buffer)};"
        offset = 0
        for region in self.entry.shared:
            if region.buffers[0] == buffer:
                break
            offset += region.size.at(0, 0)
        return f"{self.real} *const {buffer.name} = ({self.real} *)(void *)(model->shared + {offset});"

    def _sum_offset(self, buffer: Buffer) -> int:
        offset = self.learnable if self.entry.trains else 0
        for other in self.entry.sums:
            if other == buffer:
                break
            offset += other.size.at(0, 0) // self.layout.real_bytes
        return offset

    def row_of(self, buffer: Buffer, step: str) -> str:
        """The rows of a step, "" for all."""
        if not step or not (buffer.time or buffer.ring):
            return buffer.name
        step = step if step.isidentifier() else f"({step})"
        place = f"({step} % 2)" if buffer.ring else step
        return f"{buffer.name} + (size_t){place} * rows * {self.row_length(buffer)}"

    def sum_range(self, buffer: Buffer) -> tuple[int, int]:
        """Where a sum lies: first real and length."""
        begin = self.offsets[buffer.label] if buffer.place == "gradient" else self._sum_offset(buffer)
        return begin, self.layout.parameter_length(buffer.features, True)


def bytes_text(size: Size, seq: str, row: str, block: str, mark: str) -> str:
    """A size as a C expression."""
    lengths = ((seq, size.seq), (row, size.row), (block, size.block), (mark, size.mark))
    terms = [f"{text} * {n}" for text, n in lengths if n]
    return " + ".join([*terms, *[str(size.fixed)] * bool(size.fixed or not terms)])


def unique(items: Iterable[Item]) -> list[Buffer]:
    return list(dict.fromkeys(b for item in items for b in used(item)))
