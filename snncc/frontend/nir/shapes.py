"""Shapes of what flows through a NIR graph: from its inputs forward, from what layers demand backward."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...errors import CompileError
from ..foreign import shown
from .flat import FlatGraph
from .primitives import ELEMENTWISE, feature_shape, whole
from .read import RawNode

Shape = tuple[int, ...]
LARGEST = 2**31
PASSING = (*ELEMENTWISE, "Input", "Output")  # what leaves them has the shape of what enters
SPACE = {"Conv1d": 1, "Conv2d": 2, "SumPool2d": 2, "AvgPool2d": 2}


@dataclass(frozen=True)
class Shapes:
    """The shape that enters and leaves each node, and what was not as the file says."""

    entering: Mapping[str, Shape]
    leaving: Mapping[str, Shape]
    remarks: tuple[str, ...]


def infer_shapes(graph: FlatGraph, source: str) -> Shapes:
    """The shapes of all nodes. Raises CompileError where they do not fit, or cannot be known."""
    run = _Inference(graph)
    try:
        run.follow(name for name in graph.nodes if run.seed(name))
        for name in graph.inputs:
            run.start(name)
        run.follow(graph.inputs)
        for name, node in graph.nodes.items():
            if name not in run.entering and node.type == "Flatten" and "input_type" in node.values:
                run.put(name, _sizes(node.values["input_type"]))
                run.follow([name])
        run.check()
    except _MisfitError as error:
        raise CompileError(f"{source}: {error}") from None
    return Shapes(run.entering, run.leaving, tuple(run.remarks))


class _MisfitError(Exception):
    pass


@dataclass
class _Inference:
    graph: FlatGraph
    entering: dict[str, Shape] = field(default_factory=dict)
    leaving: dict[str, Shape] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before: dict[str, list[str]] = defaultdict(list)
        self.after: dict[str, list[str]] = defaultdict(list)
        for a, b in self.graph.edges:
            self.before[b].append(a)
            self.after[a].append(b)

    def seed(self, name: str) -> bool:
        """Set what a node's own values demand."""
        node = self.graph.nodes[name]
        demanded = _demanded(node)
        if demanded is not None:
            self.put(name, demanded)
        if node.type in ("Affine", "Linear"):
            self.leaving[name] = np.shape(node.values["weight"])[:1]
        return name in self.entering

    def start(self, name: str) -> None:
        """Set the shape of an input: the file's, unless what reads it shows axes of a batch in front."""
        values = self.graph.nodes[name].values
        given = _sizes(values["shape"]) if "shape" in values else ()
        shape = self.entering.get(name) or self._without_batch(name, given)
        if not shape:
            raise _MisfitError(
                f"input {shown(name)} has no shape, and what reads it does not tell; write it with its shape"
            )
        if given and given != shape:
            if given[-len(shape) :] != shape:
                raise _MisfitError(
                    f"input {shown(name)} has shape {list(given)}, what reads it expects {list(shape)}"
                )
            batch = list(given[: -len(shape)])
            self.remarks.append(
                f"input {shown(name)} has shape {list(given)}; {batch} was taken for the batch of the sample "
                "that it was exported with"
            )
        self.put(name, shape)

    def _without_batch(self, name: str, given: Shape) -> Shape:
        ranks = {SPACE[kind] + 1 for b in self.after[name] if (kind := self.graph.nodes[b].type) in SPACE}
        return given[-min(ranks) :] if ranks and len(given) > min(ranks) else given

    def put(self, name: str, shape: Shape) -> None:
        """Set what enters a node, and what leaves it if that follows."""
        if not shape or min(shape) < 1 or np.prod(shape, dtype=float) > LARGEST:
            raise _MisfitError(f"{shown(name)}: no array has shape {list(shape)}")
        node = self.graph.nodes[name]
        self.entering[name] = shape
        try:
            self.leaving[name] = shape if node.type in PASSING else _result(node, shape)
        except ValueError as error:
            raise _MisfitError(f"{shown(name)} ({node.type}): {error}") from None

    def follow(self, changed: Iterable[str]) -> None:
        """Carry shapes along edges, both ways, until nothing changes."""
        waiting = deque(changed)
        while waiting:
            name = waiting.popleft()
            for b in self.after[name]:
                if name in self.leaving and b not in self.entering:
                    self.put(b, self.leaving[name])
                    waiting.append(b)
            for a in self.before[name]:
                if a not in self.entering and self.graph.nodes[a].type in PASSING and name in self.entering:
                    self.put(a, self.entering[name])
                    waiting.append(a)

    def check(self) -> None:
        """Every node has shapes, and both ends of an edge agree."""
        for name in self.graph.nodes:
            if name not in self.leaving:
                raise _MisfitError(f"the shape of {shown(name)} cannot be told; give the input a shape")
        for a, b in self.graph.edges:
            if self.leaving[a] != self.entering[b]:
                raise _MisfitError(
                    f"edge ({shown(a)}, {shown(b)}): {shown(a)} gives {list(self.leaving[a])}, "
                    f"{shown(b)} takes {list(self.entering[b])}"
                )
        for name in self.graph.outputs:
            values = self.graph.nodes[name].values
            given = _sizes(values["shape"]) if "shape" in values else ()
            if given and given != self.entering[name]:
                found = list(self.entering[name])
                self.remarks.append(
                    f"output {shown(name)} has shape {list(given)} in the file; it is {found}"
                )


