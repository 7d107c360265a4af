"""Where a call of a hand-written kernel stands, and what its line of C is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..program import Buffer, Call


@dataclass(frozen=True)
class Spot:
    """Where an item stands: in a loop over time, from which `states` it reads, or over panels; which crew it
    gets; whether the profile counts it as one kernel of all threads."""

    in_loop: bool = False
    states: tuple[Buffer, ...] = ()
    panels: bool = False
    crew: str = "crew"
    shared: bool = False


@dataclass(frozen=True)
class Place:
    """What a call is made of: C text of its buffers, how literals are written, a product's function."""

    names: list[str]
    literal: Callable[[float], str]
    spot: Spot
    function: str = ""
    steps: str = "steps"
    start: str = ""  # first step of a segment of time
    first: str = ""  # the segment that comes first

    def rows(self, call: Call) -> str:
        """How many rows a kernel of whole rows runs over."""
        return f"{self.steps} * rows" if call.time and not self.spot.in_loop else "rows"

    def user(self, call: Call) -> str:
        """The caller's array, from the first step on that a kernel of all steps runs over."""
        skipped = f" + (size_t){self.start} * batch * {call.numbers[0]}" if self.start and call.time else ""
        return f"io->{call.field}{skipped}"

    def given(self, call: Call) -> list[str]:
        """The arguments, those of the caller's rows as a snncc_rows."""
        pairs = zip(self.names, call.buffers, strict=True)
        return [
            f"(snncc_rows){{{n}, {b.count}, rows, batch}}" if b and b.place == "given" else n
            for n, b in pairs
        ]

    def shared(self, function: str, *arguments: object) -> str:
        """A call of which each thread of the crew does its part."""
        return f"{function}({', '.join(map(str, (*arguments, self.spot.crew)))})"


Form = Callable[[Call, Place], str]  # how a kind of call is written
