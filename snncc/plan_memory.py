"""plan_memory: where each buffer of an entry lies, and how many bytes that takes.

Scratch buffers whose lifetimes do not overlap share a region. A region's size depends on the steps and
samples of a tile in the same way as its buffers' do, so the plan holds for any number of either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .program import Buffer, Entry, Panels, Program, Region, Size, used

SCRATCH = ("tile", "block", "panel")
TEAM = 64  # bytes that the threads of a slot share


def plan_memory(program: Program) -> Program:
    """The program with regions for scratch and shared buffers, and the extra sums of each entry."""
    return replace(program, entries=tuple(map(_plan, program.entries)))


def _plan(entry: Entry) -> Entry:
    shared = dict.fromkeys(b for b in entry.buffers if b.place == "shared")
    sums = tuple(b for b in entry.buffers if b.place == "sum")
    lives = _lifetimes(entry)
    return replace(
        entry,
        regions=_share([v for v in lives if v.buffer.place != "panel"]),
        panels=_share([v for v in lives if v.buffer.place == "panel"]),
        shared=tuple(Region(b.size, (b,)) for b in shared),
        sums=sums,
    )


@dataclass(frozen=True)
class _Life:
    buffer: Buffer
    first: tuple[int, int]  # item, and for a panel's buffer the item within the loop
    last: tuple[int, int]


def _lifetimes(entry: Entry) -> list[_Life]:
    """From the item that first touches a buffer to the last one.

    A loop over time or panels is one item. The tiles of a block are a loop, too: what a block holds for
    all of them lives through all of it.
    """
    lives: dict[Buffer, _Life] = {}
    items = (*entry.before, *entry.tile, *entry.after)
    tiles = range(len(entry.before), len(entry.before) + len(entry.tile))
    for index, item in enumerate(items):
        for number, step in enumerate(item.items if isinstance(item, Panels) else (item,)):
            for buffer in used(step):
                at = (index, number if buffer.place == "panel" else 0)
                first, last = at, at
                if buffer.place == "block" and index in tiles:
                    first, last = (tiles.start, 0), (tiles.stop, 0)
                if buffer.place in SCRATCH:
                    known = lives.get(buffer)
                    lives[buffer] = _Life(buffer, min(first, known.first) if known else first, last)
    return list(lives.values())


def _kind(size: Size) -> str:
    return next((k for k in ("seq", "row", "block") if getattr(size, k)), "fixed")


def _share(lives: list[_Life]) -> tuple[Region, ...]:
    """First fit, large buffers first: a region takes a buffer if all that it holds is dead by then.

    What does not depend on the rows of a tile comes first, so that what runs before and after the tiles
    finds it at the same place.
    """
    regions: list[list[_Life]] = []
    for life in sorted(lives, key=_largest):
        for region in regions:
            free = all(life.last < other.first or other.last < life.first for other in region)
            if free and _kind(region[0].buffer.size) == _kind(life.buffer.size):
                region.append(life)
                break
        else:
            regions.append([life])
    return tuple(map(_region, regions))


def _largest(life: _Life) -> tuple[object, ...]:
    size = life.buffer.size
    kind = ("fixed", "block", "seq", "row").index(_kind(size))
    return (kind, -size.seq, -size.row, -size.block, -size.fixed, life.first, life.buffer.name)


def _region(lives: list[_Life]) -> Region:
    sizes = [v.buffer.size for v in lives]
    size = Size(*(max(getattr(s, f) for s in sizes) for f in ("seq", "row", "block", "fixed")))
    return Region(size, tuple(v.buffer for v in sorted(lives, key=lambda v: v.first)))


@dataclass(frozen=True)
class Footprint:
    """Bytes that a model takes for a configuration."""

    parameters: int
    moments: int
    gradients: int
    shared: int
    scratch: int
    panels: int

    @property
    def total(self) -> int:
        return self.parameters + self.moments + self.gradients + self.shared + self.scratch + self.panels


def footprint(
    program: Program, steps: int, tile: int, slots: int, threads: int, training: bool
) -> Footprint:
    """What the arena of the compiled model holds, in bytes: the same sums as its `arena_bytes`."""
    real = program.real_bits // 8
    lengths = [t.length for t in program.tensors]
    learnable = sum(t.length for t in program.tensors if t.learnable)
    entries = [e for e in program.entries if training or not e.trains]
    sums = max((sum_reals(e, real) for e in entries), default=0)
    gradients = learnable if training else 0
    return Footprint(
        sum(lengths) * real,
        learnable * len(program.moments) * real if training else 0,
        slots * (gradients + sums) * real,
        max((sum(r.size.at(steps, tile) for r in e.shared) for e in entries), default=0),
        slots * max((_bytes(e.regions, steps, tile) for e in entries), default=0) + (slots + 1) * TEAM,
        threads * max((_bytes(e.panels, steps, tile) for e in entries), default=0),
    )


def _bytes(regions: tuple[Region, ...], steps: int, tile: int) -> int:
    return sum(r.size.at(steps, tile) for r in regions)


def sum_reals(entry: Entry, real_bytes: int) -> int:
    """Reals of an entry's sums beside the gradients, each from a cache line of its own."""
    return sum(b.size.at(0, 0) for b in entry.sums) // real_bytes


def describe(program: Program, steps: int, tile: int, slots: int, threads: int) -> str:
    """The plan as text: regions with their buffers, and the peak."""
    lines = []
    for entry in program.entries:
        scratch, panels = (_bytes(r, steps, tile) for r in (entry.regions, entry.panels))
        lines.append(
            f"{entry.name}: {scratch:,} bytes of scratch a slot, {panels:,} a thread, for {tile} samples of "
            f"{steps} steps"
        )
        of = (("", entry.regions), (", a panel of each", entry.panels), (", once", entry.shared))
        for note, regions in of:
            for region in regions:
                held = ", then ".join(map(str, region.buffers))
                lines.append(f"  {region.size.at(steps, tile):>12,}  {held}{note}")
    for training in (False, True) if any(e.trains for e in program.entries) else (False,):
        peak = footprint(program, steps, tile, slots, threads, training)
        lines.append(
            f"peak of {'training' if training else 'inference'}, {slots} slots, {threads} threads: "
            f"{peak.total:,} bytes (parameters {peak.parameters:,}, optimiser {peak.moments:,}, gradients "
            f"{peak.gradients:,}, shared {peak.shared:,}, scratch {peak.scratch + peak.panels:,})"
        )
    return "\n".join(lines) + "\n"
