"""How calls start kernels: where a call stands, and the common forms of its C++ statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...program import Call


@dataclass(frozen=True)
class Place:
    """Where a call stands, as C++ text: names of its buffers, how literals are written, its rows."""

    names: list[str]
    literal: Callable[[float], str]
    rows: str  # steps times samples, or samples
    steps: str  # of a call that tells steps apart
    start: str = ""  # first step of a segment of time
    function: str = ""  # of kernels that are generated for given sizes

    def user(self, call: Call) -> str:
        """The caller's array, from the first step on that a kernel of all steps runs over."""
        skipped = f" + (size_t){self.start} * rows * {call.numbers[0]}" if self.start and call.time else ""
        return f"io->{call.field}{skipped}"


Form = Callable[[Call, Place], str]


def start(function: str, *arguments: object) -> str:
    return f"{function}({', '.join(['stream', *map(str, arguments)])});"


def added(call: Call) -> int:
    """Whether a call adds to what is there; if not, a sum starts with it."""
    return int(not call.first)


def plain(function: str, sized: bool = True) -> Form:
    """function(rows, sizes ..., buffers ...); without a batch axis there is one row."""

    def text(call: Call, place: Place) -> str:
        rows = "1" if call.kind.endswith("_once") else place.rows
        return start(function, rows, *(call.numbers if sized else ()), *place.names)

    return text


def once(function: str) -> Form:
    """function(sizes ..., buffers ...)."""
    return lambda call, place: start(function, *call.numbers, *place.names)
