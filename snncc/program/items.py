"""What a program runs: sweeps of elementwise statements, calls of kernels, and loops around both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..expr import Const, Expr, Ref
from .memory import Buffer


@dataclass(frozen=True)
class Pointer:
    """An argument of a sweep: statements write `name_at[i]` for the element at hand.

    steps: the element is that of so many steps before, or, if negative, after. initial: before the first step
    (after the last one) it is that of this buffer, which of several steps has a row for each; else 0.
    whole: `name_at` is the whole row, of groups that the neurons belong to.
    """

    buffer: Buffer
    name: str
    written: bool = False
    initial: Buffer | None = None
    steps: int = 0
    whole: bool = False


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
    """An elementwise kernel: for each sample and neuron, for each step. See templates/c/sweep.c.j2.

    checked: elements of the caller's arrays, as C, that must be finite. stepped: it is called for one step
    at a time, with the rows of that step.
    """

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
    checked: tuple[str, ...] = ()
    stepped: bool = False

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
        lines += [f"    finite: {', '.join(self.checked)}"] * bool(self.checked)
        for title, statements in sections:
            lines += [f"    {title}:"] * bool(statements)
            lines += [f"        {s.kind} {s.target} = {plain(s.value)}" for s in statements]
        return "\n".join(lines)

    def _loop(self) -> str:
        unroll = f", {self.unroll} steps a turn" if self.unroll > 1 else ""
        return f"each step{' in reverse' if self.reverse else ''}{unroll}"


def plain(expr: Expr) -> str:
    """An expression for readers of dumps: functions in prefix form."""
    match expr:
        case Const(value):
            return repr(value)
        case Ref(text):
            return text
    return f"{expr.function}({', '.join(map(plain, expr.operands))})"


@dataclass(frozen=True)
class Nest:
    """Loops that move elements within a row: from place x of the one to place y of the other, outermost loop
    first, each with its extent and how far apart its elements are in x and in y."""

    loops: tuple[tuple[int, int, int], ...]
    x: int = 0
    y: int = 0

    def __str__(self) -> str:
        loops = ", ".join(f"{n} by {x} to {y}" for n, x, y in self.loops)
        return f"[{loops or 'one'}; from {self.x} to {self.y}]"


@dataclass(frozen=True)
class Call:
    """A hand-written kernel of the runtime headers. See the table in backend/c.py.

    buffers in the order of the kernel's arguments (None where optional ones are missing); numbers:
    its compile-time sizes; time: rows of all steps, or of one. precision: of products that cuBLAS computes:
    see `Layout.precision`; "" for those of the headers. first: of one that adds to a sum, whether that starts
    here: see lower/sums.py.
    """

    kind: str
    buffers: tuple[Buffer | None, ...]
    numbers: tuple[int, ...] = ()
    time: bool = False
    field: str = ""  # the user's array, for loads and stores
    value: float = 0.0  # of a state that the caller does not give
    layer: str = ""  # as of a sweep
    nests: tuple[Nest, ...] = ()  # of each operand that is moved
    precision: str = ""
    first: bool = False

    def __str__(self) -> str:
        names = [b.name if b else "-" for b in self.buffers]
        rows = ["all steps"] * self.time
        user = [f"user {self.field}"] * bool(self.field)
        given = [*names, *map(str, self.numbers), *map(str, self.nests), *user, *rows]
        given += [f"cuBLAS {self.precision}"] * bool(self.precision) + ["first"] * self.first
        return f"{self.kind}({', '.join(given)})"


@dataclass(frozen=True)
class State:
    """What a loop carries: kernels that read `start` read the value of so many steps before, once there is
    one; in reverse, of so many after. start: rows before the first step, of several steps a ring of them."""

    start: Buffer
    value: Buffer
    steps: int = 1


@dataclass(frozen=True)
class Loop:
    """A loop over time around kernels that run one step each."""

    items: tuple[Item, ...]
    reverse: bool
    unroll: int
    states: tuple[State, ...]

    def __str__(self) -> str:
        head = f"loop over time{' in reverse' if self.reverse else ''}:"
        body = "\n".join(str(i) for i in self.items)
        where = "after" if self.reverse else "before"
        moved = ((s, f"{s.steps} steps" if s.steps > 1 else "the step") for s in self.states)
        states = "".join(f"    {s.start.name}: {s.value.name} of {by} {where}\n" for s, by in moved)
        return head + "\n" + states + "\n".join("    " + line for line in body.splitlines())


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
            for state in item.states:
                yield from (state.start, state.value)
        case Panels():
            for inner in item.items:
                yield from used(inner)
        case Segments():
            for inner in (*item.again, *item.items):
                yield from used(inner)
