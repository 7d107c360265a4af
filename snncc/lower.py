"""From a graph with stages, contexts and kernels to an entry of the program: buffers, items, order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .errors import InternalError
from .graph import Graph, Node
from .names import Names, identifier
from .passes.choose_kernels import is_spike
from .program import Buffer, Call, Entry, Item, Loop, Size
from .sweep import SweepBuilder

ALIASES = ("context", "reshape")  # the same memory under another name
SKIPPED = (*ALIASES, "parameter", "constant", "steps", "samples")
STORED = ("output", "state_out", "sum", "d_input", "d_state")


@dataclass(frozen=True)
class Layout:
    """Sizes that depend on the dtype."""

    real_bytes: int

    @property
    def lanes(self) -> int:
        return 64 // self.real_bytes

    def stride(self, n: int) -> int:
        """Distance between rows of n features, as snncc_stride has it."""
        return 1 if n == 1 else (n + self.lanes - 1) // self.lanes * self.lanes

    def parameter_length(self, shape: tuple[int, ...], panels: bool) -> int:
        """Reals that a parameter takes, padded so that the next one starts on a cache line."""
        count = 1
        for n in shape:
            count *= n
        length = shape[1] * self.stride(shape[0]) if panels else self.stride(count)
        return (length + self.lanes - 1) // self.lanes * self.lanes

    def size(self, layout: str, count: int, time: bool, batch: bool, shape: tuple[int, ...] = ()) -> Size:
        """Bytes of a buffer; lists are sized for any density, as snncc_events_bytes has it."""
        real, words = self.real_bytes, 8 * ((count + 63) // 64)
        if layout == "panels":
            return Size(fixed=self.parameter_length(shape, True) * real)
        row = {
            "real": self.stride(count) * real,
            "bits": words,
            "labels": 4,
            "events": 4 + 4 * count,
            "valued": 4 + (4 + real) * count,
            "transposed": (4 + real) * count,
        }[layout]
        lists = layout in ("events", "valued", "transposed")
        fixed = (448 + 16 * real + (4 * count if layout == "transposed" else 0)) if lists else 0
        if time and batch:
            return Size(seq=row, fixed=fixed)
        return Size(row=row, fixed=fixed) if batch else Size(fixed=row + fixed)


def lower(graph: Graph, name: str, real_bytes: int) -> Entry:
    """The entry point `name` that computes the graph's outputs."""
    return _Lower(graph, name, Layout(real_bytes)).entry()


