"""Sweeps as C: statements, row pointers, loops over steps and blocks."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace

from ..expr import Apply, Const, Ref, show
from ..lower import Layout
from ..ops.random import SEED
from ..program import CALLERS, ROUNDED, Array, Buffer, Local, Pointer, Statement, Sweep
from .dialects import dialect, double_dialect
from .records import BlockRecord, LoopText, StepRecord, SweepRecord
from .render import render
from .stages import refs, staged

BLOCK = 64  # SNNCC_BLOCK of target.h
CARRIED = 8  # floats of a block's neurons, each, that all vector registers of AVX-512 hold
INLINED = 8  # a loop with more copies of its step than this calls it: compile time grows faster than copies
NAME = "@kernel"  # stands for the function's name until sweeps of the same text are put together
ROWS = {"float32": "float", "float16": "uint16_t", "bfloat16": "uint16_t"}
TYPES = {"real": "", "bits": "uint64_t", "labels": "int32_t", "panels": "", **ROWS}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a generated function: its name and declaration."""

    name: str
    declaration: str


DRAWS, TEAM = Parameter("draws", "const snncc_draws draws"), Parameter("team", "snncc_team *team")


class SweepText:
    """The C text of one sweep: a function over samples, blocks of neurons, steps.

    A block is a function of its own where there are several (whole blocks and a narrower last one), a
    step where a turn of the loop does several. Each takes only what its text mentions. `kernel` is what
    the function is called; sweeps with the same text share one.
    """

    def __init__(self, sweep: Sweep, layout: Layout) -> None:
        self.sweep, self.layout, self.kernel = _checking(sweep), layout, NAME
        self.real = "float" if layout.real_bytes == 4 else "double"
        self.dialect, self.double = dialect(8 * layout.real_bytes), double_dialect()
        self.stride = layout.stride(sweep.size)
        self.scalars = [
            f"const {self.real} {x.target} = ({self.real})({show(x.value, self.double)});"
            for x in sweep.scalars
        ]
        self._write()

    def _write(self) -> None:
        """The text of step and block, and what they need."""
        sweep = self.sweep
        lasting = [a.name for a in sweep.arrays if not a.step]
        words = _words(sweep.body)
        self.carried = [a for a in lasting if a in words]
        self.step_lines = render("c/step.c.j2", self._step()).splitlines() if sweep.time else []
        self.step_parameters = mentioned(self._candidates(True), self.step_lines)
        self.block_lines = render("c/block.c.j2", self._block()).splitlines()
        self.block_parameters = mentioned(self._candidates(False), self.block_lines)
        self.body = self._body()
        self.parameters = mentioned(self._outer(), [*self.scalars, *self.body, "rows" * sweep.batch])

    def text(self, comment: str) -> str:
        """The function under the placeholder NAME."""
        s = self.sweep
        return render(
            "c/sweep.c.j2",
            SweepRecord(
                NAME,
                comment,
                s.batch,
                s.time and s.unroll > 1,
                "SNNCC_INLINE" if s.unroll <= INLINED else "SNNCC_NOINLINE static",
                declared(self.step_parameters),
                tuple(self.step_lines),
                self.stride > BLOCK,
                declared(self.block_parameters),
                tuple(self.block_lines),
                declared(self.parameters),
                tuple(self.scalars),
                tuple(self.body),
            ),
        )

    def call(self, arguments: dict[str, str], steps: str, rows: str, start: str = "") -> str:
        """A call, given C text for each buffer by name; start: the number of its first step, if not 0."""
        start = start if start and self.timed else "0"
        given = {"num_steps": "(double)steps", "num_samples": "(double)batch", "steps": steps, "rows": rows}
        given |= {"panel": "panel", "start": start, "draws": f"snncc_draws_at(io->{SEED}, {start}, first)"}
        given["team"] = "crew->team"
        for p in self.sweep.pointers:
            given[p.name] = arguments[p.buffer.name]
            given[f"{p.name}_rows"] = samples(p.buffer)
            if p.initial:
                given[f"{p.name}_initial"] = arguments[p.initial.name]
        return f"{self.kernel}({', '.join(given[p.name] for p in self.parameters)});"

    @property
    def timed(self) -> bool:
        """Whether the number of its first step is anything to it."""
        rings = any(p.initial and p.initial.ring for p in self.sweep.pointers)
        return rings or any(x.time and x.kind != "table" for x in self.sweep.locals)

    def _step(self) -> StepRecord:
        s = self.sweep
        words = _words(s.body)
        arrays = [a.name for a in s.arrays if a.step and a.name in words]
        loops, crossing = staged(s.body, words)
        return StepRecord(
            self.real,
            tuple(self._rows(s.body, True)),
            (*arrays, *crossing),
            tuple(tuple(map(self.line, statements)) for statements in loops),
            self._packs(s.body),
        )

    def _block(self) -> BlockRecord:
        s = self.sweep
        outside = (*s.before, *s.after, *self._starts())
        return BlockRecord(
            self.real,
            tuple(self._rows(outside, False)),
            tuple(a.name for a in s.arrays if not a.step),
            tuple(map(self.line, self._starts())),
            self._lines(s.before),
            self._packs(s.before),
            tuple(self._loops()),
            self._lines(s.after),
            (*self._packs(s.after), *["snncc_note_finite(team, width, not_finite);"] * bool(s.checked)),
        )

    # ---- parameters

    def _pointers(self) -> list[Parameter]:
        result = []
        for p in self.sweep.pointers:
            type = TYPES[p.buffer.layout] or self.real
            const = "" if p.written else "const "
            if self._base(p) == p.name:
                # Of rows that are read at other steps, behind a choice, gcc 12 forgets that they are written.
                shared = any(self._base(o) == p.name for o in self.sweep.pointers if o.steps and o is not p)
                restrict = "" if shared else "SNNCC_RESTRICT "
                result.append(Parameter(p.name, f"{const}{type} *{restrict}{p.name}"))
                result.append(Parameter(f"{p.name}_rows", f"int {p.name}_rows"))
            if p.initial:
                declaration = f"const {self.real} *SNNCC_RESTRICT {p.name}_initial"
                result.append(Parameter(f"{p.name}_initial", declaration))
        return result

    def _base(self, pointer: Pointer) -> str:
        """The parameter that a pointer starts from: rows that other steps write are theirs."""
        written = (p for p in self.sweep.pointers if p.written and p.buffer == pointer.buffer)
        return next((p.name for p in written), pointer.name) if pointer.steps else pointer.name

    def _outer(self) -> list[Parameter]:
        numbers = [Parameter(n, f"double {n}") for n in ("num_steps", "num_samples")]
        places = [Parameter(n, f"int {n}") for n in ("steps", "start", "rows", "panel")]
        return [*self._pointers(), *numbers, DRAWS, TEAM, *places]

    def _candidates(self, step: bool) -> list[Parameter]:
        """What a block or a step may need."""
        scalars = [Parameter(x.target, f"const {self.real} {x.target}") for x in self.sweep.scalars]
        places = [Parameter(n, f"int {n}") for n in ("steps", "start", "rows", "b", "n0")]
        places += [Parameter(n, f"const int {n}") for n in ("width", "valid")]
        if step:
            places.append(Parameter("t", "int t"))
            places += [Parameter(a, f"{self.real} *{a}") for a in self.carried]
        return [*self._pointers(), *scalars, DRAWS, TEAM, *places]

    def _body(self) -> list[str]:
        """Whole blocks in a loop, then what is left; widths are constants, so that each is specialised."""
        if self.stride <= BLOCK:
            places = {"n0": 0, "width": self.stride, "valid": self.sweep.size}
            used = [p.name for p in self.block_parameters if p.name in places]
            constants = ", ".join(f"{n} = {places[n]}" for n in used)
            return [*([f"enum {{ {constants} }};"] if used else []), *self.block_lines]
        whole = self.stride // BLOCK * BLOCK
        if whole > self.sweep.size // BLOCK * BLOCK:
            whole -= BLOCK  # the last block holds pads: fewer valid neurons
        calls = []
        if self.sweep.panels:
            return self._panel_calls(whole)
        if whole > BLOCK:
            calls.append(f"for (int n0 = 0; n0 < {whole}; n0 += {self.width})")
            calls.append("    " + self._block_call("n0", self.width, self.width))
        elif whole:
            calls.append(self._block_call("0", "SNNCC_BLOCK", "SNNCC_BLOCK"))
        if whole < self.stride:
            calls.append(self._block_call(str(whole), str(self.stride - whole), str(self.sweep.size - whole)))
        return calls

    @property
    def width(self) -> str:
        """C for the neurons of a block: half, where registers do not hold what goes from step to step."""
        carried, words = len(self.sweep.arrays), {p.buffer.layout for p in self.sweep.pointers}
        narrow = self.sweep.time and carried > CARRIED and "bits" not in words
        return "SNNCC_BLOCK / 2" if narrow else "SNNCC_BLOCK"

    def _panel_calls(self, whole: int) -> list[str]:
        """The blocks of one panel; the last panel may end with a block that is narrower or holds pads."""
        calls = [
            "const int begin = panel * SNNCC_PANEL, end = begin + SNNCC_PANEL;",
            f"for (int n0 = begin; n0 < end && n0 < {whole}; n0 += {self.width})",
            "    " + self._block_call("n0", self.width, self.width),
        ]
        if whole < self.stride:
            last = self._block_call(str(whole), str(self.stride - whole), str(self.sweep.size - whole))
            calls += [f"if (begin <= {whole} && {whole} < end)", "    " + last]
        return calls

    def _block_call(self, n0: str, width: str, valid: str) -> str:
        given = {"n0": n0, "width": width, "valid": valid}
        return f"{NAME}_block({', '.join(given.get(p.name, p.name) for p in self.block_parameters)});"

    # ---- row pointers

    def _rows(self, statements: tuple[Statement, ...], step: bool) -> list[str]:
        """Pointers to the row and neurons at hand, for what the statements touch."""
        words = _words(statements)
        used = [p for p in self.sweep.pointers if words & {f"{p.name}_at", p.name}]
        rows = [line for p in used for line in (self._read(p) if _is_read(p) else [self._row(p, step)])]
        rows += [f"snncc_fetch({p.name}_at + {p.buffer.count}, width);" for p in used if _is_far(p)]
        return [
            *rows,
            *(line for x in self.sweep.locals if x.name in words for line in self._made(x)),
        ]

    def _made(self, local: Local) -> list[str]:
        """The definition of what a row's statements read beside arrays."""
        if local.kind == "table":
            numbers = textwrap.wrap(", ".join(map(self.dialect.literal, local.values)), 90)
            head = f"static const {self.real} {local.name}[{self.layout.stride(len(local.values))}] = {{"
            return [head, *("    " + line for line in numbers), "};"]
        if local.kind == "step":
            return [f"const {self.real} {local.name} = ({self.real})(start + t);"]
        if local.time:
            return [f"const snncc_key {local.name} = snncc_key_at(draws, {local.draw}, t, b);"]
        return [f"const snncc_key {local.name} = snncc_key_of_call(draws, {local.draw}, b);"]

    def _read(self, p: Pointer) -> list[str]:
        """A packed row is turned into reals before the loop over neurons: that keeps the loop simple."""
        reader = "snncc_unpack" if p.buffer.layout == "bits" else f"snncc_read_{p.buffer.layout}"
        width = "1" if p.buffer.count == 1 else "width"
        declared = f"{self.real} {p.name}_at[{'1' if p.buffer.count == 1 else 'SNNCC_BLOCK'}];"
        if not p.steps:
            return [declared, f"{reader}({p.name}{self._offset(p, 't')}, {width}, {p.name}_at);"]
        there, row, otherwise = self._other_step(p)
        return [
            declared,
            f"if ({there})",
            f"    {reader}({row}, {width}, {p.name}_at);",
            "else",
            f"    memcpy({p.name}_at, {otherwise}, {width} * sizeof *{p.name}_at);",
        ]

    def _other_step(self, p: Pointer) -> tuple[str, str, str]:
        """C for whether the step so many before or after is one of the sequence, its row, and what is read
        where it is not."""
        t = f"(t - {p.steps})" if p.steps > 0 else f"(t + {-p.steps})"
        there = f"t > {p.steps - 1}" if p.steps > 0 else f"{t[1:-1]} < steps"
        row = self._base(p) + self._offset(p, t)
        if p.initial is None:
            return there, row, "snncc_zeros"
        of_step = f" + (size_t)t * {p.buffer.count}" if p.steps > 1 and not p.initial.ring else ""
        return (
            there,
            row,
            f"{p.name}_initial{self._offset(Pointer(p.initial, p.name), '(start + t)')}{of_step}",
        )

    def _row(self, p: Pointer, step: bool) -> str:
        type, const = TYPES[p.buffer.layout] or self.real, "" if p.written else "const "
        if p.steps:
            there, row, otherwise = self._other_step(p)
            return f"const {type} *const {p.name}_at = {there} ? {row} : {otherwise};"
        if p.buffer.count == 1 and not p.written:
            return f"const {type} {p.name}_at = {p.name}[{self._offset(p, 't')[3:] or '0'}];"
        return f"{const}{type} *const {p.name}_at = {p.name}{self._offset(p, 't')};"

    def _offset(self, p: Pointer, t: str) -> str:
        """` + ...` to the row of step t and sample b, at neuron n0 (of a whole row: at the first)."""
        row, buffer = "", p.buffer
        if buffer.ring and not self.sweep.stepped:
            row = f"((size_t)({t} % {buffer.ring}) * rows + b)"
        elif buffer.time and buffer.batch:
            row = f"((size_t){t} * {f'{self._base(p)}_' * (buffer.place in CALLERS)}rows + b)"
        elif buffer.time:
            row = f"(size_t){t}"
        elif buffer.batch and self.sweep.batch:
            row = "(size_t)b"
        if buffer.layout == "bits":
            return f" + {row} * {(buffer.count + 63) // 64} + n0 / SNNCC_BLOCK"
        if buffer.count == 1:
            return f" + {row}" if row else ""
        n0 = "n0 % SNNCC_PANEL" if buffer.place == "panel" else "n0"
        return (f" + {row} * {self.layout.row(buffer)}" if row else "") + f" + {n0}" * (not p.whole)

    # ---- statements

    def _lines(self, statements: tuple[Statement, ...]) -> tuple[str, ...]:
        return tuple(self.line(s) for s in statements if s.kind != "pack")

    def line(self, s: Statement) -> str:
        value = show(s.value, self.dialect)
        if s.kind == "let":
            return f"const {self.real} {s.target} = {value};"
        return f"{s.target} {'+=' if s.kind == 'add' else '='} {value};"

    def _packs(self, statements: tuple[Statement, ...]) -> tuple[str, ...]:
        layouts = {p.name: p.buffer.layout for p in self.sweep.pointers}
        forms = {"bits": "snncc_pack({0}, valid, {1}_at);"}
        forms |= {layout: f"snncc_store_{layout}({{0}}, width, {{1}}_at);" for layout in ROUNDED}
        packs = (s for s in statements if s.kind == "pack")
        return tuple(forms[layouts[s.target]].format(show(s.value, self.dialect), s.target) for s in packs)

    def _starts(self) -> tuple[Statement, ...]:
        return tuple(
            Statement("set", f"{a.name}[i]", Const(0.0) if isinstance(a.start, str) else a.start)
            for a in self.sweep.arrays
            if not a.step
        )

    # ---- loops over steps

    def _loops(self) -> list[LoopText]:
        """The loop over the steps; with unrolling, a loop of groups of steps and one of those left over."""
        if not self.sweep.time:
            return []
        unroll, reverse = self.sweep.unroll, self.sweep.reverse
        if unroll == 1:
            head = "for (int t = steps - 1; t >= 0; t--)" if reverse else "for (int t = 0; t < steps; t++)"
            return [LoopText(head, tuple(self.step_lines))]
        if reverse:
            head = f"for (int t = steps; t >= {unroll}; t -= {unroll})"
            rest = f"for (int t = steps % {unroll} - 1; t >= 0; t--)"
            places = [f"t - {k + 1}" for k in range(unroll)]
        else:
            head = f"for (int t = 0; t + {unroll} <= steps; t += {unroll})"
            rest = f"for (int t = steps - steps % {unroll}; t < steps; t++)"
            places = ["t", *(f"t + {k}" for k in range(1, unroll))]
        return [LoopText(head, tuple(map(self._step_call, places))), LoopText(rest, (self._step_call("t"),))]

    def _step_call(self, t: str) -> str:
        return f"{NAME}_step({', '.join(t if p.name == 't' else p.name for p in self.step_parameters)});"


