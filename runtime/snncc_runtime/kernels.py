"""What the kernels of a model are and what they cost: the table `kernels` of manifest.json, evaluated.

The same sums give the cost before a run, from assumed densities, and the operations of a profile, from
events that were counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PER_RUN, PER_SAMPLE, PER_ROW = range(3)


@dataclass(frozen=True)
class Load:
    """The size of a call: how many samples and steps, and how the model cuts them up.

    tile: samples. slots: most parts of the batch. block: tiles of a block. segment: steps that are held at a
    time, 0 for all.
    """

    batch: int
    steps: int
    tile: int
    slots: int
    block: int
    segment: int = 0

    @property
    def shares(self) -> list[int]:
        """Samples of each slot."""
        slots = min(self.slots, self.batch)
        ends = [self.batch * (slot + 1) // slots for slot in range(slots)]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    @property
    def segments(self) -> int:
        return -(-self.steps // self.segment) if self.segment else 1

    def runs(self, level: str) -> int:
        """How often kernels of a level run in one call."""
        tiles = sum(-(-share // self.tile) for share in self.shares)
        blocks = sum(-(-share // (self.tile * self.block)) for share in self.shares)
        counts = {
            "once": 1,
            "slot": len(self.shares),
            "other slot": len(self.shares) - 1,
            "block": blocks,
            "tile": tiles,
            "step": tiles * self.steps,
            "segment": tiles * self.segments,
            "segment again": tiles * (self.segments - 1),
            "step again": tiles * (self.segments - 1) * self.segment,
        }
        return counts[level]

    def axes(self, level: str) -> tuple[int, int, int]:
        """Runs, samples (once more in each segment) and rows (samples of each step)."""
        segments = {"segment": self.segments, "segment again": self.segments - 1}.get(level, 1)
        again = level.endswith("again")
        steps = (self.segments - 1) * self.segment if again else self.steps
        return self.runs(level), self.batch * segments, self.batch * steps


@dataclass(frozen=True)
class Work:
    """Operations and bytes of a kernel in one call.

    dense: multiply-adds of the product if every input were multiplied; 0 for what is no product. read,
    written: bytes between the kernel and its arrays, each once a run.
    """

    dense: float = 0
    additions: float = 0
    multiplications: float = 0
    functions: float = 0  # comparisons, divisions, exponentials and the like
    read: float = 0
    written: float = 0

    @property
    def operations(self) -> float:
        return self.additions + self.multiplications + self.functions

    @property
    def bytes(self) -> float:
        return self.read + self.written

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def scaled(self, factor: float) -> Work:
        return Work(*(factor * value for value in vars(self).values()))


@dataclass(frozen=True)
class Kernel:
    """A row of the manifest's table.

    level: how often it runs. panels: calls of a run. source, count, per: whose events it reads or lists, out
    of how many features, of which rows. rate: which of a machine's rates limits it; padding: how many numbers
    it computes for each one that is wanted. work, dense_work: coefficients; the latter where the crossover of
    that name decides whether it goes dense.
    """

    name: str
    entry: str
    layer: str
    does: str
    level: str
    panels: int
    source: str
    count: int
    per: int
    rate: str
    padding: float
    work: Mapping[str, Sequence[float]]
    dense_work: Mapping[str, Sequence[float]]
    crossover: str = ""

    def most_events(self, load: Load) -> int:
        """Events of a call if no input were 0."""
        return self.count * load.axes(self.level)[self.per] if self.count else 0

    def cost(self, load: Load, events: float, dense: float = 0) -> Work:
        """Work of one call with so many events; `dense` is the share of runs that ignored them."""
        numbers = (*load.axes(self.level), events)
        by_events = _sum(self.work, numbers)
        if not dense:
            return by_events
        return by_events.scaled(1 - dense) + _sum(self.dense_work, numbers).scaled(dense)


def _sum(work: Mapping[str, Sequence[float]], numbers: Sequence[float]) -> Work:
    return Work(**{name: sum(c * n for c, n in zip(of, numbers, strict=True)) for name, of in work.items()})


def load_of(manifest: Mapping[str, Any], batch: int, steps: int, tile: int, slots: int) -> Load:
    """The size of a call of the model."""
    return Load(
        batch, steps, tile, slots, manifest["block_tiles"], manifest["memory"].get("checkpoint_every", 0)
    )


def parse_kernels(manifest: Mapping[str, Any]) -> tuple[Kernel, ...]:
    """The kernels of a manifest, in the order in which the library counts them; () for older models."""
    return tuple(_kernel(record) for record in manifest.get("kernels", ()))


def _kernel(record: Mapping[str, Any]) -> Kernel:
    events = record.get("events", {})
    return Kernel(
        name=record["name"],
        entry=record["entry"],
        layer=record["layer"],
        does=record["does"],
        level=record["level"],
        panels=record["panels"],
        source=events.get("of", ""),
        count=events.get("count", 0),
        per=events.get("per", 0),
        rate=record["rate"],
        padding=record["padding"],
        work=record["work"],
        dense_work=record.get("dense_work", {}),
        crossover=record.get("crossover", ""),
    )
