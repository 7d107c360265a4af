"""The generated kernels of a model.cu: sweeps, and what moves features. Those of equal text are one."""

from __future__ import annotations

from ...lower import layout_of
from ...names import RESERVED, Names
from ...program import Call, Program, Sweep
from ..calls import INDEXED, MOVES
from ..kernels import API
from ..records import ProductRecord
from ..render import render
from ..sweeps import NAME
from .images import WINDOWS, DeviceWindows
from .moves import indexed, move
from .sweeps import DeviceSweep


class Kernels:
    """Collects functions in order of first use and gives them names."""

    def __init__(self, program: Program) -> None:
        self.layout = layout_of(program)
        module = {"TENSORS", "lay_out", "layout", "tensor", "tensor_data", "larger", "stream", program.name}
        module |= {f"{program.name}_{word}" for word in (*API, *(e.name for e in program.entries))}
        # An entry's buffers are locals, which would hide a function of that name from another entry.
        self.names = Names(RESERVED | module | {b.name for e in program.entries for b in e.buffers})
        self.known: dict[str, str] = {}  # text with a placeholder: name
        self.users: dict[str, list[str]] = {}  # name: entry points
        self.wishes: dict[str, str] = {}

    def sweep(self, sweep: Sweep, entry: str) -> DeviceSweep:
        """The text of a sweep, with the name of its function."""
        text = DeviceSweep(sweep, self.layout)
        text.kernel = self.name(text.text("@comment"), sweep.name, "; ".join(sweep.comment), entry)
        return text

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

    def name(self, text: str, wish: str, comment: str, entry: str) -> str:
        """The name of a function, new or that of the same text."""
        if text not in self.known:
            self.known[text] = name = self.names.new(wish)
            self.users[name], self.wishes[name] = [], comment
        name = self.known[text]
        if entry not in self.users[name]:
            self.users[name].append(entry)
        return name

    def texts(self) -> list[str]:
        """All functions, under their names."""
        return [
            text.replace("@comment", f"{self.wishes[name]} ({', '.join(self.users[name])}).").replace(
                NAME, name
            )
            for text, name in self.known.items()
        ]