def samples(buffer: Buffer) -> str:
    """How many samples a buffer holds of a step, as C."""
    if buffer.place not in CALLERS:
        return "rows"
    return "batch" if buffer.place == "given" else f"io->{buffer.label} ? batch : rows"


def _checking(sweep: Sweep) -> Sweep:
    """The sweep with a sum a neuron that is 0 if all that is checked is finite, else NaN."""
    if not sweep.checked:
        return sweep
    timed = {f"{p.name}_at" for p in sweep.pointers if p.buffer.time}
    sums = {
        element: Statement("add", "not_finite[i]", Apply("sub", (Ref(element), Ref(element))))
        for element in sweep.checked
    }
    body = tuple(s for element, s in sums.items() if element.partition("[")[0] in timed)
    before = tuple(s for s in sums.values() if s not in body)
    arrays = (*sweep.arrays, Array("not_finite", "zero"))
    return replace(sweep, arrays=arrays, before=(*before, *sweep.before), body=(*body, *sweep.body))


def declared(parameters: list[Parameter]) -> str:
    return ", ".join(p.declaration for p in parameters)


def mentioned(candidates: list[Parameter], lines: list[str]) -> list[Parameter]:
    """The parameters whose names stand in the text."""
    words = {w for line in lines for w in re.findall(r"\w+", line)}
    return [c for c in candidates if c.name in words]


def _is_read(p: Pointer) -> bool:
    """Whether a row is turned into reals before the loop over neurons."""
    return p.buffer.packed and not p.written


def _is_far(p: Pointer) -> bool:
    """Whether rows of the caller's are read that lie so far apart that a processor does not see the next one
    coming: that of the same step and the next sample."""
    return p.buffer.place in CALLERS and p.buffer.count > 1 and not (p.written or p.steps)


def _words(statements: tuple[Statement, ...]) -> frozenset[str]:
    """The names of arrays, locals and pointers that statements read or write."""
    texts = (text for s in statements for text in (s.target, *refs(s.value)))
    return frozenset(w for text in texts for w in re.findall(r"\w+", text))
