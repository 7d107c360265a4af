"""The generated kernels of a model.cu: sweeps, and what moves features. Those of equal text are one."""

from __future__ import annotations

from ...program import Call, Program
from ..calls import INDEXED, MOVES
from ..functions import Functions
from ..records import ProductRecord
from ..render import render
from ..sweeps import NAME
from .images import WINDOWS, DeviceWindows
from .moves import indexed, move
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
        record, wish, comment = (move if call.kind in MOVES else indexed)(call, self.layout)
        return self.name(render("cuda/move.cu.j2", record), wish, comment, entry)
