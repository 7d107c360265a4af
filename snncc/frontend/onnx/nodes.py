"""The flat form of a graph: one list of nodes, its constants, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import CompileError

STEP, STACK, DELAY, LAST, NUMBER = "@step", "@stack", "@delay", "@last", "@number"  # of time: see `loops`
LARGEST = "@largest"  # 1 at the largest feature of each sample, the first of several, else 0


@dataclass(frozen=True)
class Node:
    """One operator. label: for messages. layer: what the exporter calls its module, if it says that."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    opset: int = 0
    layer: str = ""

    def error(self, message: str) -> CompileError:
        return CompileError(f"{self.label}: {message}")


@dataclass(frozen=True)
class Seen:
    """A node of the file, for the report. became: what it is now, if that does not hang on its outputs."""

    name: str
    op: str
    outputs: tuple[str, ...]
    became: str = ""


@dataclass(frozen=True)
class Port:
    """An input of the graph: its shape with stand-ins, the open dimensions by axis, its dtype."""

    name: str
    shape: tuple[int, ...]
    open: Mapping[int, str]
    dtype: np.dtype[Any]


@dataclass
class Flat:
    """Nodes in order, constants by name, inputs, outputs, and the shapes that are known."""

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    inputs: dict[str, Port]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    opset: int
    weights: frozenset[str]  # constants that the file holds, not made by folding
    sources: dict[str, str] = field(default_factory=dict)  # of a folded constant: the initialiser it copies
    open_shapes: bool = False  # whether an open dimension was read
    initial: dict[str, float] = field(default_factory=dict)  # of inputs that are states
    hidden: frozenset[str] = frozenset()  # outputs that are there for states only
    steps: int | None = None  # written out in the file
    seen: list[Seen] = field(default_factory=list)  # every node of the file
    rolled: dict[str, str] = field(default_factory=dict)  # values of steps written out, in the one step

    def made_by(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}


def reaches(flat: Flat, targets: Sequence[str]) -> set[str]:
    """All values that these are computed from, themselves included."""
    makers, found, waiting = flat.made_by(), set(), list(targets)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in makers:
            node = makers[name]
            waiting += node.inputs
            if node.op == DELAY:
                waiting.append(node.attributes["feed"].value)
    return found


def needed(flat: Flat) -> Flat:
    """The flat graph without what no output needs."""
    kept = reaches(flat, flat.outputs)
    return replace(flat, nodes=[n for n in flat.nodes if any(o in kept for o in n.outputs)])
