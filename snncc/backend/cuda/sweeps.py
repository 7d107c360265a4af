"""Sweeps as CUDA: a kernel with a thread for each sample and neuron, and the function that starts it.

The statements are those of the C backend. There a local array has an element for each neuron of a block;
here it is a register, as the thread has one neuron.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ...errors import InternalError
from ...program import Buffer, Local, Pointer, Statement
from ..render import render
from ..sweeps import NAME, Parameter, SweepText, declared, mentioned
from .records import SweepRecord

EARLY = 4  # steps whose numbers a thread reads at a time
SEED, STATUS = Parameter("seed", "const int64_t *seed"), Parameter("status", "int32_t *status")


class DeviceSweep(SweepText):
    """The CUDA text of one sweep. `kernel` is what the starting function is called; `early`: what it reads
    some steps at a time."""

    early: Sequence[Pointer] = ()

    def _write(self) -> None:
        sweep = self.sweep
        self.count = f"(size_t)rows * {sweep.size}" if sweep.batch else str(sweep.size)
        self.plain = {a.name for a in sweep.arrays} | {f"{p.name}_at" for p in sweep.pointers if is_value(p)}
        self.early = self._read_early()
        lines = [*self._draws(), *self._outside(), *self._starting(), *self._section(sweep.before)]
        lines += [*self._over_steps(), *self._section(sweep.after), *self._finite()]
        place = self._place(lines)
        self.lines = [*place, *lines]
        scalars = [Parameter(x.target, f"const {self.real} {x.target}") for x in sweep.scalars]
        inner = mentioned([*scalars, *self._given()], self.lines)
        numbers = [Parameter(n, f"double {n}") for n in ("num_steps", "num_samples")]
        rows = "rows" * sweep.batch
        self.inner, self.parameters = (
            inner,
            mentioned([*numbers, *self._given()], [*self.scalars, *self.lines, rows]),
        )
        self.arguments = [p.name for p in inner]

    def text(self, comment: str) -> str:
        """Kernel and starting function under the placeholder NAME."""
        return render(
            "cuda/sweep.cu.j2",
            SweepRecord(
                NAME,
                comment,
                declared(self.inner),
                tuple(self.lines),
                declared([Parameter("stream", "cudaStream_t stream"), *self.parameters]),
                tuple(self.scalars),
                ", ".join([self.count, "stream", *self.arguments]),
            ),
        )

    def call(self, arguments: dict[str, str], steps: str, rows: str, start: str = "") -> str:
        """A start, given text for each buffer by name; start: the number of its first step, if not 0."""
        given = {"num_steps": "(double)steps", "num_samples": "(double)batch", "steps": steps, "rows": rows}
        given |= {"start": start if start and self.timed else "0", "seed": "io->seed", "status": "status"}
        for p in self.sweep.pointers:
            given[p.name] = arguments[p.buffer.name]
            if p.initial:
                given[f"{p.name}_initial"] = arguments[p.initial.name]
        return f"{self.kernel}({', '.join(['stream', *(given[p.name] for p in self.parameters)])});"

    # ---- parts of the kernel

    def _given(self) -> list[Parameter]:
        places = [Parameter(n, f"int {n}") for n in ("steps", "start", "rows")]
        return [*self._pointers(), SEED, STATUS, *places]

    def _place(self, lines: list[str]) -> list[str]:
        """Which sample and neuron the thread has."""
        size, batch = self.sweep.size, self.sweep.batch
        words = {w for line in lines for w in re.findall(r"\w+", line)}
        kept = any(p.written and p.buffer.place == "parameter" for p in self.sweep.pointers)
        beyond = f"at >= {self.count}" + " || *status" * kept  # no parameter changes if something is wrong
        found = ["const size_t at = snncc_thread();", f"if ({beyond}) return;"]
        if "b" in words and batch:
            found.append(f"const int b = (int)(at / {size});")
        elif "b" in words:
            found.append("const int b = 0;")
        if "n0" in words:
            found.append(
                "const int n0 = "
                + (f"(int)(at % {size});" if batch and size > 1 else "(int)at;" if size > 1 else "0;")
            )
        return found

    def _finite(self) -> list[str]:
        """What is said of the caller's numbers."""
        found = "snncc_report(status, not_finite != 0, SNNCC_FINITE);"
        return [found] if self.sweep.checked else []

    def _rows(self, statements: tuple[Statement, ...], step: bool) -> list[str]:
        """Without what a processor would fetch early."""
        return [line for line in super()._rows(statements, step) if not line.startswith("snncc_fetch")]

    def _draws(self) -> list[str]:
        drawn = any(x.kind == "key" for x in self.sweep.locals)
        return ["const snncc_draws draws = snncc_draws_at(seed, start, 0);"] if drawn else []

    def _outside(self) -> list[str]:
        outside = (*self.sweep.before, *self.sweep.after, *self._starts())
        return self._rows(outside, False)

    def _starting(self) -> list[str]:
        """Registers that last longer than a step."""
        lasting = [a for a in self.sweep.arrays if not a.step]
        values = (self.line(s) for s in self._starts())
        return [f"{self.real} {text}" for _, text in zip(lasting, values, strict=True)]

    def _over_steps(self) -> list[str]:
        if not self.sweep.time:
            return []
        s = self.sweep
        kept = [f"{self.real} {a.name};" for a in s.arrays if a.step]
        body = [*self._rows(s.body, True), *kept, *self._section(s.body)]
        if self.early:
            return self._in_turns(body)
        head = "for (int t = steps - 1; t >= 0; t--) {" if s.reverse else "for (int t = 0; t < steps; t++) {"
        unroll = [f"SNNCC_UNROLL({s.unroll})"] if s.unroll > 1 else []
        return [*unroll, head, *("    " + line for line in body), "}"]

    def _in_turns(self, body: list[str]) -> list[str]:
        """The loop in turns of some steps, whose numbers are read before the first of them."""
        last_first = "steps - 1 - " * self.sweep.reverse
        reads = [f"{p.name}_early[k] = {p.name}{self._early_place(p)};" for p in self.early]
        reading = [f"const int t = {last_first}(turn + k < steps ? turn + k : steps - 1);", *reads]
        at_step = [f"const int t = {last_first}(turn + k);"] * any(re.search(r"\bt\b", line) for line in body)
        step = _block("if (turn + k < steps) {", [*at_step, *body])
        turn = [
            *(f"{self.real} {p.name}_early[{EARLY}];" for p in self.early),
            f"SNNCC_UNROLL({EARLY})",
            *_block(f"for (int k = 0; k < {EARLY}; k++) {{", reading),
            f"SNNCC_UNROLL({EARLY})",
            *_block(f"for (int k = 0; k < {EARLY}; k++) {{", step),
        ]
        return _block(f"for (int turn = 0; turn < steps; turn += {EARLY}) {{", turn)

    def _early_place(self, p: Pointer) -> str:
        return f"[{self._offset(p, 't')[3:]}]"

    def _read_early(self) -> list[Pointer]:
        """What a turn reads at its start. nvcc does this by itself, unless a step has branches, as a division
        has: then each step would wait for memory."""
        s = self.sweep
        if not s.time or s.unroll > 1 or not any(" / " in self.line(x) for x in s.body):
            return []
        text = " ".join(self.line(x) for x in s.body)
        return [p for p in s.pointers if self._is_early(p) and re.search(rf"\b{p.name}_at\b", text)]

    def _is_early(self, p: Pointer) -> bool:
        b = p.buffer
        plain = b.layout == "real" and b.place != "state" and not (p.written or p.steps or p.whole or b.ring)
        return plain and b.time and b.batch and self.sweep.batch and b.count == self.sweep.size > 1

    def _offset(self, p: Pointer, t: str) -> str:
        """` + ...` to the thread's element at step t; of rows as long as the thread's, by its number."""
        size, batch, buffer = self.sweep.size, self.sweep.batch, p.buffer
        alike = not p.whole and batch and buffer.batch and buffer.count == size
        if buffer.layout == "bits":
            if not alike:
                raise InternalError(f"{buffer}: bits of other neurons than the thread's")
            return f" + (size_t){t} * snncc_words({self.count}) + at / 32" if buffer.time else " + at / 32"
        if alike:
            turn = f"({t} % {buffer.ring})" if buffer.ring and not self.sweep.stepped else t
            return f" + (size_t){turn} * rows * {size} + at" if buffer.time or turn != t else " + at"
        return super()._offset(replace(p, buffer=replace(buffer, place="tile")), t)  # the caller's or not

    def _section(self, statements: tuple[Statement, ...]) -> list[str]:
        return [*self._lines(statements), *self._packs(statements)]

    # ---- the forms of the C backend, for one neuron

    def line(self, s: Statement) -> str:
        return self._alone(super().line(s))

    def _alone(self, text: str) -> str:
        """C's text for element i of a block, as that for the neuron at hand."""
        text = re.sub(r"(\w+)\[[i0]\]", lambda m: m[1] if m[1] in self.plain else f"{m[1]}[0]", text)
        return text.replace("(n0 + i)", "n0").replace("n0 + i", "n0")

    def _packs(self, statements: tuple[Statement, ...]) -> tuple[str, ...]:
        layouts = {p.name: p.buffer.layout for p in self.sweep.pointers}
        packs = ((s.target, layouts[s.target], self._text(s)) for s in statements if s.kind == "pack")
        return tuple(
            f"snncc_pack({value}, at, {self.count}, {target}_at);"
            if layout == "bits"
            else f"{target}_at[0] = snncc_to_{layout}({value});"
            for target, layout, value in packs
        )

    def _text(self, s: Statement) -> str:
        return self.line(s).partition(" = ")[2].removesuffix(";")

    def _made(self, local: Local) -> list[str]:
        return [self._alone(line) for line in super()._made(local)]

    def _read(self, p: Pointer) -> list[str]:
        """A value that was rounded, or one that is a bit."""
        bits = p.buffer.layout == "bits"
        form = "snncc_bit({}, at)" if bits else f"snncc_from_{p.buffer.layout}({{}})"
        if not p.steps:
            value = form.format(f"{p.name}[{self._offset(p, 't')[3:]}]")
            return [f"const {self.real} {p.name}_at = {value};"]
        there, row, _ = self._other_step(p)
        return [
            f"const {self.real} {p.name}_at = {there} ? {form.format(f'*({row})')} : {self._otherwise(p)};"
        ]

    def _otherwise(self, p: Pointer) -> str:
        """The number where there is no such step."""
        if p.initial and p.initial.place == "state":
            return f"({self._state(f'{p.name}_initial', p.initial)})"
        return f"*({self._other_step(p)[2]})"

    def _state(self, name: str, buffer: Buffer) -> str:
        """The caller's number, or where he gives none that of all."""
        place = self._offset(Pointer(buffer, name), "")[3:]
        if buffer.channels:
            place = f"{place} - n0 + snncc_row_major(n0, {buffer.count}, {buffer.channels})"
        return f"{name} ? {name}[{place}] : {self.dialect.literal(buffer.value)}"

    def _pointers(self) -> list[Parameter]:
        return [Parameter(p.name, words_of_32(p.declaration)) for p in super()._pointers()]

    def _row(self, p: Pointer, step: bool) -> str:
        if step and p in self.early:
            return f"const {self.real} *const {p.name}_at = {p.name}_early + k;"
        if p.buffer.place == "state":
            return f"const {self.real} {p.name}_at = {self._state(p.name, p.buffer)};"
        if _starts_from_state(p):
            there, row, _ = self._other_step(p)
            return f"const {self.real} {p.name}_at = {there} ? *({row}) : {self._otherwise(p)};"
        return words_of_32(super()._row(p, step))


def _block(head: str, lines: list[str]) -> list[str]:
    return [head, *("    " + line for line in lines), "}"]


def words_of_32(text: str) -> str:
    """Spike bits are words of a warp's threads."""
    return text.replace("uint64_t", "uint32_t")


def is_value(p: Pointer) -> bool:
    """Whether its `name_at` is a number and no pointer."""
    return (p.buffer.packed and not p.written) or p.buffer.place == "state" or _starts_from_state(p)


def _starts_from_state(p: Pointer) -> bool:
    return p.initial is not None and p.initial.place == "state"
