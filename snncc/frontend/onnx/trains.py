"""Values that were computed at every step, laid side by side as one step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .nodes import STEP, Flat, Node
from .slices import Slice, slice_of

Tail = tuple[str, ...]  # the names of a value at steps 1, 2, ...


class Irregular(Exception):
    """The steps are not alike."""


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
        if any(m is None or not alike(m, makers[0], a, tail[0]) for m, a in zip(makers, tail, strict=True)):
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
        return all(k is not None and equal(k, known[0]) for k in known)

    def _sliced(self, tail: Tail) -> Slice | None:
        """The sequence whose slices 1, 2, ... these are."""
        slices = [slice_of(self.flat, self.makers, name) for name in tail]
        first = slices[0]
        if first is None or first.step != 1:
            return None
        wanted = [replace(first, step=t + 1) for t in range(len(tail))]
        return first if slices == wanted else None


def alike(a: Node, b: Node | None, name: str, other: str) -> bool:
    """Whether two nodes do the same, and these are the same outputs of theirs."""
    if b is None or (a.op, len(a.inputs), len(a.outputs)) != (b.op, len(b.inputs), len(b.outputs)):
        return False
    if a.outputs.index(name) != b.outputs.index(other) or a.attributes.keys() != b.attributes.keys():
        return False
    pairs = ((v, b.attributes[k]) for k, v in a.attributes.items())
    same = all(equal(v, w) if isinstance(v, np.ndarray) else v is w or v == w for v, w in pairs)
    return same and [bool(i) for i in a.inputs] == [bool(i) for i in b.inputs]


def equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
