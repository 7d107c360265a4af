"""What quantities of work are, and what a call's depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..lower import Layout
from ..lower.layout import LISTS
from ..program import NARROW, ROUNDED, Buffer

QUANTITIES = ("dense", "additions", "multiplications", "functions", "read", "written")
RUN, SAMPLE, ROW, EVENT = range(4)


@dataclass
class Work:
    """Quantities of a kernel; `dense` are the multiply-adds that a plain dense product would take."""

    quantities: dict[str, list[float]] = field(default_factory=dict)

    def add(self, quantity: str, per: int, amount: float) -> None:
        self.quantities.setdefault(quantity, [0, 0, 0, 0])[per] += amount

    def read(self, per: int, amount: float) -> None:
        self.add("read", per, amount)

    def write(self, per: int, amount: float) -> None:
        self.add("written", per, amount)

    def record(self) -> dict[str, list[float]]:
        return {q: self.quantities[q] for q in QUANTITIES if any(self.quantities.get(q, ()))}


@dataclass(frozen=True)
class How:
    """What a call's cost depends on beside its sizes: the events that it reads or lists, and the choice."""

    layout: Layout
    listed: Buffer | None
    dense: bool

    @property
    def valued(self) -> bool:
        return self.listed is not None and LISTS[self.listed.layout] > 0

    @property
    def entry_bytes(self) -> int:
        """Bytes of one event of a list."""
        return self.layout.index_bytes + self.layout.real_bytes * self.valued

    def row_bytes(self, n: int) -> int:
        return self.layout.stride(n) * self.layout.real_bytes


def row_bytes(buffer: Buffer, layout: Layout) -> int:
    """Bytes of one row of a buffer."""
    if buffer.layout == "bits":
        return 8 * ((buffer.count + 63) // 64)
    if buffer.layout == "labels":
        return 4
    if buffer.layout in NARROW:
        return NARROW[buffer.layout] * buffer.count
    return layout.stride(buffer.count) * ROUNDED.get(buffer.layout, layout.real_bytes)
