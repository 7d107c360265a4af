"""plan_memory: where each buffer of an entry lies, and how many bytes that takes.

Scratch buffers whose lifetimes do not overlap share a region. A region's size depends on the steps and
samples of a tile in the same way as its buffers' do, so the plan holds for any number of either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .program import Buffer, Entry, Item, Program, Region, Size, used


def plan_memory(program: Program) -> Program:
    """The program with regions for scratch and shared buffers, and the extra sums of each entry."""
    return replace(program, entries=tuple(map(_plan, program.entries)))


def _plan(entry: Entry) -> Entry:
    shared = dict.fromkeys(b for b in entry.buffers if b.place == "shared")
    sums = tuple(b for b in entry.buffers if b.place == "sum")
    return replace(
        entry,
        regions=_share(_lifetimes(entry.tile)),
        shared=tuple(Region(b.size, (b,)) for b in shared),
        sums=sums,
    )


@dataclass(frozen=True)
class _Life:
    buffer: Buffer
    first: int
    last: int


def _lifetimes(items: tuple[Item, ...]) -> list[_Life]:
    """From the item that first touches a buffer to the last one; a loop over time is one item."""
    lives: dict[Buffer, _Life] = {}
    for index, item in enumerate(items):
        for buffer in used(item):
            if buffer.place == "tile":
                lives[buffer] = _Life(buffer, lives[buffer].first if buffer in lives else index, index)
    return list(lives.values())


def _kind(size: Size) -> str:
    return "seq" if size.seq else "row" if size.row else "fixed"


def _share(lives: list[_Life]) -> tuple[Region, ...]:
    """First fit, large buffers first: a region takes a buffer if all that it holds is dead by then."""
    regions: list[list[_Life]] = []
    for life in sorted(lives, key=lambda v: (-v.buffer.size.seq, -v.buffer.size.row, v.first, v.buffer.name)):
        for region in regions:
            free = all(life.last < other.first or other.last < life.first for other in region)
            if free and _kind(region[0].buffer.size) == _kind(life.buffer.size):
                region.append(life)
                break
        else:
            regions.append([life])
    return tuple(map(_region, regions))


def _region(lives: list[_Life]) -> Region:
    sizes = [v.buffer.size for v in lives]
    size = Size(*(max(getattr(s, f) for s in sizes) for f in ("seq", "row", "fixed")))
    return Region(size, tuple(v.buffer for v in sorted(lives, key=lambda v: v.first)))


@dataclass(frozen=True)
class Footprint:
    """Bytes that a model takes for a configuration."""

    parameters: int
    moments: int
    gradients: int
    shared: int
    scratch: int

    @property
    def total(self) -> int:
        return self.parameters + self.moments + self.gradients + self.shared + self.scratch


def footprint(program: Program, steps: int, tile: int, slots: int, training: bool) -> Footprint:
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
        slots * max((sum(r.size.at(steps, tile) for r in e.regions) for e in entries), default=0),
    )


def sum_reals(entry: Entry, real_bytes: int) -> int:
    """Reals of an entry's sums beside the gradients, each from a cache line of its own."""
    return sum(b.size.at(0, 0) for b in entry.sums) // real_bytes


def describe(program: Program, steps: int, tile: int, slots: int) -> str:
    """The plan as text: regions with their buffers, and the peak."""
    lines = []
    for entry in program.entries:
        scratch = sum(r.size.at(steps, tile) for r in entry.regions)
        lines.append(
            f"{entry.name}: {scratch:,} bytes of scratch for {tile} samples and {steps} steps, a worker"
        )
        for region in entry.regions:
            lines.append(f"  {region.size.at(steps, tile):>12,}  {', then '.join(map(str, region.buffers))}")
        for region in entry.shared:
            lines.append(f"  {region.size.at(steps, tile):>12,}  {region.buffers[0]}, once for all workers")
    for training in (False, True) if any(e.trains for e in program.entries) else (False,):
        peak = footprint(program, steps, tile, slots, training)
        lines.append(
            f"peak of {'training' if training else 'inference'}, {slots} workers: {peak.total:,} bytes "
            f"(parameters {peak.parameters:,}, optimiser {peak.moments:,}, gradients {peak.gradients:,}, "
            f"shared {peak.shared:,}, scratch {peak.scratch:,})"
        )
    return "\n".join(lines) + "\n"
