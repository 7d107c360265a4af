"""Entry points as CUDA: a function that starts all kernels of a call on the model's stream, in order."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import ClassVar

from ...errors import InternalError
from ...lower import layout_of
from ...plan_meetings import persistent
from ...plan_memory import SCRATCH, sum_reals
from ...program import CALLERS, NARROW, Buffer, Call, Entry, Item, Loop, Program, Segments, State, Sweep, used
from ..buffers import TYPES, BufferText, bytes_text, unique
from ..dialects import dialect
from ..render import render
from .calls import call_text
from .kernels import Kernels
from .loops import LoopKernel
from .records import EntryMemory, EntryRecord
from .starts import Place

LEARNING = ("train", "learn")  # entry points that a step of the optimiser may follow
ARGUMENTS = ("model", "io", "rows", "status", "sums", "scratch", "batch", "stream")


class DeviceBuffers(BufferText):
    """Where the buffers of an entry point lie on the device: the tile is the whole batch."""

    types: ClassVar = {**TYPES, "bits": "uint32_t", **dict.fromkeys(NARROW, "uint16_t")}

    def memory_record(self) -> EntryMemory:
        """Sizes of all of them."""
        e = self.entry
        scratch = [f"snncc_align({bytes_text(r.size, 'seq', 'tile', '', 'mark')})" for r in e.regions]
        return EntryMemory(
            e.name,
            e.trains,
            sum_reals(e, self.layout.real_bytes),
            sum(r.size.at(0, 0) for r in e.shared),
            "\n           + ".join(scratch) or "0",
        )

    def all(self, items: tuple[Item, ...], statements: list[str]) -> list[str]:
        """Pointers to all buffers that the statements of the entry name."""
        updated = {p.buffer for i in items if isinstance(i, Sweep) for p in i.pointers if p.written}
        named = _words(statements)
        lines = [
            self.pointer(b, self._phase_of(b), b in updated)
            for b in unique(items)
            if b.place not in SCRATCH and b.name in named
        ]
        for number, region in enumerate(self.entry.regions):
            bytes = bytes_text(
                region.size, f"(size_t){self.held} * rows", "(size_t)rows", "", "(size_t)segments * rows"
            )
            mine = [self._cast(b, f"region{number}") for b in region.buffers if b.name in named]
            declared = f"void *const region{number} = " if mine else "(void)"
            lines += [f"{declared}snncc_take(&scratch, {bytes});", *mine]
        return lines

    def clear(self, started: list[Buffer], reals: int) -> list[str]:
        """Sums that start at zero."""
        return [f"snncc_clear(stream, sums + {at}, {n});" for at, n in self.gaps(started, reals)]

    def row_of(self, buffer: Buffer, step: str) -> str:
        """The rows of a step, "" for all."""
        if buffer.layout == "bits" and step and buffer.time:
            return f"{buffer.name} + (size_t){step} * snncc_words((size_t)rows * {buffer.count})"
        return super().row_of(replace(buffer, place="tile"), step)

    def _caller(self, buffer: Buffer) -> str:
        return f"{self.real} *const {buffer.name} = io->{buffer.label}"

    def _cast(self, buffer: Buffer, piece: str) -> str:
        if buffer.place in CALLERS:
            const = "const " * (buffer.place == "optional")
            return f"{const}{self._caller(buffer)} ? io->{buffer.label} : ({self.real} *){piece};"
        if buffer.layout == "scratch":
            return f"void *const {buffer.name} = {piece};"
        type, length = self.types.get(buffer.layout, self.real), self.row_length(buffer)
        steps = "segments" if buffer.layout == "marks" else self.held
        axes = "".join(f"[{a}]" for a in ([steps] * buffer.time + ["rows"] + [str(length)]))
        if buffer.layout == "parts":
            axes = f"[3]{axes}"
        if buffer.layout == "bits":
            axes = f"[{steps}][snncc_words(rows * {buffer.count})]" if buffer.time else "bits"
        return f"{type} *const {buffer.name} = ({type} *){piece}; /* {axes} */"

    def _phase_of(self, buffer: Buffer) -> int:
        found = (k for k, sums in enumerate(self.entry.sums) if buffer in sums)
        return next(found, 0)


class DeviceEntry:
    """The CUDA text of one entry point."""

    def __init__(self, program: Program, entry: Entry, kernels: Kernels) -> None:
        self.program, self.entry, self.kernels = program, entry, kernels
        self.layout, self.dialect = layout_of(program), dialect(program.real_bits)
        self.buffers = DeviceBuffers(program, entry)
        self.steps = "span" if program.segment else "steps"
        self.start = "start" if program.segment else ""

    def text(self) -> str:
        e = self.entry
        statements = [*self._clear(), *self._items(e.items)]
        lines = [*self._lengths(), *self.buffers.all(e.items, statements), "", *statements]
        words = _words(lines)
        record = EntryRecord(
            e.name,
            self.program.name,
            self.buffers.real,
            f"{e.name}: all samples through all layers.",
            1 + self.program.entries.index(e),
            e.trains,
            self.program.update.name if self.program.update and e.name in LEARNING else "",
            e.required,
            tuple(lines),
            tuple(n for n in ARGUMENTS if n not in words),
            self.program.exact_steps,
            tuple(f"(int64_t)batch{' * steps' * timed} * {n}" for timed, n in e.fewest),
            bool(self.program.precision),
        )
        return render("cuda/entry.cu.j2", record)

    def memory(self) -> EntryMemory:
        return self.buffers.memory_record()

    def _lengths(self) -> list[str]:
        if not self.program.segment:
            return []
        return ["const int most = steps < SEGMENT ? steps : SEGMENT, segments = (steps - 1) / SEGMENT + 1;"]

    def _clear(self) -> list[str]:
        reals = sum_reals(self.entry, self.layout.real_bytes)
        reals += self.buffers.learnable if self.entry.trains else 0
        return self.buffers.clear(list(self.entry.started), reals)

    def _items(self, items: tuple[Item, ...], t: str = "", states: tuple[Buffer, ...] = ()) -> list[str]:
        return [line for item in items for line in self._item(item, t, states)]

    def _item(self, item: Item, t: str, states: tuple[Buffer, ...]) -> list[str]:
        match item:
            case Sweep():
                given = {b.name: self._argument(b, t, states) for b in item.buffers}
                start = " + ".join([*[self.start] * bool(self.start), *[t] * bool(t)])
                text = self.kernels.sweep(item, self.entry.name)
                return [text.call(given, "1" if t else self.steps, "rows", start)]
            case Call():
                return [self._call(item, t, states)]
            case Loop():
                return self._loop(item)
            case Segments():
                return self._segments(item)
        raise InternalError("the CUDA backend has no loops over panels")

    def _call(self, call: Call, t: str, states: tuple[Buffer, ...]) -> str:
        at = {"copy_last": f"({self.steps} - 1)", "copy_first": "0"}.get(call.kind, t)
        names = [self._argument(b, at, states) for b in call.buffers]
        rows = f"{self.steps} * rows" if call.time and not t else "rows"
        function = self.kernels.function(call, self.entry.name)
        place = Place(names, self.dialect.literal, rows, "1" if t else self.steps, self.start, function)
        return call_text(call, place)

    def _argument(self, buffer: Buffer | None, t: str, states: tuple[Buffer, ...]) -> str:
        """A buffer as an argument; in a loop over time, its rows of step t."""
        if buffer is None:
            return "NULL"
        return f"{buffer.name}_at" if buffer in states else self.buffers.row_of(buffer, t)

    def _loop(self, loop: Loop) -> list[str]:
        read = {b for item in loop.items for b in used(item)}
        states = [s for s in loop.states if s.start in read]
        if persistent(loop):
            return [self._kernel(loop, states)]
        forward, back = f"int t = 0; t < {self.steps}; t++", f"int t = {self.steps} - 1; t >= 0; t--"
        body = [self._state(s, loop.reverse, self.steps) for s in states]
        body += self._items(loop.items, "t", tuple(s.start for s in states))
        return [f"for ({back if loop.reverse else forward}) {{", *("    " + line for line in body), "}"]

    def _kernel(self, loop: Loop, states: list[State]) -> str:
        """The start of a kernel for all steps."""
        lines = [self._state(s, loop.reverse, "steps") for s in states]
        rows = partial(self._argument, t="t", states=tuple(s.start for s in states))
        kernel = LoopKernel(loop, self.entry, self.buffers, self.kernels, rows, lines)
        given = {"steps": self.steps, "start": self.start or "0", "seed": "io->seed"}
        return kernel.start({**given, "meeting": "model->meeting"})

    def _state(self, state: State, reverse: bool, steps: str) -> str:
        """The rows that a step reads of an earlier one, or where there is none, those at the start."""
        start, k = state.start, state.steps
        later, step = (f"t < {steps} - {k}", f"t + {k}") if reverse else (f"t > {k - 1}", f"t - {k}")
        here = self.buffers.row_of(start, "start + t" if self.start else "t")
        type = self.buffers.types.get(start.layout, self.buffers.real)
        declared = f"const {type} *const {start.name}_at ="
        return f"{declared} {later} ? {self.buffers.row_of(state.value, step)} : {here};"

    def _segments(self, loop: Segments) -> list[str]:
        order = "segment = 0; segment < segments; segment++"
        if loop.reverse:
            order = "segment = segments - 1; segment >= 0; segment--"
        body = [
            "const int start = segment * SEGMENT, span = steps - start < SEGMENT ? steps - start : SEGMENT;"
        ]
        if loop.again:
            again = self._items(loop.again)
            body += ["if (segment < segments - 1) {", *("    " + line for line in again), "}"]
        body += self._items(loop.items)
        return [f"for (int {order}) {{", *("    " + line for line in body), "}"]


def _words(lines: list[str]) -> set[str]:
    return {w for line in lines for w in re.findall(r"\w+", line)}
