"""The lowered form: buffers, kernels, and in which order they run. Printable, and checked.

A program has entry points. An entry runs `prepare` once a call; then for each block of the batch
`before`, `tile` for each tile of the block, and `after`; and `finish` when the sums of all blocks are
known. What has no time axis but costs a product (a static input's layer) runs before and after, for
many samples at once; all else runs in tiles, which fit a core's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import InternalError
from .expr import Expr

ROUNDED = {"float32": 4, "float16": 2, "bfloat16": 2}  # layouts of values kept in another format: their bytes
BLOCK_TILES = 16  # tiles of a block: enough rows for a product to pay for reading its weights


@dataclass(frozen=True)
class Size:
    """Bytes that depend on the call: (seq * steps held + row + mark * segments of time) * tile
    + block * samples of a block + fixed."""

    seq: int = 0
    row: int = 0
    block: int = 0
    fixed: int = 0
    mark: int = 0

    def at(self, steps: int, tile: int, segment: int = 0) -> int:
        """Bytes for so many steps, of which `segment` are held (0: all), and samples a tile, up to a whole
        cache line."""
        held = min(steps, segment) if segment else steps
        marks = -(-steps // segment) if segment else 1
        rows = tile * (self.seq * held + self.row + self.block * BLOCK_TILES + self.mark * marks)
        return (rows + self.fixed + 63) // 64 * 64


@dataclass(frozen=True)
class Buffer:
    """An array of the program.

    place: "tile" or "block" (scratch of a slot), "panel" (scratch of a thread: one panel of its
    features at a time), "sum" or "gradient" (a slot's sum over its tiles), "shared" (made once a call),
    "parameter". layout: "real" rows, rows rounded to "float32", "float16" or "bfloat16", spike "bits",
    "events", "valued" events, "labels", weight "panels", or "transposed" lists (scratch of a gradient).
    """

    name: str
    place: str
    features: tuple[int, ...]
    time: bool = False
    batch: bool = False
    layout: str = "real"
    size: Size = Size()
    label: str = ""  # what the user calls it, where he has a name for it

    @property
    def count(self) -> int:
        """Features of a row."""
        result = 1
        for n in self.features:
            result *= n
        return result

    @property
    def packed(self) -> bool:
        """Whether sweeps read and write its rows by way of an array of reals."""
        return self.layout == "bits" or (self.time and self.layout in ROUNDED)

    def __str__(self) -> str:
        steps = "segments" if self.layout == "marks" else "T"
        axes = [steps] * self.time + ["tile"] * self.batch + [str(n) for n in self.features]
        return f"{self.name}: {self.layout}[{', '.join(axes)}] in {self.place}"


@dataclass(frozen=True)
class Pointer:
    """An argument of a sweep: statements write `name_at[i]` for the element at hand.

    initial: the element is that of the step before, and at the first step the one of this buffer.
    """

    buffer: Buffer
    name: str
    written: bool = False
    initial: Buffer | None = None


@dataclass(frozen=True)
class Statement:
    """One line of a sweep's body.

    kind: "let" (a new local), "set" (into a local array or an array element), "add" (+=), "pack" (a
    local array into a row of another layout; value is the array's name).
    """

    kind: str
    target: str
    value: Expr


@dataclass(frozen=True)
class Array:
    """A local array of a sweep, one element a neuron: a carried state, a sum, a value between sections.

    start: what it holds before the loop: "zero", "" (nothing), or the expression of its first value.
    step: whether it lives within one step only.
    """

    name: str
    start: str | Expr = ""
    step: bool = False


@dataclass(frozen=True)
class Local:
    """A C local that statements read. kind: "key" of a row's random numbers, its "step", or a "table"."""

    kind: str
    name: str
    draw: int = 0
    time: bool = True
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """An elementwise kernel: for each sample and neuron, for each step. See templates/c/sweep.c.j2."""

    name: str
    comment: tuple[str, ...]
    size: int
    time: bool
    batch: bool
    reverse: bool
    unroll: int
    panels: bool  # whether it runs for one panel of its neurons at a time
    pointers: tuple[Pointer, ...]
    scalars: tuple[Statement, ...]  # double-precision numbers, made once
    arrays: tuple[Array, ...]
    before: tuple[Statement, ...]
    body: tuple[Statement, ...]
    after: tuple[Statement, ...]
    layer: str = ""  # whose equations these are, in the user's words; with ".backward" for the backward half
    locals: tuple[Local, ...] = ()

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        return tuple(b for p in self.pointers for b in (p.buffer, p.initial) if b is not None)

    def __str__(self) -> str:
        lines = [
            f"sweep {self.name}({', '.join(p.name for p in self.pointers)})  # {'; '.join(self.comment)}"
        ]
        sections = (
            ("scalars", self.scalars),
            ("before", self.before),
            (self._loop(), self.body),
            ("after", self.after),
        )
        for title, statements in sections:
            lines += [f"    {title}:"] * bool(statements)
            lines += [f"        {s.kind} {s.target} = {plain(s.value)}" for s in statements]
        return "\n".join(lines)

    def _loop(self) -> str:
        unroll = f", {self.unroll} steps a turn" if self.unroll > 1 else ""
        return f"each step{' in reverse' if self.reverse else ''}{unroll}"


def plain(expr: Expr) -> str:
    """An expression for readers of dumps: functions in prefix form."""
    from .expr import Const, Ref

    match expr:
        case Const(value):
            return repr(value)
        case Ref(text):
            return text
    return f"{expr.function}({', '.join(map(plain, expr.operands))})"


@dataclass(frozen=True)
class Call:
    """A hand-written kernel of the runtime headers. See the table in backend/c.py.

    buffers in the order of the kernel's arguments (None where optional ones are missing); numbers:
    its compile-time sizes; time: rows of all steps, or of one.
    """

    kind: str
    buffers: tuple[Buffer | None, ...]
    numbers: tuple[int, ...] = ()
    time: bool = False
    field: str = ""  # the user's array, for loads and stores
    value: float = 0.0  # of a state that the caller does not give
    layer: str = ""  # as of a sweep

    def __str__(self) -> str:
        names = [b.name if b else "-" for b in self.buffers]
        rows = ["all steps"] * self.time
        user = [f"user {self.field}"] * bool(self.field)
        return f"{self.kind}({', '.join([*names, *map(str, self.numbers), *user, *rows])})"


@dataclass(frozen=True)
class Loop:
    """A loop over time around kernels that run one step each, then states that move on."""

    items: tuple[Item, ...]
    reverse: bool
    unroll: int
    states: tuple[tuple[Buffer, Buffer], ...]  # (state, its value after the step)

    def __str__(self) -> str:
        head = f"loop over time{' in reverse' if self.reverse else ''}:"
        body = "\n".join(str(i) for i in self.items)
        moves = "".join(f"\n    {a.name} = {b.name}" for a, b in self.states)
        return head + "\n" + "\n".join("    " + line for line in body.splitlines()) + moves


@dataclass(frozen=True)
class Panels:
    """A loop over panels of `size` features around kernels that run for one panel each.

    A panel's values are read while they are in the cache, and what no other kernel reads is never
    stored at full width. The threads of a slot share the panels.
    """

    size: int
    items: tuple[Sweep | Call, ...]

    def __str__(self) -> str:
        body = "\n".join(map(str, self.items))
        return f"panels of {self.size}:\n" + "\n".join("    " + line for line in body.splitlines())


@dataclass(frozen=True)
class Segments:
    """A loop over segments of time around kernels that run for all steps of one.

    reverse: from the last segment to the first. again: what runs before `items` in every segment but the
    last, whose values are still there from the loop before.
    """

    items: tuple[Item, ...]
    reverse: bool = False
    again: tuple[Item, ...] = ()

    def __str__(self) -> str:
        head = f"segments of time{' in reverse' if self.reverse else ''}:"
        lines = [head]
        for title, items in (("all but the last:", self.again), ("each:", self.items)):
            body = "\n".join(map(str, items)).splitlines()
            lines += [f"    {title}"] * bool(self.again)
            lines += ["    " + "    " * bool(self.again) + line for line in body]
        return "\n".join(lines)


Item = Sweep | Call | Loop | Panels | Segments


@dataclass(frozen=True)
class Entry:
    """One entry point of the library."""

    name: str
    prepare: tuple[Item, ...]
    before: tuple[Item, ...]
    tile: tuple[Item, ...]
    after: tuple[Item, ...]
    finish: tuple[Item, ...]
    required: tuple[str, ...] = ()  # user arrays that must be given
    regions: tuple[Region, ...] = ()  # filled by plan_memory: of a slot
    panels: tuple[Region, ...] = ()  # of a thread
    shared: tuple[Region, ...] = ()
    sums: tuple[Buffer, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it needs gradients, and so a model that was initialised for training."""
        return any(b.place == "gradient" for b in self.buffers)

    @property
    def buffers(self) -> list[Buffer]:
        """All buffers, in order of first use."""
        return list(dict.fromkeys(b for item in self.items for b in used(item)))

    @property
    def items(self) -> tuple[Item, ...]:
        return (*self.prepare, *self.before, *self.tile, *self.after, *self.finish)

    @property
    def blocks(self) -> bool:
        """Whether several tiles make a block; if not, each tile is one."""
        return bool(self.before or self.after)

    def __str__(self) -> str:
        lines = [f"entry {self.name}"]
        for title in ("prepare", "before", "tile", "after", "finish"):
            items = getattr(self, title)
            lines += [f"  {title}:"] * bool(items)
            lines += ["    " + line for item in items for line in str(item).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Region:
    """A piece of memory that several buffers share, one after the other."""

    size: Size
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Tensor:
    """A parameter as the user knows it, and where it lies (in reals from the start of its array)."""

    name: str
    shape: tuple[int, ...]
    learnable: bool
    panels: bool
    offset: int
    length: int  # with padding


@dataclass(frozen=True)
class UserArray:
    """An array that the caller passes: a member of the io struct."""

    name: str
    field: str
    role: str
    shape: tuple[int, ...]
    time: bool
    batch: bool
    dtype: str
    entries: tuple[str, ...] = ()


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


def flat(items: Iterable[Item]) -> Iterator[Item]:
    """Items with those of loops over segments written out."""
    for item in items:
        if isinstance(item, Segments):
            yield from flat((*item.again, *item.items))
        else:
            yield item


def used(item: Item) -> Iterator[Buffer]:
    """Buffers that an item reads or writes."""
    match item:
        case Sweep():
            yield from item.buffers
        case Call():
            yield from (b for b in item.buffers if b is not None)
        case Loop():
            for inner in item.items:
                yield from used(inner)
            for pair in item.states:
                yield from pair
        case Panels():
            for inner in item.items:
                yield from used(inner)
        case Segments():
            for inner in (*item.again, *item.items):
                yield from used(inner)
