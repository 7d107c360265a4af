"""Entry points as C: where their buffers lie, and the order of their kernels."""

from __future__ import annotations

import re

from ..expr import Dialect
from ..lower import Layout
from ..plan_memory import sum_reals
from ..program import Buffer, Call, Entry, Item, Loop, Program, Size, Sweep, used
from .calls import PRODUCTS, Place, call_text
from .kernels import Kernels
from .records import EntryMemory, EntryRecord
from .render import render
from .sweeps import dialect

TYPES = {"bits": "uint64_t", "labels": "int32_t", "transposed": "void"}


class EntryText:
    """The C text of one entry point."""

    def __init__(self, program: Program, entry: Entry, kernels: Kernels) -> None:
        self.program, self.entry, self.kernels = program, entry, kernels
        self.real = "float" if program.real_bits == 32 else "double"
        self.layout = Layout(program.real_bits // 8)
        self.dialect: Dialect = dialect(program.real_bits)
        self.offsets = {t.name: t.offset for t in program.tensors}
        self.learnable = sum(t.length for t in program.tensors if t.learnable)

    def text(self) -> str:
        return f"/* ---- {self.entry.name} ---- */\n\n{render('c/entry.c.j2', self.record())}"

    def record(self) -> EntryRecord:
        e = self.entry
        reals = sum_reals(e, self.layout.real_bytes) + (self.learnable if e.trains else 0)
        prepare, finish = self._once(e.prepare), self._once(e.finish)
        declarations, tile = self._declarations(e.tile), self._items(e.tile)
        return EntryRecord(
            e.name,
            self.program.name,
            self.real,
            e.trains,
            e.required,
            str(reals) if reals else "",
            tuple(declarations),
            tuple(prepare),
            _unused(("steps", "batch"), prepare),
            tuple(tile),
            _unused(("model", "sums", "status", "steps", "batch", "first"), [*declarations, *tile]),
            tuple(finish),
            _unused(("sums", "io", "steps", "batch"), finish),
        )

    def memory(self) -> EntryMemory:
        e = self.entry
        regions = [f"snncc_align({_bytes(r.size, 'seq', 'tile')})" for r in e.regions]
        return EntryMemory(
            e.name,
            e.trains,
            sum_reals(e, self.layout.real_bytes),
            sum(r.size.at(0, 0) for r in e.shared),
            "\n           + ".join(regions) or "0",
        )

    # ---- buffers

    def _declarations(self, items: tuple[Item, ...]) -> list[str]:
        """Pointers to all buffers that a tile touches."""
        lines = [self._pointer(b) for b in _unique(items) if b.place != "tile"]
        for number, region in enumerate(self.entry.regions):
            piece = f"region{number}"
            size = _bytes(region.size, "(size_t)steps * rows", "(size_t)rows")
            lines.append(f"void *const {piece} = snncc_take(&at, {size});")
            lines += [self._in_region(b, piece) for b in region.buffers]
        return lines

    def _in_region(self, buffer: Buffer, piece: str) -> str:
        if buffer.layout in ("events", "valued"):
            rows = "steps * rows" if buffer.time else "rows"
            valued = int(buffer.layout == "valued")
            place = f"{piece}, {rows}, {buffer.count}, {valued}"
            return f"const snncc_events {buffer.name} = snncc_events_at({place});"
        type = TYPES.get(buffer.layout, self.real)
        axes = "".join(
            f"[{a}]" for a in (["steps"] * buffer.time + ["rows"] + [str(self._row_length(buffer))])
        )
        return f"{type} *const {buffer.name} = {piece}; /* {axes} */"

    def _row_length(self, buffer: Buffer) -> int:
        if buffer.layout == "bits":
            return (buffer.count + 63) // 64
        return buffer.count if buffer.layout in ("labels", "transposed") else self.layout.stride(buffer.count)

    def _pointer(self, buffer: Buffer) -> str:
        """A buffer outside of the scratch."""
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

    # ---- items

    def _once(self, items: tuple[Item, ...]) -> list[str]:
        """What runs once a call: pointers, then kernels."""
        return [self._pointer(b) for b in _unique(items)] + self._items(items) if items else []

    def _items(self, items: tuple[Item, ...], in_loop: bool = False) -> list[str]:
        return [line for item in items for line in self._item(item, in_loop)]

    def _item(self, item: Item, in_loop: bool) -> list[str]:
        if isinstance(item, Sweep):
            given = {b.name: self._argument(b, in_loop) for b in item.buffers if b is not None}
            return [
                self.kernels.sweep(item, self.entry.name).call(given, "1" if in_loop else "steps", "rows")
            ]
        if isinstance(item, Call):
            names = [self._argument(b, in_loop) for b in item.buffers]
            function = self.kernels.product(item, self.entry.name) if item.kind in PRODUCTS else ""
            place = Place(names, self.dialect.literal, in_loop, function)
            return [call_text(item, place)]
        return self._loop(item)

    def _argument(self, buffer: Buffer | None, in_loop: bool) -> str:
        """A buffer as an argument; in a loop over time, its rows of step t."""
        if buffer is None:
            return "NULL"
        if in_loop and buffer.time:
            return f"{buffer.name} + (size_t)t * rows * {self._row_length(buffer)}"
        return buffer.name

    def _loop(self, loop: Loop) -> list[str]:
        unroll = [f"SNNCC_PRAGMA(GCC unroll {loop.unroll})"] if loop.unroll > 1 else []
        head = (
            "for (int t = steps - 1; t >= 0; t--) {" if loop.reverse else "for (int t = 0; t < steps; t++) {"
        )
        body = self._items(loop.items, in_loop=True)
        for state, value in loop.states:
            length = self._row_length(state)
            bytes = f"(size_t)rows * {length} * sizeof *{state.name}"
            body.append(f"memcpy({state.name}, {self._argument(value, True)}, {bytes});")
        return [*unroll, head, *("    " + line for line in body), "}"]


def _bytes(size: Size, seq: str, row: str) -> str:
    """A size as a C expression."""
    terms = [f"{seq} * {size.seq}"] * bool(size.seq) + [f"{row} * {size.row}"] * bool(size.row)
    terms += [str(size.fixed)] * bool(size.fixed or not terms)
    return " + ".join(terms)


def _unused(names: tuple[str, ...], lines: list[str]) -> tuple[str, ...]:
    """Parameters that the text does not mention."""
    words = {w for line in lines for w in re.findall(r"\w+", line)}
    return tuple(n for n in names if n not in words)


def _unique(items: tuple[Item, ...]) -> list[Buffer]:
    return list(dict.fromkeys(b for item in items for b in used(item)))
