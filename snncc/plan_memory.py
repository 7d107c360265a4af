"""plan_memory: where each buffer of an entry lies, and how many bytes that takes.

Scratch buffers whose lifetimes do not overlap share a region. A region's size depends on the steps and
samples of a tile in the same way as its buffers' do, so the plan holds for any number of either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .program import BLOCK_TILES, Buffer, Entry, Item, Panels, Phase, Program, Region, Segments, Size, used

SCRATCH = ("tile", "block", "panel", "whole", "optional", "result")
TEAM = 64  # bytes that the threads of a slot share
WORKSPACE = (32 << 20) + 256  # bytes of cuBLAS: SNNCC_WORKSPACE of blas.h, and what aligns it


def plan_memory(program: Program) -> Program:
    """The program with regions for scratch and shared buffers, and the extra sums of each entry."""
    return replace(program, entries=tuple(map(_plan, program.entries)))


def _plan(entry: Entry) -> Entry:
    shared = dict.fromkeys(b for b in entry.buffers if b.place == "shared")
    lives = _lifetimes(entry)
    of_place = {place: [v for v in lives if v.buffer.place == place] for place in SCRATCH}
    return replace(
        entry,
        regions=_share([*of_place["tile"], *of_place["optional"], *of_place["result"], *of_place["block"]]),
        panels=_share(of_place["panel"]),
        whole=_share(of_place["whole"]),
        shared=tuple(Region(b.size, (b,)) for b in shared),
        sums=_sums(entry),
    )


def _sums(entry: Entry) -> tuple[tuple[Buffer, ...], ...]:
    """The sums of each phase: those that its tiles make."""
    found: dict[Buffer, int] = {}
    for number, phase in enumerate(entry.phases):
        for item in (*phase.before, *phase.tile, *phase.after):
            for buffer in used(item):
                if buffer.place == "sum":
                    found.setdefault(buffer, number)
    return tuple(tuple(b for b, p in found.items() if p == number) for number in range(len(entry.phases)))


At = tuple[int, int]  # item, and for a panel's buffer the item within the loop


@dataclass(frozen=True)
class _Life:
    buffer: Buffer
    spans: tuple[tuple[At, At], ...]  # first and last use; of a panel's buffer in each loop over panels

    @property
    def first(self) -> At:
        return self.spans[0][0]

    def meets(self, other: _Life) -> bool:
        """Whether both are needed at once."""
        return any(a <= d and c <= b for a, b in self.spans for c, d in other.spans)


def _lifetimes(entry: Entry) -> list[_Life]:
    """From the item that first touches a buffer to the last one.

    A loop over time or panels is one item. The tiles of a block are a loop, too: what a block holds for
    all of them lives through all of it. So does what has no time axis in a loop over segments of time;
    the rest is made anew in each segment. What all samples have a place for lives through whole phases.
    """
    uses: dict[Buffer, list[tuple[At, At]]] = {}
    start = 0
    for phase in entry.phases:
        start = _of_phase(phase, start, uses)
    return [_Life(buffer, _spans(buffer, of)) for buffer, of in uses.items()]


def _of_phase(phase: Phase, start: int, uses: dict[Buffer, list[tuple[At, At]]]) -> int:
    """Adds the uses of a phase whose items are numbered from `start`; returns where the next one starts."""
    before, tile, after = (_unrolled(items) for items in (phase.before, phase.tile, phase.after))
    tiles = range(start + len(before), start + len(before) + len(tile))
    end = tiles.stop + len(after) + 1  # no two phases meet
    for index, (item, around) in enumerate((*before, *tile, *after), start):
        for number, step in enumerate(item.items if isinstance(item, Panels) else (item,)):
            for buffer in used(step):
                first, last = (index, 0), (index, 0)
                if buffer.place == "panel":
                    first, last = (index, number), (index, number)
                elif buffer.place == "whole":
                    first, last = (start, 0), (end - 1, 0)
                elif buffer.place == "block" and index in tiles:
                    first, last = (tiles.start, 0), (tiles.stop, 0)
                elif around and (not buffer.time or buffer.layout == "marks"):
                    first, last = (tiles.start + around.start, 0), (tiles.start + around.stop - 1, 0)
                if buffer.place in SCRATCH:
                    uses.setdefault(buffer, []).append((first, last))
    return end


def _unrolled(items: tuple[Item, ...]) -> list[tuple[Item, range | None]]:
    """Items with those of loops over segments written out, and the places in the list of their loop."""
    found: list[tuple[Item, range | None]] = []
    for item in items:
        inner = (*item.again, *item.items) if isinstance(item, Segments) else (item,)
        around = range(len(found), len(found) + len(inner)) if isinstance(item, Segments) else None
        found += [(i, around) for i in inner]
    return found


def _spans(buffer: Buffer, uses: list[tuple[At, At]]) -> tuple[tuple[At, At], ...]:
    """From first to last use; a panel is needed only within one loop over panels."""
    loops = sorted({first[0] for first, _ in uses}) if buffer.place == "panel" else [None]
    within = ([u for u in uses if loop in (None, u[0][0])] for loop in loops)
    return tuple((min(f for f, _ in some), max(t for _, t in some)) for some in within)


def _kind(size: Size) -> str:
    return next((k for k in ("seq", "row", "block", "mark") if getattr(size, k)), "fixed")


def _share(lives: list[_Life]) -> tuple[Region, ...]:
    """First fit, large buffers first: a region takes a buffer if all that it holds is dead by then.

    What does not depend on the rows of a tile comes first, so that what runs before and after the tiles
    finds it at the same place.
    """
    regions: list[list[_Life]] = []
    for life in sorted(lives, key=_largest):
        for region in regions:
            free = not any(life.meets(other) for other in region)
            if free and _kind(region[0].buffer.size) == _kind(life.buffer.size):
                region.append(life)
                break
        else:
            regions.append([life])
    return tuple(map(_region, regions))


def _largest(life: _Life) -> tuple[object, ...]:
    size = life.buffer.size
    kind = ("fixed", "block", "seq", "row", "mark").index(_kind(size))
    rows = (-size.seq, -size.row, -size.mark, -size.block, -size.fixed)
    return (kind, *rows, life.first, life.buffer.name)


def _region(lives: list[_Life]) -> Region:
    sizes = [v.buffer.size for v in lives]
    size = Size(*(max(getattr(s, f) for s in sizes) for f in ("seq", "row", "block", "fixed", "mark")))
    return Region(size, tuple(v.buffer for v in sorted(lives, key=lambda v: v.first)))


@dataclass(frozen=True)
class Footprint:
    """Bytes that a model takes for a configuration; whole: of all samples, where an entry has phases."""

    parameters: int
    moments: int
    gradients: int
    shared: int
    scratch: int
    panels: int
    whole: int = 0
    workspace: int = 0  # of cuBLAS

    @property
    def total(self) -> int:
        made = self.shared + self.scratch + self.panels + self.whole + self.workspace
        return self.parameters + self.moments + self.gradients + made


def footprint(
    program: Program, steps: int, tile: int, slots: int, threads: int, training: bool, batch: int = 0
) -> Footprint:
    """What the arena of the compiled model holds, in bytes: the same sums as its `arena_bytes`. batch: most
    samples of a call that runs in phases."""
    real, extent = program.real_bits // 8, (steps, tile, program.segment)
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
        slots * max((_bytes(e.regions, *extent) for e in entries), default=0) + (slots + 1) * TEAM,
        threads * max((_bytes(e.panels, *extent) for e in entries), default=0),
        max((_bytes(e.whole, steps, batch, program.segment) for e in entries), default=0),
        WORKSPACE if program.precision else 0,
    )


def filled(
    program: Program, entry: Entry, steps: int, tile: int, slots: int, threads: int, batch: int = 0
) -> int:
    """Bytes that a process that runs nothing but this entry point comes to use beyond those that load fills
    and the caller's arrays, all results among them; at most, as lists of events have room for any density.
    Load fills the parameters; what only other entry points need is never touched. batch: samples of a call;
    0: as many as fill the tiles."""
    arena = footprint(program, steps, tile, slots, threads, entry.trains, batch)
    busy, segment = min(slots, batch) if batch else slots, program.segment
    samples = -(-batch // busy) if batch else tile * BLOCK_TILES
    rows, block = min(tile, samples), min(tile * BLOCK_TILES, samples)

    def scratch(region: Region) -> int:
        own = (b.size for b in region.buffers if b.place != "result")
        return max((size.at(steps, rows, segment, block) for size in own), default=0)

    made = (
        sum(r.size.at(0, 0) for r in entry.shared)
        + busy * sum(map(scratch, entry.regions))
        + threads * _bytes(entry.panels, steps, rows, segment)
        + _bytes(entry.whole, steps, batch, segment)
    )
    return arena.moments + arena.gradients + made


def _bytes(regions: tuple[Region, ...], steps: int, tile: int, segment: int) -> int:
    return sum(r.size.at(steps, tile, segment) for r in regions)


def sum_reals(entry: Entry, real_bytes: int, phase: int | None = None) -> int:
    """Reals of an entry's (or a phase's) sums beside the gradients, each from a cache line of its own."""
    of = entry.sums if phase is None else entry.sums[phase : phase + 1]
    return sum(b.size.at(0, 0) for sums in of for b in sums) // real_bytes


def describe(program: Program, steps: int, tile: int, slots: int, threads: int, batch: int = 0) -> str:
    """The plan as text: regions with their buffers, and the peak."""
    lines, segment = [], program.segment
    held = f", {segment} of them at a time" if segment else ""
    for entry in program.entries:
        scratch, panels = (_bytes(r, steps, tile, segment) for r in (entry.regions, entry.panels))
        lines.append(
            f"{entry.name}: {scratch:,} bytes of scratch a slot, {panels:,} a thread, for {tile} samples of "
            f"{steps} steps{held}"
        )
        of = (
            ("", entry.regions, tile),
            (", a panel of each", entry.panels, tile),
            (f", of all {batch} samples", entry.whole, batch),
            (", once", entry.shared, tile),
        )
        for note, regions, samples in of:
            for region in regions:
                buffers = ", then ".join(map(str, region.buffers))
                lines.append(f"  {region.size.at(steps, samples, segment):>12,}  {buffers}{note}")
    for training in (False, True) if any(e.trains for e in program.entries) else (False,):
        peak = footprint(program, steps, tile, slots, threads, training, batch)
        whole = f", all {batch} samples {peak.whole:,}" if peak.whole else ""
        whole += f", workspace of cuBLAS {peak.workspace:,}" if peak.workspace else ""
        lines.append(
            f"peak of {'training' if training else 'inference'}, {slots} slots, {threads} threads: "
            f"{peak.total:,} bytes (parameters {peak.parameters:,}, optimiser {peak.moments:,}, gradients "
            f"{peak.gradients:,}, shared {peak.shared:,}, scratch {peak.scratch + peak.panels:,}{whole})"
        )
    for entry in program.entries:
        more = filled(program, entry, steps, tile, slots, threads, batch)
        lines.append(
            f"{entry.name} and nothing else: at most {more:,} bytes beyond those that load fills and the "
            "caller's arrays"
        )
    return "\n".join(lines) + "\n"
