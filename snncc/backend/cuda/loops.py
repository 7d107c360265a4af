"""Loops over time that are one kernel: the items of a step, tile by tile, and barriers where blocks meet."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...names import RESERVED, Names
from ...plan_meetings import PRODUCTS, ROWS, Turn, accesses, alike, turns
from ...program import Buffer, Call, Entry, Loop, Pointer, Sweep, flat, used
from ..buffers import BufferText, unique
from ..render import render
from ..sweeps import NAME, Parameter, declared, mentioned
from .kernels import Kernels
from .loop_calls import LoopCalls, Row
from .records import LoopRecord
from .sweeps import SEED, STATUS

ROOM = "SNNCC_LEFT + SNNCC_RIGHT"  # reals of shared memory before those of weights


class LoopKernel:
    """The kernel of a loop. row: C++ of a buffer's rows at step t; states: lines that say where those of
    states are."""

    def __init__(
        self, loop: Loop, entry: Entry, buffers: BufferText, kernels: Kernels, row: Row, states: list[str]
    ) -> None:
        self.loop, self.entry, self.buffers, self.kernels, self.row = loop, entry, buffers, kernels, row
        self.names = Names(RESERVED | {b.name for b in entry.buffers})
        self.calls = LoopCalls(kernels.layout, kernels, entry.name, row, self.names)
        self.registers: dict[Buffer, str] = {}  # of a thread's elements: what it alone makes, or read early
        self.now: dict[Buffer, str] = {}  # of states that a sweep makes: the name of the thread's element
        self.kept = dict(self._states())  # of states, before a step and after it: the name of their registers
        self.turns = turns(loop)
        head = "int t = steps - 1; t >= 0; t--" if loop.reverse else "int t = 0; t < steps; t++"
        body = [*states, *(line for turn in self.turns for line in self._turn(turn))]
        apart = any(turn.width == ROWS for turn in self.turns)
        some = ["SNNCC_SHARED(snncc_real, some, SNNCC_THREADS);"] * apart
        before = [*some, *self.calls.windows, *self._weights()]
        before += [f"snncc_real {name}[SNNCC_TALL];" for name in dict.fromkeys(self.kept.values())]
        self.lines = [*before, f"for ({head}) {{", *("    " + line for line in body), "}"]
        self.parameters = mentioned(list(self._parameters()), self.lines)

    def start(self, given: dict[str, str]) -> str:
        """The statement that starts it; `given`: C++ of what is not called as in the kernel."""
        stream, rows = Parameter("stream", "cudaStream_t stream"), Parameter("rows", "int rows")
        outer = [stream, rows, *(p for p in self.parameters if p.name not in ("rows", "kept"))]
        arguments = ["grid.kept" if p.name == "kept" else p.name for p in self.parameters]
        shapes = sorted({(t.channels, t.width // t.channels) for t in self.turns if t.width != ROWS})
        record = LoopRecord(
            NAME,
            "@comment",
            declared(self.parameters),
            tuple(self.lines),
            declared(outer),
            "rows" if any(turn.width == ROWS for turn in self.turns) else "0",
            ", ".join(f"{{{n}, {pixels}}}" for n, pixels in shapes),
            " + ".join(f"snncc_slice({kept.terms})" for kept in self.calls.slices.values()) or "0",
            ", ".join(arguments),
        )
        first = next(item for item in self.loop.items if isinstance(item, Sweep))
        way = "backward through time" if self.loop.reverse else "through time"
        wish, comment = f"{first.name}_loop", f"{first.layer.removesuffix('.backward') or 'network'}, {way}"
        name = self.kernels.name(render("cuda/loop.cu.j2", record), wish, comment, self.entry.name)
        return f"{name}({', '.join(given.get(p.name, p.name) for p in outer)});"

    def _parameters(self) -> list[Parameter]:
        written = {p.buffer for i in self.loop.items if isinstance(i, Sweep) for p in i.pointers if p.written}
        written |= {i.buffers[-1] for i in self.loop.items if isinstance(i, Call) and i.buffers[-1]}
        found = [Parameter("kept", "int kept"), Parameter("meeting", "uint32_t *meeting"), SEED, STATUS]
        found += [Parameter(n, f"int {n}") for n in ("steps", "start", "rows")]
        for buffer in unique([self.loop]):
            type = {**self.buffers.types, "table": "int32_t"}.get(buffer.layout, self.buffers.real)
            const = "" if buffer in written else "const "
            found.append(Parameter(buffer.name, f"{const}{type} *{buffer.name}"))
        return found

    def _states(self) -> Iterator[tuple[Buffer, str]]:
        """What a thread carries from step to step in registers: what its neurons read of the step before, if
        they do so before it is made anew."""
        sweeps = [(number, i) for number, i in enumerate(self.loop.items) if isinstance(i, Sweep)]
        before = [s for s in self.loop.states if s.steps == 1]
        for state in before:
            start, value = state.start, state.value
            readers = [k for k, i in sweeps for p in i.pointers if p.buffer == start and alike(p, i.size)]
            writers = [
                (k, access.own)
                for k, item in enumerate(self.loop.items)
                for access in accesses(item, self.loop)
                if access.buffer == value and access.written
            ]
            plain = start.layout == value.layout == "real" and [s.value for s in before].count(value) == 1
            made = [k for k, own in writers if own and k >= max(readers, default=0)]
            if plain and readers and len(made) == len(writers) == 1:
                name = self.names.new(f"{value.name}_kept")
                yield from ((start, name), (value, name))

    def _weights(self) -> list[str]:
        """Where a block keeps its columns of each matrix."""
        slices = self.calls.slices.values()
        lines, before = ["SNNCC_DYNAMIC_SHARED(snncc_real, room);"] * bool(slices), ROOM
        for s in slices:
            kept = f"kept ? room + ({before}) : NULL"
            lines.append(f"const snncc_weights {s.name} = snncc_keep({s.weight.name}, {s.given}, {kept});")
            before += f" + snncc_slice({s.terms})"
        return lines

    # ---- the items between two meetings

    def _turn(self, turn: Turn) -> list[str]:
        meet = ["SNNCC_GRID_BARRIER(meeting);"] * turn.meet
        if turn.width == ROWS:
            return [*meet, *(line for item in turn.items for line in self._sample(item))]
        self.registers = {}
        body, elements = self._read(turn), list[str]()
        for item in turn.items:
            if isinstance(item, Call) and item.kind in PRODUCTS:
                body += self._of_elements(elements)
                product, elements = self._product(item, turn)
                body += product
            else:
                elements += self._element(item)
        body += self._of_elements(elements)
        shape = f"{turn.width // turn.channels}, {turn.channels}"
        head = f"for (snncc_tile tile(rows, {shape}); tile.some(); tile.next()) {{"
        return [*meet, head, *("    " + line for line in body), "}"]

    def _sample(self, item: Sweep | Call) -> list[str]:
        """What a block does with one sample after the other."""
        assert isinstance(item, Call)
        head = "for (int b = (int)blockIdx.x; b < rows; b += (int)gridDim.x)"
        return [head, f"    {self.calls.sample(item)}"]

    def _of_elements(self, lines: list[str]) -> list[str]:
        if not lines:
            return []
        words = {w for line in lines for w in re.findall(r"\w+", line)}
        places = {"at": "const size_t at = tile.at(i);", "b": "const int b = tile.sample(i);"}
        places["n0"] = "const int n0 = tile.feature(i);"
        inner = [*(line for word, line in places.items() if word in words), *lines]
        return ["SNNCC_OF_TILE(i, tile) {", *("    " + line for line in inner), "}"]

    def _product(self, call: Call, turn: Turn) -> tuple[list[str], list[str]]:
        """The sums of a thread's elements, and what is done with each at once."""
        y = call.buffers[-1]
        assert y is not None
        sums = self.names.new(f"{y.name}_sum")
        lines = [f"snncc_real {sums}[SNNCC_TALL];", self.calls.product(call, sums)]
        if self._read_elsewhere(y, turn):
            return lines, [f"*({self.row(y)} + at) = {self._keep(y, f'{sums}[i]')}"]
        self.registers[y] = sums
        return lines, []

    def _read(self, turn: Turn) -> list[str]:
        """Reads states where registers do not have them; before a product also what neurons behind it read,
        which need not wait then."""
        first, lines = "t == steps - 1" if self.loop.reverse else "t == 0", []
        touched = [access for item in turn.items for access in accesses(item, self.loop)]
        written = {access.buffer for access in touched if access.written}
        products = any(isinstance(item, Call) and item.kind in PRODUCTS for item in turn.items)
        pointers = [p for item in turn.items if isinstance(item, Sweep) for p in item.pointers]
        for buffer in dict.fromkeys(p.buffer for p in pointers if alike(p, turn.width)):
            if buffer in written or buffer.layout != "real":
                continue
            if buffer in self.kept:
                self.registers[buffer] = self.kept[buffer]
                lines.append(f"snncc_tile_keep(tile, {first}, {self.row(buffer)}, {self.kept[buffer]});")
            elif products:
                name = self.registers[buffer] = self.names.new(f"{buffer.name}_early")
                lines += [f"snncc_real {name}[SNNCC_TALL];"]
                lines += [f"snncc_tile_read(tile, {self.row(buffer)}, {name});"]
        return lines

    def _read_elsewhere(self, buffer: Buffer, turn: Turn) -> bool:
        """Whether others than the items of a turn touch a buffer: another step, the caller."""
        others = [i for i in flat(self.entry.items) if i != self.loop]
        others += [i for i in self.loop.items if i not in turn.items]
        states = {b for s in self.loop.states for b in (s.start, s.value)}
        return buffer.place != "tile" or buffer in states or any(buffer in used(item) for item in others)

    def _element(self, item: Sweep | Call) -> list[str]:
        if isinstance(item, Sweep):
            return self._neurons(item)
        made = item.buffers[-1]
        kept = [f"{self.kept[made]}[i] = *({self.row(made)} + at);"] if made in self.kept else []
        return [self.calls.element(item), *kept]

    def _neurons(self, sweep: Sweep) -> list[str]:
        """A call for an element, which makes states in registers, and what stores them."""
        states = [p.buffer for p in sweep.pointers if p.written and p.buffer in self.kept]
        self.now = {state: self.names.new(f"{state.name}_now") for state in states}
        call = self.kernels.element(sweep, self.entry.name).at(self._argument)
        stored = (
            f"*({self.row(state)} + at) = {self._keep(state, name)}" for state, name in self.now.items()
        )
        return [*(f"snncc_real {name};" for name in self.now.values()), call, *stored]

    def _keep(self, state: Buffer, value: str) -> str:
        return f"{self.kept[state]}[i] = {value};" if state in self.kept else f"{value};"

    def _argument(self, p: Pointer, at_element: bool) -> str:
        if p.buffer in self.now:
            return f"&{self.now[p.buffer]}"
        if p.buffer in self.registers and at_element:
            return f"&{self.registers[p.buffer]}[i]"
        rows = self.row(p.buffer)
        return f"{rows} + at" if at_element else rows
