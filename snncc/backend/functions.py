"""The generated functions of a model, by what is the same in C and CUDA: their names, and who calls them."""

from __future__ import annotations

from ..lower import layout_of
from ..names import RESERVED, Names
from ..program import Program, Sweep
from .sweeps import NAME, SweepText

# What the names of a model's own functions and types end with.
API = (
    *("config", "io", "model", "abi_record", "arena_bytes", "init", "set", "get", "step", "update"),
    *("profile", "clock", "error", "abi", "wait", "close", "allocate", "release", "to_device", "to_host"),
)
MODULE = ("TENSORS", "lay_out", "layout", "tensor", "tensor_data", "larger", "stream")


class Functions:
    """Collects functions in order of first use and gives them names; those of equal text are one function."""

    sweep_text: type[SweepText] = SweepText

    def __init__(self, program: Program, parts: set[str]) -> None:
        """parts: names of functions that the entry points are made of."""
        self.layout = layout_of(program)
        module = {program.name, *MODULE, *parts}
        module |= {f"{program.name}_{word}" for word in (*API, *(e.name for e in program.entries))}
        # An entry's buffers are locals, which would hide a function of that name from another entry.
        self.names = Names(RESERVED | module | {b.name for e in program.entries for b in e.buffers})
        self.known: dict[str, str] = {}  # text with a placeholder: name
        self.users: dict[str, list[str]] = {}  # name: entry points
        self.wishes: dict[str, str] = {}

    def sweep(self, sweep: Sweep, entry: str) -> SweepText:
        """The text of a sweep, with the name of its function."""
        text = self.sweep_text(sweep, self.layout)
        text.kernel = self.name(text.text("@comment"), sweep.name, "; ".join(sweep.comment), entry)
        return text

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
        result = []
        for text, name in self.known.items():
            comment = f"{self.wishes[name]} ({', '.join(self.users[name])})."
            result.append(text.replace("@comment", comment).replace(NAME, name))
        return result
