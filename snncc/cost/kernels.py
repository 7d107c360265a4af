"""The kernels of a program, in order of execution, each with a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..lower import Layout
from ..names import Names
from ..plan_memory import sum_reals
from ..program import Buffer, Call, Entry, Item, Loop, Panels, Program, Sweep

PRODUCTS = (
    "product_dense",
    "product_events",
    "product",
    "weight_gradient",
    "narrow_gradient",
    "input_gradient",
)
LISTS = ("events_from_bits", "events_from_rows", "transpose_events")
LOADS = ("load", "load_state", "load_labels")
STORES = ("store", "store_loss")
WAITING = "waiting"
SECTIONS = {"prepare": "once", "before": "block", "tile": "tile", "after": "block", "finish": "once"}

WORDS = {
    "product_dense": ("product", "product, dense"),
    "product_events": ("product", "product by events"),
    "product": ("product", "product, events or dense"),
    "weight_gradient": ("gradient", "weight gradient by events"),
    "narrow_gradient": ("gradient", "weight gradient by events"),
    "input_gradient": ("backward", "input gradient, dense"),
    "events_from_bits": ("events", "spikes listed"),
    "events_from_rows": ("events", "nonzeros listed"),
    "transpose_events": ("by_input", "events listed by input"),
    "transpose": ("transpose", "weights transposed"),
    **dict.fromkeys(LOADS, ("load", "copied in")),
    **dict.fromkeys(STORES, ("store", "copied out")),
}


@dataclass(frozen=True)
class Kernel:
    """Items of an entry point that the profile counts together, the last of them with a tick behind.

    level: how often they run: "once" a call, for each "slot", each "other slot" than the first, each
    "block", each "tile", each "step" of a tile. panels: calls that make one run. constant: its name in C.
    """

    name: str
    constant: str
    entry: str
    layer: str
    does: str
    level: str
    panels: int = 1
    items: tuple[Item, ...] = ()

    @property
    def listed(self) -> Buffer | None:
        """The event list that it reads or makes."""
        last = self.items[-1] if self.items else None
        if not isinstance(last, Call):
            return None
        lists = (b for b in last.buffers if b is not None and b.layout in ("events", "valued"))
        return next(lists, None)

    @property
    def counted(self) -> bool:
        """Whether the density that is found when it runs decides on the kernel."""
        return any(isinstance(i, Call) and i.kind == "product" for i in self.items)


def kernels(program: Program) -> tuple[Kernel, ...]:
    """All kernels; the first is the time that threads wait for each other, the last the optimiser."""
    namer = _Namer(program)
    found = [namer.kernel("", WAITING, "", "threads wait for each other", "once")]
    for entry in program.entries:
        found += _of_entry(entry, namer, Layout(program.real_bits // 8), sums(program, entry))
    if program.update:
        found.append(namer.kernel("update", "update", "", "optimiser", "once", items=(program.update,)))
    return tuple(found)


@dataclass(frozen=True)
class Sums:
    """Reals of a slot's sums: all that are added to those of other slots, and those that start at zero.

    The first tile starts the others itself: wide weight gradients.
    """

    added: int
    cleared: int


def sums(program: Program, entry: Entry) -> Sums:
    """The sums of an entry point."""
    layout = Layout(program.real_bits // 8)
    learnable = sum(t.length for t in program.tensors if t.learnable)
    added = sum_reals(entry, layout.real_bytes) + (learnable if entry.trains else 0)
    inner = (i for item in entry.items for i in (item.items if isinstance(item, Panels) else (item,)))
    started = [i.buffers[-1] for i in inner if isinstance(i, Call) and i.kind == "weight_gradient"]
    return Sums(added, added - sum(layout.parameter_length(b.features, True) for b in started if b))


def _of_entry(entry: Entry, namer: _Namer, layout: Layout, sums: Sums) -> Iterator[Kernel]:
    for section, level in SECTIONS.items():
        if section == "finish" and sums.added:
            yield namer.kernel(entry.name, "add", "", "sums of all slots added", "other slot")
        if section == "before" and sums.cleared:
            yield namer.kernel(entry.name, "clear", "", "sums set to zero", "slot")
        for place, panels, group in _groups(getattr(entry, section), level, layout):
            yield namer.of_items(entry.name, place, panels, group)


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
            case Loop():
                yield from _groups(item.items, "step", layout)
                if item.states:
                    yield "step", 1, (item,)
            case Panels():
                count = -(-layout.stride(item.size) // layout.panel)
                yield from ((place, count, inner) for place, _, inner in _groups(item.items, level, layout))
            case _:
                group.append(item)
    if group:
        yield level, 1, tuple(group)


def _small(item: Item) -> bool:
    """Whether it may be counted together with its neighbours."""
    alone = (*PRODUCTS, *LISTS, "transpose")
    return isinstance(item, Sweep) or (isinstance(item, Call) and item.kind not in alone)


def _topic(item: Item) -> tuple[str, str]:
    """What neighbours must have in common: both go to or come from the caller, or are of one layer."""
    match item:
        case Call("load" | "load_labels"):
            return "load", ""
        case Call("store" | "store_loss"):
            return "store", ""
        case Call() | Sweep():
            return "layer", item.layer
    return "", ""


class _Namer:
    """Gives each kernel a name within its entry point, and a constant of the C file."""

    def __init__(self, program: Program) -> None:
        locals = {b.name for e in program.entries for b in e.buffers}
        self.constants = Names(frozenset({*locals, "KERNELS", "TENSORS", "TENSOR_COUNT", "BLOCK_TILES"}))
        self.names: dict[str, int] = {}

    def of_items(self, entry: str, level: str, panels: int, items: tuple[Item, ...]) -> Kernel:
        layer, word, does = _described(items)
        name = f"{layer}.{word}" if word else layer
        return self.kernel(entry, name, layer, does, level, panels, items)

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
    if isinstance(first, Loop):
        return "loop", "states", "states of the next step"
    assert not isinstance(first, Panels)
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
