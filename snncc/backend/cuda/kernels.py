"""The generated kernels of a model.cu: sweeps, and what moves features. Those of equal text are one."""

from __future__ import annotations

from ...program import Call, Program, Sweep
from ..calls import INDEXED, MOVES
from ..functions import Functions
from ..records import ProductRecord
from ..render import render
from ..sweeps import NAME
from .elements import ElementSweep
from .images import WINDOWS, DeviceWindows
from .moves import indexed, move
from .records import ElementRecord, MoveRecord
from .sweeps import DeviceSweep


class Kernels(Functions):
    """The functions of a model.cu."""

    sweep_text = DeviceSweep

    def __init__(self, program: Program) -> None:
        super().__init__(program, {f"{entry.name}_kernels" for entry in program.entries})

    def function(self, call: Call, entry: str) -> str:
        """The name of the function that a call has for its index or loops, if it has one."""
        if call.kind in WINDOWS:
            windows = DeviceWindows(call, self.layout)
            text = render(
                "c/product.c.j2", ProductRecord(NAME, "@comment", windows.parameters, windows.lines)
            )
            return self.name(text, windows.wish, windows.title, entry)
        if call.kind not in (*MOVES, *INDEXED):
            return ""
        record, wish, comment = self._moves(call)
        return self.name(render("cuda/move.cu.j2", record), wish, comment, entry)

    def element(self, sweep: Sweep, entry: str) -> ElementSweep:
        """The text of a sweep in a loop that is one kernel, with the name of its function."""
        text = ElementSweep(sweep, self.layout)
        text.kernel = self.name(text.text("@comment"), sweep.name, "; ".join(sweep.comment), entry)
        return text

    def moved_element(self, call: Call, entry: str) -> str:
        """The name of the function that moves features in such a loop."""
        moved, wish, comment = self._moves(call)
        parameters = f"size_t at, {moved.parameters}"
        record = ElementRecord(NAME, "@comment", parameters, moved.lines, moved.tables)
        return self.name(render("cuda/element.cu.j2", record), wish, comment, entry)

    def _moves(self, call: Call) -> tuple[MoveRecord, str, str]:
        return (move if call.kind in MOVES else indexed)(call, self.layout)
