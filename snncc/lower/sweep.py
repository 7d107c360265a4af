"""From the nodes of one kernel to a sweep: sections, local arrays, loads and stores.

A sweep has three sections for a block of neurons of one sample: `before` the loop over time, the
`body` of a step, and `after` the loop, where sums over time are known. A value that crosses from one
section to another, or from a step to the next, lives in a local array with an element a neuron.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from ..expr import Apply, Const, Expr, Ref
from ..graph import Graph, Node
from ..names import RESERVED, Names, plain_text
from ..ops.elementwise import IN_PLACE
from ..ops.layout import row_major
from ..ops.time import REDUCTIONS, STORED
from ..program import ROUNDED, Array, Buffer, Local, Pointer, Statement, Sweep


class Memory(Protocol):
    """What a sweep asks about buffers."""

    names: Names
    stepped: dict[str, int]
    segmented: bool
    one_round: bool
    updated: dict[str, str]

    def buffer(self, name: str, layout: str = "real") -> Buffer: ...
    def state(self, node: Node) -> Buffer: ...
    def reads_state(self, reader: Node, node: Node) -> bool: ...
    def before(self, node: Node) -> Buffer | None: ...
    def passing(self, node: Node) -> Buffer: ...
    def wanted(self, node: Node) -> list[str]: ...
    def length(self, node: Node) -> int: ...
    def group(self, node: Node) -> str: ...


SHIFTS = ("memorize", "carry")
DERIVED = ("_at", "_rows", "_initial")  # endings of names that C derives from a pointer's
DEEPEST = 32  # operators within operators: what is deeper gets a name of its own


class SweepBuilder:
    """Builds one sweep; `build` is the way in."""

    def __init__(self, graph: Graph, memory: Memory, nodes: list[Node], panels: bool = False) -> None:
        self.graph, self.memory, self.nodes, self.panels = graph, memory, nodes, panels
        self.inside = {n.name: n for n in nodes}
        self.time = any(n.type.time or n.op.name in REDUCTIONS for n in nodes)
        self.stepped = nodes[0].name in memory.stepped
        self.pointers: dict[str, Pointer] = {}
        self.scalars: dict[str, Statement] = {}
        self.arrays: list[Array] = []
        self.locals: list[Local] = []
        self.sections: dict[str, list[Statement]] = {"before": [], "body": [], "after": []}
        self.names = Names(RESERVED)
        self.section = {n.name: self._section(n) for n in nodes}
        self.expressions: dict[str, Expr] = {}  # what stands for a value where it is read
        self.nesting: dict[str, int] = {}  # operators within operators of what is written out
        self.carriers: dict[str, str] = {}  # memorize or carry: the array in which it lives
        self.uses = self._count_uses()
        self.replaced = {memory.buffer(n.name).name for n in nodes if n.name in memory.updated}

    def _section(self, node: Node) -> str:
        """Where a node is computed."""
        if not self.time or (not node.type.time and not self._after_loop(node.name)):
            return "before"
        return "body" if node.type.time or node.op.name in REDUCTIONS else "after"

    def _after_loop(self, name: str) -> bool:
        node = self.inside.get(name)
        if node is None or node.type.time:
            return False
        return node.op.name in REDUCTIONS or any(self._after_loop(i) for i in node.inputs)

    def _count_uses(self) -> dict[str, int]:
        uses = dict.fromkeys(self.inside, 0)
        for node in self.nodes:
            for i in node.inputs:
                if i in uses:
                    uses[i] += 1
        return uses

    def build(self) -> Sweep:
        updates: list[Statement] = []
        for node in self.nodes:
            self._statement(node)
        for node in self.nodes:
            if node.op.name in SHIFTS and node.op.steps == 1 and not self.stepped:  # type: ignore[attr-defined]
                updates.append(self._update(node))
        self.sections["body"] += updates
        sweeps = [n.stage.unroll for n in self.nodes if n.stage and n.stage.kind in ("scan", "reverse")]
        first = self.nodes[0]
        size = max(map(self.memory.length, self.nodes))
        before, body, after = (tuple(self.sections[s]) for s in ("before", "body", "after"))
        return Sweep(
            self.memory.names.new(first.kernel),
            self._comment(first, size),
            size,
            self.time,
            first.stage is None or first.stage.kind not in ("once", "finish"),
            first.half == "backward",
            sweeps[0] if sweeps and self.time else 1,
            self.panels,
            tuple(self.pointers.values()),
            tuple(self.scalars.values()),
            tuple(self.arrays),
            before,
            body,
            after,
            locals=tuple(self.locals),
            stepped=self.stepped,
        )

    def _comment(self, first: Node, size: int) -> tuple[str, ...]:
        layer = first.kernel.removesuffix(".backward") or "network"
        half = ", backward in time" if first.half == "backward" and self.time else ""
        features = "one number" if size == 1 else f"{size} neurons"
        return (plain_text(f"{layer}{half}: {features}"),)

    # ---- statements

    def _statement(self, node: Node) -> None:
        name, op = node.name, node.op.name
        if op == "sum_batch":
            target = self._element(self.memory.buffer(name), written=True)
            self._emit(self.section[name], "add", target, self.value(node.inputs[0]))
        elif op in REDUCTIONS:
            self._reduction(node)
        elif op in SHIFTS and self.stepped:
            if self.uses[name] or self.memory.wanted(node):  # others read it where it lies
                self._define(node, Ref(self._element(self.memory.state(node))))
        elif op in SHIFTS and node.op.steps == 1:  # type: ignore[attr-defined]
            self._carried(node)
        elif op in (*SHIFTS, *STORED):
            self._define(node, Ref(self._moved(node)))
        else:
            self._define(node, self._apply(node))

    def _moved(self, node: Node) -> str:
        """C's text for an element of an earlier or later step of a stored sequence."""
        op: Any = node.op
        earlier = op.name in ("memorize", "previous")
        kept = self.memory.buffer(node.inputs[0])
        pointer = self._pointer(kept, self.memory.before(node), steps=op.steps if earlier else -op.steps)
        return f"{pointer.name}_at[{'i' if kept.count > 1 else '0'}]"

    def _apply(self, node: Node) -> Expr:
        if node.op.name == "spread":
            return self._spread(node)
        operands = tuple(self.value(i) for i in node.inputs)
        op: Any = node.op
        if op.name in ("expand", "detach"):
            return operands[0]
        if isinstance(op, IN_PLACE):
            return self._in_place(node)
        return Apply(op.name, operands, getattr(op, "strict", True))

    def _spread(self, node: Node) -> Expr:
        """An element of a shorter row, which lies somewhere else."""
        buffer = self.memory.buffer(node.inputs[0])
        if node.inputs[0] in self.inside or buffer.count == 1:
            return self.value(node.inputs[0])
        return Ref(f"{self._pointer(buffer, whole=True).name}_at[{self.memory.group(node)}]")

    def _in_place(self, node: Node) -> Expr:
        """What is made of where the kernel stands: a random number, a number of a table, that of the step."""
        op: Any = node.op
        neuron = "n0 + i" if node.type.size > 1 else "0"
        name = self.names.new(self._local(node) + "_key" * (op.name == "uniform"))
        if op.name == "uniform":
            self.locals.append(Local("key", name, op.key, node.type.time))
            return Apply("uniform", (Ref(name), Ref(self._element_number(node, neuron))))
        if op.name == "vector":
            elements = (row_major(k, node.type.size, node.channels) for k in range(node.type.size))
            self.locals.append(Local("table", name, values=tuple(op.values[e] for e in elements)))
            return Ref(f"{name}[{neuron}]")
        self.locals.append(Local("step", name))
        return Ref(name)

    def _element_number(self, node: Node, neuron: str) -> str:
        """C's text for which element of a value this is, counted row-major."""
        if not node.channels:
            return neuron
        pixels = node.type.size // node.channels
        return f"({neuron}) % {node.channels} * {pixels} + ({neuron}) / {node.channels}"

    def _reduction(self, node: Node) -> None:
        """A sum over time is added up in a local array; first and last keep what came last.

        A state of the same value does so, too.
        """
        start: str | Expr = "zero" if node.op.name == "sum_time" else ""
        if start and self.memory.segmented:  # the sum goes on from where the last segment left it
            start = Ref(self._element(self.memory.buffer(node.name), written=True))
        array = "" if start else self._carrier(node.inputs[0])
        if not array:
            array = self._array(node, start)
            kind = "add" if node.op.name == "sum_time" else "set"
            self._emit("body", kind, f"{array}[i]", self.value(node.inputs[0]))
        self.expressions[node.name] = Ref(f"{array}[i]")
        if node.op.name == "first" and self.memory.one_round:
            target = self._element(self.memory.passing(node), written=True)
            self._emit("after", "set", target, Ref(f"{array}[i]"))
        else:
            self._store(node, Ref(f"{array}[i]"), "after")

    def _carrier(self, name: str) -> str:
        """The array that carries a value to the next step, or nothing."""
        found = (array for state, array in self.carriers.items() if self.inside[state].inputs[0] == name)
        return next(found, "")

    def _carried(self, node: Node) -> None:
        """A state in registers: its element at the start of a step is the value of the step before."""
        start: str | Expr = "zero"
        op: Any = node.op
        lasting = self.memory.segmented and not getattr(op, "every", 0)
        if lasting:
            start = Ref(self._element(self.memory.state(node), written=True))
        elif node.op.name == "memorize" and self.graph[node.inputs[1]].op.name != "constant":
            start = Ref(self._element(self.memory.buffer(node.inputs[1])))
        array = self._array(node, start, name=op.buffer)
        local = self.names.new(self._local(node))
        self._emit("body", "let", local, Ref(f"{array}[i]"))
        self.expressions[node.name] = Ref(local)
        self._store(node, Ref(local), "body")
        if lasting:
            target = self._element(self.memory.state(node), written=True)
            self._emit("after", "set", target, Ref(f"{array}[i]"))

    def _update(self, node: Node) -> Statement:
        return Statement("set", f"{self.carriers[node.name]}[i]", self.value(node.inputs[0]))

    def _define(self, node: Node, expr: Expr) -> None:
        """A value: written out where it is read once, else a local; stored if somebody outside reads it."""
        section, layouts = self.section[node.name], self.memory.wanted(node)
        if node.op.name in ("vector", "step_number") and not layouts:
            self.expressions[node.name] = expr
            return
        crosses = section == "before" and self._read_in_other_section(node)
        nested = 1 + max((self.nesting.get(i, 0) for i in node.inputs), default=0)
        plain = self.uses[node.name] <= 1 and self._nameless(node) and nested < DEEPEST
        if not layouts and not crosses and plain:
            self.expressions[node.name], self.nesting[node.name] = expr, nested
            return
        if crosses:
            array = self._array(node, "")
            self._emit(section, "set", f"{array}[i]", expr)
            reference = Ref(f"{array}[i]")
        elif self.uses[node.name] == 0 and layouts == ["real"]:
            reference = None
        else:
            local = self.names.new(self._local(node))
            self._emit(section, "let", local, expr)
            reference = Ref(local)
        if reference is not None:
            self.expressions[node.name] = reference
        self._store(node, reference or expr, section)

    def _read_in_other_section(self, node: Node) -> bool:
        readers = [r for r in self.nodes if node.name in r.inputs]
        return self.time and any(self.section[r.name] != "before" or r.op.name in REDUCTIONS for r in readers)

    def _store(self, node: Node, expr: Expr, section: str) -> None:
        for layout in self.memory.wanted(node):
            buffer = self.memory.buffer(node.name, layout)
            if buffer.packed:
                array = self._array(node, "", step=section == "body", packed=True)
                self._emit(section, "set", f"{array}[i]", expr)
                self._emit(section, "pack", self._pointer(buffer, written=True).name, Ref(array))
            else:
                value = Apply(f"to_{layout}", (expr,)) if layout in ROUNDED else expr
                self._emit(section, "set", self._element(buffer, written=True), value)

    def _emit(self, section: str, kind: str, target: str, value: Expr) -> None:
        self.sections[section].append(Statement(kind, target, value))

    # ---- names

    def _local(self, node: Node) -> str:
        """The name of a value without its layer: it is said by the function's name."""
        layer = node.kernel.removesuffix(".backward") + "."
        name = node.name
        prefix = next((p for p in ("d_", "ctx_", "") if name.startswith(p)), "")
        rest = name.removeprefix(prefix)
        return prefix + (rest.removeprefix(layer) if rest.startswith(layer) else rest)

    def _nameless(self, node: Node) -> bool:
        """Whether a value is called after its operator and not by a user."""
        last = re.sub(r"(\.\d+|\.again|\.here)+$", "", node.name).rpartition(".")[2]
        return last == node.op.name or node.op.name in ("expand", "detach")

    def _array(
        self, node: Node, start: str | Expr, name: str = "", step: bool = False, packed: bool = False
    ) -> str:
        suffix = "_lanes" if packed else "_sum" if node.op.name == "sum_time" else ""
        array = self.names.new(
            self._local_buffer(name, node) + "_state" if name else self._local(node) + suffix
        )
        self.arrays.append(Array(array, start, step))
        if node.op.name in SHIFTS and not packed:
            self.carriers[node.name] = array
        return array

    def _local_buffer(self, name: str, node: Node) -> str:
        layer = node.kernel.removesuffix(".backward") + "."
        prefix = "d_" if name.startswith("d_") else ""
        return prefix + name.removeprefix(prefix).removeprefix(layer)

    # ---- operands

    def value(self, name: str) -> Expr:
        """What stands for a value: an expression, a local, an element of a buffer, a number."""
        if name in self.expressions:
            return self.expressions[name]
        node = self.graph[name]
        if node.op.name == "constant":
            return Const(node.op.value)  # type: ignore[attr-defined]
        if node.type.dtype == "scalar":
            return self._scalar(node)
        state = self.memory.reads_state(self.nodes[0], node)
        buffer = self.memory.state(node) if state else self.memory.buffer(name)
        element = Ref(self._element(buffer))
        converted = buffer.layout in ROUNDED and not buffer.packed
        self.expressions[name] = Apply(f"from_{buffer.layout}", (element,)) if converted else element
        return self.expressions[name]

    def _scalar(self, node: Node) -> Expr:
        """A number in double precision, computed once at the top of the kernel."""
        if node.name not in self.scalars:
            given = node.op.name in ("steps", "samples", "scalar")  # an argument in double precision
            local = self.names.new(f"{node.name}_here" if given else node.name)
            self.scalars[node.name] = Statement("let", local, self._scalar_expression(node))
        return Ref(self.scalars[node.name].target)

    def _scalar_expression(self, node: Node) -> Expr:
        op: Any = node.op
        match op.name:
            case "constant":
                return Const(op.value)
            case "steps":
                return Ref("num_steps")
            case "samples":
                return Ref("num_samples")
            case "scalar":
                return Ref(op.label)
        return Apply(op.name, tuple(self._scalar_expression(self.graph[i]) for i in node.inputs))

    def _pointer(
        self,
        buffer: Buffer,
        initial: Buffer | None = None,
        written: bool = False,
        steps: int = 0,
        whole: bool = False,
    ) -> Pointer:
        key = f"{buffer.name} {steps} {initial.name if initial else ''}{' whole' * whole}"
        if key not in self.pointers:
            suffix = "_prev" if steps > 0 else "_next" if steps < 0 else ""
            name = self.names.new(buffer.name + suffix, DERIVED if initial else DERIVED[:2])
            self.pointers[key] = Pointer(buffer, name, written, initial, steps, whole)
        elif written and not self.pointers[key].written:
            self.pointers[key] = Pointer(buffer, self.pointers[key].name, True, initial, steps, whole)
        return self.pointers[key]

    def _element(self, buffer: Buffer, written: bool = False) -> str:
        """C's text for the element at hand; a single number that is only read is a local of that name."""
        pointer = self._pointer(buffer, written=written)
        if buffer.count > 1:
            return f"{pointer.name}_at[i]"
        array = written or buffer.packed or buffer.name in self.replaced
        return f"{pointer.name}_at[0]" if array else f"{pointer.name}_at"
