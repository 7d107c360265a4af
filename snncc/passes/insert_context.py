"""insert_context: keep exactly the forward values that the backward half needs.

before:  %u = sub(%mem, 1.0)                    %d_u = mul(%d_spk, %u)           (backward)
after:   %ctx_mem = context(%mem)               %u.again = sub(%ctx_mem, 1.0)
                                                %d_u = mul(%d_spk, %u.again)

What a product reads backward is kept as it is. For what elementwise operators read, a minimum cut of
the forward graph finds the cheapest set of values from which all of it can be computed again without
running a loop or a product a second time; values are priced by their bytes a step. What takes a
polynomial (exp, sigmoid) costs more to compute again than a number costs to keep. A delayed value
is read from the kept sequence, one row earlier; a delay of a delay two rows earlier.

A list of events has room for any density. If it is no input's, it is not kept through the products of later
layers, but made again from the spikes, a bit each, or from the numbers that are listed.

before:  %spk.events = events(%spk)             %d_w = weight_gradient<events>(%d_y, %spk.events)
after:   %ctx_spk.bits = context<bits>(%spk)    %spk.events.again = events(%ctx_spk.bits)
                                                %d_w = weight_gradient<events>(%d_y, %spk.events.again)

With a format (float32 of a double, float16, bfloat16) elementwise operators read rounded values:

after:   %ctx_mem = context<float16>(%mem)      %u.again = sub(%ctx_mem, 1.0)

The forward half stays as it is, and so does what products read. Whether a neuron has fired must not be
computed again from a rounded membrane: spikes and comparisons are kept, a bit each.

The same goes for phases (see `unroll_time`): what a phase reads of an earlier one is kept for the whole
batch, or computed again. The halves of a phase are two rounds of a tile; each round reads of those before
it. What the caller gave is copied in again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..graph import Graph, Node, Op, Stage
from ..ops.groups import SWEPT
from ..ops.linear import Context, Events
from ..ops.reduce import Reshape
from ..ops.time import Carry, Memorize, Previous
from ..ops.views import Concat
from .base import Pass
from .choose_kernels import is_spike, origin
from .simplify import live
from .unroll_time import SUMS

if TYPE_CHECKING:
    import networkx

PRODUCTS = ("linear", "sparse_linear", "delayed_linear")
LONG = 2  # later products through which a list of numbers is not kept; of spikes, which is made faster: 1
ONCE_A_TILE = 16  # a value without a time axis costs this much less than one with


STEPS = ("spike", "greater", "greater_equal", "floor")  # a small change of an operand may change everything
REALS = ("real", "f32", "f64")
POLYNOMIALS = ("exp", "log", "sin", "cos", "tanh", "sigmoid")
AGAIN = 1.5  # numbers kept that cost as much as one polynomial: a few times a load and a store
BITS = {"": 32, "float32": 32, "float16": 16, "bfloat16": 16, "bits": 1}


@dataclass(frozen=True)
class InsertContext(Pass):
    """format: of the values that elementwise operators read backward; "" for the network's own.

    segmented: whether time is cut into segments. Then a state whose sequence is read again carries on in the
    forward half, even if nothing there reads it: a segment begins with what the one before left in it.
    """

    format: str = ""
    segmented: bool = False

    def run(self, graph: Graph) -> Graph:
        work = _Context(graph, self.format, self.segmented)
        for later in work.rounds[1:]:
            work.keep_for(later)
        return work.rebuild()


Round = tuple[int, bool]  # phase, and whether it is its backward half


def _round(node: Node) -> Round:
    phase = node.stage.phase if node.stage else 0
    return phase, node.half == "backward"


class _Context:
    def __init__(self, graph: Graph, format: str, segmented: bool) -> None:
        self.graph, self.format, self.segmented = graph, format, segmented
        self.in_tiles = {n.name: n for n in graph if n.stage and n.stage.kind not in ("once", "finish")}
        self.rounds = sorted({(0, False), *map(_round, self.in_tiles.values())})
        self.kept: dict[Round, set[str]] = {}  # what each round reads as it was kept
        self.formats: dict[str, str] = {}  # of the values to keep
        self.spread = {n.inputs[0] for n in graph if n.op.name == "spread"}  # read one by one, so as they are
        self.loop_values = {n.inputs[0] for n in graph if isinstance(n.op, (Memorize, Previous, Carry))}
        self.again: dict[tuple[str, Round], str] = {}
        self.nodes: dict[str, Node] = {}

    def crosses(self, name: str, later: Round) -> bool:
        """Whether a value is made in an earlier round, for each tile anew."""
        node = self.graph[name]
        return (node.type.time or node.type.batch) and node.op.name not in SUMS and _round(node) < later

    def given(self, node: Node, later: Round) -> bool:
        """Whether a value is the caller's, for whom another phase asks once more."""
        return node.op.name in ("input", "state") and _round(node)[0] < later[0]

    def keep_for(self, later: Round) -> None:
        """Chooses what a round reads of those before it."""
        needed: dict[str, None] = {}
        kept: set[str] = set()
        for node in (n for n in self.in_tiles.values() if _round(n) == later):
            for source in node.inputs:
                if not self.crosses(source, later) or self.given(self.graph[source], later):
                    continue
                if isinstance(node.op, SWEPT):
                    needed[source] = None
                else:
                    kept.add(source)
        for name in [name for name in kept if self._listed_again(self.graph[name], later)]:
            kept.remove(name)
            listed = self.graph[self.graph[name].inputs[0]]
            if is_spike(self.graph, name):
                made = listed.inputs[1:] if self._on_loop(listed) else ()
            else:
                made = (listed.name,)
            kept |= {i for i in made if self.crosses(i, later) and not self.given(self.graph[i], later)}
        format = self.format if later[1] else ""
        cut = self._cut(list(needed), kept, later, format)
        for name in cut - kept:
            exact = "" in (format, self.formats.get(name, format))
            self.formats[name] = "" if exact else self._format(self.graph[name], format)
        self.formats |= dict.fromkeys(kept, "")
        self.kept[later] = kept | cut

    def _listed_again(self, node: Node, later: Round) -> bool:
        """Whether a list is not worth its memory until a later round: other products run before."""
        phase = _round(node)[0]
        if node.op.name != "events" or phase != later[0]:
            return node.op.name == "events"
        if not node.type.time or origin(self.graph, node.name).op.name == "input":
            return False  # an input lies in the caller's memory, which is far away
        forward = (n for n in self.graph if _round(n) == (phase, False) and n.op.name in PRODUCTS)
        readers = [node.name in n.inputs for n in forward]
        products = readers[::-1].index(True) if any(readers) else LONG
        return products >= (1 if is_spike(self.graph, node.name) else LONG)

    def _cut(self, needed: list[str], kept: set[str], later: Round, format: str) -> set[str]:
        import networkx

        network = networkx.DiGraph()
        network.add_nodes_from(["source", "sink"])
        work, position = list(needed), {name: i for i, name in enumerate(self.graph.nodes)}
        had = kept | self._lasting()
        while work:
            name = work.pop()
            if (name, "in") in network:
                continue
            price = 0 if name in had else self._price(self.graph[name], format)
            # Of equal cuts the earlier one, where the user's own values are.
            network.add_edge((name, "in"), (name, "out"), capacity=price * 2**20 + position[name])
            inputs = self._ingredients(self.graph[name], later, format)
            if inputs is None:
                network.add_edge("source", (name, "in"))
            elif self.graph[name].op.name in POLYNOMIALS and not format:
                network.add_edge("source", (name, "in"), capacity=int(AGAIN * price) * 2**20)
            for source in inputs or ():
                network.add_edge((source, "out"), (name, "in"))
                work.append(source)
        for name in needed:
            network.add_edge((name, "out"), "sink")
        return _cut_nodes(network)

    def _lasting(self) -> set[str]:
        """What is kept for the whole batch already, because some later phase reads it."""
        return {n for later, names in self.kept.items() for n in names if _round(self.graph[n])[0] < later[0]}

    def _price(self, node: Node, format: str) -> int:
        bits = BITS[self._format(node, format)]
        return node.type.size * bits * (ONCE_A_TILE if node.type.time else 1)

    def _format(self, node: Node, format: str) -> str:
        """What a sweep can store; inputs, products and reductions over features stay as they are."""
        swept = isinstance(node.op, (*SWEPT, Memorize, Previous)) and node.type.dtype in REALS
        if not format or not swept or node.name in self.spread:
            return ""
        return "bits" if node.type.time and node.op.name in STEPS[:-1] else format

    def _ingredients(self, node: Node, later: Round, format: str) -> list[str] | None:
        """What a value can be computed from again; None if it cannot."""
        if self.given(node, later):
            return []
        if moved := self._moved(node):
            return [i for i in (moved[0], *moved[1]) if self.crosses(i, later)]
        if node.name in self.loop_values or not isinstance(node.op, (*SWEPT, Memorize, Previous)):
            return None
        if format and node.op.name in STEPS:
            return None
        return [i for i in node.inputs if self.crosses(i, later)]

    def _moved(self, node: Node) -> tuple[str, list[str], int] | None:
        """The value that a delay, or one of a delay, moves; what is read before it, of the last delay first;
        and by how many steps. None of anything else, and where it is not read as rows of that value: rows of
        images may lie in another order than what was before, a segment of time has states of its own, and
        delays that feed each other alone move nothing else."""
        name, before, steps = node.name, [], 0
        seen: set[str] = set()
        while isinstance(op := self.graph[name].op, (Memorize, Previous)):
            if name in seen:
                return None
            seen.add(name)
            (name, initial), steps = self.graph[name].inputs, steps + op.steps
            before.append(initial)
        plain = len(node.type.features) < 2 and not self.segmented
        return (name, before, steps) if before and plain else None

    def rebuild(self) -> Graph:
        """The graph with contexts, and with what is computed again."""
        contexts = set().union(*self.kept.values()) if self.kept else set()
        # A list that only another round reads is not made before.
        unread = {n.name for n in self.graph if n.op.name == "events"} - contexts
        unread -= {i for n in self.graph for i in n.inputs if not self.crosses(i, _round(n))}
        for node in self.graph:
            if node.name in unread:
                continue
            self.nodes[node.name] = self._reading(node, _round(node))
            if node.name in contexts:
                op = Context(self.formats[node.name])
                self.nodes[f"ctx_{node.name}"] = replace(
                    node, name=f"ctx_{node.name}", op=op, inputs=(node.name,), stage=_stage(node)
                )
        states = [name for name, _ in self.again if isinstance(self.graph[name].op, Memorize)]
        # Forward values may be read by nothing any more.
        return live(Graph(self.nodes, self.graph.outputs), states if self.segmented else ())

    def _reading(self, node: Node, later: Round) -> Node:
        """A node of a round, which reads what was kept for it and what it computes again."""
        inputs = (self._read(i, later) if self.crosses(i, later) else i for i in node.inputs)
        return replace(node, inputs=tuple(inputs)) if node.name in self.in_tiles else node

    def _read(self, name: str, later: Round) -> str:
        """A round's copy of a value of an earlier one."""
        if name in self.kept[later]:
            return f"ctx_{name}"
        node, key = self.graph[name], (name, later)
        if key not in self.again:
            count = sum(known == name for known, _ in self.again)
            self.again[key] = again = f"{name}.again" + f".{count + 1}" * bool(count)
            if node.op.name == "events":
                events, inputs = self._listed(node, later)
                made = replace(node, op=events, inputs=inputs)
            elif (moved := self._moved(node)) and len(moved[1]) > 1:
                made = self._delayed(node, again, later, *moved)
            else:
                late = isinstance(node.op, Memorize)
                op = Previous(node.type.features, node.op.steps) if late else node.op  # type: ignore[attr-defined]
                made = replace(self._reading(node, later), op=op)
            half = "backward" if later[1] else "forward"
            self.nodes[again] = replace(made, name=again, half=half, stage=_stage(node, later[0]))
        return self.again[key]

    def _delayed(
        self, node: Node, again: str, later: Round, base: str, before: list[str], steps: int
    ) -> Node:
        """A delay of a delay as one: before the first step it reads the rows of each, one after the other."""
        half, stage = "backward" if later[1] else "forward", _stage(self.graph[before[0]], later[0])

        def made(name: str, op: Op, *inputs: str) -> str:
            type = op.infer(*(self.nodes[i].type for i in inputs))
            self.nodes[name] = Node(name, op, inputs, type, half=half, stage=stage)
            return name

        rows: list[str] = []
        for name in before:
            count = self.graph[name].type.size // node.type.size
            read = self._read(name, later) if self.crosses(name, later) else name
            rows.append(made(f"{again}.before.{len(rows) + 1}", Reshape((count, *node.type.features)), read))
        initial = made(f"{again}.before", Concat(0), *rows)
        kept = self._read(base, later) if self.crosses(base, later) else base
        return replace(node, op=Previous(node.type.features, steps), inputs=(kept, initial))

    def _listed(self, node: Node, later: Round) -> tuple[Events, tuple[str, ...]]:
        """The list that a round makes: its operator, and what it is made from."""
        source = self.graph[node.inputs[0]]
        if not is_spike(self.graph, source.name):
            return Events(), (self._read(source.name, later),)
        if self._on_loop(source):  # the spikes are kept once, however many read the step before
            previous: int = source.op.steps  # type: ignore[attr-defined]
            return Events(previous), (self._bits(source.inputs[0]), self._read(source.inputs[1], later))
        return Events(), (self._bits(source.name),)

    def _on_loop(self, node: Node) -> bool:
        """Whether a value is that of the step before of what depends on it."""
        return isinstance(node.op, Memorize) and node.name in self.graph.looped

    def _bits(self, name: str) -> str:
        """Spikes kept as bits."""
        source, bits = self.graph[name], f"ctx_{name}.bits"
        self.nodes[bits] = replace(
            source, name=bits, op=Context("bits"), inputs=(name,), stage=_stage(source)
        )
        return bits


def _stage(node: Node, phase: int | None = None) -> Stage:
    """Outside of the loops."""
    own = node.stage.phase if node.stage else 0
    return Stage("parallel" if node.type.time else "tile", phase=own if phase is None else phase)


def _cut_nodes(network: networkx.DiGraph) -> set[str]:
    import networkx

    if network.in_degree("sink") == 0:
        return set()
    _, (before, after) = networkx.minimum_cut(network, "source", "sink")
    return {
        name for name, side in (n for n in before if n != "source") if side == "in" and (name, "out") in after
    }
