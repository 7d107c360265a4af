"""Where the time of a call goes, kernel by kernel: measured by `Model.profile`, or predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .kernels import Kernel, Load, Work

TITLES = (
    *("kernel", "layer", "calls", "ms", "%", "events", "density", "Mop", "Gop/s", "MB", "GB/s"),
    "what it does",
)
LEFT = (0, 1, 11)  # columns of text
SMALL = 1e-3  # share of the time below which a kernel has no line of its own


@dataclass(frozen=True)
class Row:
    """One kernel in one call of the entry point.

    seconds: of all threads together. events: nonzeros that it read or listed, out of `most`. dense: share
    of its runs that took the dense product.
    """

    kernel: str
    layer: str
    does: str
    calls: int
    seconds: float
    events: float
    most: float
    dense: float
    work: Work

    @property
    def density(self) -> float:
        return self.events / self.most if self.most else 0.0

    @property
    def operations_per_second(self) -> float:
        return self.work.operations / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        return self.work.bytes / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    """Kernels in order of execution, and the time of a whole call.

    seconds: of the call, from outside. waiting: time in which threads waited for each other. The times of
    kernels and `waiting` are of all threads together: they add up to at most threads * seconds. measured:
    False for a prediction. notes: lines below the table.
    """

    title: str
    load: Load
    threads: int
    seconds: float
    rows: tuple[Row, ...]
    waiting: float = 0.0
    measured: bool = True
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def total(self) -> Work:
        return sum((row.work for row in self.rows), Work())

    @property
    def kernel_seconds(self) -> float:
        """Time of all kernels, all threads together."""
        return sum(row.seconds for row in self.rows)

    @property
    def saved(self) -> tuple[float, float]:
        """Additions and multiplications of dense products that were not done."""
        products = [row.work for row in self.rows if row.work.dense]
        dense = sum(w.dense for w in products)
        return dense - sum(w.additions for w in products), dense - sum(w.multiplications for w in products)

    def __getitem__(self, kernel: str) -> Row:
        """The row of a kernel by name."""
        return next(row for row in self.rows if row.kernel == kernel)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        load = self.load
        size = f"{load.batch} samples, {load.steps} steps; tiles of {load.tile}"
        yield f"{self.title}: {size}, {load.slots} slots, {self.threads} threads"
        yield from table([TITLES, *map(self._cells, self._shown()), self._sum()], LEFT)
        yield from self._summary()
        yield from self.notes

    def _shown(self) -> list[Row]:
        """Rows worth a line; the others as one."""
        total = max(self.kernel_seconds, 1e-30)
        shown = [row for row in self.rows if row.seconds / total >= SMALL or row.work.dense]
        rest = [row for row in self.rows if row not in shown]
        if rest:
            work, seconds = sum((r.work for r in rest), Work()), sum(r.seconds for r in rest)
            calls = sum(r.calls for r in rest)
            text = f"{len(rest)} kernel{'s' * (len(rest) > 1)} below {SMALL:.1%}"
            shown.append(Row("(others)", "", text, calls, seconds, 0, 0, 0, work))
        return shown

    def _cells(self, row: Row) -> tuple[str, ...]:
        does = row.does
        if row.dense:
            does += f"; dense in {row.dense:.0%} of its runs"
        return (
            row.kernel,
            row.layer,
            f"{row.calls:,.0f}",
            f"{1e3 * row.seconds:.3f}",
            f"{100 * row.seconds / max(self.kernel_seconds, 1e-30):.1f}",
            f"{row.events:,.0f}" if row.most else "",
            f"{row.density:.3f}" if row.most else "",
            *_amount(row.work.operations, row.seconds),
            *_amount(row.work.bytes, row.seconds),
            does,
        )

    def _sum(self) -> tuple[str, ...]:
        total, seconds = self.total, self.kernel_seconds
        of = (*_amount(total.operations, seconds), *_amount(total.bytes, seconds))
        return ("all", "", "", f"{1e3 * seconds:.3f}", "100.0", "", "", *of, "of all threads together")

    def _summary(self) -> Iterator[str]:
        if self.measured:
            whole = max(self.threads * self.seconds, 1e-30)
            shares = f"kernels {self.kernel_seconds / whole:.0%}, waiting {self.waiting / whole:.0%}"
            yield f"the call took {1e3 * self.seconds:.3f} ms; of its threads' time: {shares}"
        else:
            yield f"a call should take {1e3 * self.seconds:.3f} ms"
        dense = sum(row.work.dense for row in self.rows)
        if dense:
            additions, multiplications = self.saved
            spared = f"{additions / dense:.1%} of the additions and {multiplications / dense:.1%}"
            yield f"dense: {_count(dense)} multiply-adds; zeros spare {spared} of the multiplications"


def _amount(amount: float, seconds: float) -> tuple[str, str]:
    """Millions, and billions a second."""
    if not amount:
        return "", ""
    return f"{amount / 1e6:,.2f}", f"{amount / seconds / 1e9:.1f}" if seconds else ""


def _count(number: float) -> str:
    for unit, name in ((1e9, " billion"), (1e6, " million")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:,.0f}"


def table(rows: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[str]:
    """Rows of cells as lines, columns aligned; those numbered in `left` to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        placed = (c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(cells))
        yield "  ".join(placed).rstrip()


@dataclass(frozen=True)
class Counts:
    """What the library counted of one kernel, summed over threads."""

    ticks: int
    calls: int
    events: int
    dense: int


def measured_row(kernel: Kernel, load: Load, counts: Counts, tick: float) -> Row:
    """A kernel's row for the call in which this was counted; `tick` in seconds."""
    events = counts.events / kernel.panels
    dense = counts.dense / counts.calls if counts.calls else 0.0
    seconds, most = max(counts.ticks, 0) * tick, kernel.most_events(load)
    work = kernel.cost(load, events, dense)
    return Row(kernel.name, kernel.layer, kernel.does, counts.calls, seconds, events, most, dense, work)
