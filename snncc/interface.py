"""What a library takes and gives: its parameters in memory, and the arrays of its callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .errors import InternalError, located, user_line
from .frontend.dsl import Network
from .graph import Graph, Node
from .lower import Layout, user_field
from .ops.random import SEED
from .program import Tensor, UserArray


def tensors(network: Network, layout: Layout, graphs: Mapping[str, Graph]) -> tuple[Tensor, ...]:
    """Parameters in memory: learnable ones first, so that the optimiser runs over one piece."""
    channels = _channels(graphs)
    ops: list[Any] = [n.op for n in network.graph if n.op.name == "parameter"]
    found, offset = [], 0
    for op in sorted(ops, key=lambda op: not op.learnable):
        length = layout.parameter_length(op.features, op.panels)
        last = channels.get(op.label, 0)
        found.append(
            Tensor(op.label, op.features, op.learnable, op.panels, offset, length, op.at_least, last)
        )
        offset += length
    tables: list[Any] = [n.op for n in network.graph if n.op.name == "table"]
    for op in tables:
        length = layout.table_length(op.features)
        found.append(
            Tensor(
                op.label, op.features, False, False, offset, length, table=(op.most, op.ascending, op.digest)
            )
        )
        offset += length
    return tuple(found)


def _channels(graphs: Mapping[str, Graph]) -> dict[str, int]:
    """How many channels of each parameter lie last: the same in every entry point."""
    found: dict[str, int] = {}
    for graph in graphs.values():
        for node in graph:
            op: Any = node.op
            if op.name == "parameter" and found.setdefault(op.label, node.channels) != node.channels:
                raise InternalError(f"{op.label} would lie in two orders")
    return found


def user_arrays(graphs: Mapping[str, Graph], dtype: str) -> tuple[UserArray, ...]:
    """The members of the io struct, each with the entry points that use it."""
    found: dict[tuple[str, str], UserArray] = {}
    for entry, graph in graphs.items():
        for array in (*_given(graph, dtype), *_taken(graph, dtype)):
            known = found.setdefault((array.role, array.name), array)
            entries = dict.fromkeys((*known.entries, entry))  # phases may each ask for an input
            found[array.role, array.name] = replace(known, entries=tuple(entries))
    fields: dict[str, UserArray] = {}
    for array in found.values():
        other = fields.setdefault(array.field, array)
        if other is not array:
            raise located(
                f"{array.role} {array.name!r} and {other.role} {other.name!r} would both be called "
                f"{array.field} in C: rename one",
                user_line(),
            )
    return tuple(found.values())


def _given(graph: Graph, dtype: str) -> Iterator[UserArray]:
    for node in graph:
        op: Any = node.op
        if op.name == "input":
            kind = "int64" if node.type.dtype == "i32" or op.role == "lengths" else dtype
            field = user_field(op.role, op.label)
            made = UserArray(op.label, field, op.role, node.type.features, node.type.time, True, kind)
            yield replace(made, **_choice(graph, node))
        elif op.name == "state":
            yield UserArray(
                op.label, user_field("state", op.label), "state", node.type.features, False, True, dtype
            )
    if any(node.op.name == "uniform" for node in graph):
        yield UserArray(SEED, SEED, "seed", (2,), False, False, "int64")


def _choice(graph: Graph, node: Node) -> dict[str, Any]:
    """Of whole numbers, how many there are to choose from, and the layer that chooses by them."""
    whole = graph.readers()[node.name] if node.type.dtype == "i32" else []
    readers: list[Any] = [r for r in whole if hasattr(r.op, "classes")]
    fewest = min(readers, key=lambda r: r.op.classes, default=None)
    if fewest is None:
        return {}
    weight = fewest.inputs[1] if fewest.op.name == "embedding" else ""
    layer = weight and (weight.rpartition(".")[0] or "Embedding")
    return {"below": fewest.op.classes, "reader": layer}


def _taken(graph: Graph, dtype: str) -> Iterator[UserArray]:
    for o in graph.outputs:
        type = graph[o.value].type
        if o.role == "loss":
            yield UserArray("loss", "loss", "loss", (), False, False, "float64")
        elif o.role not in ("gradient", "parameter"):
            yield UserArray(o.name, user_field(o.role, o.name), o.role, type.features, type.time, True, dtype)
