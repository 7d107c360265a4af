"""Entry points as C: the order of their kernels, and who runs them."""

from __future__ import annotations

import re
from dataclasses import replace

from ..cost import Kernel
from ..errors import InternalError
from ..expr import Dialect
from ..lower import layout_of
from ..lower.layout import BY_INPUT
from ..plan_crews import FIRST, sharing, turns
from ..plan_memory import sum_reals
from ..program import (
    Buffer,
    Call,
    Entry,
    Item,
    Loop,
    Panels,
    Phase,
    Program,
    Segments,
    State,
    Sweep,
    flat,
    used,
)
from .buffers import TYPES, BufferText, unique
from .calls import COUNTED, call_text
from .dialects import dialect
from .kernels import Kernels
from .place import Place, Spot
from .records import EntryMemory, EntryRecord, LevelText, PhaseText
from .render import render

ALL, SHARED = Spot(), Spot(shared=True)


class EntryText:
    """The C text of one entry point."""

    def __init__(self, program: Program, entry: Entry, kernels: Kernels, counted: tuple[Kernel, ...]) -> None:
        self.program, self.entry, self.kernels = program, entry, kernels
        mine = [k for k in counted if k.entry == entry.name]
        # By identity: segments of time hold equal items in several places.
        self.ticks = {id(k.items[-1]): k for k in mine if k.items}
        self.sums = {(k.level, k.phase): k.constant for k in mine if not k.items}
        self.real = "float" if program.real_bits == 32 else "double"
        self.layout = layout_of(program)
        self.dialect: Dialect = dialect(program.real_bits)
        self.buffers = BufferText(program, entry)
        self.steps = "span" if program.segment else "steps"  # that a kernel runs over
        self.first_segment = ""  # of the loop over segments at hand

    def text(self) -> str:
        return f"/* ---- {self.entry.name} ---- */\n\n{render('c/entry.c.j2', self.record())}"

    def record(self) -> EntryRecord:
        e = self.entry
        prepare = self._once(e.prepare)
        return EntryRecord(
            e.name,
            self.program.name,
            self.real,
            e.trains,
            e.required,
            self._listed(),
            tuple(prepare),
            _unused(("model", "steps", "batch"), prepare),
            e.keeps,
            self.program.keeps and e.forgets,
            1 + self.program.entries.index(e),
            tuple(map(self._phase, range(len(e.phases)))),
            self.program.exact_steps,
            bool(e.whole),
            tuple(f"(int64_t)batch{' * steps' * timed} * {n}" for timed, n in e.fewest),
        )

    def _phase(self, number: int) -> PhaseText:
        e, phase = self.entry, self.entry.phases[number]
        last = number == len(e.phases) - 1
        several = f"_{number + 1}" if number else ""
        begin, reals = self.buffers.phase_sums(number)
        finish = self._once(phase.finish, number)
        return PhaseText(
            several,
            f" of phase {number + 1}" if len(e.phases) > 1 else "",
            last,
            tuple(self._clear()) if number == 0 else (),
            phase.blocks,
            tuple(self._levels(phase, number)),
            self._block_call("before" + several, phase.before),
            self._block_call("after" + several, phase.after),
            f"{self.buffers.sums} + {begin}" if begin else self.buffers.sums,
            str(reals) if reals else "",
            tuple(finish),
            _unused(("sums", "io", "steps", "batch"), finish),
            self.sums.get(("slot", 0), ""),
            self.sums.get(("other slot", number), ""),
        )

    def memory(self) -> EntryMemory:
        return self.buffers.memory()

    def _listed(self) -> tuple[str, ...]:
        """How many rows to a sample the entry's lists by input name, as C."""
        held = "steps < SEGMENT ? steps : SEGMENT" if self.program.segment else "steps"
        lists = [b for b in self.entry.buffers if b.layout in BY_INPUT]
        return tuple(
            sorted({held if b.time else "BLOCK_TILES" if b.place == "block" else "1" for b in lists})
        )

    def _clear(self) -> list[str]:
        """Sums that start at zero."""
        loops = flat(self.entry.items)
        items = [item for loop in loops for item in (loop.items if isinstance(loop, Panels) else (loop,))]
        started = [c.buffers[-1] for c in items if isinstance(c, Call) and c.kind.startswith("wide_gradient")]
        reals = sum_reals(self.entry, self.layout.real_bytes)
        reals += self.buffers.learnable if self.entry.trains else 0
        return self.buffers.clear([b for b in started if b], reals)

    # ---- the functions of a block

    def _levels(self, e: Phase, number: int) -> list[LevelText]:
        """What runs before, in and after the tiles of a block, each as a function."""
        name = self.entry.name
        samples = "int first, int rows, int from" if e.blocks else "int first, int rows"
        tile = "the samples first .. first + rows of the batch, through all layers"
        levels = [
            ("tile", e.tile, f"{tile}." if not e.blocks else f"{tile}; its block begins at `from`.", samples)
        ]
        if e.before:
            text = "for all samples of a block, what the steps share: nothing here has a time axis."
            levels.insert(0, ("before", e.before, text, "int first, int rows"))
        if e.after:
            text = "for all samples of a block, gradients of what has no time axis."
            levels.append(("after", e.after, text, "int first, int rows"))
        arguments = (
            "model",
            "io",
            "crew",
            "sums",
            "scratch",
            "panels",
            "steps",
            "batch",
            "first",
            "rows",
            "from",
        )
        result = []
        for level, items, text, parameters in levels:
            lines = self._lengths(
                [*self.buffers.declarations(items, level, number), "", *self._shared_out(items)]
            )
            unused = _unused(tuple(a for a in arguments if a != "from" or "from" in parameters), lines)
            title = (
                f"{name}: {text}" if len(self.entry.phases) == 1 else f"{name}, phase {number + 1}: {text}"
            )
            result.append(LevelText(level, title, parameters, tuple(lines), unused))
        return result

    def _block_call(self, level: str, items: tuple[Item, ...]) -> tuple[str, ...]:
        arguments = "model, io, &crew, sums, scratch, panels, steps, batch, from, samples"
        return (f"{self.entry.name}_{level}({arguments});",) if items else ()

    def _shared_out(self, items: tuple[Item, ...]) -> list[str]:
        """The items, by all threads of the crew or by the first one, and where the threads meet."""
        lines: list[str] = []
        meet = ["snncc_meet(crew);"]
        found = turns(self.entry, items, self.layout)
        for turn in found:
            lines += meet * turn.meet
            if not turn.shared:
                lines += self._alone(turn.items)
            elif isinstance(turn.items[0], Segments):
                lines += self._segments(turn.items[0])
            else:
                lines += self._items(turn.items, SHARED)
        ended = not found or isinstance(found[-1].items[0], Segments)
        return lines if ended else lines + meet

    def _alone(self, items: tuple[Item, ...]) -> list[str]:
        """Items of the first thread, but for ticks of kernels that are shared in part."""
        spot, lines, block = Spot(crew="&alone"), list[str](), list[str]()
        for item in items:
            if self._shared(item):
                lines += [*_first(block + self._statements(item, spot)), *self._tick(item, SHARED)]
                block = []
            else:
                block += self._item(item, spot)
        return lines + _first(block)

    def _shared(self, item: Item) -> bool:
        """Whether an item of the first thread ends a kernel of the profile that others have a part of."""
        kernel = self.ticks.get(id(item))
        return kernel is not None and any(sharing(i, self.layout) != FIRST for i in kernel.items)

    def _segments(self, loop: Segments) -> list[str]:
        """A loop over segments of time, by all threads of the crew."""
        order, self.first_segment = "segment = 0; segment < segments; segment++", "0"
        if loop.reverse:
            order, self.first_segment = "segment = segments - 1; segment >= 0; segment--", "segments - 1"
        body = [
            "const int start = segment * SEGMENT, left = steps - start;",
            "const int span = left < SEGMENT ? left : SEGMENT;",
        ]
        if loop.again:
            again = self._shared_out(loop.again)
            body += ["if (segment < segments - 1) {", *("    " + line for line in again), "}"]
        body += self._shared_out(loop.items)
        return [f"for (int {order}) {{", *("    " + line for line in body), "}"]

    def _lengths(self, lines: list[str]) -> list[str]:
        """The lines after the lengths in time that they mention."""
        lengths = {"most": "steps < SEGMENT ? steps : SEGMENT", "segments": "(steps - 1) / SEGMENT + 1"}
        missing = _unused(tuple(lengths), lines) if self.program.segment else tuple(lengths)
        return [*(f"const int {n} = {text};" for n, text in lengths.items() if n not in missing), *lines]

    # ---- items

    def _once(self, items: tuple[Item, ...], phase: int = 0) -> list[str]:
        """What runs once a call: pointers, then kernels."""
        if not items:
            return []
        profile = "snncc_profile profile = snncc_profile_start(model->profile, KERNELS, 0);"
        crew = "const snncc_crew *const crew = &(snncc_crew){NULL, 0, 1, 0, &profile};"
        updated = {p.buffer for i in items if isinstance(i, Sweep) for p in i.pointers if p.written}
        pointers = (self.buffers.pointer(b, phase, b in updated) for b in unique(items))
        return [profile, crew, *pointers, *self._items(items)]

    def _items(self, items: tuple[Item, ...], spot: Spot = ALL) -> list[str]:
        return [line for item in items for line in self._item(item, spot)]

    def _item(self, item: Item, spot: Spot) -> list[str]:
        if isinstance(item, Loop):
            return self._loop(item, spot)
        lines = self._statements(item, spot)
        if isinstance(item, Call) and item.kind in COUNTED and id(item) in self.ticks:
            listed = lines[0].removesuffix(";")
            return [f"snncc_tick_listed({spot.crew}, {self.ticks[id(item)].constant}, {listed});"]
        return [*lines, *self._tick(item, spot)]

    def _tick(self, item: Item, spot: Spot) -> list[str]:
        """What the profile counts after an item: time, and the events that were read."""
        kernel = self.ticks.get(id(item))
        if kernel is None:
            return []
        tick, listed = "snncc_tick_shared" if spot.shared else "snncc_tick", kernel.listed
        head = f"{'crew' if spot.shared else 'crew->profile'}, {kernel.constant}"
        if listed is None:
            return [f"{tick}({head});"]
        assert isinstance(item, Call)
        rows = Place([], self.dialect.literal, spot, steps=self.steps).rows(item)
        if item.kind == "wide_gradient_events":  # the list itself may be gone; that by input holds as many
            by_input, n_in = item.buffers[0], item.numbers[0]
            assert by_input is not None
            lists = f"snncc_events_at({by_input.name}, {n_in}, {rows}, {BY_INPUT[by_input.layout]})"
            return [f"{tick}_events({head}, {lists}, {n_in});"]
        if kernel.crossover:
            macro = f"SNNCC_{kernel.crossover.upper()}_CROSSOVER".replace("_PRODUCT", "")
            return [f"{tick}_counted({head}, {listed.name}, {rows}, {listed.count}, {macro});"]
        return [f"{tick}_events({head}, {listed.name}, {rows});"]

    def _statements(self, item: Item, spot: Spot) -> list[str]:
        if isinstance(item, Sweep):
            given = {b.name: self._argument(b, spot) for b in item.buffers if b is not None}
            steps, text = "1" if spot.in_loop else self.steps, self.kernels.sweep(item, self.entry.name)
            start = " + ".join(["start"] * bool(self.program.segment) + ["t"] * spot.in_loop)
            return [text.call(given, steps, "rows", start)]
        if isinstance(item, Call):
            at = {"copy_last": f"{self.steps} - 1", "copy_first": "0"}.get(item.kind, "")
            names, first = [self._argument(b, spot, at) for b in item.buffers], self.first_segment
            function = self.kernels.function(item, self.entry.name)
            start = "start" if self.program.segment else ""
            place = Place(names, self.dialect.literal, spot, function, self.steps, start, first)
            return [call_text(item, place)]
        if isinstance(item, Panels):
            return self._panels(item, spot)
        raise InternalError("loops do not stand here")

    def _panels(self, loop: Panels, spot: Spot) -> list[str]:
        count = -(-self.layout.stride(loop.size) // self.layout.panel)
        begin, end = f"{count} * crew->part / crew->parts", f"{count} * (crew->part + 1) / crew->parts"
        if spot.in_loop:
            begin, end = "0", str(count)
        head = f"for (int panel = {begin}; panel < {end}; panel++) {{"
        inside = self._items(loop.items, replace(spot, panels=True, shared=False))
        return [head, *("    " + line for line in inside), "}"]

    def _argument(self, buffer: Buffer | None, spot: Spot, at: str = "") -> str:
        """A buffer as an argument; in a loop over time, its rows of step t; with `at`, of that step."""
        if buffer is None:
            return "NULL"
        if buffer in spot.states:
            return f"{buffer.name}_at"
        return self.buffers.row_of(buffer, at or "t" * spot.in_loop)

    def _loop(self, loop: Loop, spot: Spot) -> list[str]:
        unroll = [f"SNNCC_PRAGMA(GCC unroll {loop.unroll})"] if loop.unroll > 1 else []
        head = (
            f"for (int t = {self.steps} - 1; t >= 0; t--) {{"
            if loop.reverse
            else f"for (int t = 0; t < {self.steps}; t++) {{"
        )
        read = {b for item in loop.items for b in used(item)}
        states = [s for s in loop.states if s.start in read]
        inside = replace(spot, in_loop=True, states=tuple(s.start for s in states))
        body = [line for s in states for line in self._state(s, loop.reverse)]
        body += self._items(loop.items, inside)
        return [*unroll, head, *("    " + line for line in body), "}"]

    def _state(self, state: State, reverse: bool) -> list[str]:
        """The rows that a step reads of an earlier one, or where there is none, those at the start."""
        start, k = state.start, state.steps
        later, step = (f"t < {self.steps} - {k}", f"t + {k}") if reverse else (f"t > {k - 1}", f"t - {k}")
        here = self.buffers.row_of(start, "start + t" if self.program.segment else "t")
        declared = f"const {TYPES.get(start.layout) or self.real} *const {start.name}_at ="
        return [declared, f"    {later} ? {self.buffers.row_of(state.value, step)} : {here};"]


def _first(lines: list[str]) -> list[str]:
    """Lines for the first thread of a crew."""
    if not lines:
        return []
    crew = ["const snncc_crew alone = snncc_alone(crew);"] * any("&alone" in line for line in lines)
    return ["if (crew->part == 0) {", *("    " + line for line in (*crew, *lines)), "}"]


def _unused(names: tuple[str, ...], lines: list[str]) -> tuple[str, ...]:
    """Parameters that the text does not mention."""
    code = (re.sub(r"/\*.*?\*/|(->|\.)\w+", " ", line) for line in lines)
    words = {w for line in code for w in re.findall(r"\w+", line)}
    return tuple(n for n in names if n not in words)
