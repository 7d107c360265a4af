"""Steps that were written out, rolled back into one step with delays.

Exporters write a loop over time as so many copies of its body. Where T values are stacked to a sequence, the
T computations behind them are laid side by side: the same operator at each step is one node; a value that
step t takes from step t - 1 is a delay; slice t of a sequence is a step of it. The first step may look
otherwise, because its states were constants and have been folded: it has to be what the common step gives
for some constant initial states, which is proven node by node, or nothing is rolled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import CompileError
from . import constants
from .flat import Flat, Node
from .loops import DELAY, LAST, STACK, STEP, Feed

FEWEST = 3  # steps that show a pattern
Tail = tuple[str, ...]  # the names of a value at steps 1, 2, ...


class Irregular(Exception):
    """The steps are not alike."""


@dataclass(frozen=True)
class Slice:
    """One step of a sequence."""

    sequence: str
    axis: int
    step: int


@dataclass
class Train:
    """A value at every step: `made` is its name in the one step, `delayed` that one step before."""

    tail: Tail
    made: str
    delayed: str | None = None


@dataclass
class Rolling:
    """The search for one step; raises Irregular where there is none."""

    flat: Flat
    steps: int
    nodes: list[Node] = field(default_factory=list)
    trains: dict[Tail, Train] = field(default_factory=dict)
    behind: dict[Tail, Train] = field(default_factory=dict)  # by the values at all but the last step
    proofs: list[tuple[str, str]] = field(default_factory=list)  # a value of the one step, and of step 0

    def __post_init__(self) -> None:
        self.makers = self.flat.made_by()
        self.layers = {node.layer for node in self.flat.nodes}
        self.waiting: list[tuple[Node, Train]] = []

    def stack(self, names: Sequence[str]) -> str:
        """The one value that stands for these at steps 0, 1, ..."""
        made = self.value(tuple(names[1:]), names[0])
        while self.waiting:
            node, train = self.waiting.pop()
            self._operands(node, train)
        return made

    def value(self, tail: Tail, first: str | None) -> str:
        """The name of a value of the one step; what it is at step 0 is proven later."""
        made = self._found(tail)
        if first is not None:
            self.proofs.append((made, first))
        return made

    def _found(self, tail: Tail) -> str:
        if tail in self.trains:
            return self.trains[tail].made
        if self._same(tail):
            return tail[0]
        if (sequence := self._sliced(tail)) is not None:
            return self._train(tail, Node(STEP, (sequence.sequence,), (), {"axis": sequence.axis})).made
        if tail[1:] in self.behind:
            return self._delay(self.behind[tail[1:]], tail[0])
        makers = [self.makers.get(name) for name in tail]
        if any(m is None or not _alike(m, makers[0], a, tail[0]) for m, a in zip(makers, tail, strict=True)):
            raise Irregular(f"{tail[0]} and its like are computed in different ways")
        assert makers[0] is not None
        node = makers[0]
        train = self._train(tail, node)
        self.waiting.append((node, train))
        return train.made

    def _train(self, tail: Tail, node: Node) -> Train:
        train = Train(tail, f"@{tail[0]}")
        self.trains[tail] = self.behind[tail[:-1]] = train
        if node.op == STEP:
            self.nodes.append(replace(node, outputs=(train.made,)))
        return train

    def layer(self, node: Node) -> str:
        """The layer of a node; exporters call its copies lif1_1, lif1_2."""
        base = re.sub(r"_\d+$", "", node.layer)
        return base if base in self.layers else node.layer

    def _operands(self, node: Node, train: Train) -> None:
        makers = [self.makers[name] for name in train.tail]
        inputs = []
        for place in range(len(node.inputs)):
            names = tuple(maker.inputs[place] for maker in makers)
            inputs.append(self.value(names, None) if names[0] else "")
        outputs = tuple(train.made if name == train.tail[0] else "" for name in node.outputs)
        self.nodes.append(replace(node, inputs=tuple(inputs), outputs=outputs, layer=self.layer(node)))

    def _delay(self, train: Train, first: str) -> str:
        """The value of the step before; `first` is what the train is at step 0."""
        self.proofs.append((train.made, first))
        if train.delayed is None:
            train.delayed = f"{train.made}@before"
        return train.delayed

    def _same(self, tail: Tail) -> bool:
        """Whether a value is one and the same at every step."""
        if len(set(tail)) == 1:
            return True
        known = [self.flat.constants.get(name) for name in tail]
        return all(k is not None and _equal(k, known[0]) for k in known)

    def _sliced(self, tail: Tail) -> Slice | None:
        """The sequence whose slices 1, 2, ... these are."""
        slices = [slice_of(self.flat, self.makers, name) for name in tail]
        first = slices[0]
        if first is None or first.step != 1:
            return None
        wanted = [replace(first, step=t + 1) for t in range(len(tail))]
        return first if slices == wanted else None


def _alike(a: Node, b: Node | None, name: str, other: str) -> bool:
    """Whether two nodes do the same, and these are the same outputs of theirs."""
    if b is None or (a.op, len(a.inputs), len(a.outputs)) != (b.op, len(b.inputs), len(b.outputs)):
        return False
    if a.outputs.index(name) != b.outputs.index(other) or a.attributes.keys() != b.attributes.keys():
        return False
    pairs = ((v, b.attributes[k]) for k, v in a.attributes.items())
    same = all(_equal(v, w) if isinstance(v, np.ndarray) else v is w or v == w for v, w in pairs)
    return same and [bool(i) for i in a.inputs] == [bool(i) for i in b.inputs]


def _equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def slice_of(flat: Flat, makers: dict[str, Node], name: str) -> Slice | None:
    """The step of a sequence that a value is: by Gather, or by Slice or Split and Squeeze."""
    node = makers.get(name)
    if node is None or not node.inputs:
        return None
    if node.op == "Gather":
        at = flat.constants.get(node.inputs[1])
        if at is None or at.ndim:
            return None
        return _slice(flat, node.inputs[0], int(node.attributes.get("axis", 0)), int(at))
    if node.op != "Squeeze":
        return None
    axes = constants.attribute_or_input(node, "axes", 1, [None, flat.constants.get((*node.inputs, "")[1])])
    cut = makers.get(node.inputs[0])
    if axes is None or len(axes) != 1 or cut is None:
        return None
    if cut.op == "Slice":
        return _slice_cut(flat, cut, axes[0])
    if cut.op == "Split" and int(cut.attributes.get("axis", 0)) == axes[0]:
        return _slice(flat, cut.inputs[0], axes[0], cut.outputs.index(node.inputs[0]))
    return None


def _slice_cut(flat: Flat, cut: Node, axis: int) -> Slice | None:
    rank = len(flat.shapes.get(cut.inputs[0], ()))
    try:
        known = [None, *(flat.constants.get(i) for i in cut.inputs[1:])]
        taken = constants.slices(cut, rank, known)
    except CompileError:
        return None
    axis = axis + rank if axis < 0 else axis
    others = [s for i, s in enumerate(taken) if i != axis]
    own = taken[axis] if axis < rank else slice(None)
    if any(s != slice(None) for s in others) or own.start is None or own.stop != own.start + 1:
        return None
    return _slice(flat, cut.inputs[0], axis, int(own.start))


def _slice(flat: Flat, sequence: str, axis: int, step: int) -> Slice:
    shape = flat.shapes.get(sequence)
    if shape is not None:
        axis = axis + len(shape) if axis < 0 else axis
        step = step + shape[axis] if step < 0 and axis < len(shape) else step
    return Slice(sequence, axis, step)


def stacked(flat: Flat, makers: dict[str, Node]) -> Iterator[tuple[Node, int, list[str]]]:
    """Every Concat that makes a sequence of values: the node, its axis, the values."""
    for node in flat.nodes:
        if node.op != "Concat" or len(node.inputs) < FEWEST:
            continue
        parts, axis = [], int(node.attributes.get("axis", 0))
        for name in node.inputs:
            maker = makers.get(name)
            if maker is None or maker.op != "Unsqueeze":
                break
            given = [None, flat.constants.get((*maker.inputs, "")[1])]
            axes = constants.attribute_or_input(maker, "axes", 1, given)
            if axes is None or len(axes) != 1 or axes[0] != axis:
                break
            parts.append(maker.inputs[0])
        if len(parts) == len(node.inputs):
            yield node, axis, parts


def rolled(flat: Flat, remarks: list[str]) -> Flat | None:
    """The flat graph with its repeated steps as one, or None where there are none."""
    makers = flat.made_by()
    stacks = list(stacked(flat, makers))
    if not stacks:
        return None
    counts = [len(parts) for _, _, parts in stacks]
    steps = max(set(counts), key=counts.count)
    run = Rolling(flat, steps)
    ends: list[Node] = []
    try:
        for node, axis, parts in stacks:
            if len(parts) == steps:
                made = run.stack(parts)
                ends.append(Node(STACK, (made,), node.outputs, {"axis": axis}, node.label))
        again, initial = _proven(run)
    except Irregular as reason:
        remarks.append(f"the {steps} steps that are written out could not be rolled into one: {reason}")
        return None
    delays = [
        _delayed(flat, run, train, initial) for train in run.trains.values() if train.delayed in initial
    ]
    replaced = {name for end in ends for name in end.outputs}
    rest = [node for node in flat.nodes if not replaced & set(node.outputs)]
    lasts = _final_states(run, flat, rest)
    gone = {name for node in lasts for name in node.outputs}
    rest = [node for node in rest if not gone & set(node.outputs)]
    remarks.append(f"{steps} steps that are written out were rolled into one")
    nodes = ordered([*delays, *rest, *run.nodes, *again, *ends, *lasts], flat)
    return replace(flat, nodes=nodes, steps=steps)


def _proven(run: Rolling) -> tuple[list[Node], dict[str, Any]]:
    """What is computed again, and the initial values of all other delays."""
    from .first_step import initial_states, recomputed

    again = recomputed(run)
    try:
        return again, initial_states(run, again)
    except Irregular:
        return [], initial_states(run)


def _delayed(flat: Flat, run: Rolling, train: Train, initial: dict[str, np.ndarray]) -> Node:
    assert train.delayed is not None
    name = f"{train.delayed}@initial"
    if isinstance(initial[train.delayed], str):
        name = str(initial[train.delayed])
    else:
        flat.constants[name] = initial[train.delayed]
    maker = run.makers.get(train.tail[0])
    label = f"{run.layer(maker)}.state" if maker is not None and run.layer(maker) else train.tail[0]
    shape = flat.shapes.get(train.tail[0])
    attributes: dict[str, Any] = {"feed": Feed(train.made, label)} | ({"shape": shape} if shape else {})
    return Node(DELAY, (name,), (train.delayed,), attributes, f"state {label}")


def _final_states(run: Rolling, flat: Flat, rest: Iterable[Node]) -> list[Node]:
    """Outputs that are a value at the last step."""
    last = {train.tail[-1]: train.made for train in run.trains.values()}
    return [Node(LAST, (last[name],), (name,), {}, name) for name in flat.outputs if name in last]


def ordered(nodes: Sequence[Node], flat: Flat) -> list[Node]:
    """The nodes such that each comes after those that it reads; what a delay is fed comes when it may."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    done: dict[int, Node] = {}
    for start in nodes:
        waiting = [(start, iter(start.inputs))]
        seen = {id(start)}
        while waiting:
            node, inputs = waiting[-1]
            if id(node) in done:
                waiting.pop()
                continue
            name = next(inputs, None)
            if name is None:
                done[id(node)] = node
                waiting.pop()
            elif (maker := makers.get(name)) is not None and id(maker) not in done:
                if id(maker) in seen:
                    raise Irregular(f"{name} hangs on itself within a step")
                seen.add(id(maker))
                waiting.append((maker, iter(maker.inputs)))
    return list(done.values())