def _sizes(values: object) -> Shape:
    found = np.ravel(np.asarray(values))
    return tuple(int(v) for v in found) if found.dtype.kind in "iuf" else ()


def _demanded(node: RawNode) -> Shape | None:
    """The shape that a node's values ask for at its entry, if they do."""
    if node.type in ELEMENTWISE:
        return feature_shape(node)
    if node.type in ("Affine", "Linear"):
        return np.shape(node.values["weight"])[1:]
    if node.type in ("Conv1d", "Conv2d") and np.size(node.values.get("input_shape", ())):
        channels = np.shape(node.values["weight"])[1] * int(np.ravel(node.values["groups"])[0])
        return (channels, *whole(node, "input_shape", SPACE[node.type]))
    return None


def _result(node: RawNode, shape: Shape) -> Shape:
    """What leaves a node that changes the shape. Raises ValueError."""
    if node.type in ("Affine", "Linear"):
        return np.shape(node.values["weight"])[:1]
    if node.type == "Flatten":
        start, end = flat_axes(node, len(shape))
        return (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
    axes = SPACE[node.type]
    if len(shape) != axes + 1:
        raise ValueError(f"takes [channels, {axes} axes of space], what enters is {list(shape)}")
    if node.type.startswith("Conv"):
        weight = np.shape(node.values["weight"])
        if shape[0] != weight[1] * int(np.ravel(node.values["groups"])[0]):
            raise ValueError(f"weight {list(weight)} does not fit {shape[0]} channels")
        channels, kernel, apart = weight[0], weight[2:], whole(node, "dilation", axes)
    else:
        channels, kernel, apart = shape[0], whole(node, "kernel_size", axes), (1,) * axes
    stride, padding = whole(node, "stride", axes), node.values["padding"]
    if isinstance(padding, str):
        ends = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, apart, strict=True)]
    else:
        ends = [2 * p for p in whole(node, "padding", axes)]
    if min((*stride, *apart, *kernel)) < 1 or min(ends) < 0:
        raise ValueError("stride, dilation and kernel must be positive, padding not negative")
    sizes = zip(shape[1:], ends, kernel, apart, stride, strict=True)
    return (channels, *((n + e - d * (k - 1) - 1) // s + 1 for n, e, k, d, s in sizes))


def flat_axes(node: RawNode, rank: int) -> tuple[int, int]:
    """The first and last axis that a Flatten joins. Raises ValueError."""
    start, end = (whole(node, name, 1)[0] for name in ("start_dim", "end_dim"))
    first, last = (axis + rank if axis < 0 else axis for axis in (start, end))
    if not 0 <= first <= last < rank:
        raise ValueError(f"start_dim {start} and end_dim {end} are no axes of {rank}")
    return first, last
