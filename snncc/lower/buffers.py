"""Which buffer a value lives in: its place, layout and size, and who needs it in which form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import InternalError
from ..graph import Graph, Node
from ..names import Names
from ..ops.leaf import Parameter
from ..ops.time import STORED as MOVED
from ..passes.choose_kernels import is_spike
from ..passes.fuse import in_place
from ..passes.unroll_time import SUMS
from ..program import Buffer, Call, Size
from .groups import of_node, of_panels
from .layout import BY_ROW, Layout

ALIASES = ("context", "reshape")  # the same memory under another name
# Roles of what a tile hands to the caller.
STORED = ("output", "state_out", "sum", "score", "d_input", "d_state")
SHIFTS = ("memorize", "carry")
MATRICES = ("weight_gradient", "conv_gradient", "transpose")


class Buffers:
    """The buffers of one entry point; made when a kernel first asks for them."""

    def __init__(self, graph: Graph, layout: Layout, segmented: bool = False) -> None:
        self.graph, self.layout, self.segmented = graph, layout, segmented
        self.names = Names()
        self.made: dict[tuple[str, str], Buffer] = {}  # (value, layout)
        self.kept = self._kept()
        self.readers = self._readers()
        self.gradients: dict[str, str] = {}  # value: the parameter whose gradient it is
        for o in graph.outputs:
            if o.role == "gradient" and not self._read_early(self.source(o.value)):
                self.gradients.setdefault(self.source(o.value), o.name)
        self.stored = {self.source(o.value) for o in graph.outputs if o.role in STORED}
        self.losses = {self.source(o.value) for o in graph.outputs if o.role == "loss"}
        parameters: list[Any] = [n.op for n in graph if n.op.name == "parameter"]
        self.matrices = {op.label for op in parameters if op.panels}
        self.panelled = self._panelled()
        self.stepped = self._stepped()
        self.lasting = self._lasting()
        named = {n.op.label: n.name for n in graph if isinstance(n.op, Parameter)}
        # What a parameter is after the call is written in its place.
        self.updated = {self.source(o.value): named[o.name] for o in graph.outputs if o.role == "parameter"}
        self.blocks: set[str] = set()  # values without a time axis, made or read before or after tiles
        self.states: dict[tuple[str, str], Buffer] = {}  # memorize or carry in memory: its rows, by layout
        self.marked: dict[str, Buffer] = {}  # memorize: its rows at the start of each segment of time
        self.starts: dict[str, Buffer] = {}  # memorize: its rows at the start of the segment at hand
        self.passed: dict[str, Buffer] = {}  # first: its rows in the segment at hand
        self.one_round = False  # whether each segment runs forward and backward at once

    def source(self, name: str) -> str:
        """The value whose memory this is."""
        while self.graph[name].op.name in ALIASES:
            name = self.graph[name].inputs[0]
        return name

    def repeated(self, node: Node) -> bool:
        """Whether the caller gets the same row at each step: the store writes it, and nothing is computed."""
        if node.op.name != "expand" or self.layout.device or self.segmented or node.channels:
            return False
        before, after = self.graph[node.inputs[0]].type, node.type
        same = before.features == after.features and before.batch and not before.time
        stored = {o.value for o in self.graph.outputs if o.role in STORED}
        return same and after.time and node.name in stored and not self.graph.readers()[node.name]

    def _kept(self) -> dict[str, tuple[str, str]]:
        """Contexts of another format, and what is made of them: the value behind, and its layout."""
        kept: dict[str, tuple[str, str]] = {}
        for name in self.graph.order:
            op: Any = self.graph[name].op
            if op.name == "context" and op.format:
                kept[name] = (self.source(name), op.format)
            elif op.name in ALIASES and self.graph[name].inputs[0] in kept:
                kept[name] = kept[self.graph[name].inputs[0]]
        return kept

    def _readers(self) -> dict[str, list[Node]]:
        """Who reads a value itself, and not a copy that is kept in another format."""
        readers: dict[str, list[Node]] = {n.name: [] for n in self.graph}
        for node in self.graph:
            if node.op.name not in ALIASES:
                for i in dict.fromkeys(self.source(i) for i in node.inputs if i not in self.kept):
                    readers[i].append(node)
        return readers

    def phase(self, name: str) -> int:
        """The phase in which a value is made."""
        stage = self.graph[name].stage
        return stage.phase if stage else 0

    def _lasting(self) -> set[tuple[str, str]]:
        """What another phase than its own reads, and its layout: kept for all samples."""
        found = set()
        for node in self.graph:
            for i in node.inputs if node.op.name not in ALIASES else ():
                value, layout = self.kept.get(i, (self.source(i), "real"))
                if self.phase(value) != self.phase(node.name):
                    found.add((value, layout))
                    if self.graph[value].op.name == "events":
                        raise InternalError(f"%{node.name} reads the list %{value} of another phase")
        return found

    def _read_early(self, name: str) -> bool:
        """Whether a sum is read before the last phase is done, and so is added up before gradients are."""
        last = max(self.phase(n.name) for n in self.graph)
        return self.graph[name].op.name in SUMS and self.phase(name) < last and bool(self.readers[name])

    def _panelled(self) -> set[str]:
        """Matrices as products have them: weights, their gradients, and what is computed from either."""
        found: set[str] = set()
        for name in self.graph.order:
            node = self.graph[name]
            op: Any = node.op
            matrix = op.name in MATRICES or self.gradients.get(name) in self.matrices
            same = (i for i in node.inputs if self.graph[i].type.features == node.type.features)
            computed = (bool(node.kernel) or op.name in ALIASES) and any(i in found for i in same)
            if matrix or computed or (op.name == "parameter" and op.panels):
                found.add(name)
        return found

    def _stepped(self) -> dict[str, int]:
        """Nodes on loops that hold more than sweeps can."""
        stepped: dict[str, int] = {}
        for members in self.graph.components:
            if len(members) > 1 and not all(self.graph[m].kernel for m in members):
                stages = (self.graph[m].stage for m in members)
                stepped |= dict.fromkeys(members, max(s.loop for s in stages if s))
        for name, readers in self.readers.items():  # what a kernel in a loop makes in place
            kernel = self.graph[name].kernel if in_place(self.graph[name]) else ""
            loops = {stepped.get(r.name, 0) for r in readers if r.kernel == kernel}
            if kernel and len(loops) == 1 and max(loops):
                stepped[name] = loops.pop()
        return stepped

    def buffer(self, name: str, layout: str = "real") -> Buffer:
        """The buffer of a value, made when it is first asked for."""
        name, layout = self.kept.get(name, (self.source(name), layout))
        layout = self._own_layout(self.graph[name]) or layout
        name = self.updated.get(name, name)
        if (name, layout) not in self.made:
            self.made[name, layout] = self._new_buffer(self.graph[name], layout)
        return self.made[name, layout]

    def _own_layout(self, node: Node) -> str:
        """The one layout of parameters, matrices and labels; any other value may have several."""
        if node.name in self.panelled:
            return "panels"
        if node.op.name == "table":
            return "table"
        return "labels" if node.type.dtype == "i32" else ""

    def _new_buffer(self, node: Node, layout: str) -> Buffer:
        op: Any = node.op
        features = self.matrix(node) if layout == "panels" else node.type.features
        if op.name in ("parameter", "table"):
            return Buffer(self.names.new(node.name), "parameter", features, layout=layout, label=op.label)
        type, place, label = node.type, self._place(node), self.gradients.get(node.name, "")
        time = type.time and (layout in self._copies(node.name) or not self._stays_in_loop(node))
        suffix = "" if layout in ("real", "panels", *BY_ROW) else f".{layout}"
        if place in ("tile", "block") and (node.name, layout) in self.lasting:
            place = "whole"
        rows = {"whole": "tile"}.get(place, place) if place in ("tile", "block", "whole") else ""
        size = self.layout.size(layout, type.size, time, rows, features)
        turns = type.time and not time and (layout in self._fed(node.name) or not self.stepped.get(node.name))
        ring = self._reach(node) + 1 if turns else 0
        size = replace(size, row=ring * size.row) if ring else size
        name = self.names.new(node.name + suffix)
        return Buffer(name, place, features, time, type.batch, layout, size, label, ring)

    def _stays_in_loop(self, node: Node) -> bool:
        """Whether only its own loop over time reads a value, or what it is at the end: then rows of one
        step are enough, or of as many as later steps go back."""
        loop, readers, reach = self.stepped.get(node.name, 0), self.readers[node.name], self._reach(node)
        spans = node.op.spans or any(r.op.spans for r in readers)  # late synapses read or write other steps
        if node.name in self.stored or (self.segmented and reach > 1) or spans:
            return False
        if loop:
            return all(r.op.name == "last" or self.stepped.get(r.name) == loop for r in readers)
        return reach > 1 and bool(node.kernel) and all(r.kernel == node.kernel for r in readers)

    def _reach(self, node: Node) -> int:
        """How many steps later a value is still read."""
        moves: list[Any] = [r.op for r in self.readers[node.name] if r.op.name in (*SHIFTS, *MOVED)]
        return max((op.steps for op in moves), default=0)

    def reads_state(self, reader: Node, node: Node) -> bool:
        """Whether a kernel of a loop over products reads what a node carries where it lies, a step before."""
        loop = self.stepped.get(node.name, 0) if node.op.name in SHIFTS else 0
        direct = bool(reader.kernel) or reader.op.name in ("linear", "events")
        return bool(loop) and self.stepped.get(reader.name) == loop and direct

    def carried(self, node: Node) -> list[str]:
        """The layouts in which a loop over products carries a state: bits where spikes are listed."""
        bits = any(r.op.name == "events" and self.reads_state(r, node) for r in self.readers[node.name])
        real = any(
            r.op.name != "events" or not self.reads_state(r, node) for r in self.readers[node.name]
        ) or bool(self._copies(node.name))
        return ["real"] if self.segmented else ["real"] * real + ["bits"] * bits

    def _fed(self, name: str) -> list[str]:
        """The layouts in which loops over products read a value a step later."""
        shifts = [r for r in self.readers[name] if r.op.name in SHIFTS and r.name in self.stepped]
        fed = (self.carried(r) for r in shifts if self.source(r.inputs[0]) == name)
        return list(dict.fromkeys(layout for layouts in fed for layout in layouts))

    def _place(self, node: Node) -> str:
        if node.name in self.gradients:
            return "gradient"
        if node.op.name in SUMS:
            return "sum"
        if node.name in self.blocks and node.type.batch and not node.type.time:
            return "block"
        return "tile" if node.type.batch or node.type.time else "shared"

    def wanted(self, node: Node) -> list[str]:
        """The layouts in which a value of a sweep leaves it."""
        outside = [r for r in self.readers[node.name] if self._reads_memory(r, node)]
        fed, spikes = self._fed(node.name), is_spike(self.graph, node.name)
        bits = "bits" in fed or (spikes and any(r.op.name == "events" for r in outside))
        real = [r for r in outside if not (bits and r.op.name == "events")]
        copies = self._copies(node.name)
        moved = any(r.op.name in MOVED or self._reads_far(r) for r in self.readers[node.name])
        late = node.name in {*self.gradients, *self.losses, *self.updated}
        dense = bool(real) or moved or node.name in self.stored or "real" in fed or late
        return list(dict.fromkeys(["bits"] * bits + copies + ["real"] * dense))

    def _reads_memory(self, reader: Node, node: Node) -> bool:
        """Whether a reader finds a value in memory, under the value's own name."""
        if reader.kernel and reader.kernel == node.kernel:
            return False
        later = reader.op.name in SHIFTS and reader.name in self.stepped
        moved = later and self.source(reader.inputs[0]) == node.name  # as a state
        return not moved and not self.reads_state(reader, node)

    def _reads_far(self, reader: Node) -> bool:
        """Whether a loop of one kernel reads what it wrote several steps before."""
        op: Any = reader.op
        return op.name in SHIFTS and op.steps > 1 and reader.name not in self.stepped

    def _copies(self, name: str) -> list[str]:
        """The formats in which a value is kept for the backward half, if not as it is."""
        return list(dict.fromkeys(format for value, format in self.kept.values() if value == name))

    def state(self, node: Node, layout: str = "real") -> Buffer:
        """Rows from which a stepped loop starts, or any loop from segment to segment."""
        if (node.name, layout) not in self.states:
            op: Any = node.op
            size = self.layout.size(layout, node.type.size, False, "tile")
            ring = op.steps if op.steps > 1 and (op.name == "memorize" or self.lasts(node)) else 0
            size = replace(size, row=ring * size.row) if ring else size
            name = self.names.new(op.buffer + ".state" + f".{layout}" * (layout != "real"))
            self.states[node.name, layout] = Buffer(
                name, "tile", node.type.features, False, True, layout, size, ring=ring
            )
        return self.states[node.name, layout]

    def lasts(self, node: Node) -> bool:
        """Whether a state goes on from segment to segment: not what a truncated gradient carries."""
        return self.segmented and not getattr(node.op, "every", 0)

    def held(self, node: Node) -> int:
        """Reals of a sample in a state."""
        return self.pitch(node) * (self.state(node).ring or 1)

    def operand(self, reader: Node, name: str, layout: str = "real") -> Buffer:
        """The buffer in which a kernel finds an operand: of the value, or of the state that it is."""
        node = self.graph[self.source(name)]
        if not self.reads_state(reader, node):
            return self.buffer(name, layout)
        return self.state(node, layout if layout in self.carried(node) else "real")

    def started(self, node: Node, layout: str = "real") -> Call:
        """The call that sets a state to what it is before the first step, or a sum over time to zero."""
        pitch, kept = self.pitch(node), node.op.name == "last_steps"
        if kept or (node.op.name == "memorize" and self.graph[node.inputs[1]].op.name != "constant"):
            initial = self.buffer(node.inputs[1])
            state = self.buffer(node.name) if kept else self.state(node, layout)
            if state.ring:
                sizes = (initial.count, state.ring, node.type.size, pitch, self.layout.row(initial))
                return Call("start_ring" + "_bits" * (layout == "bits"), (initial, state), sizes)
            if layout == "bits":
                return Call("pack_rows", (initial, state), (node.type.size, pitch))
            return Call("copy_rows", (initial, state), (pitch,))
        if node.op.name in SHIFTS:
            return Call("zero_rows", (self.state(node),), (self.held(node),))
        return Call("zero_rows", (self.buffer(node.name),), (pitch,))

    def marks(self, node: Node) -> Buffer:
        """The rows of a state at the start of each segment of time."""
        if node.name not in self.marked:
            op: Any = node.op
            size = Size(mark=self.held(node) * self.layout.real_bytes)
            name = self.names.new(op.buffer + ".marks")
            self.marked[node.name] = Buffer(name, "tile", node.type.features, True, True, "marks", size)
        return self.marked[node.name]

    def before(self, node: Node) -> Buffer | None:
        """What is read of another step where the sequence has none: initial rows, or those of the segment
        before (backward, behind); None for zeros."""
        if node.op.name in SHIFTS and self.lasts(node):
            return self.state(node)
        if node.op.name in ("carry", "following"):
            return None
        if not self.segmented:
            return self.buffer(node.inputs[1])
        carrier = self.carrier(node)
        return self.start(carrier) if self.one_round else self.state(carrier)

    def passing(self, node: Node) -> Buffer:
        """Where a segment leaves what is wanted of the first one alone."""
        if node.name not in self.passed:
            kept = self.buffer(node.name)
            self.passed[node.name] = replace(kept, name=self.names.new(f"{kept.name}.here"))
        return self.passed[node.name]

    def start(self, node: Node) -> Buffer:
        """The rows of a state at the start of the segment, kept while the forward half moves them on."""
        if node.name not in self.starts:
            state = self.state(node)
            name = self.names.new(state.name.removesuffix("_state") + ".start")
            self.starts[node.name] = replace(state, name=name)
        return self.starts[node.name]

    def carrier(self, node: Node) -> Node:
        """The memorize whose kept sequence a `previous` reads."""
        sources = [self.source(i) for i in node.inputs]
        memories = (n for n in self.graph if n.op.name == "memorize")
        return next(n for n in memories if [self.source(i) for i in n.inputs] == sources)

    def length(self, node: Node) -> int:
        """Elements that a sweep over a value runs through: of panels also those between the rows."""
        if self._own_layout(node) != "panels":
            return node.type.size
        n_out, n_in = self.matrix(node)
        return n_in * self.layout.stride(n_out)

    def runs_all_steps(self, node: Node) -> bool:
        """Whether a call runs over all steps at once."""
        return node.type.time and node.name not in self.stepped

    def list_layout(self, name: str) -> str:
        """The layout of a list of events: of ones, of numbers, or of numbers that all readers count."""
        if is_spike(self.graph, name):
            return "events"
        kernels = {getattr(r.op, "kernel", "") for r in self.readers[self.source(name)]}
        return "counted" if kernels == {"counted"} else "valued"

    def tokens(self, node: Node) -> bool:
        """Whether a product is of the rows of tokens [..., n] and not of rows of features."""
        product = node.op.name in ("linear", "weight_gradient")
        return product and len(self.graph[node.inputs[0]].type.features) > 1

    def matrix(self, node: Node) -> tuple[int, int]:
        """Rows (outputs, last where it is transposed) and columns of a weight."""
        features, turned = node.type.features, self.graph[self.source(node.name)].op.name == "transpose"
        n_out = node.type.size // features[-1] if turned else features[0]
        return n_out, node.type.size // n_out

    def group(self, node: Node) -> str:
        """Of an element of a spread, C's text for that of its operand."""
        if any(n.kernel == node.kernel and n.name in self.panelled for n in self.graph):
            return of_panels(*self.matrix(node), self.layout)
        return of_node(node, self.graph[node.inputs[0]]).index(not self.layout.device)

    def pitch(self, node: Node) -> int:
        """Distance between two rows of a value in scratch."""
        return self.layout.pitch(node.type.size)
