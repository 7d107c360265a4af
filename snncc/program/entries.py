"""Entry points, and the whole program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..errors import InternalError
from .items import Item, Sweep, used
from .memory import Buffer, Region, Tensor, UserArray


@dataclass(frozen=True)
class Phase:
    """What runs for all samples of the batch before the next phase begins, which may read its sums."""

    before: tuple[Item, ...] = ()
    tile: tuple[Item, ...] = ()
    after: tuple[Item, ...] = ()
    finish: tuple[Item, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        return (*self.before, *self.tile, *self.after, *self.finish)

    @property
    def blocks(self) -> bool:
        """Whether several tiles make a block; if not, each tile is one."""
        return bool(self.before or self.after)


@dataclass(frozen=True)
class Entry:
    """One entry point of the library."""

    name: str
    prepare: tuple[Item, ...]
    phases: tuple[Phase, ...]
    required: tuple[str, ...] = ()  # user arrays that must be given
    regions: tuple[Region, ...] = ()  # filled by plan_memory: of a slot
    panels: tuple[Region, ...] = ()  # of a thread
    whole: tuple[Region, ...] = ()  # of all samples: sizes are of one
    shared: tuple[Region, ...] = ()
    sums: tuple[tuple[Buffer, ...], ...] = ()  # of each phase
    started: tuple[Buffer, ...] = ()  # sums that are not set to zero first: see lower/sums.py
    fewest: tuple[tuple[bool, int], ...] = ()  # numbers of a variance: whether per step, times so many

    @cached_property
    def trains(self) -> bool:
        """Whether it needs gradients, and so a model that was initialised for training."""
        return any(b.place == "gradient" for b in self.buffers)

    @property
    def keeps(self) -> bool:
        """Whether what it prepares is good until a parameter changes: weights with a scale, say."""
        timed = (s for i in self.prepare if isinstance(i, Sweep) for s in i.scalars)
        return bool(self.prepare) and not self.trains and not any(timed)

    @property
    def forgets(self) -> bool:
        """Whether it may overwrite what another entry point keeps, or changes a parameter."""
        written = (
            p.buffer.place for i in self.items if isinstance(i, Sweep) for p in i.pointers if p.written
        )
        return not self.keeps and (bool(self.shared) or "parameter" in written)

    @cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """All buffers, in order of first use."""
        return tuple(dict.fromkeys(b for item in self.items for b in used(item)))

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return (*self.prepare, *(item for phase in self.phases for item in phase.items))

    @property
    def tile(self) -> tuple[Item, ...]:
        """What runs for each tile, in all phases."""
        return tuple(item for phase in self.phases for item in phase.tile)

    def __str__(self) -> str:
        titled = [("prepare", self.prepare)]
        for number, phase in enumerate(self.phases, start=1):
            of = f" of phase {number}" * (len(self.phases) > 1)
            titled += [(t + of, getattr(phase, t)) for t in ("before", "tile", "after", "finish")]
        lines = [f"entry {self.name}"]
        for title, items in titled:
            lines += [f"  {title}:"] * bool(items)
            lines += ["    " + line for item in items for line in str(item).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Program:
    """Everything the backend prints."""

    name: str
    real_bits: int
    entries: tuple[Entry, ...]
    tensors: tuple[Tensor, ...]
    arrays: tuple[UserArray, ...]
    update: Sweep | None = None
    moments: tuple[str, ...] = ()
    powers: tuple[tuple[str, float], ...] = ()
    num_steps: int = 1  # when the caller does not say
    source: str = ""  # what was compiled, for the header's comment
    segment: int = 0  # steps whose values a tile holds at a time; 0: all
    index_bits: int = 16  # of what a list of events names
    exact_steps: int = 0  # the only number of steps that a call may have; 0: any
    device: bool = False  # for a GPU: one tile, the whole batch
    precision: str = ""  # of its products on cuBLAS; "": by its own kernels

    @property
    def keeps(self) -> bool:
        """Whether some entry point keeps what it prepares."""
        return any(entry.keeps for entry in self.entries)

    def verify(self) -> Program:
        """Every buffer is written before it is read, and names are unique within an entry."""
        for entry in self.entries:
            names = [b.name for b in entry.buffers]
            if len(set(names)) != len(names):
                twice = sorted({n for n in names if names.count(n) > 1})
                raise InternalError(f"{self.name}.{entry.name}: two buffers are called {', '.join(twice)}")
        return self

    def __str__(self) -> str:
        return "\n\n".join(str(e) for e in self.entries) + "\n"
