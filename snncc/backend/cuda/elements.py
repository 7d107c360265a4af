"""What a loop over time in one kernel does with an element: sweeps and moves as functions of the device.

The statements are those of the kernels in sweeps.py and moves.py; which element it is, the loop says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...plan_meetings import alike
from ...program import Pointer
from ..render import render
from ..sweeps import NAME, TYPES, Parameter, SweepText, declared, mentioned
from .records import ElementRecord
from .sweeps import SEED, STATUS, DeviceSweep, is_value, words_of_32

PLACES = [
    *(Parameter(n, f"int {n}") for n in ("b", "n0", "t", "start", "steps", "rows")),
    Parameter("at", "size_t at"),
]


class ElementSweep(DeviceSweep):
    """A sweep's step for one sample and neuron. Pointers are at the element, or at the rows of the step."""

    def _write(self) -> None:
        s = self.sweep
        self.plain = {a.name for a in s.arrays} | {f"{p.name}_at" for p in s.pointers if is_value(p)}
        every = (*s.before, *s.body, *s.after, *self._starts())
        rows = [line for line in self._rows(every, True) if line]
        kept = [f"{self.real} {a.name};" for a in s.arrays if a.step]
        sections = (line for some in (s.before, s.body, s.after) for line in self._section(some))
        self.lines = [*self._draws(), *rows, *self._starting(), *kept, *sections, *self._finite()]
        self.parameters = mentioned([*self._pointers(), SEED, STATUS, *PLACES], self.lines)

    def text(self, comment: str) -> str:
        """The function under the placeholder NAME."""
        record = ElementRecord(NAME, comment, declared(self.parameters), tuple(self.lines))
        return render("cuda/element.cu.j2", record)

    def at(self, element: Callable[[Pointer, bool], str]) -> str:
        """A call, given text for each pointer and whether it is to be at the element."""
        size = self.sweep.size
        given = {self._base_name(p): element(p, alike(p, size)) for p in self.sweep.pointers}
        return f"{self.kernel}({', '.join(given.get(p.name, p.name) for p in self.parameters)});"

    def _pointers(self) -> list[Parameter]:
        found = []
        for p in self.sweep.pointers:
            type, name = words_of_32(TYPES[p.buffer.layout]) or self.real, self._base_name(p)
            found.append(Parameter(name, f"{'' if p.written else 'const '}{type} *{name}"))
        return found

    def _base_name(self, p: Pointer) -> str:
        """What a parameter is called: one that is at the element needs no other name."""
        read = is_value(p) or (p.buffer.count == 1 and not p.written)
        return f"{p.name}_at" if alike(p, self.sweep.size) and not read else p.name

    def _row(self, p: Pointer, step: bool) -> str:
        return "" if self._base_name(p) != p.name else super()._row(p, step)

    def _offset(self, p: Pointer, t: str) -> str:
        if alike(p, self.sweep.size):
            return " + 0"
        of_step = replace(p, buffer=replace(p.buffer, place="tile", time=False))  # as all rows of a step lie
        return SweepText._offset(self, of_step, "")