class _Lower:
    def __init__(self, graph: Graph, name: str, layout: Layout) -> None:
        self.graph, self.name, self.layout = graph, name, layout
        self.names = Names()
        self.buffers: dict[tuple[str, str], Buffer] = {}  # (value, layout)
        self.readers = self._readers()
        self.gradients: dict[str, str] = {}  # value: the parameter whose gradient it is
        for o in graph.outputs:
            if o.role == "gradient":
                self.gradients.setdefault(o.value, o.name)
        self.stored = {self.source(o.value) for o in graph.outputs if o.role in STORED}
        parameters: list[Any] = [n.op for n in graph if n.op.name == "parameter"]
        self.matrices = {op.label for op in parameters if op.panels}
        self.stepped = self._stepped()
        self.states: dict[str, Buffer] = {}  # memorize or carry in a stepped loop: its rows

    def source(self, name: str) -> str:
        """The value whose memory this is."""
        while self.graph[name].op.name in ALIASES:
            name = self.graph[name].inputs[0]
        return name

    def _readers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {n.name: [] for n in self.graph}
        for node in self.graph:
            if node.op.name not in ALIASES:
                for i in dict.fromkeys(map(self.source, node.inputs)):
                    readers[i].append(node)
        return readers

    def _stepped(self) -> dict[str, int]:
        """Nodes on loops that hold more than sweeps can."""
        import networkx

        stepped: dict[str, int] = {}
        for members in networkx.strongly_connected_components(self.graph.network):
            if len(members) > 1 and not all(self.graph[m].kernel for m in members):
                loop = {self.graph[m].stage.loop for m in members if self.graph[m].stage}  # type: ignore[union-attr]
                stepped |= dict.fromkeys(members, max(loop))
        return stepped

    # ---- buffers

    def buffer(self, name: str, layout: str = "real") -> Buffer:
        """The buffer of a value, made when it is first asked for."""
        name = self.source(name)
        layout = self._own_layout(self.graph[name]) or layout
        if (name, layout) not in self.buffers:
            self.buffers[name, layout] = self._new_buffer(self.graph[name], layout)
        return self.buffers[name, layout]

    def _own_layout(self, node: Node) -> str:
        """The one layout of parameters, matrices and labels; any other value may have several."""
        op: Any = node.op
        matrix = op.name in ("weight_gradient", "transpose") or self.gradients.get(node.name) in self.matrices
        if matrix or (op.name == "parameter" and op.panels):
            return "panels"
        return "labels" if node.type.dtype == "i32" else ""

    def _new_buffer(self, node: Node, layout: str) -> Buffer:
        op: Any = node.op
        if op.name == "parameter":
            return Buffer(self.names.new(node.name), "parameter", op.features, layout=layout, label=op.label)
        type, place, label = node.type, self._place(node), self.gradients.get(node.name, "")
        inside = name_loop(self, node) and all(
            name_loop(self, r) == name_loop(self, node) for r in self.readers[node.name]
        )
        time = type.time and not (inside and node.name not in self.stored)
        suffix = {"bits": ".bits", "labels": ".labels"}.get(layout, "")
        size = self.layout.size(layout, type.size, time, type.batch, type.features)
        return Buffer(
            self.names.new(node.name + suffix), place, type.features, time, type.batch, layout, size, label
        )

    def _place(self, node: Node) -> str:
        if node.name in self.gradients:
            return "gradient"
        if node.op.name in ("sum_batch", "weight_gradient"):
            return "sum"
        return "tile" if node.type.batch or node.type.time else "shared"

    def wanted(self, node: Node) -> list[str]:
        """The layouts in which a value of a sweep leaves it."""
        outside = [r for r in self.readers[node.name] if r.kernel != node.kernel or not r.kernel]
        bits = node.op.name == "spike" and any(r.op.name == "events" for r in outside)
        real = [r for r in outside if not (bits and r.op.name == "events")]
        moved = any(
            r.op.name in ("memorize", "carry") and r.name in self.stepped for r in self.readers[node.name]
        )
        late = node.name in self.gradients or any(
            self.source(o.value) == node.name and o.role == "loss" for o in self.graph.outputs
        )
        dense = bool(real) or node.name in self.stored or moved or late
        return ["bits"] * bits + ["real"] * dense

    def state(self, node: Node) -> Buffer:
        """Rows that a stepped loop carries from step to step."""
        if node.name not in self.states:
            size = self.layout.size("real", node.type.size, False, True)
            name = self.names.new(node.op.buffer + ".state")  # type: ignore[attr-defined]
            self.states[node.name] = Buffer(name, "tile", node.type.features, False, True, "real", size)
        return self.states[node.name]

    # ---- items

    def entry(self) -> Entry:
        units = self._units(self.graph.order)
        sections: dict[str, list[Item]] = {"once": [], "tile": [], "finish": []}
        for key in self._order(units):
            nodes = units[key]
            kind = nodes[-1].stage.kind if nodes[-1].stage else "once"
            sections[kind if kind in sections else "tile"] += self._items(nodes)
        sections["tile"] += self._stores()
        sections["finish"] += [*self._copies(), *self._losses()]
        inputs: list[Any] = [n.op for n in self.graph if n.op.name == "input"]
        required = [op.label for op in inputs if op.role in ("input", "target")]
        return Entry(
            self.name,
            tuple(sections["once"]),
            tuple(sections["tile"]),
            tuple(sections["finish"]),
            tuple(map(identifier, required)),
        )

    def _units(self, names: Iterable[str], inside: bool = False) -> dict[str, list[Node]]:
        """What runs as one item: a loop over time, the nodes of a kernel, or a node alone."""
        units: dict[str, list[Node]] = {}
        for name in names:
            node = self.graph[name]
            if node.op.name in SKIPPED or node.type.dtype in ("scalar", "number"):
                continue
            loop = self.stepped.get(name, 0)
            key = f"loop {loop}" if loop and not inside else f"kernel {node.kernel}" if node.kernel else name
            units.setdefault(key, []).append(node)
        return units

    def _order(self, units: dict[str, list[Node]]) -> list[str]:
        """Items in an order in which everything is made before it is read."""
        import networkx

        unit_of = {node.name: key for key, nodes in units.items() for node in nodes}
        order = networkx.DiGraph()
        order.add_nodes_from(units)
        for key, nodes in units.items():
            for node in nodes:
                for i in self._read_now(node):
                    before = unit_of.get(self.source(i))
                    if before is not None and before != key:
                        order.add_edge(before, key)
        position = {key: i for i, key in enumerate(units)}
        try:
            return list(networkx.lexicographical_topological_sort(order, key=position.__getitem__))
        except networkx.NetworkXUnfeasible:
            raise InternalError(f"{self.name}: fuse made kernels that wait for each other") from None

    def _read_now(self, node: Node) -> Iterable[str]:
        """What must be there when a node runs; in a loop, not what its delay is fed."""
        return (
            node.inputs[1:]
            if node.name in self.stepped and node.op.name in ("memorize", "carry")
            else node.inputs
        )

    def _items(self, nodes: list[Node], inside: bool = False) -> list[Item]:
        if nodes[0].name in self.stepped and not inside:
            return self._loop(nodes)
        if nodes[0].kernel:
            return [SweepBuilder(self, nodes).build()]
        return [self._call(nodes[0])]

    def _loop(self, nodes: list[Node]) -> list[Item]:
        """A loop over time around products: states start, items run a step each, states move on."""
        units = self._units((n.name for n in nodes), inside=True)
        shifts = [n for n in nodes if n.op.name in ("memorize", "carry")]
        start: list[Item] = []
        for node in shifts:
            if node.op.name == "memorize":
                start.append(
                    Call(
                        "copy_rows",
                        (self.buffer(node.inputs[1]), self.state(node)),
                        (self._stride(node),),
                        writes=1,
                    )
                )
            else:
                start.append(Call("zero_rows", (self.state(node),), (self._stride(node),), writes=0))
        items = [item for key in self._order(units) for item in self._items(units[key], inside=True)]
        moves = tuple((self.state(n), self.buffer(n.inputs[0])) for n in shifts)
        stage = shifts[0].stage
        assert stage is not None
        return [*start, Loop(tuple(items), stage.kind == "reverse", stage.unroll, moves)]

    def _stride(self, node: Node) -> int:
        return self.layout.stride(node.type.size)

    def _stores(self) -> list[Item]:
        stores: list[Item] = []
        for o in self.graph.outputs:
            if o.role in STORED:
                node = self.graph[o.value]
                numbers = (node.type.size, self._stride(node))
                field = user_field(o.role, o.name)
                stores.append(Call("store", (self.buffer(o.value),), numbers, node.type.time, field))
        return stores

    def _copies(self) -> list[Item]:
        """Where one value is the gradient of several parameters (biases that are added), the others get a copy."""
        copies: list[Item] = []
        for o in self.graph.outputs:
            if o.role == "gradient" and self.gradients[o.value] != o.name:
                source = self.buffer(o.value)
                target = replace(source, name=self.names.new(f"d_{o.name}"), label=o.name)
                length = self.layout.parameter_length(source.features, source.layout == "panels")
                copies.append(Call("copy_gradient", (source, target), (length,), writes=1))
        return copies

    def _losses(self) -> list[Item]:
        losses = [o for o in self.graph.outputs if o.role == "loss"]
        return [Call("store_loss", (self.buffer(o.value),), field="loss") for o in losses]

    def _call(self, node: Node) -> Call:
        """The hand-written kernel of a node that is no sweep."""
        op: Any = node.op
        buffer, stride = self.buffer, self._stride
        n, time = node.type.size, node.type.time and node.name not in self.stepped
        inputs = node.inputs
        match op.name:
            case "input" if node.type.dtype == "i32":
                classes = next(r.op.classes for r in self.readers[node.name])  # type: ignore[attr-defined]
                return Call(
                    "load_labels", (buffer(node.name, "labels"),), (classes,), field=op.label, writes=0
                )
            case "input":
                role = "cotangent" if op.role == "cotangent" else "input"
                field = user_field(role, op.label)
                return Call("load", (buffer(node.name),), (n, stride(node)), time, field, writes=0)
            case "state":
                default, value = self.graph[inputs[0]], 0.0
                if default.op.name == "constant":
                    value = default.op.value  # type: ignore[attr-defined]
                given = None if default.op.name == "constant" else buffer(inputs[0])
                return Call(
                    "load_state",
                    (buffer(node.name), given),
                    (n, stride(node)),
                    False,
                    user_field("state", op.label),
                    writes=0,
                    value=value,
                )
            case "linear":
                return self._product(node, time)
            case "weight_gradient":
                return self._weight_gradient(node)
            case "transpose":
                shape = self.graph[inputs[0]].type.features
                return Call("transpose", (buffer(inputs[0]), buffer(node.name, "panels")), shape, writes=1)
            case "events":
                return self._events(node, time)
            case "log_softmax":
                return Call(
                    "log_softmax", (buffer(inputs[0]), buffer(node.name)), (n, stride(node)), time, writes=1
                )
            case "sum_features":
                x = self.graph[inputs[0]]
                kind = "sum_features" if x.type.batch else "sum_features_once"
                return Call(
                    kind, (buffer(x.name), buffer(node.name)), (x.type.size, stride(x)), time, writes=1
                )
            case "one_hot":
                labels = buffer(inputs[0], "labels")
                return Call("one_hot", (labels, buffer(node.name)), (n, stride(node)), time, writes=1)
        raise InternalError(f"%{node.name}: no kernel for {op.name}")

    def _list_layout(self, name: str) -> str:
        return "events" if is_spike(self.graph, name) else "valued"

    def _events(self, node: Node, time: bool) -> Call:
        x = self.graph[self.source(node.inputs[0])]
        layout = self._list_layout(node.name)
        target = self.buffer(node.name, layout)
        if layout == "events":
            return Call(
                "events_from_bits", (self.buffer(x.name, "bits"), target), (x.type.size,), time, writes=1
            )
        numbers = (x.type.size, self._stride(x))
        return Call("events_from_rows", (self.buffer(x.name), target), numbers, time, writes=1)

    def _product(self, node: Node, time: bool) -> Call:
        op: Any = node.op
        x = self.graph[node.inputs[0]]
        lists = [i for i in node.inputs if self.graph[self.source(i)].op.name == "events"]
        rest = [i for i in node.inputs[1:] if i not in lists]
        weight, bias = self.buffer(rest[0], "panels"), self.buffer(rest[1]) if len(rest) > 1 else None
        y = self.buffer(node.name)
        listed = tuple(self.buffer(i, self._list_layout(i)) for i in lists)
        if op.kernel == "events":
            return Call(
                "product_events",
                (*listed, weight, bias, y),
                (x.type.size, self._stride(node)),
                time,
                writes=3,
            )
        dense = (self._operand(node), weight, bias, y)
        numbers = (x.type.size, self._stride(x), self._stride(node))
        if op.kernel == "counted":
            return Call("product", (*listed, *dense), numbers, time, writes=4)
        return Call("product_dense", dense, numbers, time, writes=3)

    def _operand(self, node: Node) -> Buffer:
        """The dense operand of a product; in a loop, a carried value is read from its state."""
        x = self.graph[self.source(node.inputs[0])]
        return self.buffer(x.name)

    def _weight_gradient(self, node: Node) -> Call:
        d_y, x = (self.graph[i] for i in node.inputs)
        layout = self._list_layout(x.name)
        shape = node.type.features
        scratch = Buffer(
            self.names.new(f"{node.name}.by_input"),
            "tile",
            (shape[1],),
            x.type.time,
            True,
            "transposed",
            self.layout.size("transposed", shape[1], x.type.time, True),
        )
        buffers = (
            self.buffer(x.name, layout),
            self.buffer(d_y.name),
            scratch,
            self.buffer(node.name, "panels"),
        )
        return Call("weight_gradient", buffers, (shape[1], self._stride(d_y)), x.type.time, writes=3)


def name_loop(work: _Lower, node: Node) -> int:
    """The stepped loop that a node is on, or 0."""
    return work.stepped.get(node.name, 0)


def user_field(role: str, name: str) -> str:
    """The member of the io struct for an array of the caller."""
    prefix = {"cotangent": "d_", "d_input": "grad_", "d_state": "grad_", "sum": "sum_"}.get(role, "")
    suffix = {"state_out": "_next"}.get(role, "")
    return identifier(f"{prefix}{name}{suffix}")
