"""The kernels of a program, in order of execution, each with a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..lower import Layout, layout_of
from ..lower.layout import BY_ROW
from ..names import Names
from ..plan_meetings import persistent
from ..plan_memory import sum_reals
from ..program import Buffer, Call, Entry, Item, Loop, Panels, Program, Segments, Sweep, flat

PRODUCTS = ("product", "input_gradient", "wide_gradient", "narrow_gradient")  # kinds begin with these
SLIDING = ("conv", "conv_transpose", "conv_gradient")  # kinds begin with these
OF_STEPS = ("mix_steps", "steps_gradient")  # dense products over the steps of a sequence
LISTS = (
    *("events_from_bits", "events_from_rows", "events_from_previous"),
    *("transpose_events", "transpose_counted"),
)
LOADS = ("load", "load_missing", "load_state", "load_labels", "load_lengths", "load_indices")
STORES = ("store", "store_repeated", "store_loss")
WAITING = "waiting"
SECTIONS = {"prepare": "once", "before": "block", "tile": "tile", "after": "block", "finish": "once"}

WORDS = {
    "product_dense": ("product", "product, dense"),
    "product_events": ("product", "product by events"),
    "product": ("product", "product, events or dense"),
    "input_gradient": ("backward", "input gradient, dense"),
    **{
        f"{width}_gradient_{kernel}": ("gradient", f"weight gradient{how}")
        for width in ("wide", "narrow")
        for kernel, how in (("events", " by events"), ("counted", ", events or dense"), ("dense", ", dense"))
    },
    **{
        f"{op}_{kernel}": (word, f"{does}{how}")
        for op, word, does in (
            ("conv", "conv", "convolution"),
            ("conv_transpose", "backward", "transposed convolution"),
            ("conv_gradient", "gradient", "weight gradient"),
        )
        for kernel, how in (
            ("events", " by events"),
            ("counted", ", events or dense"),
            ("dense", ", dense"),
            ("groups", ", in groups"),
        )
    },
    "sparse_events": ("product", "sparse product by events"),
    "sparse_rows": ("product", "sparse product by nonzeros"),
    "sparse_gradient": ("gradient", "sparse weight gradient by events"),
    "sparse_gradient_rows": ("gradient", "sparse weight gradient by nonzeros"),
    "late_events": ("product", "late product by events"),
    "late_rows": ("product", "late product by nonzeros"),
    "late_before": ("product", "late product of what was before"),
    "late_step": ("product", "late product by nonzeros"),
    "late_input_gradient_step": ("backward", "late input gradient"),
    "late_gradient": ("gradient", "late weight gradient by events"),
    "late_gradient_rows": ("gradient", "late weight gradient by nonzeros"),
    "late_input_gradient": ("backward", "late input gradient"),
    "sparse_input_gradient": ("backward", "sparse input gradient"),
    "events_from_bits": ("events", "spikes listed"),
    "events_from_rows": ("events", "nonzeros listed"),
    "events_from_previous": ("events", "spikes of the step before listed"),
    "transpose_events": ("by_input", "events listed by input"),
    "transpose_counted": ("by_input", "events listed by input, or dense"),
    "transpose": ("transpose", "weights transposed"),
    **dict.fromkeys(("matmul", "matmul_once"), ("matmul", "products of matrices")),
    "mix_steps": ("mix", "product over the steps"),
    "mix_steps_transposed": ("mix", "product over the steps, transposed"),
    "steps_gradient": ("gradient", "weight gradient over the steps"),
    **dict.fromkeys(LOADS, ("load", "copied in")),
    "check_finite": ("load", "checked"),
    "load_one_hot": ("load", "copied in"),
    "add_all_samples": ("sums", "sums over the samples"),
    **dict.fromkeys(STORES, ("store", "copied out")),
}
# Kinds whose density decides when they run, and on which of the headers' crossovers.
CROSSOVERS = {
    "product": "product",
    "transpose_counted": "gradient",
    "wide_gradient_counted": "gradient",
    "narrow_gradient_counted": "narrow",
    "conv_counted": "product",
    "conv_transpose_counted": "product",
    "conv_gradient_counted": "gradient",
}


@dataclass(frozen=True)
class Kernel:
    """Items of an entry point that the profile counts together, the last of them with a tick behind.

    level: how often they run: "once" a call, for each "slot", each "other slot" than the first, each
    "block", each "tile", each "step" of a tile, each "segment" of a tile's steps; "segment again" and
    "step again" are those that the backward half runs once more. panels: calls that make one run.
    constant: its name in C.
    listed: the events that it reads or lists. phase: whose sums it adds.
    """

    name: str
    constant: str
    entry: str
    layer: str
    does: str
    level: str
    panels: int = 1
    items: tuple[Item, ...] = ()
    listed: Buffer | None = None
    phase: int = 0

    @property
    def call(self) -> Call | None:
        """The call that it is, if it is one alone."""
        return self.items[0] if len(self.items) == 1 and isinstance(self.items[0], Call) else None

    @property
    def crossover(self) -> str:
        """Which crossover decides on the kernel when it runs, or "" where it is certain."""
        return CROSSOVERS.get(self.call.kind, "") if self.call else ""

    @property
    def product(self) -> bool:
        return self.call is not None and self.call.kind.startswith(PRODUCTS)


def kernels(program: Program) -> tuple[Kernel, ...]:
    """All kernels; the first is the time that threads wait for each other, the last the optimiser."""
    namer = _Namer(program)
    found = [namer.kernel("", WAITING, "", "threads wait for each other", "once")]
    for entry in program.entries:
        found += _of_entry(entry, namer, layout_of(program), sums(program, entry))
    if program.update:
        found.append(namer.kernel("update", "update", "", "optimiser", "once", items=(program.update,)))
    return tuple(found)


@dataclass(frozen=True)
class Sums:
    """Reals of a slot's sums: those that are added to those of other slots after each phase, and those that
    start at zero.

    The first tile starts the others itself: wide weight gradients; on a GPU what is first added does.
    """

    added: tuple[int, ...]
    cleared: int


def sums(program: Program, entry: Entry) -> Sums:
    """The sums of an entry point."""
    layout = layout_of(program)
    learnable = sum(t.length for t in program.tensors if t.learnable)
    added = [sum_reals(entry, layout.real_bytes, phase) for phase in range(len(entry.phases))]
    added[-1] += learnable if entry.trains else 0  # gradients are added with the last phase's
    calls = () if program.device else (i for i in _inner(entry) if isinstance(i, Call))
    started = [call.buffers[-1] for call in calls if call.kind.startswith("wide_gradient")]
    started += entry.started
    own = (layout.parameter_length(b.features, b.layout == "panels") for b in started if b)
    return Sums(tuple(added), sum(added) - sum(own))


def _of_entry(entry: Entry, namer: _Namer, layout: Layout, sums: Sums) -> Iterator[Kernel]:
    lists = dict(_lists(entry))
    sections = [("prepare", 0, entry.prepare)]
    for number, phase in enumerate(entry.phases):
        sections += [(name, number, getattr(phase, name)) for name in ("before", "tile", "after", "finish")]
    for section, number, items in sections:
        if section == "finish" and sums.added[number]:
            add = namer.kernel(entry.name, "add", "", "sums of all slots added", "other slot")
            yield replace(add, phase=number)
        if section == "before" and number == 0 and sums.cleared:
            yield namer.kernel(entry.name, "clear", "", "sums set to zero", "slot")
        for place, panels, group in _groups(items, SECTIONS[section], layout):
            yield namer.of_items(entry.name, place, panels, group, _listed(group, lists))


def _inner(entry: Entry) -> Iterator[Item]:
    """All items, those of panels one by one."""
    for item in flat(entry.items):
        yield from item.items if isinstance(item, Panels) else (item,)


def _lists(entry: Entry) -> Iterator[tuple[Buffer, Buffer]]:
    """Lists by input, and the events that they are made of."""
    for item in _inner(entry):
        if isinstance(item, Call) and item.kind in ("transpose_events", "transpose_counted"):
            events, by_input = item.buffers
            if events is not None and by_input is not None:
                yield by_input, events


def _listed(items: tuple[Item, ...], lists: dict[Buffer, Buffer]) -> Buffer | None:
    """The events that a kernel reads or lists."""
    buffers = [b for i in items if isinstance(i, Call) for b in i.buffers if b is not None]
    found = [lists.get(b, b) for b in buffers if b in lists or b.layout in BY_ROW]
    return found[0] if found else None


def _groups(
    items: tuple[Item, ...], level: str, layout: Layout
) -> Iterator[tuple[str, int, tuple[Item, ...]]]:
    """Level, panels and items of each kernel."""
    group: list[Item] = []
    for item in items:
        if group and not (_small(item) and _small(group[-1]) and _topic(item) == _topic(group[-1])):
            yield level, 1, tuple(group)
            group = []
        match item:
            case Loop() if layout.device and persistent(item):
                group.append(item)
            case Loop():
                step = "step again" if level.endswith("again") else "step"
                yield from _groups(item.items, step, layout)
            case Segments():
                yield from _groups(item.again, "segment again", layout)
                yield from _groups(item.items, "segment", layout)
            case Panels():
                count = -(-layout.stride(item.size) // layout.panel)
                yield from ((place, count, inner) for place, _, inner in _groups(item.items, level, layout))
            case _:
                group.append(item)
    if group:
        yield level, 1, tuple(group)


def _small(item: Item) -> bool:
    """Whether it may be counted together with its neighbours."""
    if isinstance(item, Call):
        reads = any(b is not None and b.layout in BY_ROW for b in item.buffers)
        large = item.kind.startswith((*PRODUCTS, *SLIDING, *LISTS, *OF_STEPS, "transpose", "matmul"))
        return not (reads or large)  # what reads a list counts its events
    return isinstance(item, Sweep)


def _topic(item: Item) -> tuple[str, str]:
    """What neighbours must have in common: both go to or come from the caller, or are of one layer."""
    match item:
        case Call("load" | "load_missing" | "check_finite" | "load_labels" | "load_lengths" | "load_indices"):
            return "load", ""
        case Call("store" | "store_repeated" | "store_loss"):
            return "store", ""
        case Call() | Sweep():
            return "layer", item.layer
    return "", ""


class _Namer:
    """Gives each kernel a name within its entry point, and a constant of the C file."""

    def __init__(self, program: Program) -> None:
        locals = {b.name for e in program.entries for b in e.buffers}
        self.constants = Names(
            frozenset({*locals, "KERNELS", "TENSORS", "TENSOR_COUNT", "BLOCK_TILES", "SEGMENT"})
        )
        self.names: dict[str, int] = {}

    def of_items(
        self, entry: str, level: str, panels: int, items: tuple[Item, ...], listed: Buffer | None
    ) -> Kernel:
        layer, word, does = _described(items)
        name = ".".join(filter(None, (layer, word))) or "states"
        return replace(self.kernel(entry, name, layer, does, level, panels, items), listed=listed)

    def kernel(
        self,
        entry: str,
        name: str,
        layer: str,
        does: str,
        level: str,
        panels: int = 1,
        items: tuple[Item, ...] = (),
    ) -> Kernel:
        key = f"{entry}.{name}"
        count = self.names[key] = self.names.get(key, 0) + 1
        name = f"{name}.{count}" if count > 1 else name
        constant = self.constants.new((name if name == entry else f"{entry}.{name}").upper())
        return Kernel(name, constant, entry, layer, does, level, panels, items)


def _described(items: tuple[Item, ...]) -> tuple[str, str, str]:
    """Layer, the last part of the name, and what is done."""
    first = items[0]
    if isinstance(first, Loop):  # of a GPU, as one kernel
        layer, _, _ = _described(tuple(i for i in first.items if isinstance(i, Sweep)))
        way = "backward in time" if first.reverse else "each step"
        return layer, "loop", f"products and neurons, {way}"
    assert isinstance(first, (Call, Sweep))
    layer, backward = first.layer.removesuffix(".backward"), first.layer.endswith(".backward")
    sweeps = [i for i in items if isinstance(i, Sweep)]
    if isinstance(first, Call) and first.kind in WORDS and not sweeps:
        word, does = WORDS[first.kind]
        if first.kind == "product_dense" and backward:
            word, does = "backward", "input gradient, dense"
        return layer, word, does
    time = any(s.time for s in sweeps)
    does = " in time" * time if backward else ", each step" * time
    return layer, "backward" * backward, f"elementwise{', backward' * backward}{does}"
