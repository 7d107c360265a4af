"""One entry point: its items, loops over time around products, and the order in which all of it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from ..graph import Graph, Node
from ..names import identifier
from ..passes.fuse import layer_of
from ..program import Call, Entry, Item, Loop, Panels, Phase, State
from .buffers import ALIASES, SHIFTS, STORED, Buffers
from .callers import in_place
from .calls import calls, copied
from .layout import Layout, user_field
from .panels import narrowed
from .schedule import SECTIONS, Unit, groups, sections
from .segments import Segmented
from .sweep import SweepBuilder
from .synapses import late_before

SKIPPED = (*ALIASES, "parameter", "table", "constant", "steps", "samples")  # nothing runs for these


def lower(graph: Graph, name: str, layout: Layout, segment: int = 0, windows: bool = False) -> Entry:
    """The entry point `name` that computes the graph's outputs; the values of `segment` steps are held at a
    time (0: of all). windows: whether that is the learning rule's, so that gradients end with a segment."""
    return _EntryBuilder(graph, name, layout, bool(segment), windows).build()


class _EntryBuilder:
    def __init__(self, graph: Graph, name: str, layout: Layout, segmented: bool, windows: bool) -> None:
        self.graph, self.name, self.segmented, self.windows = graph, name, segmented, windows
        self.buffers = Buffers(graph, layout, segmented)
        self.last = max(self.buffers.phase(n.name) for n in graph)

    def build(self) -> Entry:
        units = self.units(self.graph.order)
        last = max((unit.phase for unit in units.values()), default=0)
        phases = [{k: u for k, u in units.items() if u.phase == p} for p in range(last + 1)]
        where = {key: section for of_phase in phases for key, section in sections(of_phase).items()}
        self.buffers.blocks = self._blocks(units, where)
        late = {n.name for key, unit in units.items() if where[key] == "after" for n in unit.nodes}
        stores = list(self._stores())
        items: dict[tuple[int, str], list[Item]] = {}
        for phase, name in product(range(last + 1), SECTIONS):
            of_section = {key: unit for key, unit in phases[phase].items() if where[key] == name}
            mine = [(v, s) for v, s in stores if self.buffers.phase(v) == phase]
            of_name = [(v, s) for v, s in mine if name == ("after" if v in late else "tile")]
            if name == "tile" and self.segmented:
                items[phase, name] = Segmented(self).items(of_section, of_name)
            else:
                items[phase, name] = [*self.ordered(of_section), *(store for _, store in of_name)]
        items[last, "finish"] += [*self._copies(), *self._losses()]
        given: list[Any] = [n.op for n in self.graph if n.op.name == "input"]
        required = dict.fromkeys(op.label for op in given if op.role in ("input", "target"))
        ready = in_place(narrowed(items, self.buffers.layout), self.buffers.layout)
        made = (Phase(*(ready[phase, name] for name in SECTIONS[1:])) for phase in range(last + 1))
        return Entry(self.name, ready[0, "prepare"], tuple(made), tuple(map(identifier, required)))

    def ordered(self, units: Mapping[str, Unit]) -> list[Item]:
        """The items of units, each after what it needs."""
        return [item for group in groups(units) for item in self._group([units[key] for key in group])]

    def _blocks(self, units: Mapping[str, Unit], where: Mapping[str, str]) -> set[str]:
        """Values that a block holds for all its samples: what is made or read before or after its tiles."""
        found: set[str] = set()
        for key, unit in units.items():
            if where[key] in ("before", "after"):
                found |= {n.name for n in unit.nodes}
                found |= {self.buffers.source(i) for n in unit.nodes for i in n.inputs}
        return found

    def units(self, names: Iterable[str], inside: bool = False) -> dict[str, Unit]:
        """What runs as one item: a loop over time, the nodes of a kernel, or a node alone."""
        nodes: dict[str, list[Node]] = {}
        for name in names:
            node = self.graph[name]
            if node.op.name in SKIPPED or node.type.dtype in ("scalar", "number"):
                continue
            if self.buffers.repeated(node):
                continue
            if node.op.name == "transpose" and not copied(self.buffers, node):
                continue
            loop = self.buffers.stepped.get(name, 0)
            key = f"loop {loop}" if loop and not inside else f"kernel {node.kernel}" if node.kernel else name
            nodes.setdefault(key, []).append(node)
        unit_of = {node.name: key for key, members in nodes.items() for node in members}
        return {key: self._unit(key, members, unit_of) for key, members in nodes.items()}

    def _unit(self, key: str, nodes: list[Node], unit_of: Mapping[str, str]) -> Unit:
        needs: dict[str, bool] = {}
        for node in nodes:
            for i in map(self.buffers.source, self._read_now(node)):
                other = unit_of.get(i, key)
                if other != key:
                    needs[other] = needs.get(other, False) or not self._by_column(node, i)
        kind = nodes[-1].stage.kind if nodes[-1].stage else "once"
        phase = nodes[-1].stage.phase if nodes[-1].stage else 0
        if any(n.name in self.buffers.gradients for n in nodes) and kind == "once":
            kind, phase = "finish", self.last  # a gradient that depends on nothing; before, no sums are there
        timed = (self.graph[i].type.time for node in nodes for i in (node.name, *node.inputs))
        return Unit(tuple(nodes), self._axis(key, nodes, kind), needs, kind, not any(timed), phase)

    def _by_column(self, node: Node, source: str) -> bool:
        """Whether a feature of the node reads only the same feature of the source."""
        d_y = node.inputs[0] if node.op.name == "weight_gradient" and not self.buffers.tokens(node) else ""
        gradient = bool(d_y) and source == self.buffers.source(d_y)
        return bool(node.kernel) or gradient

    def _axis(self, key: str, nodes: list[Node], kind: str) -> int:
        """Features that a unit can be split over: more than one panel of them, in a tile."""
        node = nodes[0]
        if kind in ("once", "finish") or key.startswith("loop "):
            return 0
        if self.buffers.tokens(node):
            return 0
        if node.op.name in ("linear", "weight_gradient"):
            n = node.type.features[0]
        else:
            n = max(m.type.size for m in nodes) if node.kernel else 0
        return n if self.buffers.layout.stride(n) > self.buffers.layout.panel else 0

    def _read_now(self, node: Node) -> Iterable[str]:
        """What must be there when a node runs; in a loop, not what its delay is fed."""
        return (
            node.inputs[1:] if node.name in self.buffers.stepped and node.op.name in SHIFTS else node.inputs
        )

    def _group(self, units: list[Unit], inside: bool = False) -> list[Item]:
        """The items of a group: a loop over panels, or one unit that has none."""
        if not units[0].axis:
            return [*self._items(units[0], inside), *self._moved_far(units)]
        made = [item for unit in units for item in self._items(unit, inside)]
        first = [i for i in made if isinstance(i, Call) and i.kind.startswith("transpose_")]
        panels = Panels(units[0].axis, tuple(i for i in made if i not in first))  # type: ignore[misc]
        return [*first, panels, *self._moved_far(units)]

    def _items(self, unit: Unit, inside: bool) -> list[Item]:
        nodes = list(unit.nodes)
        if nodes[0].name in self.buffers.stepped and not inside:
            return self._loop(nodes)
        if nodes[0].kernel:
            sweep = SweepBuilder(self.graph, self.buffers, nodes, bool(unit.axis)).build()
            empty = not (sweep.before or sweep.body or sweep.after)  # others read its states where they lie
            return [] if empty else [replace(sweep, layer=layer_of(self.graph, [n.name for n in nodes]))]
        return [replace(c, layer=self._layer(nodes[0])) for c in calls(self.buffers, nodes[0])]

    def _layer(self, node: Node) -> str:
        """Whose a call is: a product belongs to the layer of its weights, an input to itself."""
        op: Any = node.op
        if op.name in ("input", "state"):
            return str(op.label if op.name == "input" else op.label.rpartition(".")[0] or op.label)
        name = node.inputs[1] if op.name in ("linear", "conv", "conv_transpose") else node.name
        layer = layer_of(self.graph, [name]).removesuffix(".backward")
        if layer == "network":
            layer = name.removeprefix("d_").partition(".")[0]
        return f"{layer}.backward" if node.half == "backward" else layer

    def _loop(self, nodes: list[Node]) -> list[Item]:
        """A loop over time around products: states start, items run a step each, states move on."""
        units = self.units((n.name for n in nodes), inside=True)
        shifts = [n for n in nodes if n.op.name in SHIFTS]
        # States last from segment to segment; what a truncated gradient carries does not.
        carried = [(n, layout) for n in shifts for layout in self.buffers.carried(n)]
        begun = [(n, k) for n, k in carried if not self.buffers.lasts(n)]
        start: list[Item] = [replace(self.buffers.started(n, k), layer=self._layer(n)) for n, k in begun]
        late = (n for n in nodes if n.op.name == "delayed_linear")
        start += [replace(late_before(self.buffers, n), layer=self._layer(n)) for n in late]
        items = [i for group in groups(units) for i in self._group([units[k] for k in group], inside=True)]
        states = tuple(
            State(self.buffers.state(n, k), self.buffers.buffer(n.inputs[0], k), n.op.steps)  # type: ignore[attr-defined]
            for n, k in carried
        )
        stage = shifts[0].stage
        assert stage is not None
        reverse = stage.kind == "reverse"
        return [
            *start,
            Loop(tuple(items), reverse, stage.unroll, states),
            *(self._moved(n) for n in shifts if self.segmented),
        ]

    def _moved(self, node: Node) -> Item:
        """A state at the end of a segment of time, for the next one."""
        rows = (self.buffers.buffer(node.inputs[0]), self.buffers.state(node))
        which, ring, pitch = (
            "last" if node.op.name == "memorize" else "first",
            rows[1].ring,
            self.buffers.pitch(node),
        )
        if ring:
            return Call(f"keep_{which}", rows, (ring * node.type.size, ring, pitch), layer=self._layer(node))
        return Call(f"copy_{which}", rows, (pitch,), layer=self._layer(node))

    def _moved_far(self, units: list[Unit]) -> list[Item]:
        """The same of states of several steps in loops of one kernel, which moves those of one itself."""
        nodes = (
            n
            for unit in units
            for n in unit.nodes
            if n.op.name in SHIFTS and n.name not in self.buffers.stepped
        )
        return [self._moved(n) for n in nodes if n.op.steps > 1 and self.buffers.lasts(n)]  # type: ignore[attr-defined]

    def _stores(self) -> Iterable[tuple[str, Item]]:
        """What goes to the caller: the value and its store."""
        for o in self.graph.outputs:
            if o.role in STORED:
                repeated = self.buffers.repeated(self.graph[o.value])
                value = self.graph[o.value].inputs[0] if repeated else o.value
                node = self.graph[self.buffers.source(value)]
                order, field = [node.channels] * bool(node.channels), user_field(o.role, o.name)
                numbers = (node.type.size, self.buffers.pitch(node), *order)
                kind, time = "store_repeated" if repeated else "store", self.graph[o.value].type.time
                yield node.name, Call(kind, (self.buffers.buffer(value),), numbers, time, field, layer=o.name)

    def _copies(self) -> list[Item]:
        """Where one value is the gradient of several parameters (added biases), the others get a copy; and so
        do those whose sum was read before all gradients are added up."""
        copies: list[Item] = []
        for o in self.graph.outputs:
            if o.role == "gradient" and self.buffers.gradients.get(self.buffers.source(o.value)) != o.name:
                source, name = self.buffers.buffer(o.value), self.buffers.names.new(f"d_{o.name}")
                target = replace(source, name=name, place="gradient", label=o.name)
                length = self.buffers.layout.parameter_length(source.features, source.layout == "panels")
                copies.append(Call("copy_gradient", (source, target), (length,), layer=o.name))
        return copies

    def _losses(self) -> list[Item]:
        losses = [o for o in self.graph.outputs if o.role == "loss"]
        values = [(self.buffers.buffer(o.value),) for o in losses]
        return [Call("store_loss", value, field="loss", layer="loss") for value in values]
